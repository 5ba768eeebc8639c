"""A network as arrays, and the routes through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order

from policies.model import DeviceId, Link, LinkId, Network

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEARCH_STEPS = 2000
"""Most steps that the search for the routes of one pair takes; enough for every route of a small network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A simple path as indices. devices: one more than links; both are empty when nothing is crossed."""

    devices: tuple[int, ...] = ()
    links: tuple[int, ...] = ()


LOCAL = Route()
"""The route of a flow that stays on its device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Devices and links by index, in the order of their ids.

    ends: shape (links, 2). capacity_bps: shape (links,). neighbours: (device, link) by id.
    """

    devices: tuple[DeviceId, ...]
    links: tuple[LinkId, ...]
    index: Mapping[DeviceId, int]
    ends: Ints
    capacity_bps: Floats
    neighbours: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, network: Network) -> Graph:
        devices = tuple(sorted(network.devices))
        index = {device: position for position, device in enumerate(devices)}
        links: list[tuple[LinkId, Link]] = sorted(network.links.items())
        ends = [(index[link.ends[0]], index[link.ends[1]]) for _, link in links]
        neighbours: list[list[tuple[int, int]]] = [[] for _ in devices]
        for position, (a, b) in enumerate(ends):
            neighbours[a].append((b, position))
            neighbours[b].append((a, position))
        return cls(
            devices=devices,
            links=tuple(link for link, _ in links),
            index=index,
            ends=np.array(ends, dtype=np.int64).reshape(-1, 2),
            capacity_bps=np.array([link.capacity_bps for _, link in links], dtype=np.float64),
            neighbours=tuple(tuple(sorted(pairs)) for pairs in neighbours),
        )

    def route(self, devices: tuple[DeviceId, ...]) -> Route | None:
        """The route that visits devices in turn, or None when a device or link is gone."""
        if not devices:
            return LOCAL
        if any(device not in self.index for device in devices):
            return None
        steps = tuple(self.index[device] for device in devices)
        links = []
        for a, b in pairwise(steps):
            link = next((link for neighbour, link in self.neighbours[a] if neighbour == b), None)
            if link is None:
                return None
            links.append(link)
        return Route(devices=steps, links=tuple(links))

    def names(self, route: Route) -> tuple[DeviceId, ...]:
        return tuple(self.devices[device] for device in route.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The widest of the shortest paths from one device to each.

    hops: -1 where nothing leads. parents, links: the last step; -1 at the root. width_bps: least capacity on
    the path. mean_bps: mean capacity of the path's links (inf at the root, 0 where nothing leads).
    """

    hops: list[int]
    parents: list[int]
    links: list[int]
    width_bps: list[float]
    mean_bps: Floats


