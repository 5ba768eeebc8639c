"""The flow side of LR, BR and TP: default routes, equal shares."""

from __future__ import annotations

import numpy as np

from policies.flows.sharing import equal_share
from policies.placement.state import State


def share_shortest_routes(state: State) -> None:
    """Send every flow, old or new, by its shortest route at an equal share of each link.

    Source: Zhang 2024, sec. 3.6.1. A running flow keeps its route while the links have capacity, and if
    there is no other.
    """
    old_routes = [(route, job.plan is not None) for job in state.jobs for route in job.routes]
    flows = state.all_flows()
    routes = [
        old
        if running and state.router.usable(old)
        else state.router.shortest(flow.source, flow.target) or old
        for flow, (old, running) in zip(flows, old_routes, strict=True)
    ]
    bits = np.array([flow.bits for flow in flows])
    state.set_flows(routes, equal_share(routes, bits, state.graph.capacity_bps))
