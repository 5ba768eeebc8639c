"""The consumer's end of a flow (see flow.py)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

import zmq

from edgeray.dataplane.codec import decode, decode_only
from edgeray.dataplane.messages import (
    BROKEN,
    DONE,
    END,
    ENDED,
    ENTRY,
    HEADER,
    HELLO,
    ITEM,
    ITEMS,
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
from edgeray.dataplane.wake import Wake
from edgeray.errors import FlowError

_GOODBYE_S = 2.0
_new_item = tuple.__new__  # half the time of Item(...)


class FlowReceiver:
    """One thread receives; close() and the counters are safe from any thread.

    Bound at once, so that port (0: the kernel's choice) is known and the sender can connect, whenever
    receive() is first called. Lets in one peer: the one with the client key of security, or with None
    the first that comes. max_items and max_bytes must be the sender's. tick_s: how soon a blocked receive()
    sees close() and the loss of its peer; many flows that are idle for long do with a slower one. answers: see answer();
    they are told while a thread is in receive().
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
        tick_s: float = TICK_S,
        answers: bool = False,
    ) -> None:
        if max_items < 1 or max_bytes < 1:
            raise ValueError(f"expected max_items and max_bytes of at least 1: {max_items}, {max_bytes}")
        self.items = 0
        self.payload_bytes = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._tell_at_items = max(1, max_items // 4)
        self._tell_at_bytes = max(1, max_bytes // 4)
        self._tick_s = tick_s
        self._greeted = False
        self._end: EndOfStream | None = None
        self._lost_before = False
        self._failure = ""
        self._gathered: Iterator[Item] = iter(())  # what is left of a message of ITEMS
        self._over = False  # ended, failed or closed
        self._gate: Gate | None = None
        self._done: deque[tuple[int, float, float]] = deque()
        self._wake = Wake() if answers else None
        self._lock = threading.Lock()
        label = f"flow {name}" if name else "flow"
        self.name = f"{label} at {bind_address}:{port}"
        self.port = self._bind(bind_address, port, security, peer_timeout_s)
        self.name = f"{label} at {bind_address}:{self.port}"

    def _bind(self, address: str, port: int, security: FlowSecurity | None, peer_timeout_s: float) -> int:
        self._socket = flow_socket(peer_timeout_s)
        self._socket.rcvtimeo = int(self._tick_s * 1000)
        self._recv = self._socket.recv if self._wake is None else self._recv_and_answer
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        if self._wake is not None:
            self._poller.register(self._wake.fd, zmq.POLLIN)
        if security is not None:
            if security.server_secret is None:
                raise FlowError(f"{self.name}: the keys lack server_secret: they are the sender's")
            self._gate = gatekeeper().open_gate(security.client_public)
            self._socket.zap_domain = self._gate.domain.encode()
            self._socket.curve_server = True
            self._socket.curve_secretkey = security.server_secret.encode()
        self._watch = AcceptWatch(self._socket, secured=security is not None)
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
        if not self._over:  # without the lock: this does not touch the socket
            try:
                gathered = next(self._gathered, None)
            except FlowError as error:
                self._gathered_failed(error)
            if gathered is not None:
                if self.items >= self._tell_at_items or self.payload_bytes >= self._tell_at_bytes:
                    with self._lock:
                        self._tell_if_due()
                return gathered
        with self._lock:
            if timeout_s < self._tick_s and not self._over and not self._socket.poll(int(timeout_s * 1000)):
                self._look()
                return None
            give_up_s = 0.0
            while not self._over:
                try:
                    head = self._recv()  # for a tick at most
                except zmq.Again:
                    self._look()
                    now_s = time.monotonic()
                    give_up_s = give_up_s or now_s + timeout_s - self._tick_s
                    if now_s >= give_up_s:
                        return None
                    continue
                item = self._item(head)
                if item is not None:
                    return item
            if self._failure:
                raise FlowError(self._failure)
            return self._end

    def answer(self, number: int, busy_s: float) -> None:
        """Tell the sender that an item has been worked on, for busy_s. From any thread; only with answers=True."""
        assert self._wake is not None, "made with answers"
        self._done.append((number, busy_s, time.monotonic()))
        self._wake.set()

    def close(self) -> None:
        """End the flow. After the end of the stream: once the sender knows of it. Else the sender sees the
        flow break. Idempotent."""
        self._over = True
        with self._lock:
            if self._end is not None and not self._socket.closed:
                self._await_goodbye()
            self._release(linger_s=0)

    def _recv_and_answer(self) -> bytes:
        """As the socket's recv, and meanwhile what was given to answer() goes out."""
        assert self._wake is not None, "made with answers"
        ready = dict(self._poller.poll(int(self._tick_s * 1000)))
        if self._wake.fd in ready:
            self._wake.clear()
        while self._done:
            number, busy_s, done_s = self._done.popleft()
            self._say(message(DONE, number=number, first=busy_s, second=time.monotonic() - done_s))
        if self._socket not in ready:
            raise zmq.Again
        return self._socket.recv()

    def _item(self, head: bytes) -> Item | None:
        """The item that begins with this message; None where the message was another one."""
        if len(head) < HEADER.size or head[0] != MAGIC:
            self._fail("a message came that is none of a flow's")
        _, kind, further, number, created_s, sent_s = HEADER.unpack_from(head)
        if not self._greeted and kind != HELLO:
            self._fail("something came before the greeting")
        if kind == ITEM:
            self._expect(number)
            return self._single(head, further, created_s, sent_s)
        if kind == ITEMS:
            self._expect(number)
            self._gathered = self._unpack(head)
            try:
                first = next(self._gathered, None)
            except FlowError as error:
                self._fail(f"item {number}: {error}")
            self._tell_if_due()
            return first
        self._control(kind, number, created_s, sent_s)
        return None

    def _say(self, told: bytes) -> None:
        with suppress(zmq.Again):  # the peer is gone already; the watch will tell
            self._socket.send(told)

    def _expect(self, number: int) -> None:
        if number != self.items:
            self._fail(f"item {number} came, expected item {self.items}")

    def _single(self, head: bytes, further: int, created_s: float, sent_s: float) -> Item:
        """The item that a message and its further frames hold."""
        frames: list[Any] = [head]
        size = len(head) - HEADER.size
        if further:
            frames += self._further(further)
            size += sum(map(len, frames)) - len(head)
        try:
            item = Item(self.items, decode(frames, HEADER.size), created_s, sent_s, size)
        except FlowError as error:
            self._fail(f"item {self.items}: {error}")
        self.items += 1
        self.payload_bytes += size
        self._tell_if_due()
        return item

    def _unpack(self, message: bytes) -> Iterator[Item]:
        """The items that were gathered in one message, each decoded when its turn comes."""
        at = HEADER.size
        total = len(message)
        number = self.items
        while at < total:
            body = at + ENTRY.size
            if body >= total:
                raise FlowError("its message is cut short")
            size, created_s, sent_s = ENTRY.unpack_from(message, at)
            at = body + size
            if at > total or size == 0:
                raise FlowError("its message is cut short")
            value = decode_only(message, body, at)
            self.items = number + 1
            self.payload_bytes += size
            yield _new_item(Item, (number, value, created_s, sent_s, size))
            number += 1

    def _gathered_failed(self, error: FlowError) -> NoReturn:
        with self._lock:
            self._fail(f"item {self.items}: {error}")

    def _tell_if_due(self) -> None:
        if (
            self.items >= self._tell_at_items or self.payload_bytes >= self._tell_at_bytes
        ) and not self._over:
            self._tell()

    def _tell(self) -> None:
        """Grant the sender room for what was taken. Often enough that it need not wait for
        us, seldom enough to cost next to nothing: every quarter of the window."""
        self._say(message(TAKEN, number=self.items, first=self.payload_bytes))
        self._tell_at_items = self.items + max(1, self._max_items // 4)
        self._tell_at_bytes = self.payload_bytes + max(1, self._max_bytes // 4)
        self._watch.update()  # keeps the monitor's queue short while items never cease

    def _further(self, count: int) -> list[Any]:
        frames: list[Any] = []
        for _ in range(count):
            if not self._socket.getsockopt(zmq.RCVMORE):
                self._fail(f"item {self.items} came with {len(frames)} frames, expected {count}")
            frames.append(self._socket.recv(copy=False).buffer)
        return frames

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
        elif kind == END:
            if number != self.items:
                self._fail(f"the stream ended after {number} items, but {self.items} came")
            self._end = EndOfStream(number)
            self._over = True
            self._say(message(ENDED))
        elif kind == HELLO:
            self._fail("the sender went away and began anew")
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
        self._say(message(BROKEN) + why.encode())
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
        self._over = True
        if not self._socket.closed:
            self._watch.close()
            self._socket.close(linger=int(linger_s * 1000))
        if self._wake is not None:
            self._wake.close()
        if self._gate:
            gatekeeper().close_gate(self._gate)
