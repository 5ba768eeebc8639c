"""Policies by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from policies.bandit.registry import DISPATCHERS
from policies.batch.instance import BatchInstance
from policies.batch.registry import BATCH_POLICIES
from policies.batch.training import BatchTraining
from policies.deadline.policy import FRAME_POLICIES
from policies.makespan.policy import Cpop, Heft, Peft, Portfolio
from policies.model import Policy
from policies.movement.instance import MovementInstance
from policies.movement.registry import MOVEMENT_POLICIES
from policies.online.shares import OnlinePlacement
from policies.partition.registry import SPLIT_POLICIES
from policies.partition.training import SplitTraining
from policies.placement.joint import Joint, JointFloor
from policies.placement.otfa import OnlineFlowAdjustment
from policies.placement.otfs import OnlineFlowScheduling
from policies.placement.tp import TaskPartition
from policies.placement.whole import BalancedAllocation, LeastRequested
from policies.streams.instance import StreamInstance
from policies.streams.mapping import StreamMapping
from policies.streams.registry import STREAM_POLICIES

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
_TRAINING: dict[str, Callable[[], Policy]] = {name: partial(SplitTraining, name) for name in SPLIT_POLICIES}
_BATCHES: dict[str, Callable[[], Policy]] = {name: partial(BatchTraining, name) for name in BATCH_POLICIES}
_FOG: dict[str, Callable[[], Policy]] = {
    name: partial(OnlinePlacement, name, "fog") for name in MOVEMENT_POLICIES
}
_CAMERAS: dict[str, Callable[[], Policy]] = {name: partial(StreamMapping, name) for name in STREAM_POLICIES}
_OFFLOAD: dict[str, Callable[[], Policy]] = {
    name: partial(OnlinePlacement, name, "offload") for name in DISPATCHERS
}
_FRAMES: dict[str, Callable[[], Policy]] = {
    name: partial(OnlinePlacement, name, "frames") for name in FRAME_POLICIES
}
_BUILT_IN = {**_STREAMS, **_ONE_SHOT, **_TRAINING, **_BATCHES, **_FOG, **_CAMERAS, **_OFFLOAD, **_FRAMES}

POLICIES: tuple[str, ...] = tuple(_STREAMS)
"""The built-in ones for streams, in the order of reports."""
ONE_SHOT_POLICIES: tuple[str, ...] = tuple(_ONE_SHOT)
"""The built-in ones for one-shot jobs, in the order of reports."""

TRAINING_POLICIES: tuple[str, ...] = tuple(_TRAINING)
"""The built-in ones for jobs that train a model, in the order of reports."""

BATCH_JOB_POLICIES: tuple[str, ...] = tuple(_BATCHES)
"""The built-in ones for jobs that train in cycles of a fixed length, in the order of reports."""

FOG_POLICIES: tuple[str, ...] = tuple(_FOG)
"""The built-in ones for jobs that train on points where these are collected or moved to, in the order of reports."""

CAMERA_POLICIES: tuple[str, ...] = tuple(_CAMERAS)
"""The built-in ones for jobs that watch cameras, in the order of reports."""

OFFLOAD_POLICIES: tuple[str, ...] = tuple(_OFFLOAD)
"""The built-in ones for jobs whose items go to helpers, in the order of reports."""

FRAME_JOB_POLICIES: tuple[str, ...] = tuple(_FRAMES)
"""The built-in ones for jobs of frames with deadlines, in the order of reports."""


def load_policy(name: str) -> Policy:
    """A built-in policy, or one's own: "module:Class", made without arguments, or "module:function".

    A function whose argument is annotated as a StreamInstance maps cameras: a StreamPlan or NoMapping comes out; of a
    BatchInstance a BatchPlan, of a MovementInstance a MovementPlan. Another one that takes an argument decides split
    training: a SplitInstance in, a SplitPlan or NoSplit out. What takes none makes a policy. Raises ValueError for a
    name that is neither, and for what is no policy.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"unknown policy {name!r}, expected one of {', '.join(_BUILT_IN)}, module:Class or module:function"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
        policy = _by_function(name, found) if _takes_an_instance(found) else found()
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"cannot load policy {name!r}: {error}") from error
    if not callable(getattr(policy, "decide", None)) or not isinstance(getattr(policy, "name", None), str):
        raise ValueError(f"policy {name!r} is a {type(policy).__name__}, expected a name and a decide method")
    return policy


def _by_function(name: str, found: Callable[..., Any]) -> Policy:
    """A policy that asks this function. Raises TypeError where its annotations name what is not there."""
    try:
        hints = get_type_hints(found)
    except NameError as error:
        raise TypeError(f"its annotations cannot be read: {error}") from error
    if StreamInstance in hints.values():
        return StreamMapping(name, found)
    if BatchInstance in hints.values():
        return BatchTraining(name, found)
    if MovementInstance in hints.values():
        return OnlinePlacement(name, "fog")
    return SplitTraining(name, found)


def _takes_an_instance(found: object) -> bool:
    """Whether it is a function that must be given something."""
    return inspect.isroutine(found) and any(
        each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        for each in inspect.signature(found).parameters.values()
    )
