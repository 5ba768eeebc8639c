"""Policies of split training by name."""

from __future__ import annotations

import importlib

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
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        known = ", ".join(SPLIT_POLICIES)
        raise ValueError(
            f"unknown policy {name!r} of split training, expected one of {known}, or module:function"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot load policy {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"policy {name!r} is a {type(found).__name__}, expected a function of an instance")
    return found  # type: ignore[no-any-return]
