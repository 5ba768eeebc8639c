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
    """One queue an input. Not thread-safe: its owner holds a lock."""

    def __init__(self, inputs: Sequence[str], capacity: int) -> None:
        self._queues: dict[str, deque[Item]] = {name: deque() for name in inputs}
        self._ended: dict[str, int] = {}
        self._capacity = capacity

    def has_room(self, name: str) -> bool:
        return len(self._queues[name]) < self._capacity

    def add(self, name: str, item: Item) -> None:
        self._queues[name].append(item)

    def end(self, name: str, items: int) -> None:
        """No more items come on this input; items of them came in all."""
        self._ended[name] = items

    def ready(self) -> bool:
        """True when every input has an item."""
        return all(self._queues.values())

    def take(self) -> tuple[Item, ...]:
        """The next item of every input, in the order of the inputs.

        Raises FlowError when their numbers differ: an item was lost or came twice.
        """
        items = tuple(queue.popleft() for queue in self._queues.values())
        if len({item.number for item in items}) != 1:
            numbers = {name: item.number for name, item in zip(self._queues, items, strict=True)}
            raise FlowError(f"inputs that belong together have different item numbers: {numbers}")
        return items

    @property
    def waiting(self) -> int:
        return max((len(queue) for queue in self._queues.values()), default=0)

    @property
    def ended(self) -> bool:
        """True when an input has ended and been used up, so that no joined item can come any more."""
        return any(name in self._ended and not queue for name, queue in self._queues.items())
