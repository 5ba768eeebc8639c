"""Where a task's inputs wait: bounded, in order, and joined by item number."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from edgeray.errors import FlowError


class Item(NamedTuple):
    """number: counted from 0 at the source. created_s: when the source made it (Unix seconds)."""

    number: int
    value: Any
    created_s: float


class Inbox:
    """One queue an input; every input carries items 0, 1, 2, ... Not thread-safe: its owner holds a lock.

    Bounded if whoever feeds an input looks at has_room first: an input that runs ahead by capacity items
    waits for the others. O(1) per item and input.
    """

    def __init__(self, inputs: Sequence[str], capacity: int) -> None:
        self._queues: dict[str, deque[Item]] = {name: deque() for name in inputs}
        self._came: dict[str, int] = dict.fromkeys(inputs, 0)
        self._ended: dict[str, int] = {}
        self._capacity = capacity

    def has_room(self, name: str) -> bool:
        return len(self._queues[name]) < self._capacity

    def add(self, name: str, item: Item) -> None:
        """Take an item of an input. Raises FlowError when it is not the one that is due, or comes after the end."""
        due = self._came[name]
        if name in self._ended or item.number != due:
            what = "its end" if name in self._ended else f"item {due}"
            raise FlowError(f"input {name} brought item {item.number}, expected {what}")
        self._came[name] = due + 1
        self._queues[name].append(item)

    def end(self, name: str, items: int) -> None:
        """No more items come on this input. Raises FlowError when another count came, or other inputs had another."""
        if items != self._came[name]:
            raise FlowError(f"input {name} ended after {items} items, but {self._came[name]} came")
        for other, count in self._ended.items():
            if count != items:
                raise FlowError(f"input {other} ended after {count} items, input {name} after {items}")
        self._ended[name] = items

    def ready(self) -> bool:
        """True when every input has an item."""
        return all(self._queues.values())

    def take(self) -> tuple[Item, ...]:
        """The next item of every input, in the order of the inputs; all have the same number."""
        return tuple(queue.popleft() for queue in self._queues.values())

    @property
    def waiting(self) -> int:
        """Items that wait at the input that is furthest ahead."""
        return max((len(queue) for queue in self._queues.values()), default=0)

    @property
    def ended(self) -> bool:
        """True when all inputs have ended and every item was taken out."""
        return len(self._ended) == len(self._queues) and not any(self._queues.values())
