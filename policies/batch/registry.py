"""Policies of batch allocation by name."""

from __future__ import annotations

from collections.abc import Callable

from policies.batch.allocation import eta, mel, mel_exact, mel_polynomial
from policies.batch.instance import BatchInstance, BatchPlan
from policies.named import function_named

BatchPolicy = Callable[[BatchInstance], BatchPlan]

BATCH_POLICIES: dict[str, BatchPolicy] = {
    "eta": eta,
    "mel": mel,
    "mel-polynomial": mel_polynomial,
    "mel-exact": mel_exact,
}
"""In the order of reports."""


def load_batch_policy(name: str) -> BatchPolicy:
    """A built-in policy, or one's own function as "module:function". Raises ValueError for a name that is neither."""
    return function_named(name, BATCH_POLICIES, "batch training")
