"""Connections within one process that can be cut, and that lose what they are told to: as edgeray.node.lines else."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from edgeray.errors import FlowError

ROOM = 4
"""Values under way each way; then send() waits."""


class Wires:
    """All lines of a job. loses: whether a value is lost on its way; None: none is."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.loses: Callable[[Any], bool] | None = None
        self._ends: dict[tuple[str, str], End] = {}

    def connect(self, task: str, peer: str, stop: threading.Event) -> End:
        """This end, opened anew; it stands once the peer has opened its own."""
        with self.changed:
            if stop.is_set():
                raise FlowError("the line is closed: the stage has been stopped")
            if (before := self._ends.get((task, peer))) is not None:
                before.shut()
            end = self._ends[task, peer] = End(self, f"{task} to {peer}")
            other = self._ends.get((peer, task))
            if other is not None and other.other is None and not other.closed:
                end.other, other.other = other, end
            self.changed.notify_all()
            return end

    def cut(self, *tasks: str) -> None:
        """Whatever is under way from and to a task is lost, and both ends see it break."""
        with self.changed:
            for pair, end in self._ends.items():
                if set(tasks) & set(pair):
                    end.shut()


class End:
    def __init__(self, wires: Wires, name: str) -> None:
        self.other: End | None = None
        self.closed = False
        self._wires, self._name = wires, name
        self._arrived: deque[bytes] = deque()

    def send(self, value: Any) -> None:
        data = pickle.dumps(value)
        with self._wires.changed:
            while not self.closed and (self.other is None or len(self.other._arrived) >= ROOM):
                self._wires.changed.wait()
            if self.closed or self.other is None:
                raise FlowError(f"the connection of {self._name} is broken")
            if self._wires.loses is None or not self._wires.loses(value):
                self.other._arrived.append(data)
            self._wires.changed.notify_all()

    def receive(self, timeout_s: float | None) -> Any:
        with self._wires.changed:
            if not self._wires.changed.wait_for(lambda: self.closed or self._arrived, timeout_s):
                raise FlowError(f"{self._name}: nothing came within {timeout_s} s")
            if self.closed:
                raise FlowError(f"the connection of {self._name} is broken")
            data = self._arrived.popleft()
            self._wires.changed.notify_all()
        return pickle.loads(data)

    def close(self) -> None:
        with self._wires.changed:
            self.shut()

    def shut(self) -> None:
        """With the lock held: this end is closed, and the peer sees it break."""
        for end in (self, self.other):
            if end is not None:
                end.closed = True
                end._arrived.clear()
        self._wires.changed.notify_all()