class Router:
    """Finds routes by hops, then by width (the least capacity on them), then by ids; remembers what it found.

    Links of no capacity are never used. capacity_bps: what is left of each link, the graph's own by default.
    all_usable: whether every link has some.
    """

    def __init__(self, graph: Graph, capacity_bps: Floats | None = None) -> None:
        self.graph = graph
        self.capacity_bps = graph.capacity_bps if capacity_bps is None else capacity_bps
        self._width: list[float] = self.capacity_bps.tolist()
        self.all_usable = bool((self.capacity_bps > 0).all())
        self._neighbours = tuple(
            tuple((device, link) for device, link in pairs if self._width[link] > 0)
            for pairs in graph.neighbours
        )
        ends = graph.ends[self.capacity_bps > 0]
        shape = (len(graph.devices), len(graph.devices))
        both = (np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 0]]))
        self._arcs = sparse.csr_array((np.ones(2 * len(ends)), both), shape=shape)
        self._hops: dict[int, list[int]] = {}
        self._trees: dict[int, Tree] = {}
        self._routes: dict[tuple[int, int, int], tuple[Route, ...]] = {}

    def tree(self, root: int) -> Tree:
        """Breadth first from root. O(devices + links)."""
        known = self._trees.get(root)
        if known is None:
            known = self._trees[root] = self._grow(root)
        return known

    def _grow(self, root: int) -> Tree:
        count = len(self.graph.devices)
        hops, parents, links = [-1] * count, [-1] * count, [-1] * count
        width, total = [0.0] * count, [0.0] * count
        hops[root], width[root] = 0, float("inf")
        level = [root]
        while level:
            following: list[int] = []
            for device in level:
                for neighbour, link in self._neighbours[device]:
                    reach = min(width[device], self._width[link])
                    if hops[neighbour] == -1:
                        hops[neighbour] = hops[device] + 1
                        following.append(neighbour)
                    elif hops[neighbour] <= hops[device] or reach <= width[neighbour]:
                        continue
                    width[neighbour], parents[neighbour], links[neighbour] = reach, device, link
                    total[neighbour] = total[device] + self._width[link]
            level = sorted(following)
        mean = np.array([total[v] / hops[v] if hops[v] > 0 else 0.0 for v in range(count)])
        mean[root] = np.inf
        return Tree(hops=hops, parents=parents, links=links, width_bps=width, mean_bps=mean)

    def hops(self, root: int) -> list[int]:
        """Hops between root and each device, -1 where nothing leads: the tree's, in less time."""
        known = self._hops.get(root)
        if known is None:
            order, before = breadth_first_order(self._arcs, root)
            parents = before.tolist()
            known = [-1] * len(parents)
            known[root] = 0
            for device in order.tolist()[1:]:
                known[device] = known[parents[device]] + 1
            self._hops[root] = known
        return known

    def usable(self, route: Route) -> bool:
        """Whether all links of route have capacity."""
        return all(self._width[link] > 0 for link in route.links)

    def shortest(self, source: int, target: int) -> Route | None:
        """The default route: fewest hops, then the widest. None when nothing leads there."""
        if source == target:
            return LOCAL
        tree = self.tree(source)
        if tree.hops[target] < 0:
            return None
        devices, links = [target], []
        while devices[-1] != source:
            links.append(tree.links[devices[-1]])
            devices.append(tree.parents[devices[-1]])
        return Route(devices=tuple(reversed(devices)), links=tuple(reversed(links)))

    def routes(self, source: int, target: int, count: int) -> tuple[Route, ...]:
        """Up to count simple routes, the shortest first; () when nothing leads there.

        A depth-first search for ever longer routes, kept from dead ends by the hops that remain to the
        target: for the few routes asked here far less work than Yen's algorithm. Where a pair has fewer
        routes than asked, the search ends after SEARCH_STEPS.
        """
        if source == target:
            return (LOCAL,)
        key = (source, target, count)
        known = self._routes.get(key)
        if known is None:
            known = self._routes[key] = self._search(source, target, count)
        return known

    def _search(self, source: int, target: int, count: int) -> tuple[Route, ...]:
        hops = self.hops(target)
        if hops[source] < 0:
            return ()
        found: list[Route] = []
        steps = _Steps(SEARCH_STEPS)
        for length in range(hops[source], len(hops)):
            level = list(self._of_length(source, target, length, hops, steps))
            level.sort(key=lambda route: (-min(self._width[link] for link in route.links), route.devices))
            found.extend(level)
            if len(found) >= count or steps.left <= 0:
                break
        if not found:  # a way longer than the search goes
            only = self.shortest(source, target)
            return () if only is None else (only,)
        return tuple(found[:count])

    def _of_length(
        self, source: int, target: int, length: int, hops: list[int], steps: _Steps
    ) -> Iterator[Route]:
        devices, links = [source], list[int]()
        ways = [iter(self._neighbours[source])]
        while ways:
            left = length - len(links) - 1
            for device, link in ways[-1]:
                if hops[device] > left or device in devices or (device == target) != (left == 0):
                    continue
                steps.left -= 1
                if left == 0:
                    yield Route(devices=(*devices, device), links=(*links, link))
                    continue
                devices.append(device)
                links.append(link)
                ways.append(iter(self._neighbours[device]))
                break
            else:
                ways.pop()
                devices.pop()
                if links:
                    links.pop()
            if steps.left <= 0:
                return


@dataclass(slots=True)
class _Steps:
    left: int
