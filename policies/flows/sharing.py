"""How flows with fixed routes share the links: rates in bits/s, shape (flows,)."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import numpy as np
from scipy import sparse

from policies.flows.graph import Floats, Route


def incidence(routes: Sequence[Route], links: int) -> sparse.csr_array:
    """Which flow crosses which link: ones, shape (links, flows)."""
    rows = np.array([link for route in routes for link in route.links], dtype=np.int64)
    columns = np.repeat(np.arange(len(routes)), [len(route.links) for route in routes])
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(links, len(routes)))


def equal_share(routes: Sequence[Route], volumes: Floats, capacity_bps: Floats) -> Floats:
    """Every flow gets the same part of each link that it crosses, and the least of them.

    Source: Zhang 2024, sec. 3.6.1 (Task Partition). A share that its flow cannot use is lost, as printed.
    Flows of no volume take no share and get none.
    """
    crossing = incidence(routes, len(capacity_bps))
    flows = crossing @ (volumes > 0).astype(np.float64)
    return _least(routes, volumes, np.divide(capacity_bps, flows, out=np.zeros_like(flows), where=flows > 0))


def volume_share(routes: Sequence[Route], volumes: Floats, capacity_bps: Floats) -> Floats:
    """Each link is shared by volume, and a flow gets the least of its shares: b_i = min_l B_l V_i / S_l.

    Source: Zhang 2024, eq. 3.15. Departure: the print lacks B_l, and its sum runs over all links; read
    per link, S_l is the volume that crosses l. The slowest flow then is as fast as fixed routes allow, but
    what the others leave idle on other links is lost: max_min dominates it flow by flow.
    """
    crossing = incidence(routes, len(capacity_bps))
    load = crossing @ volumes
    per_volume = np.divide(capacity_bps, load, out=np.zeros_like(load), where=load > 0)
    return _least(routes, volumes, per_volume) * volumes


def _least(routes: Sequence[Route], volumes: Floats, share: Floats) -> Floats:
    shares = share.tolist()
    least = [
        min(shares[link] for link in route.links) if route.links and volume > 0 else 0.0
        for route, volume in zip(routes, volumes.tolist(), strict=True)
    ]
    return np.array(least, dtype=np.float64)


def max_min(routes: Sequence[Route], weights: Floats, capacity_bps: Floats) -> Floats:
    """Weighted max-min filling: no flow's rate / weight can grow but at the expense of a smaller one.

    Source: Bertsekas and Gallager, Data Networks, sec. 6.5.2 (progressive filling). Flows of no weight or no
    link get none. Flows of one route fill as one. The link that fills first comes first off a heap; what a link
    has left for each only grows as others stop elsewhere, so it is reckoned anew when its turn comes.
    O(crossings x log links), but for links that come up several times.
    """
    bundles: dict[tuple[int, ...], float] = {}
    for route, weight in zip(routes, weights.tolist(), strict=True):
        if weight > 0 and route.links:
            bundles[route.links] = bundles.get(route.links, 0.0) + weight
    on_link: dict[int, list[tuple[int, ...]]] = {}
    for links in bundles:
        for link in links:
            on_link.setdefault(link, []).append(links)
    capacity = capacity_bps.tolist()
    heap = [(capacity[link] / sum(bundles[b] for b in on), link) for link, on in on_link.items()]
    heapify(heap)
    levels: dict[tuple[int, ...], float] = {}
    while heap:
        level, link = heappop(heap)
        rising = [links for links in on_link[link] if links not in levels]
        if not rising:
            continue
        taken = sum(levels[links] * bundles[links] for links in on_link[link] if links in levels)
        now = max(capacity[link] - taken, 0.0) / sum(bundles[links] for links in rising)
        if now > level:
            heappush(heap, (now, link))
        else:
            levels.update(dict.fromkeys(rising, now))
    level_of = np.array([levels.get(route.links, 0.0) for route in routes], dtype=np.float64)
    return np.where(weights > 0, level_of * weights, 0.0)
