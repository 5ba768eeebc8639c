"""A device's computing time, shared equally by those who compute."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from edgeray.simulator.clock import WORLD, Clock

_DONE_S = 1e-10
"""Work so small is none: rounding leaves about as much."""


class Computing(Protocol):
    def computed(self) -> None:
        """What was started is done."""
        ...


class Processor:
    """Processor sharing in virtual time: O(log n) for each start and end, however many compute.

    Virtual time is the work done for each that computes now; each ends when it has reached what it needs. It starts
    over at 0 when all have ended, which keeps its precision.
    Source: Zhang 1990, "VirtualClock", and the fluid limit of fair queueing (Parekh and Gallager 1993).
    """

    __slots__ = ("_clock", "_due_s", "_heap", "_sequence", "_serving", "_since_s", "_virtual_s", "busy_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Computing]] = []
        self._sequence = 0
        self._virtual_s = self._since_s = self.busy_s = 0.0
        self._due_s = math.inf
        self._serving = False

    def start(self, work_s: float, who: Computing) -> None:
        """Let who compute for work_s of the whole device's time; it is told once that is done."""
        heap = self._heap
        self._progress()
        self._sequence += 1
        heappush(heap, (self._virtual_s + work_s, self._sequence, who))
        if not self._serving:
            self._plan()

    def drop(self, who: Computing) -> None:
        """Who computed no longer does, and is not told."""
        self._progress()
        self._heap = [entry for entry in self._heap if entry[2] is not who]
        heapify(self._heap)
        self._plan()

    def busy_until(self, now_s: float) -> float:
        """Seconds in which anybody computed."""
        return self.busy_s + (now_s - self._since_s if self._heap else 0.0)

    def _progress(self) -> None:
        now_s = self._clock.now_s
        count = len(self._heap)
        if count:
            passed_s = now_s - self._since_s
            self.busy_s += passed_s
            self._virtual_s += passed_s / count
        else:
            self._virtual_s = 0.0
        self._since_s = now_s

    def _plan(self) -> None:
        """See that we are called when the next one is done, or earlier: then we look again."""
        heap = self._heap
        if heap:
            clock = self._clock
            due_s = clock.now_s + max(heap[0][0] - self._virtual_s, 0.0) * len(heap)
            if due_s < self._due_s:
                self._due_s = due_s
                clock.at(due_s, WORLD, self._serve)

    def _serve(self, _: Any) -> None:
        now_s = self._clock.now_s
        if now_s != self._due_s:
            return  # a call from before somebody shorter came
        self._due_s = math.inf
        self._progress()
        self._serving = True
        done_s = self._virtual_s + _DONE_S + 1e-15 * now_s
        heap, done = self._heap, []
        while heap and heap[0][0] <= done_s:
            done.append(heappop(heap)[2])
        for who in done:
            who.computed()
        self._serving = False
        self._plan()
