"""Policies by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from policies.makespan.policy import Cpop, Heft, Peft, Portfolio
from policies.model import Policy
from policies.placement.joint import Joint, JointFloor
from policies.placement.otfa import OnlineFlowAdjustment
from policies.placement.otfs import OnlineFlowScheduling
from policies.placement.tp import TaskPartition
from policies.placement.whole import BalancedAllocation, LeastRequested

_STREAMS: dict[str, Callable[[], Policy]] = {
    "lr": LeastRequested,
    "br": BalancedAllocation,
    "tp": TaskPartition,
    "otfs": OnlineFlowScheduling,
    "otfa": OnlineFlowAdjustment,
    "joint": Joint,
    "joint-floor": JointFloor,
}
_ONE_SHOT: dict[str, Callable[[], Policy]] = {
    "heft": Heft,
    "cpop": Cpop,
    "peft": Peft,
    "portfolio": Portfolio,
}
_BUILT_IN = {**_STREAMS, **_ONE_SHOT}

POLICIES: tuple[str, ...] = tuple(_STREAMS)
"""The built-in ones for streams, in the order of reports."""
ONE_SHOT_POLICIES: tuple[str, ...] = tuple(_ONE_SHOT)
"""The built-in ones for one-shot jobs, in the order of reports."""


def load_policy(name: str) -> Policy:
    """A built-in policy, or one's own as "module:Class", made without arguments.

    Raises ValueError for a name that is neither, and for a class that is no policy.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"unknown policy {name!r}, expected one of {', '.join(_BUILT_IN)}, or module:Class")
    try:
        policy = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot load policy {name!r}: {error}") from error
    if not callable(getattr(policy, "decide", None)) or not isinstance(getattr(policy, "name", None), str):
        raise ValueError(f"policy {name!r} is a {type(policy).__name__}, expected a name and a decide method")
    return policy  # type: ignore[no-any-return]
