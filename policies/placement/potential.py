"""Placement and routing by potentials: what is nearly full is dear."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from policies.flows.graph import LOCAL, Floats, Graph, Ints, Route
from policies.placement.demand import ANYWHERE, Demand

EFFORT = 180_000
"""Arcs that the searches of one local improvement may look at: on large networks, where a search takes longer
and a single move matters less to all jobs together, that means fewer of them."""
Bools = npt.NDArray[np.bool_]
HOP = 1e-15
"""A hop's own price, so that of routes that cost nothing the shortest is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one item of a job takes: seconds of resources (indices, ascending), all positive."""

    resources: Ints
    seconds: Floats

    def added_to(self, load: Floats) -> Floats:
        total = load.copy()
        total[self.resources] += self.seconds
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Devices, then links, as one row of resources of capacity 1.

    Work takes seconds of a device; bits take bits / capacity_bps seconds of a link. Links of no capacity are no
    resource of anybody. seconds_per_bit: shape (links,); per_bit: the same as a list, quicker one by one.
    arcs: both directions of every usable link, CSR over devices; arc_link: link of each arc.
    """

    graph: Graph
    seconds_per_bit: Floats
    per_bit: list[float]
    arcs: sparse.csr_array
    arc_link: Ints

    @classmethod
    def of(cls, graph: Graph) -> Resources:
        usable = np.flatnonzero(graph.capacity_bps > 0)
        ends = graph.ends[usable]
        tails = np.concatenate([ends[:, 0], ends[:, 1]])
        heads = np.concatenate([ends[:, 1], ends[:, 0]])
        links = np.concatenate([usable, usable])
        order = np.lexsort((heads, tails))
        count = len(graph.devices)
        starts = np.searchsorted(tails[order], np.arange(count + 1)).astype(np.int32)
        arcs = sparse.csr_array(
            (np.ones(len(order)), heads[order].astype(np.int32), starts), shape=(count, count)
        )
        capacity = graph.capacity_bps
        per_bit = np.divide(1.0, capacity, out=np.zeros_like(capacity), where=capacity > 0)
        return cls(
            graph=graph,
            seconds_per_bit=per_bit,
            per_bit=per_bit.tolist(),
            arcs=arcs,
            arc_link=links[order],
        )

    def apart(self) -> Resources:
        """The same with arcs of its own: `tree` writes its prices there."""
        return replace(self, arcs=self.arcs.copy())

    @property
    def count(self) -> int:
        return len(self.graph.devices) + len(self.graph.links)

    @property
    def searches(self) -> int:
        """How many Dijkstras EFFORT allows."""
        return EFFORT // max(len(self.arc_link), 1)

    def usage(self, asked: Demand, placement: Sequence[int], routes: Sequence[Route]) -> Use:
        """What one item takes."""
        devices = len(self.graph.devices)
        taken: dict[int, float] = {}
        for task, device in enumerate(placement):
            taken[device] = taken.get(device, 0.0) + asked.seconds_on(task, device)
        for flow, route in enumerate(routes):
            for link in route.links:
                more = asked.bits[flow] * self.per_bit[link]
                taken[devices + link] = taken.get(devices + link, 0.0) + more
            if route.links:
                for end in (route.devices[0], route.devices[-1]):
                    taken[end] += asked.transfer_seconds_on(flow, end)
        used = sorted((resource, seconds) for resource, seconds in taken.items() if seconds)
        return Use(
            resources=np.array([resource for resource, _ in used], dtype=np.int64),
            seconds=np.array([seconds for _, seconds in used], dtype=np.float64),
        )

    def tree(self, source: int, link_prices: Floats, limit: float = np.inf) -> tuple[Floats, Ints]:
        """Cheapest way from source to each device: (price, predecessor); price inf where it is above limit."""
        self.arcs.data[:] = link_prices[self.arc_link] + HOP
        prices, before = dijkstra(self.arcs, indices=source, return_predecessors=True, limit=limit)
        return prices, before

    def route(self, source: int, target: int, before: Ints) -> Route:
        if source == target:
            return LOCAL
        devices, links = [target], list[int]()
        while devices[-1] != source:
            previous = int(before[devices[-1]])
            links.append(self._link(previous, devices[-1]))
            devices.append(previous)
        return Route(devices=tuple(reversed(devices)), links=tuple(reversed(links)))

    def _link(self, a: int, b: int) -> int:
        return next(link for neighbour, link in self.graph.neighbours[a] if neighbour == b)


def increase(load: Floats, more: Floats, power: float) -> Floats:
    """What more load does to the potential load^power."""
    added: Floats = (load + more) ** power - load**power
    return added


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run a job."""

    placement: tuple[int, ...]
    routes: list[Route]
    usage: Use

    def same_as(self, other: Candidate) -> bool:
        return self.placement == other.placement and self.routes == other.routes


