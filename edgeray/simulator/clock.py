"""Virtual time: what is due, in one total order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

WORLD, CONTROL, LAST = 0, 1, 2
"""Priorities at one time: what happens to items and flows, then the scheduler and its orders, then what looks at
the sum of it all. So a job that ends frees its devices before a job that arrives at the same moment is placed."""


class Waiting(Protocol):
    """Who wants a look before time goes on."""

    def look(self) -> None: ...


class Clock:
    """A queue of events by (time, priority, sequence), which is SimPy's order.

    Our own few lines rather than SimPy: its generators and event objects take several times as long per event, and
    there are millions. Events are never taken back: who is called looks whether it still is what was meant.
    events: how many were handled. soon: looked at after each event, in the order they were put there.
    """

    __slots__ = ("_sequence", "events", "heap", "now_s", "soon")

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events = 0
        self.heap: list[tuple[float, int, int, Callable[[Any], None], Any]] = []
        self.soon: deque[Waiting] = deque()
        self._sequence = 0

    def at(self, at_s: float, priority: int, do: Callable[[Any], None], what: Any = None) -> None:
        """Call do(what) at at_s. Never before now; at infinity, never."""
        if at_s < math.inf:
            self._sequence += 1
            heappush(self.heap, (at_s, priority, self._sequence, do, what))

    def run(self, until_s: float) -> None:
        """Handle all that is due up to until_s, that moment included."""
        heap, soon = self.heap, self.soon
        while heap and heap[0][0] <= until_s:
            self.now_s, _, _, do, what = heappop(heap)
            self.events += 1
            do(what)
            while soon:
                soon.popleft().look()
        if until_s < math.inf:
            self.now_s = until_s
