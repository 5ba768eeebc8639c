"""Online scheduling: task allocation, with the flows of all jobs adjusted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.flows.jrba import jrba
from policies.model import Decision, Snapshot, Workload
from policies.placement.online import place_in_order
from policies.placement.state import State


@dataclass(frozen=True, slots=True)
class OnlineFlowAdjustment:
    """Alg. 1 for every waiting job, then JRBA over all flows, running and new, on the whole bandwidth.

    Source: Zhang 2024, Alg. 4 (OTFA). Placements of running jobs stay; their routes and rates may change.
    Known flaw of the published rule: as JRBA minimises the largest V/b, all jobs on a full link get the same
    items/s, whatever the size of their items and however few of them the job can compute (`joint` mends it).
    """

    name: str = "otfa"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        state = State.of(snapshot, self.name)
        place_in_order(state, arrivals)
        state.strand_cut_off()
        flows = jrba(state.router, state.all_flows())
        state.set_flows(flows.routes, flows.rates_bps)
        return state.decision()
