"""What TP, OTFS and OTFA share: jobs in the order of waiting."""

from __future__ import annotations

from collections.abc import Sequence

from policies.flows.graph import Router
from policies.model import Workload
from policies.placement.allocation import allocate_tasks
from policies.placement.reasons import Refusal
from policies.placement.state import Placed, State


def place(state: State, workload: Workload, router: Router) -> Placed | None:
    """Alg. 1 on what is free now; None when the job is refused."""
    asked = state.demand(workload)
    found = allocate_tasks(asked, router, state.free_bytes)
    if isinstance(found, Refusal):
        state.refuse(asked, found)
        return None
    return state.admit(asked, found)


def place_in_order(state: State, arrivals: Sequence[Workload]) -> None:
    """Place each arrival, the longest waiting first."""
    for workload in arrivals:
        place(state, workload, state.router)
