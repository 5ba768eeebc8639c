"""Where a task's inputs wait: bounded, in order, and joined by item number."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from edgeray.errors import FlowError


class Item(NamedTuple):
    """number: counted from 0 at the source. created_s: when the source made it (Unix seconds).

    What goes to a replica and comes from one is counted by itself, from 0; its value is (number, value) of the item.
    """

    number: int
    value: Any
    created_s: float


class Inbox:
    """One queue an input; every input carries items 0, 1, 2, ... Not thread-safe: its owner holds a lock.

    inputs: producers in the order of arguments. merged: those of them that are replicas of one task, each group of which
    is one input, at the place of its first. Bounded if whoever feeds an input looks at has_room first: an input that
    runs ahead by capacity items waits for the others. O(1) per item and input.
    """

    def __init__(
        self, inputs: Sequence[str], capacity: int, merged: Collection[Collection[str]] = ()
    ) -> None:
        self._queues: list[_InOrder | _Merged] = []
        self._queue_of: dict[str, _InOrder | _Merged] = {}
        for name in inputs:
            if name in self._queue_of:
                continue
            group = next((group for group in merged if name in group), None)
            queue = _InOrder(name, capacity) if group is None else _Merged(group, capacity)
            self._queues.append(queue)
            self._queue_of |= dict.fromkeys((name,) if group is None else group, queue)
        self._ended: tuple[str, int] | None = None

    def has_room(self, name: str, number: int | None = None) -> bool:
        """number: of the item that a replica has next; the one that is due always has room, or all would wait for it."""
        return self._queue_of[name].has_room(number)

    def add(self, name: str, item: Item) -> None:
        """Take an item of an input. Raises FlowError when it is not the one that is due, or comes after the end."""
        self._queue_of[name].add(name, item)

    def end(self, name: str, items: int) -> None:
        """No more items come on this input. Raises FlowError when another count came, or other inputs had another."""
        queue = self._queue_of[name]
        queue.end(name, items)
        if not queue.ended:
            return
        if self._ended is not None and self._ended[1] != queue.came:
            other, count = self._ended
            raise FlowError(f"input {other} ended after {count} items, input {queue.name} after {queue.came}")
        self._ended = queue.name, queue.came

    def ready(self) -> bool:
        """True when every input has an item."""
        return all(queue.ready for queue in self._queues)

    def take(self) -> tuple[Item, ...]:
        """The next item of every input, in the order of the inputs; all have the same number."""
        return tuple(queue.take() for queue in self._queues)

    def first(self) -> Item | None:
        """The next item of the first input; None while there is none."""
        return self._queues[0].first()

    @property
    def waiting(self) -> int:
        """Items that wait at the input that is furthest ahead."""
        return max((len(queue) for queue in self._queues), default=0)

    @property
    def ended(self) -> bool:
        """True when all inputs have ended and every item was taken out."""
        return all(queue.ended and not len(queue) for queue in self._queues)


class _InOrder:
    """The items of one producer."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name, self.came, self.ended = name, 0, False
        self._capacity = capacity
        self._items: deque[Item] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def ready(self) -> bool:
        return bool(self._items)

    def has_room(self, number: int | None) -> bool:
        return len(self._items) < self._capacity

    def add(self, name: str, item: Item) -> None:
        if self.ended or item.number != self.came:
            raise _not_due(name, item.number, None if self.ended else self.came)
        self.came += 1
        self._items.append(item)

    def end(self, name: str, items: int) -> None:
        if items != self.came:
            raise _ended_early(name, items, self.came)
        self.ended = True

    def take(self) -> Item:
        return self._items.popleft()

    def first(self) -> Item | None:
        return self._items[0] if self._items else None


class _Merged:
    """The items of replicas, each of which brings some, in order; together they bring all."""

    def __init__(self, names: Collection[str], capacity: int) -> None:
        self.name = ", ".join(names)
        self.came = self._due = 0
        self._capacity = capacity
        self._counts = dict.fromkeys(names, 0)
        self._open = set(names)
        self._items: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    @property
    def ready(self) -> bool:
        return self._due in self._items

    @property
    def ended(self) -> bool:
        return not self._open

    def has_room(self, number: int | None) -> bool:
        return len(self._items) < self._capacity or number == self._due

    def add(self, name: str, item: Item) -> None:
        if name not in self._open or item.number != self._counts[name]:
            raise _not_due(name, item.number, self._counts[name] if name in self._open else None)
        number, value = item.value
        if number < self._due or number in self._items:
            raise FlowError(f"input {name} brought item {number}, which has come before")
        self._counts[name] += 1
        self.came += 1
        self._items[number] = Item(number, value, item.created_s)

    def end(self, name: str, items: int) -> None:
        if items != self._counts[name]:
            raise _ended_early(name, items, self._counts[name])
        self._open.discard(name)
        if self.ended and self._items and max(self._items) >= self.came:
            raise FlowError(
                f"inputs {self.name} ended after {self.came} items, and some before the last are missing"
            )

    def take(self) -> Item:
        item = self._items.pop(self._due)
        self._due += 1
        return item

    def first(self) -> Item | None:
        return self._items.get(self._due)


def _not_due(name: str, number: int, due: int | None) -> FlowError:
    return FlowError(
        f"input {name} brought item {number}, expected {'its end' if due is None else f'item {due}'}"
    )


def _ended_early(name: str, items: int, came: int) -> FlowError:
    return FlowError(f"input {name} ended after {items} items, but {came} came")
