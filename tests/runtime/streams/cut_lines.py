"""Connections between edges of one process, that can be cut: they behave as those of edgeray.node.lines do."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from typing import Any

from edgeray.errors import FlowError
from edgeray.streams.peers import Connection

ROOM = 4
"""Values under way each way; then send() waits."""


class Lines:
    """All lines of a job, one between any two devices."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.opened = 0
        self._open: dict[tuple[str, str], End] = {}  # by (own device, peer)

    def connect(self, device: str, peer: str, stop: threading.Event) -> Connection:
        """This end of the line, opened anew; it stands once the peer has opened its own."""
        with self.changed:
            if stop.is_set():
                raise FlowError("the line is closed: the stage has been stopped")
            if (before := self._open.pop((device, peer), None)) is not None:
                before.shut()
            end = self._open[device, peer] = End(self, device, peer)
            other = self._open.get((peer, device))
            if other is not None and other.other is None:
                end.other, other.other = other, end
                self.opened += 1
            self.changed.notify_all()
            return end

    def cut(self, one: str, other: str) -> None:
        """Whatever is under way is lost, and both ends see it break."""
        with self.changed:
            for pair in ((one, other), (other, one)):
                if (end := self._open.pop(pair, None)) is not None:
                    end.shut()
            self.changed.notify_all()

    def cut_off(self, device: str) -> None:
        for pair in tuple(self._open):
            if pair[0] == device:
                self.cut(*pair)

    def stand(self, one: str, other: str) -> bool:
        end = self._open.get((one, other))
        return end is not None and end.other is not None and not end.closed


class End:
    """One end of a connection. Values are copied on their way, as they are between processes."""

    def __init__(self, lines: Lines, device: str, peer: str) -> None:
        self.other: End | None = None
        self._lines, self._name = lines, f"{device} to {peer}"
        self._arrived: deque[bytes] = deque()
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def send(self, value: Any) -> None:
        data = pickle.dumps(value)
        with self._lines.changed:
            while not self._closed and (self.other is None or len(self.other._arrived) >= ROOM):
                self._lines.changed.wait()
            if self._closed or self.other is None:
                raise FlowError(f"the connection of {self._name} is broken")
            self.other._arrived.append(data)
            self._lines.changed.notify_all()

    def receive(self, timeout_s: float | None) -> Any:
        with self._lines.changed:
            if not self._lines.changed.wait_for(lambda: self._closed or self._arrived, timeout_s):
                raise FlowError(f"{self._name}: nothing came within {timeout_s} s")
            if self._closed:
                raise FlowError(f"the connection of {self._name} is broken")
            data = self._arrived.popleft()
            self._lines.changed.notify_all()
        return pickle.loads(data)

    def close(self) -> None:
        with self._lines.changed:
            self.shut()

    def shut(self) -> None:
        """With the lock held: this end is closed, and the peer sees it break."""
        self._closed = True
        self._arrived.clear()
        if self.other is not None:
            self.other._closed = True
            self.other._arrived.clear()
        self._lines.changed.notify_all()
