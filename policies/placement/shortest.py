"""The flow side of LR, BR and TP: default routes, equal shares."""

from __future__ import annotations

import numpy as np

from policies.flows.sharing import equal_share
from policies.placement.state import State


def share_shortest_routes(state: State) -> None:
    """Send every flow, old or new, by its shortest route at an equal share of each link.

    Source: Zhang 2024, sec. 3.6.1. A running flow that is cut off by links of no capacity keeps its route.
    """
    old_routes = [route for job in state.jobs for route in job.routes]
    flows = state.all_flows()
    routes = [
        state.router.shortest(flow.source, flow.target) or old
        for flow, old in zip(flows, old_routes, strict=True)
    ]
    bits = np.array([flow.bits for flow in flows])
    state.set_flows(routes, equal_share(routes, bits, state.graph.capacity_bps))