def place_by_potential(
    resources: Resources, asked: Demand, load: Floats, free_bytes: Floats, power: float
) -> Candidate | None:
    """Place tasks in topological order, each where it and its input flows raise the potential least.

    load: of each resource before, shape (devices + links,); the sum over resources of load^power is the
    potential (Aspnes et al. 1997, On-line routing of virtual circuits; here a polynomial in place of the
    exponential): the higher the power, the more only the fullest counts.
    Loads are taken relative to the largest, so that no power loses them to rounding.
    None when a task finds no device with memory that its inputs reach.
    Complexity: one Dijkstra a flow.
    """
    devices = len(resources.graph.devices)
    unit = float(load.max()) or 1.0
    load, free = load / unit, free_bytes.copy()
    placement: list[int] = []
    routes: list[Route] = [LOCAL] * len(asked.bits)
    for task, pinned in enumerate(asked.pinned):
        seconds = asked.seconds[task]
        possible = np.isfinite(seconds) & (free >= asked.memory_bytes[task])
        if pinned != ANYWHERE:
            possible &= np.arange(devices) == pinned
        trees: dict[int, Ints] = {}
        work = np.where(possible, seconds, 0.0)
        price = np.zeros(devices)
        sources = {placement[asked.producers[flow]] for flow in asked.inputs[task]}
        limit = _limit(sources, possible, load, work / unit, power)
        for flow in asked.inputs[task]:
            more = asked.bits[flow] * resources.seconds_per_bit / unit
            source = placement[asked.producers[flow]]
            reach, trees[flow] = resources.tree(source, increase(load[devices:], more, power), limit)
            receiving, sending = transfer_work(asked, flow, source)
            work = work + receiving
            price = price + reach + increase(load[source : source + 1], sending / unit, power)
        price = price + increase(load[:devices], work / unit, power)
        possible &= np.isfinite(price)
        if not possible.any():
            return None
        device = int(np.argmin(np.where(possible, price, np.inf)))
        placement.append(device)
        free[device] -= asked.memory_bytes[task]
        load[device] += seconds[device] / unit
        for flow, before in trees.items():
            route = resources.route(placement[asked.producers[flow]], device, before)
            routes[flow] = route
            for link in route.links:
                load[devices + link] += asked.bits[flow] * resources.seconds_per_bit[link] / unit
            if route.links:
                for end in (route.devices[0], route.devices[-1]):
                    load[end] += asked.transfer_seconds[flow, end] / unit
    return Candidate(
        placement=tuple(placement),
        routes=routes,
        usage=resources.usage(asked, tuple(placement), routes),
    )


def _limit(sources: Collection[int], possible: Bools, load: Floats, work: Floats, power: float) -> float:
    """What no way to a better place than the inputs' own device costs, if they come from one and it will do."""
    if len(sources) != 1:
        return np.inf
    (source,) = sources
    if not possible[source]:
        return np.inf
    return float(increase(load[source : source + 1], work[source : source + 1], power)[0])


def transfer_work(asked: Demand, flow: int, source: int) -> tuple[Floats, Floats]:
    """Seconds per item that the flow takes of each device that it could end on, and of source, its other end.

    Both shape (devices,), and zero on source itself: there nothing is transferred.
    """
    elsewhere = np.arange(asked.transfer_seconds.shape[1]) != source
    receiving: Floats = asked.transfer_seconds[flow] * elsewhere
    sending: Floats = asked.transfer_seconds[flow, source] * elsewhere
    return receiving, sending


def route_by_potential(
    resources: Resources, asked: Demand, placement: tuple[int, ...], load: Floats, power: float
) -> Candidate | None:
    """Routes for a placement that is given, the most voluminous flow first."""
    devices = len(resources.graph.devices)
    unit = float(load.max()) or 1.0
    load = load / unit
    routes: list[Route] = [LOCAL] * len(asked.bits)
    for flow in sorted(range(len(asked.bits)), key=lambda flow: (-asked.bits[flow], flow)):
        source, target = placement[asked.producers[flow]], placement[asked.consumers[flow]]
        if source == target:
            continue
        more = asked.bits[flow] * resources.seconds_per_bit / unit
        prices, before = resources.tree(source, increase(load[devices:], more, power))
        if not np.isfinite(prices[target]):
            return None
        routes[flow] = resources.route(source, target, before)
        for link in routes[flow].links:
            load[devices + link] += more[link]
    return Candidate(placement=placement, routes=routes, usage=resources.usage(asked, placement, routes))
