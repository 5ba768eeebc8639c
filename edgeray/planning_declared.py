"""Decide jobs that are numbers only, of kinds that do not run yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeray.errors import BadInputError
from edgeray.spec.declared_numbers import DeclaredJob
from policies.batch.instance import BatchPlan
from policies.batch.registry import load_batch_policy
from policies.deadline.frame import FramePlan
from policies.deadline.policy import FRAME_POLICIES
from policies.linear import SolverError
from policies.movement.instance import MovementPlan
from policies.movement.registry import MOVEMENT_POLICIES
from policies.named import function_named
from policies.streams.instance import NoMapping, StreamPlan
from policies.streams.registry import load_stream_policy


@dataclass(frozen=True, slots=True)
class _Kind:
    """default: the policy of a job that names none. load: a policy by name; ValueError for an unknown one."""

    default: str
    load: Callable[[str], Callable[[Any], Any]]


def decide_declared(job: DeclaredJob, policy: str | None) -> dict[str, Any]:
    """What `edgeray plan --json` prints. Raises BadInputError for an unknown policy."""
    kind = _KINDS[job.kind]
    try:
        decided = kind.load(policy or kind.default)(job.instance)
    except (ValueError, SolverError) as error:
        raise BadInputError(f"{error}\n  remedy:   correct --policy, or the numbers") from error
    return _TOLD[type(decided)](decided)


def _stream(plan: StreamPlan) -> dict[str, Any]:
    return {
        "policy": plan.policy,
        "x": list(plan.x),
        "y": list(plan.y),
        "sum_latency_s": plan.sum_latency_s,
        "common_fps": plan.common_fps,
        "feasible": True,
    }


def _refusal(refused: NoMapping) -> dict[str, Any]:
    return {"policy": refused.policy, "feasible": False, "reasons": list(refused.reasons)}


def _batch(plan: BatchPlan) -> dict[str, Any]:
    told = {
        "policy": plan.policy,
        "tau": plan.tau,
        "batches": list(plan.batches),
        "feasible": plan.feasible,
        "shortest_cycle_s": plan.shortest_cycle_s,
    }
    return told if plan.feasible else {**told, "reasons": list(plan.reasons)}


def _movement(plan: MovementPlan) -> dict[str, Any]:
    """movements: what goes from one device to another; intervals and devices count from 0."""
    places = np.argwhere(plan.sent > 0)
    amounts = plan.sent[tuple(places.T)]
    return {
        "policy": plan.policy,
        "total": plan.total,
        "process": plan.process,
        "transfer": plan.transfer,
        "discard": plan.discard,
        "unit": plan.unit,
        "movements": [
            {"t": t, "from": i, "to": j, "amount": amount}
            for (t, i, j), amount in zip(places.tolist(), amounts.tolist(), strict=True)
        ],
    }


def _frame(plan: FramePlan) -> dict[str, Any]:
    return {
        "policy": plan.policy,
        "slots": plan.slots.tolist(),
        "sent": plan.sent.tolist(),
        "local": plan.local.tolist(),
        "dropped": plan.dropped.tolist(),
        "value": float(plan.value),
        "energy": plan.energy.tolist(),
        "feasible": True,
    }


_TOLD: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    StreamPlan: _stream,
    NoMapping: _refusal,
    BatchPlan: _batch,
    FramePlan: _frame,
    MovementPlan: _movement,
}
_KINDS: Mapping[str, _Kind] = {
    "streams": _Kind("load-aware", load_stream_policy),
    "batch-training": _Kind("mel-exact", load_batch_policy),
    "fog-training": _Kind(
        "network-aware", lambda name: function_named(name, MOVEMENT_POLICIES, "fog training")
    ),
    "frames": _Kind("djos", lambda name: function_named(name, FRAME_POLICIES, "frames")),
}
