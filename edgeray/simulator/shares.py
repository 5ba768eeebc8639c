"""What many use at the same time: a device's processor by its threads, the links by connections."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np

from edgeray.simulator.clock import WORLD, Clock
from policies.flows.graph import Graph, Route
from policies.flows.sharing import max_min
from policies.model import Network

Do = Callable[[Any], None]


class Threads:
    """A device's processor, of which all threads that compute have the same part (processor sharing).

    Virtual time goes on by a second a second for each thread, so that who ends first is known once it begins.
    """

    __slots__ = ("_clock", "_heap", "_order", "_since_s", "_version", "_virtual_s", "busy_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Do, Any]] = []
        self._virtual_s = self._since_s = self.busy_s = 0.0
        self._order = self._version = 0

    def run(self, seconds: float, do: Do, what: Any = None) -> None:
        """Call do(what) once so many seconds of computing are done."""
        if seconds <= 0:
            self._clock.at(self._clock.now_s, WORLD, do, what)
            return
        self._go_on()
        self._order += 1
        heappush(self._heap, (self._virtual_s + seconds, self._order, do, what))
        self._await()

    def _go_on(self) -> None:
        now_s = self._clock.now_s
        if self._heap:
            self._virtual_s += (now_s - self._since_s) / len(self._heap)
            self.busy_s += now_s - self._since_s
        self._since_s = now_s

    def _await(self) -> None:
        self._version += 1
        if self._heap:
            left_s = max(0.0, self._heap[0][0] - self._virtual_s) * len(self._heap)
            self._clock.at(self._clock.now_s + left_s, WORLD, self._ended, self._version)

    def _ended(self, version: int) -> None:
        if version != self._version:
            return  # others began since
        self._go_on()
        until_s, _, do, what = heappop(self._heap)
        self._virtual_s = max(self._virtual_s, until_s)
        self._await()
        do(what)


class _Line:
    """One direction between two devices: messages go one after the other."""

    __slots__ = ("delay_s", "left_bits", "number", "rate_bps", "route", "waiting", "weight")

    def __init__(self, number: int, route: Route, delay_s: float) -> None:
        self.number, self.route, self.delay_s = number, route, delay_s
        self.weight = 1.0
        self.left_bits = self.rate_bps = 0.0
        self.waiting: deque[tuple[float, Do, Any]] = deque()


class Wires:
    """Connections between devices, one for each direction; those that send share the links max-min by weight, as
    classes of tc do by their guarantees. A link's two directions do not disturb each other."""

    def __init__(
        self, clock: Clock, network: Network, graph: Graph, routes: Mapping[tuple[int, int], Route]
    ) -> None:
        self._clock = clock
        self._capacity_bps = np.concatenate([graph.capacity_bps, graph.capacity_bps])
        self._lines = {
            pair: _Line(number, _directed(route, graph), _delay_s(route, network, graph))
            for number, (pair, route) in enumerate(routes.items())
        }
        self._sending: dict[int, _Line] = {}
        self._rates: dict[tuple[int, ...], list[float]] = {}
        self._since_s = 0.0
        self._version = 0

    def weigh(self, weights: Mapping[tuple[int, int], float]) -> None:
        """The connections' weights from now on; those of others stay."""
        self._go_on()
        for pair, weight in weights.items():
            self._lines[pair].weight = max(weight, 1.0)
        self._rates.clear()
        self._share()

    def delay_s(self, a: int, b: int) -> float:
        return self._lines[a, b].delay_s

    def send(self, a: int, b: int, bits: float, do: Do, what: Any = None) -> None:
        """Call do(what) when so many bits have come from device a to device b."""
        line = self._lines[a, b]
        if a == b:
            do(what)
            return
        if bits <= 0 or not line.route.links:
            self._clock.at(self._clock.now_s + line.delay_s, WORLD, do, what)
            return
        line.waiting.append((bits, do, what))
        if len(line.waiting) == 1:
            self._go_on()
            line.left_bits = bits
            self._sending[line.number] = line
            self._share()

    def _go_on(self) -> None:
        spent_s = self._clock.now_s - self._since_s
        for line in self._sending.values():
            line.left_bits -= line.rate_bps * spent_s
        self._since_s = self._clock.now_s

    def _share(self) -> None:
        """Rates for who sends now, and when the first of them is done."""
        self._version += 1
        if not self._sending:
            return
        lines = [self._sending[number] for number in sorted(self._sending)]
        key = tuple(line.number for line in lines)
        rates = self._rates.get(key)
        if rates is None:
            weights = np.array([line.weight for line in lines])
            rates = max_min([line.route for line in lines], weights, self._capacity_bps).tolist()
            self._rates[key] = rates
        first_s, first = float("inf"), lines[0]
        for line, rate_bps in zip(lines, rates, strict=True):
            line.rate_bps = rate_bps
            left_s = max(0.0, line.left_bits) / rate_bps if rate_bps > 0 else float("inf")
            if left_s < first_s:
                first_s, first = left_s, line
        self._clock.at(self._clock.now_s + first_s, WORLD, self._sent, (self._version, first))

    def _sent(self, which: tuple[int, _Line]) -> None:
        version, line = which
        if version != self._version:
            return  # rates have changed since
        self._go_on()
        _, do, what = line.waiting.popleft()
        if line.waiting:
            line.left_bits = line.waiting[0][0]
        else:
            del self._sending[line.number]
        self._share()
        self._clock.at(self._clock.now_s + line.delay_s, WORLD, do, what)


def _directed(route: Route, graph: Graph) -> Route:
    """The route with a number for each direction of a link."""
    count = len(graph.links)
    ways = [
        link if a < b else link + count
        for link, (a, b) in zip(route.links, pairwise(route.devices), strict=True)
    ]
    return Route(devices=route.devices, links=tuple(ways))


def _delay_s(route: Route, network: Network, graph: Graph) -> float:
    return sum(network.links[graph.links[link]].delay_s for link in route.links)
