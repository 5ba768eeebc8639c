"""The server's end of one client's channel: a thread that sends and one that receives.

So a client on a slow link holds up neither the server's computing nor another client.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeray.errors import one_line
from edgeray.training.channel import Channel, Metered

GONE = "gone"


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of a client; kind GONE: its channel broke, and value says why."""

    session: Session
    kind: str
    value: Any
    at_s: float


Inbox = queue.SimpleQueue[Heard]


class Session:
    """A client from the moment it joined until its channel closes. What it says goes into the inbox."""

    def __init__(self, client: str, channel: Channel, inbox: Inbox, clock: Callable[[], float]) -> None:
        self.client = client
        self.channel = Metered(channel)
        self.broken: str | None = None  # why, once it is
        self._inbox = inbox
        self._clock = clock
        self._outbox: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unsent = 0
        self._quiet_since_s = clock()
        self._threads = [
            threading.Thread(target=target, name=f"{client}-{target.__name__}", daemon=True)
            for target in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    def say(self, kind: str, value: Any) -> None:
        """Send this; returns at once."""
        with self._lock:
            self._unsent += 1
        self._outbox.put((kind, value))

    def quiet_since_s(self) -> float | None:
        """Since when nothing moved between server and client; None: something is being sent."""
        with self._lock:
            return None if self._unsent else self._quiet_since_s

    def close(self) -> None:
        """Break off: what is not sent yet is lost."""
        self.channel.close()
        self._outbox.put(None)

    def finish(self, timeout_s: float | None) -> None:
        """Send what is left, for so long at most, then close; both threads have ended then."""
        self._outbox.put(None)
        self._threads[0].join(timeout_s)
        self.channel.close()
        for thread in self._threads:
            thread.join(timeout_s)

    def _send(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self.channel.send(*message)
            except Exception as error:  # whatever it raises, the client is lost
                self._tell(GONE, one_line(error))
                return
            with self._lock:
                self._unsent -= 1
                self._quiet_since_s = self._clock()

    def _receive(self) -> None:
        while True:
            try:
                kind, value = self.channel.receive(None)
            except Exception as error:  # whatever it raises, the client is lost
                self._tell(GONE, one_line(error))
                return
            self._tell(kind, value)

    def _tell(self, kind: str, value: Any) -> None:
        now_s = self._clock()
        with self._lock:
            self._quiet_since_s = now_s
            if kind == GONE:
                self.broken = value
        self._inbox.put(Heard(self, kind, value, now_s))
