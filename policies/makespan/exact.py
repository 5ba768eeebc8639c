"""The shortest schedule of a very small job, by branch and bound."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from policies.makespan.instance import WAYS, Instance, Way
from policies.makespan.timetable import Schedule

SMALL = 8
"""Most tasks of a job that is tried."""
PLACEMENTS = 10_000
"""Most placements that there may be."""
NODES = 20_000
"""Decisions after which the search is given up: some tenths of a second."""


class Exact:
    """Depth first over the devices of tasks, the routes of transfers, and then who goes first.

    Source: Giffler, Thompson 1960, "Algorithms for solving production-scheduling problems": of what is ready, one
    that shares a resource with the one that could end first, and could begin before that, goes next; so exactly the
    active schedules are seen, among which is a shortest one. That holds for transfers with several links too.
    below: only shorter schedules count. best: the shortest found, or None. complete: whether nothing was left out,
    neither by the limit of nodes nor in the choice of devices and routes.
    """

    def __init__(self, instance: Instance, below: float) -> None:
        self.instance = instance
        self.below = below
        self.best: Schedule | None = None
        self._nodes = NODES
        self._tails = self._least_tails()
        tasks = len(instance.seconds)
        self._devices = [-1] * tasks
        self._ends = [0.0] * tasks
        self._loads = [0.0] * instance.resources
        small = tasks <= SMALL and math.prod(len(options) for options in instance.options) <= PLACEMENTS
        if small:
            self._place(0)
        self.complete = small and self._nodes > 0 and self._all_considered()

    def _all_considered(self) -> bool:
        instance = self.instance
        count = len(instance.graph.devices)
        whole = np.array_equal(np.array(instance.seconds), instance.able)
        pairs = ((a, b) for a in range(count) for b in range(count) if a != b)
        return whole and all(len(instance.router.routes(a, b, WAYS)) < WAYS for a, b in pairs)

    def _least_tails(self) -> list[float]:
        instance = self.instance
        tails = [0.0] * len(instance.seconds)
        for task in range(len(tails) - 1, -1, -1):
            for _, consumer in instance.outputs[task]:
                tails[task] = max(tails[task], min(instance.seconds[consumer]) + tails[consumer])
        return tails

    def _place(self, task: int) -> None:
        """Try every device for task and those after it."""
        instance = self.instance
        if task == len(instance.seconds):
            self._route(0, [None] * len(instance.bits))
            return
        for device in instance.options[task]:
            self._nodes -= 1
            if self._nodes <= 0:
                return
            took, ready = instance.seconds[task][device], 0.0
            for flow, producer in instance.inputs[task]:
                there, source = self._ends[producer], self._devices[producer]
                if source != device:
                    there += instance.bits[flow] * instance.pace[source][device]
                ready = max(ready, there)
            load = self._loads[device]
            if ready + took + self._tails[task] < self.below and load + took < self.below:
                self._devices[task], self._ends[task], self._loads[device] = device, ready + took, load + took
                self._place(task + 1)
                self._loads[device] = load

    def _route(self, flow: int, ways: list[Way | None]) -> None:
        """Try every route for flow and those after it."""
        instance = self.instance
        if flow == len(ways):
            self._sequence(ways)
            return
        producer, consumer = instance.asked.producers[flow], instance.asked.consumers[flow]
        source, target = self._devices[producer], self._devices[consumer]
        if source == target:
            ways[flow] = None
            self._route(flow + 1, ways)
            return
        for way in instance.ways(source, target):
            self._nodes -= 1
            if self._nodes <= 0:
                return
            took = instance.bits[flow] * way.pace
            loads = [self._loads[link] for link in way.resources]
            if all(load + took < self.below for load in loads):
                for link, load in zip(way.resources, loads, strict=True):
                    self._loads[link] = load + took
                ways[flow] = way
                self._route(flow + 1, ways)
                for link, load in zip(way.resources, loads, strict=True):
                    self._loads[link] = load

    def _sequence(self, ways: list[Way | None]) -> None:
        order = _Orders(self.instance, self._devices, ways)
        for makespan, found in order.better(self):
            self.below = makespan
            self.best = Schedule(list(self._devices), list(ways), found)

    def spend(self) -> bool:
        """Count one decision; False when no more are allowed."""
        self._nodes -= 1
        return self._nodes > 0


class _Orders:
    """Who goes first, given devices and routes. Activities as in `Schedule`; the flows on one device are none."""

    def __init__(self, instance: Instance, devices: list[int], ways: list[Way | None]) -> None:
        tasks = len(devices)
        self.took = [instance.seconds[task][device] for task, device in enumerate(devices)]
        self.used: list[tuple[int, ...]] = [(device,) for device in devices]
        self.before: list[list[int]] = [[] for _ in devices]
        activities = list(range(tasks))
        asked = instance.asked
        for flow, way in enumerate(ways):
            producer, consumer = asked.producers[flow], asked.consumers[flow]
            self.took.append(0.0 if way is None else instance.bits[flow] * way.pace)
            self.used.append(() if way is None else way.resources)
            self.before.append([producer])
            self.before[consumer].append(producer if way is None else tasks + flow)
            if way is not None:
                activities.append(tasks + flow)
        self.rest = [0.0] * len(self.took)
        for task in range(tasks - 1, -1, -1):
            for flow, producer in instance.inputs[task]:
                needed = self.took[task] + self.rest[task]
                self.rest[tasks + flow] = needed
                if ways[flow] is not None:
                    needed += self.took[tasks + flow]
                self.rest[producer] = max(self.rest[producer], needed)
        self.left = activities
        self.ends: dict[int, float] = {}
        self.free = [0.0] * instance.resources

    def better(self, search: Exact) -> Iterator[tuple[float, list[int]]]:
        """Schedules each shorter than search.below is by then, with their makespans."""
        if not self.left:
            makespan = max(self.ends.values(), default=0.0)
            if makespan < search.below:
                yield makespan, list(self.ends)
            return
        ready: list[tuple[float, int, float]] = []
        for activity in self.left:
            if all(other in self.ends for other in self.before[activity]):
                start = max((self.ends[other] for other in self.before[activity]), default=0.0)
                start = max(start, *(self.free[resource] for resource in self.used[activity]))
                ready.append((start + self.took[activity], activity, start))
        first_end, first, _ = min(ready)
        for end, activity, start in sorted(ready):
            if any(other + self.rest[which] >= search.below for other, which, _ in ready):
                return
            rival = start < first_end and any(r in self.used[first] for r in self.used[activity])
            if activity != first and not rival:
                continue
            if not search.spend():
                return
            kept = [self.free[resource] for resource in self.used[activity]]
            self.ends[activity] = end
            self.left.remove(activity)
            for resource in self.used[activity]:
                self.free[resource] = end
            yield from self.better(search)
            self.left.append(activity)
            del self.ends[activity]
            for resource, value in zip(self.used[activity], kept, strict=True):
                self.free[resource] = value
