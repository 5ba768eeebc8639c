"""Policies of split training by name."""

from __future__ import annotations

from policies.named import function_named
from policies.partition import policy
from policies.partition.policy import SplitPolicy

_BUILT_IN: dict[str, SplitPolicy] = {
    "vanilla-fl": policy.vanilla_fl,
    "adaptive-fl": policy.adaptive_fl,
    "edgesplit-fix": policy.edgesplit_fix,
    "edgesplit-alternating": policy.edgesplit_alternating,
    "edgesplit": policy.edgesplit,
    "edgesplit-overlap": policy.edgesplit_overlap,
}

SPLIT_POLICIES: tuple[str, ...] = tuple(_BUILT_IN)
"""The built-in ones, in the order of reports."""


def load_split_policy(name: str) -> SplitPolicy:
    """A built-in policy, or one's own function as "module:function".

    Raises ValueError for a name that is neither.
    """
    return function_named(name, _BUILT_IN, "split training")
