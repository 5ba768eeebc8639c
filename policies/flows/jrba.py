"""Joint routing and bandwidth allocation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from policies.flows.graph import LOCAL, Floats, Route, Router
from policies.flows.sharing import volume_share
from policies.linear import LinearProgram, minimise

ROUTES_PER_PAIR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDemand:
    """A flow to be routed: from device to device (indices), bits per item."""

    source: int
    target: int
    bits: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """routes, rates_bps: in the order of the flows. seconds: TH, max V_i/b_i; relaxed_seconds: the LP's."""

    routes: tuple[Route, ...]
    rates_bps: Floats
    seconds: float
    relaxed_seconds: float


def jrba(router: Router, flows: Sequence[FlowDemand], *, routes_per_pair: int = ROUTES_PER_PAIR) -> FlowPlan:
    """Route flows and set their rates so that the slowest flow takes the least time per item.

    Source: Zhang 2024, Alg. 2 (JRBA), eqs. 3.6-3.15. P3-RELAX-CVX is a maximum concurrent flow over the
    shortest routes of each pair, a linear program.
    Departures: it is solved at a vertex of the simplex (an interior point splits ties evenly, and the argmax
    then sends both flows the same way). Flows of the same two devices are one commodity of their summed
    volume; its routes are dealt out with the most voluminous flow first on the fullest route, again an
    optimal vertex. Then the argmax, and eq. 3.15 as `volume_share` reads it.
    Complexity: one LP of links + pairs rows and routes_per_pair columns a pair. Flows of no volume go the
    shortest way at rate 0. Every pair must be connected (ValueError).
    """
    pairs, choices = _pairs(router, flows, routes_per_pair)
    if not pairs:
        return FlowPlan(
            routes=(LOCAL,) * len(flows), rates_bps=np.zeros(len(flows)), seconds=0.0, relaxed_seconds=0.0
        )
    split, relaxed = _relax(router, flows, pairs, choices)
    routes = [LOCAL] * len(flows)
    for (pair, members), parts in zip(pairs.items(), split, strict=True):
        for flow, chosen in _round(flows, members, parts).items():
            routes[flow] = choices[pair][chosen]
    bits = np.array([flow.bits for flow in flows])
    rates = volume_share(routes, bits, router.capacity_bps)
    crossing = np.array(
        [bool(route.links) and flow.bits > 0 for route, flow in zip(routes, flows, strict=True)]
    )
    seconds = float((bits[crossing] / rates[crossing]).max()) if crossing.any() else 0.0
    return FlowPlan(routes=tuple(routes), rates_bps=rates, seconds=seconds, relaxed_seconds=relaxed)


Pair = tuple[int, int]


def _pairs(
    router: Router, flows: Sequence[FlowDemand], count: int
) -> tuple[dict[Pair, list[int]], dict[Pair, tuple[Route, ...]]]:
    pairs: dict[Pair, list[int]] = {}
    for position, flow in enumerate(flows):
        if flow.source != flow.target:
            pairs.setdefault((flow.source, flow.target), []).append(position)
    choices = {pair: router.routes(*pair, count) for pair in pairs}
    lost = [pair for pair, routes in choices.items() if not routes]
    if lost:
        names = ", ".join("-".join(router.graph.devices[device] for device in pair) for pair in lost)
        raise ValueError(f"no route between {names}, expected every flow's devices to be connected")
    return pairs, choices


def _relax(
    router: Router,
    flows: Sequence[FlowDemand],
    pairs: dict[Pair, list[int]],
    choices: dict[Pair, tuple[Route, ...]],
) -> tuple[list[Floats], float]:
    """P3-RELAX-CVX: bits of each pair on each of its routes, and TH in seconds."""
    volumes = np.array([sum(flows[flow].bits for flow in members) for members in pairs.values()])
    largest = volumes.max()
    sizes = [len(choices[pair]) for pair in pairs]
    if largest <= 0:
        return [np.eye(1, size)[0] for size in sizes], 0.0
    owner = np.repeat(np.arange(len(pairs)), sizes)
    routes = [route for pair in pairs for route in choices[pair]]
    columns = len(routes)
    crossed = np.array([link for route in routes for link in route.links])
    links, rows = np.unique(crossed, return_inverse=True)
    crossing = np.repeat(np.arange(columns), [len(route.links) for route in routes])
    capacity = router.capacity_bps[links]
    widest = capacity.max()
    # Rows: one a link (load - B_l TH <= 0), one a pair (sum of its parts = V). The last column is TH.
    matrix = sparse.csr_array(
        (
            np.concatenate([np.ones(len(rows)), -capacity / widest, np.ones(columns)]),
            (
                np.concatenate([rows, np.arange(len(links)), len(links) + owner]),
                np.concatenate([crossing, np.full(len(links), columns), np.arange(columns)]),
            ),
        ),
        shape=(len(links) + len(pairs), columns + 1),
    )
    program = LinearProgram(
        cost=np.append(np.zeros(columns), 1.0),
        rows=matrix,
        row_lower=np.concatenate([np.full(len(links), -np.inf), volumes / largest]),
        row_upper=np.concatenate([np.zeros(len(links)), volumes / largest]),
        lower=np.zeros(columns + 1),
        upper=np.full(columns + 1, np.inf),
    )
    optimum = minimise(program)
    parts = np.split(optimum.x[:columns] * largest, np.cumsum(sizes)[:-1])
    return parts, float(optimum.objective * largest / widest)


def _round(flows: Sequence[FlowDemand], members: Sequence[int], parts: Floats) -> dict[int, int]:
    """The argmax route of each flow of a pair, after dealing the pair's parts out to its flows."""
    order = sorted(range(len(parts)), key=lambda route: (-parts[route], route))
    chosen: dict[int, int] = {}
    left = parts[order].tolist()
    at = 0
    for flow in sorted(members, key=lambda member: (-flows[member].bits, member)):
        need, taken = flows[flow].bits, [0.0] * len(order)
        while need > 0 and at < len(order) - 1 and left[at] < need:
            taken[at] = left[at]
            need -= left[at]
            at += 1
        taken[at] += need
        left[at] -= need
        chosen[flow] = order[max(range(len(order)), key=lambda route: (taken[route], -route))]
        if flows[flow].bits <= 0:
            chosen[flow] = 0
    return chosen
