"""Online scheduling: task allocation, then flow scheduling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.flows.graph import Floats, Router
from policies.flows.jrba import jrba
from policies.flows.sharing import incidence
from policies.model import Decision, Snapshot, Workload
from policies.placement.online import place
from policies.placement.state import State

SPENT = 1e-9
"""A link with less than this part of its capacity left is used up."""


@dataclass(frozen=True, slots=True)
class OnlineFlowScheduling:
    """One waiting job after the other: Alg. 1, then JRBA on the bandwidth that is left.

    Source: Zhang 2024, Alg. 3 (OTFS). What runs keeps its routes and rates to its end, so the first job may
    take all that its links have, and later ones then find no way: they wait.
    """

    name: str = "otfs"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        state = State.of(snapshot, self.name)
        left = _left(state)
        for workload in arrivals:
            router = Router(state.graph, left)
            job = place(state, workload, router)
            if job is None:
                continue
            plan = jrba(router, job.flows)
            job.routes, job.rates_bps = list(plan.routes), plan.rates_bps
            left = _spend(state, left, incidence(plan.routes, len(left)) @ plan.rates_bps)
        return state.decision()


def _left(state: State) -> Floats:
    """Capacity that no running flow was granted, in bits/s by link."""
    left = state.graph.capacity_bps
    for job in state.jobs:
        left = _spend(state, left, incidence(job.routes, len(left)) @ job.rates_bps)
    return left


def _spend(state: State, left: Floats, granted: Floats) -> Floats:
    after = left - granted
    return np.where(after > SPENT * state.graph.capacity_bps, after, 0.0)
