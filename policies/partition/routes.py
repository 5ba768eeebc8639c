"""The ways between clients and their server, and rates that fit on every link of them."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np

from policies.flows.graph import Floats, Graph, Route, Router
from policies.flows.sharing import max_min
from policies.partition.steps import Steps

SLACK = 1e-9
"""Relative excess of a link's load that is rounding."""


def ways_to(
    server: int,
    clients: Sequence[int],
    graph: Graph,
    capacity_bps: Floats,
    routers: dict[float, Router] | None = None,
) -> list[Route | None]:
    """Each client's route to the server: the widest, of these the one with fewest hops, ties by id; None: there is none.

    Widest by capacity_bps, what is left of each link. The way back is the same in reverse.
    routers: by width, of earlier calls with the same graph and capacities; this one adds to them.
    """
    widths = widths_to(server, graph, capacity_bps)
    routers = {} if routers is None else routers
    routes = []
    for client in clients:
        width = widths[client]
        if width not in routers and width > 0:
            routers[width] = Router(graph, np.where(capacity_bps >= width, capacity_bps, 0.0))
        routes.append(routers[width].shortest(client, server) if width > 0 else None)
    return routes


def widths_to(root: int, graph: Graph, capacity_bps: Floats) -> list[float]:
    """The most that any one route between root and each device carries; 0 where nothing leads, inf at the root."""
    widths = [0.0] * len(graph.devices)
    heap = [(-float("inf"), root)]
    while heap:
        minus, device = heappop(heap)
        if widths[device] > 0:
            continue
        widths[device] = -minus
        for neighbour, link in graph.neighbours[device]:
            reach = min(-minus, float(capacity_bps[link]))
            if reach > widths[neighbour]:
                heappush(heap, (-reach, neighbour))
    return widths


def shared_bps(steps: Steps) -> tuple[float, Floats]:
    """(total, caps): whatever rates are within both fit on every link, in each direction.

    total: the tightest link that all devices cross which cross any. caps, shape (devices,): each device's own width,
    and its max-min share where links that only some devices cross hold less than these could take together.
    """
    crossing = steps.crossing()
    sending = crossing.any(axis=0)
    widths = steps.widths_bps()
    common = crossing[:, sending].all(axis=1) if sending.any() else np.zeros(len(crossing), dtype=bool)
    total_bps = float(steps.links_bps[common].min(initial=np.inf))
    together = np.array([min(total_bps, float(widths[row].sum())) if row.any() else 0.0 for row in crossing])
    binding = (together > steps.links_bps) & ~common
    caps_bps = widths
    if binding.any():
        routes = [Route(links=tuple(link for link in links if binding[link])) for links in steps.crossed]
        shares = max_min(routes, np.ones(len(routes)), steps.links_bps)
        bound = binding @ crossing > 0
        caps_bps = np.where(bound, np.minimum(widths, shares), widths)
    if not np.isfinite(total_bps):
        total_bps = float(caps_bps[sending].sum()) if sending.any() else 1.0
    return total_bps, caps_bps


def overloaded(steps: Steps, rates_bps: Floats) -> list[str]:
    """Links that cannot hold the rates, in each direction those of all devices that cross them, in words."""
    loads = steps.crossing() @ np.asarray(rates_bps, dtype=np.float64)
    return [
        f"link {steps.link_names[link]}: the rates granted on it are {loads[link]:g} bit/s each way, "
        f"it has {steps.links_bps[link]:g} bit/s"
        for link in np.flatnonzero(loads > steps.links_bps * (1 + SLACK)).tolist()
    ]
