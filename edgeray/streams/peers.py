"""Edges that talk: to each other over lines that are opened again when they break, to themselves at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from edgeray.errors import FlowError
from edgeray.streams.messages import Hello
from policies.model import DeviceId

log = logging.getLogger(__name__)

Handle = Callable[[DeviceId, Any], None]
"""Takes a message in: who sent it, and what. Quick, since the next one waits."""


class Connection(Protocol):
    """What a peer needs of a connection (edgeray.node.lines.Connection)."""

    @property
    def closed(self) -> bool: ...
    def send(self, value: Any) -> None: ...
    def receive(self, timeout_s: float | None) -> Any: ...
    def close(self) -> None: ...


class Peer(Protocol):
    """One edge, as another one sees it."""

    def tell(self, message: Any) -> None:
        """Send it in its turn; lost when no connection stands, or it breaks first. Never blocks."""
        ...


class Self:
    """This edge, as itself: messages are taken in by a thread of their own, in order."""

    def __init__(self, device: DeviceId, handle: Handle, stop: threading.Event) -> None:
        self._device, self._handle, self._stop = device, handle, stop
        self._waiting: deque[Any] = deque()
        self._changed = threading.Condition()

    def tell(self, message: Any) -> None:
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()

    def run(self) -> None:
        """Until stop; see wake."""
        while not self._stop.is_set():
            with self._changed:
                while not (self._waiting or self._stop.is_set()):
                    self._changed.wait()
                if self._stop.is_set():
                    return
                message = self._waiting.popleft()
            self._handle(self._device, message)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Remote:
    """Another edge. Opens its line when it first has something to say, or is told to (`open`), and keeps it open.

    connect: opens the line anew. opened: called each time that it stands again, so that what was not answered is said
    again. Until then nothing is kept to be sent: a peer may be away for hours.
    """

    def __init__(
        self,
        device: DeviceId,
        connect: Callable[[], Connection],
        handle: Handle,
        opened: Callable[[DeviceId], None],
        spawn: Callable[[str, Callable[[], None]], None],
        stop: threading.Event,
    ) -> None:
        self.device = device
        self._connect, self._handle, self._opened = connect, handle, opened
        self._spawn, self._stop = spawn, stop
        self._waiting: deque[Any] = deque()
        self._changed = threading.Condition()
        self._connection: Connection | None = None  # that stands
        self._begun = False

    @property
    def standing(self) -> bool:
        """Whether a connection is there that has not broken."""
        connection = self._connection
        return connection is not None and not connection.closed

    def open(self) -> None:
        with self._changed:
            if self._begun:
                return
            self._begun = True
        self._spawn(f"peer {self.device}", self._keep)

    def tell(self, message: Any) -> None:
        self.open()
        with self._changed:
            if self.standing:
                self._waiting.append(message)
                self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _keep(self) -> None:
        """Thread: connect, talk until it breaks, and again."""
        while not self._stop.is_set():
            try:
                connection = self._connect()
            except FlowError:
                return  # the stage has been stopped
            writer = threading.Thread(target=self._write, args=(connection,), daemon=True)
            writer.start()
            try:
                self._read(connection)
            finally:
                connection.close()
                self.wake()
                writer.join()

    def _read(self, connection: Connection) -> None:
        while not self._stop.is_set():
            try:
                message = connection.receive(None)
            except FlowError as error:
                log.info("the connection with %s broke: %s", self.device, error)
                return
            if not isinstance(message, Hello):
                self._handle(self.device, message)

    def _write(self, connection: Connection) -> None:
        try:
            connection.send(Hello())  # returns once the peer has opened its end
        except FlowError:
            return
        with self._changed:
            self._connection = connection
            self._waiting.clear()
        self._opened(self.device)
        while True:
            with self._changed:
                while not (self._waiting or self._stop.is_set() or connection.closed):
                    self._changed.wait()
                if self._stop.is_set() or connection.closed:
                    return
                message = self._waiting.popleft()
            try:
                connection.send(message)
            except FlowError:
                return  # the reader finds it broken too, and opens the line again
