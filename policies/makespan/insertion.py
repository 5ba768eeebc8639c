"""Contention-free list scheduling with insertion, as HEFT, CPoP and PEFT do it."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from policies.makespan.instance import Instance, Way
from policies.makespan.lanes import Lanes
from policies.makespan.timetable import Schedule, Times, in_order

LOOK_BACK = 200
"""Most intervals of a device among which a gap is looked for: all, up to as many tasks on a device."""


class Insertion:
    """Tasks put one after another into the earliest gap of a device that is long enough.

    Source: Topcuoglu, Hariri, Wu 2002, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing", EST, EFT and the insertion-based policy. Data takes the fastest route and never
    waits; a device's gaps are looked for among its last LOOK_BACK intervals.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.devices = [-1] * len(instance.seconds)
        self.starts = [0.0] * len(instance.seconds)
        self.ends = [0.0] * len(instance.seconds)
        self._lanes = Lanes.empty(len(instance.graph.devices), LOOK_BACK)

    def start(self, task: int, device: int) -> float:
        """When task could begin on device, given all tasks before it."""
        instance, ready = self.instance, 0.0
        devices, ends, bits, pace = self.devices, self.ends, instance.bits, instance.pace
        for flow, producer in instance.inputs[task]:
            came_from = devices[producer]
            there = ends[producer]
            if came_from != device:
                there += bits[flow] * pace[came_from][device]
            if there > ready:
                ready = there
        return self._lanes.gap(device, ready, instance.seconds[task][device])

    def put(self, task: int, device: int, start: float) -> None:
        end = start + self.instance.seconds[task][device]
        self.devices[task], self.starts[task], self.ends[task] = device, start, end
        self._lanes.put(device, start, end)

    def put_soonest(self, task: int, after: list[float] | None = None) -> None:
        """Put task where it ends soonest, or where its end plus `after` of the device is least; ties by id."""
        seconds = self.instance.seconds[task]
        best, chosen, begins = float("inf"), -1, 0.0
        for device in self.instance.options[task]:
            start = self.start(task, device)
            end = start + seconds[device] + (after[device] if after is not None else 0.0)
            if end < best:
                best, chosen, begins = end, device, start
        self.put(task, chosen, begins)

    def schedule(self) -> Schedule:
        """Devices, fastest routes, and everything in the order of the contention-free starts."""
        instance = self.instance
        asked, devices = instance.asked, self.devices
        ways: list[Way | None] = []
        starts, ends = list(self.starts), list(self.ends)
        for producer, consumer, bits in zip(asked.producers, asked.consumers, instance.bits, strict=True):
            source, target = devices[producer], devices[consumer]
            ways.append(None if source == target else instance.ways(source, target)[0])
            starts.append(self.ends[producer])
            ends.append(self.ends[producer] + bits * instance.pace[source][target])
        return in_order(instance, devices, ways, Times(starts, ends, max(self.ends, default=0.0)))


def ready_first(instance: Instance, priorities: list[float], put: Callable[[int], None]) -> None:
    """Call put with every task: always the ready one of the highest priority, ties by id."""
    waits = [len(pairs) for pairs in instance.inputs]
    queue = [(-priorities[task], task) for task, count in enumerate(waits) if count == 0]
    heapify(queue)
    while queue:
        _, task = heappop(queue)
        put(task)
        for _, consumer in instance.outputs[task]:
            waits[consumer] -= 1
            if waits[consumer] == 0:
                heappush(queue, (-priorities[consumer], consumer))
