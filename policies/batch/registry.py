"""Policies of batch allocation by name."""

from __future__ import annotations

from collections.abc import Callable

from policies.batch.allocation import eta, mel, mel_exact, mel_polynomial
from policies.batch.instance import BatchInstance, BatchPlan

BatchPolicy = Callable[[BatchInstance], BatchPlan]

BATCH_POLICIES: dict[str, BatchPolicy] = {
    "eta": eta,
    "mel": mel,
    "mel-polynomial": mel_polynomial,
    "mel-exact": mel_exact,
}
"""In the order of reports."""
