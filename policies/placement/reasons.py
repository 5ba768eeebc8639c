"""Why a task or a job cannot be placed, in words and amounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.flows.graph import Floats, Router
from policies.placement.demand import ANYWHERE, Demand


@dataclass(frozen=True, slots=True)
class Refusal:
    """No placement, and why."""

    reasons: tuple[str, ...]


def unplaceable(
    asked: Demand, task: int, placement: Sequence[int], router: Router, free_bytes: Floats
) -> Refusal:
    """Reasons why task has no device, given the devices of the tasks before it."""
    devices, name, pinned = router.graph.devices, asked.name(task), asked.pinned[task]
    able = np.isfinite(asked.seconds[task])
    if pinned != ANYWHERE:
        able &= np.arange(len(devices)) == pinned
    where = "any device" if pinned == ANYWHERE else f"device {devices[pinned]}, where it is pinned"
    if not able.any():
        return Refusal(
            (f"task {name}: seconds per item are not known on {where}; profile it, or declare its work",)
        )
    need = asked.memory_bytes[task]
    roomy = able & (free_bytes >= need)
    if not roomy.any():
        best = int(np.argmax(np.where(able, free_bytes, -np.inf)))
        return Refusal(
            (
                f"task {name} needs {bytes_text(need)} of memory; the most that is free where it can run is "
                f"{bytes_text(free_bytes[best])}, on device {devices[best]}",
            )
        )
    reasons = []
    for flow in asked.inputs[task]:
        producer = placement[asked.producers[flow]]
        hops = np.array(router.hops(producer))
        if not (roomy & (hops >= 0)).any():
            reasons.append(
                f"task {name} needs {bytes_text(need)} of memory, and no route with free bandwidth leads "
                f"from device {devices[producer]} (task {asked.name(asked.producers[flow])}) to {where} that "
                "has it"
            )
    apart = f"task {name}: no device with {bytes_text(need)} of free memory is reached from all its inputs"
    return Refusal(tuple(reasons) or (apart,))


def bytes_text(amount: float) -> str:
    """1.5 GB, 20 MB, 12 B."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if abs(amount) >= size:
            return f"{amount / size:.4g} {unit}"
    return f"{amount:.4g} B"
