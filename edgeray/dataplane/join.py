"""One item from each input, matched by item number, for tasks with several inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edgeray.dataplane.messages import EndOfStream, Item
from edgeray.errors import FlowError


class ItemJoin:
    """Joins streams that come at different speeds. Every input carries items 0, 1, 2, ... in order.

    What waits is bounded if the caller reads only the inputs that wants() names: an input that runs ahead
    by max_waiting items is left alone until the others catch up, and its flow then blocks its sender.
    O(1) per item and input.
    """

    def __init__(self, inputs: Sequence[str], *, max_waiting: int = 8) -> None:
        if not inputs or len(set(inputs)) != len(inputs) or max_waiting < 1:
            raise ValueError(
                f"expected one or more distinct inputs and max_waiting >= 1: {inputs}, {max_waiting}"
            )
        self.inputs = tuple(inputs)
        self.max_waiting = max_waiting
        self._waiting: dict[str, deque[Item]] = {name: deque() for name in self.inputs}
        self._counts: dict[str, int] = dict.fromkeys(self.inputs, 0)
        self._ends: dict[str, int] = {}

    def add(self, name: str, item: Item | EndOfStream) -> None:
        """Take an item, or the end, of an input. Raises FlowError when it is not the one that is due."""
        if name not in self._waiting:
            raise FlowError(f"join: no input {name!r}; expected one of {', '.join(self.inputs)}")
        if name in self._ends:
            raise FlowError(f"join: input {name!r} goes on after its end")
        due = self._counts[name]
        if isinstance(item, EndOfStream):
            self._end(name, item.items, due)
            return
        if item.number != due:
            raise FlowError(f"join: input {name!r} brought item {item.number}, expected item {due}")
        self._counts[name] = due + 1
        self._waiting[name].append(item)

    def _end(self, name: str, items: int, due: int) -> None:
        if items != due:
            raise FlowError(f"join: input {name!r} ended after {items} items, but {due} came")
        for other, count in self._ends.items():
            if count != items:
                raise FlowError(
                    f"join: input {other!r} ended after {count} items, input {name!r} after {items}"
                )
        self._ends[name] = items

    def ready(self) -> list[tuple[int, dict[str, Item]]]:
        """Take out every complete set, in order of item number; each is keyed in the order of inputs."""
        complete = min(len(queue) for queue in self._waiting.values())
        sets = []
        for _ in range(complete):
            one = {name: self._waiting[name].popleft() for name in self.inputs}
            sets.append((one[self.inputs[0]].number, one))
        return sets

    def wants(self) -> tuple[str, ...]:
        """The inputs to read from: not at their end, and not too far ahead."""
        return tuple(
            name
            for name in self.inputs
            if name not in self._ends and len(self._waiting[name]) < self.max_waiting
        )

    def waiting(self, name: str) -> int:
        """Items of this input that wait for the others."""
        return len(self._waiting[name])

    @property
    def ended(self) -> bool:
        """All inputs ended and every set was taken out."""
        return len(self._ends) == len(self.inputs) and not any(self._waiting.values())
