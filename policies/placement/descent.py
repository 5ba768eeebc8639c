"""Better placements by moving a task, or two, at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policies.flows.graph import LOCAL, Floats, Ints, Route
from policies.placement.demand import Demand
from policies.placement.potential import Candidate, Resources, increase, transfer_work

SWEEPS = 3
SEARCHES = 200
"""Dijkstras after which no further move is tried, if the network's size allows so many: it must end soon."""
GAIN = 1e-9
TRIED = 2
"""Devices that a move tries besides where it is: prices tell flows apart, but not what they add up to."""


class Descent:
    """A job being moved about while the potential (the sum of load^power over resources) falls.

    load: of all resources, this job included, relative to the largest at the start. Moves: one task, both ends of
    a flow to one device, and, where only memory forbids the best device, an exchange with a task that is there.
    Complexity: a sweep takes some two Dijkstras a flow for each task and flow.
    """

    def __init__(
        self,
        resources: Resources,
        asked: Demand,
        start: Candidate,
        load: Floats,
        free_bytes: Floats,
        power: float,
    ) -> None:
        """load, free_bytes: of the others, and without this job."""
        self.resources = resources
        self.asked = asked
        self.power = power
        self._searches = min(SEARCHES, resources.searches)
        together = start.usage.added_to(load)
        self.unit = float(together.max()) or 1.0
        self.load = together / self.unit
        self.placement = list(start.placement)
        self.routes = list(start.routes)
        self.free = free_bytes.copy()
        np.subtract.at(self.free, np.array(self.placement), asked.memory_bytes)
        self.devices = len(resources.graph.devices)

    def run(self) -> Candidate:
        """Sweep over all moves until none helps, at most SWEEPS times."""
        free = self.asked.free_tasks
        groups: list[tuple[int, ...]] = [(task,) for task in free]
        ends = sorted(set(zip(self.asked.producers, self.asked.consumers, strict=True)))
        groups += [pair for pair in ends if pair[0] in free and pair[1] in free]
        for _ in range(SWEEPS):
            moved = [self._searches > 0 and self._move(group) for group in groups]
            if not any(moved):
                break
        placement = tuple(self.placement)
        return Candidate(
            placement=placement,
            routes=self.routes,
            usage=self.resources.usage(self.asked, placement, self.routes),
        )

    def _move(self, group: tuple[int, ...]) -> bool:
        """Try the devices that seem best for the group; where the very best lacks only memory, an exchange."""
        price, roomy = self._prices(group)
        here = {self.placement[task] for task in group}
        best = int(np.argmin(price))
        lacks_memory = np.isfinite(price[best]) and not np.isfinite(roomy[best])
        if len(group) == 1 and lacks_memory and self._exchange(group[0], best):
            return True
        tried = TRIED + 1 if len(group) == 1 else 1
        for device in np.argsort(roomy, kind="stable")[:tried].tolist():
            if here != {device} and np.isfinite(roomy[device]) and self._try(dict.fromkeys(group, device)):
                return True
        return False

    def _exchange(self, task: int, wanted: int) -> bool:
        here = self.placement[task]
        others = [other for other in self.asked.free_tasks if self.placement[other] == wanted]
        return here != wanted and any(self._try({task: wanted, other: here}) for other in others)

    def _try(self, targets: Mapping[int, int]) -> bool:
        """Move tasks and lead their flows anew, the most voluminous first; undo it unless it helps."""
        kept = self.load, self.free, list(self.placement), list(self.routes)
        before = self._potential()
        self.load, self.free = self._without(tuple(targets))
        for task, device in targets.items():
            self.placement[task] = device
            self.load[device] += self.asked.seconds[task, device] / self.unit
            self.free[device] -= self.asked.memory_bytes[task]
        touched = self._touching(tuple(targets))
        fits = all(self.free[device] >= 0 for device in targets.values())
        possible = all(np.isfinite(self.asked.seconds[task, device]) for task, device in targets.items())
        led = fits and possible and all(self._lead(flow) for flow in touched)
        if led and self._potential() < before * (1 - GAIN):
            return True
        self.load, self.free, self.placement, self.routes = kept
        return False

    def _touching(self, group: tuple[int, ...]) -> list[int]:
        asked = self.asked
        ends = enumerate(zip(asked.producers, asked.consumers, strict=True))
        touched = [flow for flow, (a, b) in ends if a in group or b in group]
        return sorted(touched, key=lambda flow: (-asked.bits[flow], flow))

    def _without(self, group: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Load and free memory once the group and its flows are gone."""
        load, free = self.load.copy(), self.free.copy()
        for task in group:
            device = self.placement[task]
            load[device] -= self.asked.seconds[task, device] / self.unit
            free[device] += self.asked.memory_bytes[task]
        for flow in self._touching(group):
            for link in self.routes[flow].links:
                load[self.devices + link] -= self._more(flow)[link]
            if self.routes[flow].links:
                for end in (self.routes[flow].devices[0], self.routes[flow].devices[-1]):
                    load[end] -= self.asked.transfer_seconds[flow, end] / self.unit
        return np.maximum(load, 0.0), free

    def _more(self, flow: int) -> Floats:
        """What the flow adds to each link that it takes."""
        return self.asked.bits[flow] * self.resources.seconds_per_bit / self.unit

    def _potential(self) -> float:
        return float((self.load**self.power).sum())

    def _prices(self, group: tuple[int, ...]) -> tuple[Floats, Floats]:
        """What each device seems to add to the potential, flow by flow; and the same where memory suffices."""
        load, free = self._without(group)
        seconds = self.asked.seconds[list(group)].sum(axis=0)
        able = np.isfinite(seconds)
        work = np.where(able, seconds, 0.0)
        price = np.zeros(self.devices)
        for flow in self._touching(group):
            ends = self.asked.producers[flow], self.asked.consumers[flow]
            outside = [task for task in ends if task not in group]
            if outside:
                other = self.placement[outside[0]]
                link_prices = increase(load[self.devices :], self._more(flow), self.power)
                near, far = transfer_work(self.asked, flow, other)
                work = work + near
                price = price + self._tree(other, link_prices)[0]
                price = price + increase(load[other : other + 1], far / self.unit, self.power)
        price = price + increase(load[: self.devices], work / self.unit, self.power)
        price = np.where(able, price, np.inf)
        roomy = np.where(free >= self.asked.memory_bytes[list(group)].sum(), price, np.inf)
        return price, roomy

    def _tree(self, source: int, link_prices: Floats) -> tuple[Floats, Ints]:
        self._searches -= 1
        return self.resources.tree(source, link_prices)

    def _lead(self, flow: int) -> bool:
        source = self.placement[self.asked.producers[flow]]
        target = self.placement[self.asked.consumers[flow]]
        route: Route = LOCAL
        if source != target:
            more = self._more(flow)
            prices, before = self._tree(source, increase(self.load[self.devices :], more, self.power))
            if not np.isfinite(prices[target]):
                return False
            route = self.resources.route(source, target, before)
            for link in route.links:
                self.load[self.devices + link] += more[link]
            for end in (source, target):
                self.load[end] += self.asked.transfer_seconds[flow, end] / self.unit
        self.routes[flow] = route
        return True
