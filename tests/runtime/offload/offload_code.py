"""A job's own code, that does what a test lets it: a source that is fed, work that waits at its device's gate."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any


class Gate:
    """Lets through as many as it is told to; open: all."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._left = 0
        self._open = True
        self.waiting = 0

    def shut(self) -> None:
        with self._changed:
            self._open, self._left = False, 0

    def open(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def let(self, items: int) -> None:
        with self._changed:
            self._left += items
            self._changed.notify_all()

    def pass_through(self) -> None:
        with self._changed:
            self.waiting += 1
            while not self._open and not self._left:
                self._changed.wait()
            self.waiting -= 1
            self._left -= not self._open


gates: defaultdict[str, Gate] = defaultdict(Gate)
tap: queue.SimpleQueue[Any] = queue.SimpleQueue()
taken: list[Any] = []
"""What the sink got."""
sink_gate = Gate()


def reset() -> None:
    """Gates are open, and nothing is left of other tests."""
    for gate in gates.values():
        gate.open()
    gates.clear()
    taken.clear()
    sink_gate.open()
    while not tap.empty():
        tap.get()


def source() -> Iterator[Any]:
    """What is put into the tap, until None."""
    while (value := tap.get()) is not None:
        yield value


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


class Work:
    """Gives the item back, and where it was done. Items that are negative raise, and so do all on `broken` devices."""

    def __init__(self, device: str, broken: tuple[str, ...] = ()) -> None:
        self._device, self._broken = device, broken

    def __call__(self, item: Any) -> Any:
        gates[self._device].pass_through()
        if self._device in self._broken or (isinstance(item, int) and item < 0):
            raise ValueError(f"{item} cannot be done on {self._device}")
        if item == "unpicklable":
            return threading.Lock()
        return item, self._device


def weight(item: Any) -> float:
    return float(abs(item)) if isinstance(item, int) else 1.0


def sink(value: Any) -> None:
    sink_gate.pass_through()
    taken.append(value)


def broken_source() -> Iterator[int]:
    yield 1
    raise OSError("the film is torn")
