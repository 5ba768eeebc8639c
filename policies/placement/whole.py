"""Kubernetes' two scores, which move a whole job to one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.flows.graph import Floats
from policies.model import Decision, Snapshot, Workload
from policies.placement.demand import ANYWHERE, Demand
from policies.placement.reasons import Refusal, bytes_text, unplaceable
from policies.placement.shortest import share_shortest_routes
from policies.placement.state import State

Bools = npt.NDArray[np.bool_]
Score = Callable[[Floats, Floats], Floats]
"""(memory, computing): the parts of each device in use with the job on it, to a score; the least wins."""


@dataclass(frozen=True, slots=True)
class LeastRequested:
    """The whole job goes to the device of which the least is in use, over memory and computing.

    Source: Zhang 2024, sec. 3.6.1 (LR); Kubernetes, LeastRequestedPriority: the mean of the two free parts.
    """

    name: str = "lr"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        return _decide(self.name, snapshot, arrivals, lambda memory, computing: (memory + computing) / 2)


@dataclass(frozen=True, slots=True)
class BalancedAllocation:
    """The whole job goes to the device whose memory and computing are then used most evenly.

    Source: Zhang 2024, sec. 3.6.1 (BR); Kubernetes, BalancedResourceAllocation: least |memory - computing|.
    """

    name: str = "br"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        return _decide(self.name, snapshot, arrivals, lambda memory, computing: abs(memory - computing))


def _decide(name: str, snapshot: Snapshot, arrivals: Sequence[Workload], score: Score) -> Decision:
    """One waiting job after the other; then shortest routes at equal shares, as TP has them.

    A streaming job requests no part of a processor, as a container does. So the computing in use is the
    seconds per item of all tasks on a device, relative to the device with most. Pinned tasks (cameras) stay
    in place. Ties go to the smallest id. Complexity: O(tasks x devices) a job.
    """
    state = State.of(snapshot, name)
    held_s = _held_seconds(state)
    for workload in arrivals:
        asked = state.demand(workload)
        found = _choose(state, asked, held_s, score)
        if isinstance(found, Refusal):
            state.refuse(asked, found)
            continue
        state.admit(asked, found)
        np.add.at(held_s, np.array(found), asked.seconds[np.arange(len(found)), found])
    share_shortest_routes(state)
    return state.decision()


def _held_seconds(state: State) -> Floats:
    held = np.zeros(len(state.graph.devices))
    for job in state.jobs:
        for task, device in enumerate(job.placement):
            held[device] += job.demand.seconds[task, device]
    return held


def _choose(state: State, asked: Demand, held_s: Floats, score: Score) -> tuple[int, ...] | Refusal:
    if asked.problems:
        return Refusal(asked.problems)
    fixed = _place_pinned(state, asked)
    if isinstance(fixed, Refusal):
        return fixed
    free_tasks = list(asked.free_tasks)
    if not free_tasks:
        return asked.pinned
    need = float(asked.memory_bytes[free_tasks].sum())
    seconds = asked.seconds[free_tasks].sum(axis=0)
    roomy = np.isfinite(seconds) & (fixed >= need)
    reached = _reached(state, asked)
    if not (roomy & reached).any():
        return _refusal(state, asked, need, np.isfinite(seconds), roomy, fixed)
    computing = held_s + np.where(np.isfinite(seconds), seconds, 0.0)
    most = computing[roomy & reached].max()
    memory = state.total_bytes
    used = np.divide(memory - fixed + need, memory, out=np.zeros_like(memory), where=memory > 0)
    scores = score(used, computing / most if most > 0 else np.zeros_like(computing))
    device = int(np.argmin(np.where(roomy & reached, np.round(scores, 12), np.inf)))
    return tuple(device if pin == ANYWHERE else pin for pin in asked.pinned)


def _place_pinned(state: State, asked: Demand) -> Floats | Refusal:
    """Memory left once the pinned tasks hold theirs."""
    free = state.free_bytes.copy()
    for task, device in enumerate(asked.pinned):
        if device == ANYWHERE:
            continue
        need = asked.memory_bytes[task]
        if free[device] < need or not np.isfinite(asked.seconds[task, device]):
            return unplaceable(asked, task, asked.pinned, state.router, free)
        free[device] -= need
    for a, b in zip(asked.producers, asked.consumers, strict=True):
        pins = asked.pinned[a], asked.pinned[b]
        if ANYWHERE not in pins and state.router.hops(pins[0])[pins[1]] < 0:
            return unplaceable(
                asked, b, asked.pinned, state.router, state.total_bytes + asked.memory_bytes[b]
            )
    return free


def _reached(state: State, asked: Demand) -> Bools:
    """Devices that a route leads to from every pinned task that shares a flow with a free one."""
    reached = np.ones(len(state.graph.devices), dtype=bool)
    for a, b in zip(asked.producers, asked.consumers, strict=True):
        pins = asked.pinned[a], asked.pinned[b]
        if (pins[0] == ANYWHERE) != (pins[1] == ANYWHERE):
            reached &= np.array(state.router.hops(max(pins))) >= 0
    return reached


def _refusal(
    state: State,
    asked: Demand,
    need: float,
    able: Bools,
    roomy: Bools,
    free_bytes: Floats,
) -> Refusal:
    job, devices = asked.workload.job.id, state.graph.devices
    if not able.any():
        lacking = [task for task in asked.free_tasks if not np.isfinite(asked.seconds[task]).any()]
        names = ", ".join(asked.name(task) for task in lacking or asked.free_tasks)
        return Refusal(
            (f"job {job}: no one device knows the seconds per item of tasks {names}; profile them",)
        )
    if not roomy.any():
        best = int(np.argmax(np.where(able, free_bytes, -np.inf)))
        return Refusal(
            (
                f"job {job} needs {bytes_text(need)} of memory on one device; the most that is free is "
                f"{bytes_text(free_bytes[best])}, on device {devices[best]}",
            )
        )
    return Refusal(
        (
            f"job {job} needs {bytes_text(need)} of memory on one device; no route leads from its "
            "source to one",
        )
    )
