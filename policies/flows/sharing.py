"""How flows with fixed routes share the links: rates in bits/s, shape (flows,)."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import numpy as np
from scipy import sparse

from policies.flows.graph import Floats, Route

TOLERANCE = 1e-12
SPREADING = 4


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


def spread(routes: Sequence[Route], rates: Floats, capacity_bps: Floats) -> Floats:
    """Rates that fit, raised in proportion to themselves over what the links have left (nearly all of it).

    Each rate is divided by the load of the fullest link on its route, SPREADING times over. That overloads
    nothing: a link's flows together grow by no more than it has room for. Unlike max_min it takes a few passes
    over arrays. Flows of no link get none.
    """
    lengths = np.array([len(route.links) for route in routes], dtype=np.int64)
    crossing = lengths > 0
    if not crossing.any():
        return np.zeros(len(routes))
    links = np.array([link for route in routes for link in route.links], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths[crossing])[:-1]])
    raised = rates[crossing]
    for _ in range(SPREADING):
        granted = np.bincount(links, np.repeat(raised, lengths[crossing]), len(capacity_bps))
        load = np.divide(
            granted, capacity_bps, out=np.where(granted > 0, np.inf, 0.0), where=capacity_bps > 0
        )
        fullest = np.maximum.reduceat(load[links], starts)
        raised = np.divide(raised, fullest, out=np.zeros_like(raised), where=raised > 0)
    result = np.zeros(len(routes))
    result[crossing] = raised
    return result


def max_min(routes: Sequence[Route], weights: Floats, capacity_bps: Floats) -> Floats:
    """Weighted max-min filling: no flow's rate / weight can grow but at the expense of a smaller one.

    Source: Bertsekas and Gallager, Data Networks, sec. 6.5.2 (progressive filling). Flows of no weight or no
    link get none. Flows of one route fill as one, and of links that the same flows cross only the tightest
    counts. The link that fills first comes first off a heap; what a link has left for each only grows as others
    stop elsewhere, so it is reckoned anew when its turn comes.
    """
    bundle_of: dict[tuple[int, ...], int] = {}
    bundles = [
        bundle_of.setdefault(route.links, len(bundle_of)) if weight > 0 and route.links else -1
        for route, weight in zip(routes, weights.tolist(), strict=True)
    ]
    volumes = np.bincount(np.array(bundles, dtype=np.int64) + 1, weights, len(bundle_of) + 1)[1:].tolist()
    crossing: dict[int, list[int]] = {}
    for bundle, links in enumerate(bundle_of):
        for link in links:
            crossing.setdefault(link, []).append(bundle)
    tightest: dict[tuple[int, ...], float] = {}
    for link, on in crossing.items():
        together, capacity = tuple(on), float(capacity_bps[link])
        tightest[together] = min(capacity, tightest.get(together, capacity))
    groups = [[(bundle, volumes[bundle]) for bundle in together] for together in tightest]
    levels = rise(len(volumes), groups, list(tightest.values()))
    return np.array([levels[bundle] if bundle >= 0 else 0.0 for bundle in bundles]) * weights


def rise(count: int, groups: Sequence[Sequence[tuple[int, float]]], left: Sequence[float]) -> list[float]:
    """Raise the levels of count members together from 0, each until a group of its own is full: progressive filling.

    groups: (member, how much of the group a level of 1 takes), all positive. left: what each group has room for.
    inf for a member of no group.
    """
    room = list(left)
    rising = [sum(weight for _, weight in group) for group in groups]
    own = [list[tuple[int, float]]() for _ in range(count)]
    for index, group in enumerate(groups):
        for member, weight in group:
            own[member].append((index, weight))
    heap = [(max(room[index], 0.0) / total, index) for index, total in enumerate(rising) if total > 0]
    heapify(heap)
    levels = [float("inf")] * count
    open_members = sum(bool(mine) for mine in own)
    while open_members:
        level, index = heappop(heap)
        still = [entry for entry in groups[index] if levels[entry[0]] == float("inf")]
        if not still:
            continue
        now = max(room[index], 0.0) / max(rising[index], max(weight for _, weight in still))
        if now > level * (1 + TOLERANCE):
            heappush(heap, (now, index))
            continue
        open_members -= len(still)
        for member, _ in still:
            levels[member] = min(now, level)
            for other, weight in own[member]:
                room[other] -= weight * levels[member]
                rising[other] -= weight
    return levels
