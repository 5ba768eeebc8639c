"""Task allocation: the greedy placement that TP, OTFS and OTFA share."""

from __future__ import annotations

import numpy as np

from policies.flows.graph import Floats, Router
from policies.placement.demand import ANYWHERE, Demand
from policies.placement.reasons import Refusal, unplaceable


def allocate_tasks(asked: Demand, router: Router, free_bytes: Floats) -> tuple[int, ...] | Refusal:
    """Place each task, in topological order, where it ends soonest: a device each, or a refusal.

    Source: Zhang 2024, Alg. 1. A task's time is C_i / PS_u plus the longest of its inputs' D / bandwidth,
    where the bandwidth between two devices is the mean over the links of the (widest shortest) route.
    Departures: memory that just suffices does (the print wants strictly more, and so never fills a device);
    pinned tasks stay where they are; devices that no route leads to are left out. Ties go to the smallest id.
    Complexity: O(tasks x inputs x devices) and one breadth-first search a producing device.
    """
    if asked.problems:
        return Refusal(asked.problems)
    free = free_bytes.copy()
    placement: list[int] = []
    for task in range(len(asked.pinned)):
        time = asked.seconds[task] + _transfer_seconds(asked, task, placement, router)
        allowed = np.isfinite(time) & (free >= asked.memory_bytes[task])
        pinned = asked.pinned[task]
        if pinned != ANYWHERE:
            allowed &= np.arange(len(free)) == pinned
        if not allowed.any():
            return unplaceable(asked, task, placement, router, free)
        device = int(np.argmin(np.where(allowed, time, np.inf)))
        free[device] -= asked.memory_bytes[task]
        placement.append(device)
    return tuple(placement)


def _transfer_seconds(asked: Demand, task: int, placement: list[int], router: Router) -> Floats:
    longest = np.zeros(len(router.graph.devices))
    for flow in asked.inputs[task]:
        mean = router.tree(placement[asked.producers[flow]]).mean_bps
        took = np.full(len(mean), np.inf)
        np.divide(asked.bits[flow], mean, out=took, where=mean > 0)
        np.maximum(longest, took, out=longest)
    return longest
