"""Better placements by moving a task, or two that share a flow, at a time."""

from __future__ import annotations

import numpy as np

from policies.flows.graph import LOCAL, Floats, Ints, Route
from policies.placement.demand import Demand
from policies.placement.potential import Candidate, Resources, increase

SWEEPS = 3
GAIN = 1e-9


class Descent:
    """A job being moved about. load: of all jobs, this one included, relative to unit."""

    def __init__(
        self,
        resources: Resources,
        asked: Demand,
        start: Candidate,
        load: Floats,
        free_bytes: Floats,
        power: float,
    ) -> None:
        self.resources = resources
        self.asked = asked
        self.power = power
        together = start.usage.added_to(load)
        self.unit = float(together.max()) or 1.0
        self.load = together / self.unit
        self.placement = list(start.placement)
        self.routes = list(start.routes)
        self.free = free_bytes.copy()
        np.subtract.at(self.free, np.array(self.placement), asked.memory_bytes)
        self.devices = len(resources.graph.devices)

    def run(self) -> Candidate:
        """Sweep over single tasks and over pairs until nothing moves, at most SWEEPS times."""
        groups = self._groups()
        for _ in range(SWEEPS):
            moves = [self._move(group) for group in groups]
            if not any(moves):
                break
        placement = tuple(self.placement)
        return Candidate(
            placement=placement,
            routes=self.routes,
            usage=self.resources.usage(self.asked, placement, self.routes),
        )

    def _groups(self) -> list[tuple[int, ...]]:
        free = self.asked.free_tasks
        singles: list[tuple[int, ...]] = [(task,) for task in free]
        pairs = sorted(set(zip(self.asked.producers, self.asked.consumers, strict=True)))
        return singles + [pair for pair in pairs if pair[0] in free and pair[1] in free]

    def _move(self, group: tuple[int, ...]) -> bool:
        """Put the group where it raises the potential least; False when it was there already."""
        asked = self.asked
        old = [(task, self.placement[task]) for task in group]
        touched = [
            flow
            for flow, ends in enumerate(zip(asked.producers, asked.consumers, strict=True))
            if ends[0] in group or ends[1] in group
        ]
        before = {flow: self.routes[flow] for flow in touched}
        load, free, potential = self.load, self.free, self._potential()
        self.load, self.free = load.copy(), free.copy()
        for task, device in old:
            self._occupy(task, device, -1.0)
        for flow in touched:
            self._stream(flow, before[flow], -1.0)
        target, trees = self._cheapest(group, touched)
        if target is not None and any(device != target for _, device in old):
            for task in group:
                self.placement[task] = target
                self._occupy(task, target, 1.0)
            for flow in touched:
                self.routes[flow] = self._route(flow, trees)
                self._stream(flow, self.routes[flow], 1.0)
            if self._potential() < potential * (1 - GAIN):
                return True
        self.load, self.free = load, free
        for task, device in old:
            self.placement[task] = device
        for flow, route in before.items():
            self.routes[flow] = route
        return False

    def _potential(self) -> float:
        return float((self.load**self.power).sum())

    def _occupy(self, task: int, device: int, sign: float) -> None:
        self.load[device] = max(self.load[device] + sign * self.asked.seconds[task, device] / self.unit, 0.0)
        self.free[device] -= sign * self.asked.memory_bytes[task]

    def _stream(self, flow: int, route: Route, sign: float) -> None:
        for link in route.links:
            more = self.asked.bits[flow] * self.resources.seconds_per_bit[link] / self.unit
            self.load[self.devices + link] = max(self.load[self.devices + link] + sign * more, 0.0)

    def _cheapest(self, group: tuple[int, ...], touched: list[int]) -> tuple[int | None, dict[int, Ints]]:
        """The device for the group, and the tree of each flow from its end outside the group."""
        asked = self.asked
        seconds = asked.seconds[list(group)].sum(axis=0)
        possible = np.isfinite(seconds) & (self.free >= asked.memory_bytes[list(group)].sum())
        price = increase(self.load[: self.devices], np.where(possible, seconds, 0.0) / self.unit, self.power)
        trees: dict[int, Ints] = {}
        for flow in touched:
            outside = [task for task in (asked.producers[flow], asked.consumers[flow]) if task not in group]
            if outside:
                more = asked.bits[flow] * self.resources.seconds_per_bit / self.unit
                reach, trees[flow] = self.resources.tree(
                    self.placement[outside[0]], increase(self.load[self.devices :], more, self.power)
                )
                price = price + reach
        possible &= np.isfinite(price)
        if not possible.any():
            return None, trees
        return int(np.argmin(np.where(possible, price, np.inf))), trees

    def _route(self, flow: int, trees: dict[int, Ints]) -> Route:
        """From the tree of the end that stayed; turned round when that is the consumer."""
        source = self.placement[self.asked.producers[flow]]
        target = self.placement[self.asked.consumers[flow]]
        if flow not in trees or source == target:
            return LOCAL
        if trees[flow][source] < 0:
            return self.resources.route(source, target, trees[flow])
        back = self.resources.route(target, source, trees[flow])
        return Route(devices=back.devices[::-1], links=back.links[::-1])
