"""Local search under contention: moves along the critical chain, each weighed by its exact makespan."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

from policies.makespan.instance import Instance
from policies.makespan.lanes import Lanes
from policies.makespan.serial import LOOK_BACK, Serial, ways_of
from policies.makespan.timetable import Times, critical_chain

MARKS = 24
"""Prefixes of the sequence whose outcome is kept, so that a move costs only what comes after it."""
BETTER = 1e-9
"""Relative gain below which two makespans count as equal."""

Move = tuple[str, int, int]
"""("device", task, device), ("route", flow, way), ("before", task, other task) or ("join", flow, device)."""


class Descent:
    """A serial schedule, improved move by move.

    The schedule is what `Serial` makes of a sequence of tasks, a device for each and a route for each flow. Only
    moves of what is on the critical chain can shorten it: another device for a task, another route for a
    transfer, an earlier turn for what waits for a resource, one device for both ends of a transfer. A move is
    evaluated exactly, from its first changed task on, and given up as soon as a task ends so late that even
    without contention the rest would take too long.
    makespan: of the present schedule. steps: activities put and moves thought of so far; the measure of the work.
    """

    def __init__(self, instance: Instance, start: Serial) -> None:
        self.instance = instance
        self.sequence = list(start.sequence)
        self.devices = list(start.devices)
        self.choices = list(start.choices)
        self.steps = 0
        self._paths: dict[tuple[int, int], list[tuple[tuple[int, ...], float]]] = {}
        count = len(self.sequence)
        self._positions = [0] * count
        self._tails = [0.0] * count
        self._floors = self._least_tails()
        self._stride = max(1, -(-count // MARKS))
        self._marks: list[Lanes] = [Lanes.empty(instance.resources, LOOK_BACK)]
        self.starts = [0.0] * (count + len(instance.bits))
        self.ends = list(self.starts)
        self.makespan = float("inf")
        self._settle(0)

    @property
    def times(self) -> Times:
        return Times(self.starts, self.ends, self.makespan)

    def run(self, steps: int) -> None:
        """Take the first move that helps, until none does or so many activities were put."""
        limit = self.steps + steps
        while any(self._try(move) for move in self._moves(limit)):
            pass

    def state(self) -> tuple[float, list[int], list[int], list[int]]:
        """The makespan and what makes it, to restore."""
        return self.makespan, self.sequence[:], self.devices[:], self.choices[:]

    def restore(self, state: tuple[float, list[int], list[int], list[int]]) -> None:
        _, sequence, devices, choices = state
        self.sequence, self.devices, self.choices = sequence[:], devices[:], choices[:]
        self._settle(0)

    def kick(self, rng: np.random.Generator, count: int) -> None:
        """Put some tasks of the critical chain, or at the ends of its transfers, on any device."""
        chain = [activity for activity, _ in self._chain()]
        for _ in range(count):
            task = chain[int(rng.integers(len(chain)))]
            if task >= len(self.devices):
                flow, asked = task - len(self.devices), self.instance.asked
                task = (asked.producers[flow], asked.consumers[flow])[int(rng.integers(2))]
            options = self.instance.options[task]
            self.devices[task] = options[int(rng.integers(len(options)))]
        self._settle(0)

    def _moves(self, limit: int) -> Iterator[Move]:
        moves = sorted(self._promising())
        self.steps += len(self.devices) + len(moves)
        for _, move in moves:
            if self.steps >= limit:
                return
            yield move

    # One move

    def _try(self, move: Move) -> bool:
        """Make the move if it shortens the schedule."""
        kind, what, where = move
        if kind == "before":
            return self._try_before(what, where)
        if kind == "route":
            kept = self.choices[what]
            self.choices[what] = where
            first = self._positions[self.instance.asked.consumers[what]]
            if self._accept(first, self._tails):
                return True
            self.choices[what] = kept
            return False
        if kind == "device":
            old, tail = self.devices[what], self._tails[what]
            self._tails[what] = self._tail(what, where)
            self.devices[what] = where
            if self._accept(self._positions[what], self._tails):
                return True
            self.devices[what], self._tails[what] = old, tail
            return False
        asked = self.instance.asked
        ends = asked.producers[what], asked.consumers[what]
        before = [self.devices[task] for task in ends]
        for task in ends:
            self.devices[task] = where
        if self._accept(min(self._positions[task] for task in ends), self._floors):
            return True
        for task, device in zip(ends, before, strict=True):
            self.devices[task] = device
        return False

    def _try_before(self, task: int, other: int) -> bool:
        """Put task, and what it needs, just before another that stands before it."""
        first, last = self._positions[other], self._positions[task]
        needed = {producer for _, producer in self.instance.inputs[task]}
        ahead, rest = [task], []
        for between in reversed(self.sequence[first:last]):
            if between in needed:
                ahead.append(between)
                needed.update(producer for _, producer in self.instance.inputs[between])
            else:
                rest.append(between)
        kept = self.sequence
        self.sequence = [*kept[:first], *reversed(ahead), *reversed(rest), *kept[last + 1 :]]
        if self._accept(first, self._tails):
            return True
        self.sequence = kept
        return False

    def _accept(self, first: int, tails: list[float]) -> bool:
        """Keep the change that begins at a position if the schedule is shorter by it."""
        limit = self.makespan * (1 - BETTER)
        lanes, starts, ends = self._resume(first)
        if not self._decode(first - first % self._stride, lanes, starts, ends, tails, limit):
            return False
        self._settle(first)
        return True

    def _resume(self, first: int) -> tuple[Lanes, list[float], list[float]]:
        return self._marks[first // self._stride].copy(), self.starts[:], self.ends[:]

    def _settle(self, first: int) -> None:
        """Time the present sequence from a position on, and prepare for moves from it."""
        at = first - first % self._stride
        lanes, starts, ends = self._resume(first)
        del self._marks[first // self._stride + 1 :]
        count = len(self.sequence)
        for begin in range(at, count, self._stride):
            self._decode(begin, lanes, starts, ends, self._floors, float("inf"), begin + self._stride)
            self._marks.append(lanes.copy())
        self.starts, self.ends = starts, ends
        self.makespan = max(ends[:count], default=0.0)
        for position, task in enumerate(self.sequence):
            self._positions[task] = position
        for task in reversed(self.sequence):
            self._tails[task] = self._tail(task, self.devices[task])

    def _decode(
        self,
        first: int,
        lanes: Lanes,
        starts: list[float],
        ends: list[float],
        tails: list[float],
        limit: float,
        until: int | None = None,
    ) -> bool:
        """Put the tasks from a position on; False as soon as the makespan can no longer be below limit.

        The innermost loop of the search: what `Serial.put` does, with the look-ups taken out.
        """
        instance, devices, choices = self.instance, self.devices, self.choices
        all_inputs, all_seconds, bits = instance.inputs, instance.seconds, instance.bits
        tasks, paths = len(devices), self._paths
        gap, common_gap, put = lanes.gap, lanes.common_gap, lanes.put
        count = 0
        for task in self.sequence[first:until]:
            count += 1
            device, ready = devices[task], 0.0
            inputs = all_inputs[task]
            if len(inputs) > 1:
                inputs = tuple(sorted(inputs, key=lambda pair: (ends[pair[1]], pair)))
            for flow, producer in inputs:
                there = ends[producer]
                source = devices[producer]
                if source != device:
                    ways = paths.get((source, device)) or self._path(source, device)
                    resources, pace = ways[choices[flow] % len(ways)]
                    took = bits[flow] * pace
                    one = len(resources) == 1
                    at = gap(resources[0], there, took) if one else common_gap(resources, there, took)
                    there = at + took
                    for resource in resources:
                        put(resource, at, there)
                    starts[tasks + flow], ends[tasks + flow] = at, there
                    count += 1
                if there > ready:
                    ready = there
            took = all_seconds[task][device]
            at = gap(device, ready, took)
            end = at + took
            if end + tails[task] >= limit:
                self.steps += count
                return False
            put(device, at, end)
            starts[task], ends[task] = at, end
        self.steps += count
        return True

    def _path(self, source: int, target: int) -> list[tuple[tuple[int, ...], float]]:
        ways = [(way.resources, way.pace) for way in self.instance.ways(source, target)]
        self._paths[source, target] = ways
        return ways

    # What the rest takes at least

    def _tail(self, task: int, device: int) -> float:
        """From task's end on device to the end of the job, without contention, others staying where they are."""
        instance, longest = self.instance, 0.0
        for flow, consumer in instance.outputs[task]:
            target = self.devices[consumer]
            way = instance.seconds[consumer][target] + self._tails[consumer]
            if target != device:
                way += instance.bits[flow] * instance.pace[device][target]
            if way > longest:
                longest = way
        return longest

    def _least_tails(self) -> list[float]:
        instance = self.instance
        least = [min(row) for row in instance.seconds]
        tails = [0.0] * len(least)
        for task in range(len(least) - 1, -1, -1):
            for _, consumer in instance.outputs[task]:
                tails[task] = max(tails[task], least[consumer] + tails[consumer])
        return tails

    # Which moves might help

    def _promising(self) -> Iterator[tuple[float, Move]]:
        """Moves on the critical chain, each with a makespan that it cannot go below (or, for a turn, a guess)."""
        instance, tasks = self.instance, len(self.devices)
        limit = self.makespan * (1 - BETTER)
        chain = self._chain()
        following = [activity for activity, _ in chain[1:]]
        for (activity, resource), other in zip_longest(chain, following):
            blocking = None if resource is None else other
            if activity < tasks:
                for device in instance.options[activity]:
                    if device != self.devices[activity]:
                        least = self._end_at_best(activity, device) + self._tail(activity, device)
                        if least < limit:
                            yield least, ("device", activity, device)
                if blocking is not None:
                    yield self._earlier(activity, blocking), ("before", activity, blocking)
                continue
            flow = activity - tasks
            yield from self._transfer_moves(flow, limit)
            if blocking is not None:
                yield from self._transfer_moves(blocking - tasks, limit)
                consumers = instance.asked.consumers
                late, early = consumers[flow], consumers[blocking - tasks]
                if self._positions[early] < self._positions[late]:
                    yield self._earlier(activity, blocking), ("before", late, early)

    def _earlier(self, activity: int, blocking: int) -> float:
        return self.makespan - (self.starts[activity] - self.starts[blocking])

    def _transfer_moves(self, flow: int, limit: float) -> Iterator[tuple[float, Move]]:
        instance = self.instance
        producer, consumer = instance.asked.producers[flow], instance.asked.consumers[flow]
        source, target = self.devices[producer], self.devices[consumer]
        rest = instance.seconds[consumer][target] + self._tails[consumer]
        ways = instance.ways(source, target)
        for index, way in enumerate(ways):
            if index != self.choices[flow] % len(ways):
                least = self.ends[producer] + instance.bits[flow] * way.pace + rest
                if least < limit:
                    yield least, ("route", flow, index)
        for device in instance.options[consumer]:
            if device in instance.options[producer] and device not in (source, target):
                least = self._end_at_best(producer, device) + instance.seconds[consumer][device]
                least += self._floors[consumer]
                if least < limit:
                    yield least, ("join", flow, device)

    def _end_at_best(self, task: int, device: int) -> float:
        """When task could end on device if nothing had to wait, given when its inputs were made."""
        instance, ready = self.instance, 0.0
        for flow, producer in instance.inputs[task]:
            there, source = self.ends[producer], self.devices[producer]
            if source != device:
                there += instance.bits[flow] * instance.pace[source][device]
            if there > ready:
                ready = there
        return ready + instance.seconds[task][device]

    def _chain(self) -> list[tuple[int, int | None]]:
        ways = ways_of(self.instance, self.devices, self.choices)
        return critical_chain(self.instance, self.devices, ways, self.times)
