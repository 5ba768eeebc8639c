"""Task Partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.model import Decision, Snapshot, Workload
from policies.placement.online import place_in_order
from policies.placement.shortest import share_shortest_routes
from policies.placement.state import State


@dataclass(frozen=True, slots=True)
class TaskPartition:
    """Every task by itself to the device where it ends soonest; shortest routes, equal shares.

    Source: Zhang 2024, sec. 3.6.1 (TP), with Alg. 1 as `allocate_tasks`. When a flow arrives, the flows on
    its links get less; when one ends, more: so the plans of running jobs change as well.
    """

    name: str = "tp"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        state = State.of(snapshot, self.name)
        place_in_order(state, arrivals)
        share_shortest_routes(state)
        return state.decision()
