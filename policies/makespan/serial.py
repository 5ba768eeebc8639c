"""Serial scheduling under contention: tasks one after another, each with the transfers that it needs."""

from __future__ import annotations

from policies.makespan.insertion import ready_first
from policies.makespan.instance import Instance, Way
from policies.makespan.lanes import Lanes
from policies.makespan.timetable import Schedule, Times, in_order

LOOK_BACK = 50
"""Most intervals of a device or link among which a gap is looked for."""


class Serial:
    """A schedule in the making. A task's transfers go into the earliest common gap of their links, those of the
    input that is ready first before others; then the task into the earliest gap of its device.

    Source: list scheduling under contention, Sinnen and Sousa 2005, "Communication contention in task scheduling".
    Departures: a transfer has all links of its route at the same time, and routes are chosen among `Instance.ways`.
    sequence: tasks in the order in which they were put. starts, ends: of activities, as in `Times`.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        tasks, flows = len(instance.seconds), len(instance.bits)
        self.sequence: list[int] = []
        self.devices = [-1] * tasks
        self.choices = [0] * flows
        self.starts = [0.0] * (tasks + flows)
        self.ends = [0.0] * (tasks + flows)
        self._lanes = Lanes.empty(instance.resources, LOOK_BACK)

    @property
    def makespan(self) -> float:
        return max(self.ends[: len(self.devices)], default=0.0)

    @property
    def times(self) -> Times:
        return Times(self.starts, self.ends, self.makespan)

    def put_soonest(self, task: int, after: list[float] | None = None, ways: int = 1) -> None:
        """Put task where it ends soonest, or where its end plus `after` of the device is least; ties by id.

        ways: how many of the routes between two devices are tried.
        """
        instance = self.instance
        seconds = instance.seconds[task]
        inputs = sorted(instance.inputs[task], key=lambda pair: (self.ends[pair[1]], pair))
        promised = sorted(
            (self._at_best(inputs, device) + seconds[device] + (after[device] if after else 0.0), device)
            for device in instance.options[task]
        )
        best, chosen = float("inf"), promised[0][1]
        for least, device in promised:
            if least >= best:
                break
            ready = self._fetch(inputs, device, ways)
            end = self._lanes.gap(device, ready, seconds[device]) + seconds[device]
            self._leave(inputs, device)
            if after:
                end += after[device]
            if end < best:
                best, chosen = end, device
        self._put(task, inputs, chosen, ways)

    def put(self, task: int, device: int, ways: int = 1) -> None:
        inputs = sorted(self.instance.inputs[task], key=lambda pair: (self.ends[pair[1]], pair))
        self._put(task, inputs, device, ways)

    def _put(self, task: int, inputs: list[tuple[int, int]], device: int, ways: int) -> None:
        ready = self._fetch(inputs, device, ways)
        took = self.instance.seconds[task][device]
        start = self._lanes.gap(device, ready, took)
        self._lanes.put(device, start, start + took)
        self.sequence.append(task)
        self.devices[task], self.starts[task], self.ends[task] = device, start, start + took

    def _at_best(self, inputs: list[tuple[int, int]], device: int) -> float:
        """When all inputs are on device, if no transfer had to wait."""
        instance, ready = self.instance, 0.0
        for flow, producer in inputs:
            there = self.ends[producer]
            if self.devices[producer] != device:
                there += instance.bits[flow] * instance.pace[self.devices[producer]][device]
            if there > ready:
                ready = there
        return ready

    def _fetch(self, inputs: list[tuple[int, int]], device: int, ways: int) -> float:
        """Put the transfers of inputs to device; when the last is there."""
        instance, lanes, latest = self.instance, self._lanes, 0.0
        tasks = len(self.devices)
        for flow, producer in inputs:
            ready = there = self.ends[producer]
            if self.devices[producer] != device:
                there = float("inf")
                start = ready
                resources: tuple[int, ...] = ()
                for index, way in enumerate(instance.ways(self.devices[producer], device)[:ways]):
                    took = instance.bits[flow] * way.pace
                    at = lanes.common_gap(way.resources, ready, took)
                    if at + took < there:
                        start, there, resources = at, at + took, way.resources
                        self.choices[flow] = index
                for resource in resources:
                    lanes.put(resource, start, there)
                self.starts[tasks + flow], self.ends[tasks + flow] = start, there
            if there > latest:
                latest = there
        return latest

    def _leave(self, inputs: list[tuple[int, int]], device: int) -> None:
        """Take the transfers of `_fetch` back."""
        tasks = len(self.devices)
        for flow, producer in reversed(inputs):
            source = self.devices[producer]
            if source != device:
                way = self.instance.ways(source, device)[self.choices[flow]]
                for resource in way.resources:
                    self._lanes.take_back(resource, self.starts[tasks + flow], self.ends[tasks + flow])


def by_priority(
    instance: Instance, priorities: list[float], after: list[list[float]] | None = None, ways: int = 1
) -> Serial:
    """List scheduling under contention: the ready task of the highest priority where it ends soonest."""
    made = Serial(instance)
    ready_first(
        instance, priorities, lambda task: made.put_soonest(task, after[task] if after else None, ways)
    )
    return made


def ways_of(instance: Instance, devices: list[int], choices: list[int]) -> list[Way | None]:
    """The route of each flow between devices, by its index among the ways there are (modulo their number)."""
    asked = instance.asked
    found: list[Way | None] = []
    for producer, consumer, choice in zip(asked.producers, asked.consumers, choices, strict=True):
        if devices[producer] == devices[consumer]:
            found.append(None)
        else:
            ways = instance.ways(devices[producer], devices[consumer])
            found.append(ways[choice % len(ways)])
    return found


def scheduled(instance: Instance, devices: list[int], choices: list[int], times: Times) -> Schedule:
    return in_order(instance, devices, ways_of(instance, devices, choices), times)
