"""The consumer's end of a flow (see flow.py)."""

from __future__ import annotations

import threading
import time
from typing import Any, NoReturn

import zmq

from edgeray.dataplane.codec import decode
from edgeray.dataplane.messages import (
    BROKEN,
    END,
    ENDED,
    HEADER,
    HELLO,
    ITEM,
    MAGIC,
    TAKEN,
    TICK_S,
    VERSION,
    EndOfStream,
    Item,
    flow_socket,
    message,
)
from edgeray.dataplane.peer import AcceptWatch
from edgeray.dataplane.security import FlowSecurity, Gate, gatekeeper
from edgeray.errors import FlowError

_GOODBYE_S = 2.0
_LOOK_EVERY_ITEMS = 256  # keeps the monitor's queue short while items never cease


class FlowReceiver:
    """One thread receives; close() and the counters are safe from any thread.

    Bound at once, so that port (0: the kernel's choice) is known and the sender can connect, whenever
    receive() is first called. Lets in one peer: the one with the client key of security, or with None
    the first that comes. max_items and max_bytes must be the sender's.
    """

    def __init__(
        self,
        bind_address: str,
        port: int,
        *,
        security: FlowSecurity | None,
        max_items: int,
        max_bytes: int,
        name: str = "",
        peer_timeout_s: float = 10.0,
    ) -> None:
        self.items = 0
        self.payload_bytes = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._tell_items = max(1, max_items // 2)
        self._tell_bytes = max(1, max_bytes // 2)
        self._told_items = 0
        self._told_bytes = 0
        self._greeted = False
        self._end: EndOfStream | None = None
        self._lost_before = False
        self._failure = ""
        self._closing = False
        self._wait_s = -1.0
        self._gate: Gate | None = None
        self._lock = threading.Lock()
        label = f"flow {name}" if name else "flow"
        self.name = f"{label} at {bind_address}:{port}"
        self.port = self._bind(bind_address, port, security, peer_timeout_s)
        self.name = f"{label} at {bind_address}:{self.port}"

    def _bind(self, address: str, port: int, security: FlowSecurity | None, peer_timeout_s: float) -> int:
        self._socket = flow_socket(peer_timeout_s)
        if security is not None:
            if security.server_secret is None:
                raise FlowError(f"{self.name}: the keys lack server_secret: they are the sender's")
            self._gate = gatekeeper().open_gate(security.client_public)
            self._socket.zap_domain = self._gate.domain.encode()
            self._socket.curve_server = True
            self._socket.curve_secretkey = security.server_secret.encode()
        self._watch = AcceptWatch(self._socket)
        try:
            self._socket.bind(f"tcp://{address}:{port or '*'}")
        except zmq.ZMQError as error:
            self._release(linger_s=0)
            raise FlowError(f"{self.name}: cannot listen: {error.strerror}") from error
        return int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    @property
    def refused(self) -> int:
        """Connections turned away because their key was not the sender's."""
        return self._gate.refused if self._gate else 0

    @property
    def connected(self) -> bool:
        return self._greeted and not self._watch.lost

    def receive(self, timeout_s: float) -> Item | EndOfStream | None:
        """The next item, or the end (again, if asked again). None: nothing for timeout_s, or closed.

        Raises FlowError, now and on every later call, when the sender is gone without an end, or what came
        is no item, not the next one, or an end with another count than the items that came.
        """
        with self._lock:
            while True:
                head = self._next_message(timeout_s)
                if head is None:
                    return self._end
                if len(head) < HEADER.size or head[0] != MAGIC:
                    self._fail("a message came that is none of a flow's")
                _, kind, further, number, created_s, sent_s = HEADER.unpack_from(head)
                if kind != ITEM:
                    self._control(kind, number, created_s, sent_s)
                    continue
                if number != self.items or not self._greeted:
                    self._fail(f"item {number} came, expected item {self.items}")
                size = len(head) - HEADER.size
                if further:
                    frames = [head, *self._further(further)]
                    size += sum(map(len, frames)) - len(head)
                else:
                    frames = [head]
                item = Item(number, self._decode(frames), created_s, sent_s, size)
                self._count(size)
                return item

    def close(self) -> None:
        """End the flow. After the end of the stream: once the sender knows of it. Else the sender sees the
        flow break. Idempotent."""
        self._closing = True
        with self._lock:
            if self._end is not None and not self._socket.closed:
                self._await_goodbye()
            self._release(linger_s=0)

    def _next_message(self, timeout_s: float) -> bytes | None:
        waited_s = 0.0
        began_s = 0.0
        while not self._closing and self._end is None and not self._failure:
            wait_s = min(TICK_S, timeout_s - waited_s)
            if wait_s != self._wait_s:
                self._wait_s = wait_s
                self._socket.rcvtimeo = max(0, int(wait_s * 1000))
            try:
                return self._socket.recv()
            except zmq.Again:
                self._look()
            now_s = time.monotonic()
            began_s = began_s or now_s - wait_s
            waited_s = now_s - began_s
            if waited_s >= timeout_s:
                return None
        if self._failure:
            raise FlowError(self._failure)
        return None

    def _further(self, count: int) -> list[Any]:
        frames: list[Any] = []
        for _ in range(count):
            if not self._socket.getsockopt(zmq.RCVMORE):
                self._fail(f"item {self.items} came with {len(frames)} frames, expected {count}")
            frames.append(self._socket.recv(copy=False).buffer)
        return frames

    def _decode(self, frames: list[Any]) -> Any:
        try:
            return decode(frames, HEADER.size)
        except FlowError as error:
            self._fail(f"item {self.items}: {error}")

    def _count(self, size: int) -> None:
        """Count an item as taken, and tell the sender now and then."""
        self.items += 1
        self.payload_bytes += size
        if (
            self.items - self._told_items >= self._tell_items
            or self.payload_bytes - self._told_bytes >= self._tell_bytes
        ):
            self._told_items = self.items
            self._told_bytes = self.payload_bytes
            self._socket.send(message(TAKEN, number=self.items, first=self.payload_bytes))
        if self.items % _LOOK_EVERY_ITEMS == 0:
            self._watch.update()

    def _control(self, kind: int, number: int, first: float, second: float) -> None:
        if kind == HELLO and not self._greeted:
            if number != VERSION:
                self._fail(f"the sender speaks version {number}, expected {VERSION}")
            if (first, second) != (self._max_items, self._max_bytes):
                self._fail(
                    f"the sender's window is {first:.0f} items, {second:.0f} bytes; "
                    f"expected {self._max_items}, {self._max_bytes}"
                )
            self._greeted = True
        elif kind == END and self._greeted:
            if number != self.items:
                self._fail(f"the stream ended after {number} items, but {self.items} came")
            self._end = EndOfStream(number)
            self._socket.send(message(ENDED))
        else:
            self._fail(f"message {kind} was not expected")

    def _look(self) -> None:
        """Nothing waits: see whether anything still can come."""
        self._watch.update()
        if self._watch.lost:
            if self._lost_before:
                self._fail("the sender went away before the end of the stream")
            self._lost_before = True  # look once more: the last messages may be on their way to us

    def _fail(self, why: str) -> NoReturn:
        self._failure = f"{self.name}: {why}; {self.items} items received"
        self._socket.send(message(BROKEN) + why.encode())
        self._release(linger_s=_GOODBYE_S)
        raise FlowError(self._failure)

    def _await_goodbye(self) -> None:
        """The sender closes when it has read ENDED; if we went first, it could not tell that from a loss."""
        by_s = time.monotonic() + _GOODBYE_S
        self._watch.update()
        while not self._watch.lost and time.monotonic() < by_s:
            self._watch.monitor.poll(int(TICK_S * 1000))
            self._watch.update()

    def _release(self, *, linger_s: float) -> None:
        self._closing = True
        if not self._socket.closed:
            self._watch.close()
            self._socket.close(linger=int(linger_s * 1000))
        if self._gate:
            gatekeeper().close_gate(self._gate)
