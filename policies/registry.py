"""Policies by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from policies.model import Policy
from policies.placement.joint import Joint, JointFloor
from policies.placement.otfa import OnlineFlowAdjustment
from policies.placement.otfs import OnlineFlowScheduling
from policies.placement.tp import TaskPartition
from policies.placement.whole import BalancedAllocation, LeastRequested

_BUILT_IN: dict[str, Callable[[], Policy]] = {
    "lr": LeastRequested,
    "br": BalancedAllocation,
    "tp": TaskPartition,
    "otfs": OnlineFlowScheduling,
    "otfa": OnlineFlowAdjustment,
    "joint": Joint,
    "joint-floor": JointFloor,
}

POLICIES: tuple[str, ...] = tuple(_BUILT_IN)
"""The built-in ones, in the order of reports."""
ONE_SHOT_POLICIES: tuple[str, ...] = ("heft", "cpop", "peft", "portfolio")
"""Those of one-shot jobs."""


def load_policy(name: str) -> Policy:
    """A built-in policy, or one's own as "module:Class", made without arguments.

    Raises ValueError for a name that is neither, and for a class that is no policy.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"unknown policy {name!r}, expected one of {', '.join(POLICIES)}, or module:Class")
    try:
        policy = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot load policy {name!r}: {error}") from error
    if not callable(getattr(policy, "decide", None)) or not isinstance(getattr(policy, "name", None), str):
        raise ValueError(f"policy {name!r} is a {type(policy).__name__}, expected a name and a decide method")
    return policy  # type: ignore[no-any-return]
