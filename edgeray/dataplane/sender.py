"""The producer's end of a flow (see flow.py)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import zmq

from edgeray.dataplane.codec import SMALL_BYTES, Frame, encode
from edgeray.dataplane.messages import (
    BROKEN,
    BYTES_ENTRY,
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
    Answer,
    flow_socket,
    message,
)
from edgeray.dataplane.peer import ConnectWatch
from edgeray.dataplane.security import FlowSecurity
from edgeray.dataplane.wake import Wake
from edgeray.errors import FlowError

_RETRY_S = 0.05
_BURST_S = 50e-6  # items that follow each other faster than this are a burst
_GATHER_S = 0.001
_GATHER_BYTES = 64 * 1024
_SMALL_BYTES = 8 * 1024  # what is larger gains nothing from being gathered


class FlowSender:
    """One thread sends; close(), pace() and the counters are safe from any thread.

    It may be made before the receiver is bound: it retries for connect_timeout_s and then fails. A peer
    that went, or that answers nothing to TCP for peer_timeout_s, makes send() and finish() raise FlowError.

    send() hands the value over: its large buffers go out from where they lie, so nobody may write to them
    afterwards. With copy=True they are copied first, for producers that use their arrays again.

    once=True: the first attempt to connect is the only one, and a connection that was lost is not made again
    behind the owner's back, where it would take the place of a flow that another process has opened since.

    answers=True: the receiver answers, see listen(); its is made so, too.

    security=None turns encryption and authentication off; only for loopback and measurements.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        security: FlowSecurity | None,
        max_items: int,
        max_bytes: int,
        pacing_bps: float | None = None,
        name: str = "",
        copy: bool = False,
        once: bool = False,
        answers: bool = False,
        connect_timeout_s: float = 30.0,
        peer_timeout_s: float = 10.0,
    ) -> None:
        if max_items < 1 or max_bytes < 1:
            raise ValueError(f"expected max_items and max_bytes of at least 1: {max_items}, {max_bytes}")
        self.name = f"flow {name} to {address}:{port}" if name else f"flow to {address}:{port}"
        self.items = 0
        self.payload_bytes = 0
        self._taken_items = 0
        self._full_at_items = max_items
        self._full_at_bytes = max_bytes
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._copy = copy
        self._once = once
        self._pacing_bps = pacing_bps
        self._connect_timeout_s = connect_timeout_s
        self._connect_by_s = time.monotonic() + connect_timeout_s
        self._looked_at_s = 0.0  # looks are due when time.time() is not between these two
        self._look_at_s = 0.0
        self._sent_at_s = 0.0
        self._gathered: list[Frame] = []  # a message of ITEMS in the making
        self._gathered_bytes = 0
        self._flushed = 0  # messages of ITEMS sent
        self._gathering = threading.Event()
        self._flusher: threading.Thread | None = None
        self._end_sent = False
        self._end_taken = False
        self._broken = ""
        self._failure = ""
        self._closing = False
        self._answers: list[Answer] = []
        self._wake = Wake() if answers else None
        self._lock = threading.Lock()
        self._connect(f"tcp://{address}:{port}", security, peer_timeout_s)

    def _connect(self, endpoint: str, security: FlowSecurity | None, peer_timeout_s: float) -> None:
        self._socket = flow_socket(peer_timeout_s)
        # The bare send: what the wrapper around it looks after (routing, groups) costs as much again.
        self._send = super(zmq.Socket, self._socket).send
        self._socket.setsockopt(zmq.RECONNECT_IVL, -1 if self._once else int(_RETRY_S * 1000))
        if security is not None:
            if security.client_secret is None:
                raise FlowError(f"{self.name}: the keys lack client_secret: they are the receiver's")
            self._socket.curve_serverkey = security.server_public.encode()
            self._socket.curve_publickey = security.client_public.encode()
            self._socket.curve_secretkey = security.client_secret.encode()
        self._watch = ConnectWatch(self._socket)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._watch.monitor, zmq.POLLIN)
        self._listener = zmq.Poller()
        self._listener.register(self._socket, zmq.POLLIN)
        if self._wake is not None:
            self._listener.register(self._wake.fd, zmq.POLLIN)
        self._socket.connect(endpoint)
        with suppress(zmq.Again):  # refused already; the first look tells why
            self._socket.send(message(HELLO, number=VERSION, first=self._max_items, second=self._max_bytes))

    @property
    def queued(self) -> int:
        """Items sent that receive() has not returned, as far as told: up to a quarter of the window too many."""
        return self.items - self._taken_items

    @property
    def connected(self) -> bool:
        return self._watch.established and not self._watch.lost

    def pace(self, rate_bps: float | None) -> None:
        """Let the kernel pace this flow's TCP socket (where tc is not in force); None lifts it.

        Takes effect at the next item or tick of the sending thread.
        """
        self._pacing_bps = rate_bps
        self._look_at_s = 0.0

    def send(self, item: int, value: Any, *, created_s: float, stop: threading.Event | None = None) -> bool:
        """Send an item; blocks while the flow is full. False when stop was set or the flow was closed.

        Raises FlowError when the peer is gone or refuses us, when item is not the next number, and when
        the value cannot be pickled.
        """
        with self._lock:
            if item != self.items or self._end_sent:
                raise FlowError(f"{self.name}: item {item} given to send, expected item {self.items}")
            small = type(value) is bytes and len(value) < _SMALL_BYTES
            frames = None if small else self._encode(item, value)
            now_s = time.time()
            if (
                item >= self._full_at_items
                or self.payload_bytes >= self._full_at_bytes
                or not self._looked_at_s <= now_s < self._look_at_s
            ):
                if not self._wait_for(self._has_room, stop):
                    return False
                now_s = time.time()
            try:
                if now_s - self._sent_at_s >= _BURST_S:
                    size = self._send_alone(item, frames or encode(value), created_s, now_s)
                elif frames is None:
                    size = len(value) + 1
                    self._gather(item, BYTES_ENTRY.pack(size, created_s, now_s, SMALL_BYTES), value)
                elif len(frames) == 1 and len(frames[0]) < _SMALL_BYTES:
                    size = len(frames[0])
                    self._gather(item, ENTRY.pack(size, created_s, now_s), frames[0])
                else:
                    size = self._send_alone(item, frames, created_s, now_s)
            except zmq.Again:
                self._given_up()
            self._sent_at_s = now_s
            self.items = item + 1
            self.payload_bytes += size
            return True

    def _encode(self, item: int, value: Any) -> list[Frame]:
        try:
            return encode(value)
        except Exception as error:  # pickling runs the classes' own code: it can raise anything
            raise FlowError(
                f"{self.name}: item {item}, a {type(value).__name__}, cannot be sent: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _send_alone(self, item: int, frames: list[Any], created_s: float, now_s: float) -> int:
        """Send an item as a message of its own, large frames from where they lie. Returns its bytes."""
        self._flush()
        further = len(frames) - 1
        head = HEADER.pack(MAGIC, ITEM, further, item, created_s, now_s) + frames[0]
        self._send(head, zmq.SNDMORE if further else 0)
        for at in range(1, further + 1):
            self._send(frames[at], zmq.SNDMORE if at < further else 0, self._copy)
        return sum(map(len, frames))

    def _gather(self, item: int, entry: bytes, frame: Frame) -> None:
        """Put a small item of a burst into one message with its neighbours.

        A message costs libzmq, CURVE and the threads more than a small item does. A message goes when it
        is full, when anything else is to be sent or waited for, and at the latest after twice _GATHER_S.
        """
        if not self._gathered:
            self._gathered.append(HEADER.pack(MAGIC, ITEMS, 0, item, 0.0, 0.0))
            self._gathered_bytes = 0
            if not self._gathering.is_set():
                self._gathering.set()
                self._start_flusher()
        self._gathered += (entry, frame)
        self._gathered_bytes += len(entry) + len(frame)
        if self._gathered_bytes >= _GATHER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._gathered:
            self._send(b"".join(self._gathered))
            self._gathered.clear()
            self._flushed += 1

    def _start_flusher(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_late, name=self.name, daemon=True)
            self._flusher.start()

    def _flush_late(self) -> None:
        """Thread, for flows with bursts only: what was gathered goes, even if send() is not called again."""
        while not self._closing:
            self._gathering.wait()
            flushed = self._flushed
            time.sleep(_GATHER_S)  # an interval, not a wait for anything
            if self._flushed != flushed:
                continue  # send() is at it; leave its lock alone
            with self._lock, suppress(zmq.Again):  # the next look tells why
                self._gathering.clear()
                if not self._closing:
                    self._flush()

    def check(self) -> None:
        """Raises FlowError when the peer is gone or refuses us. Does not block: a send() under way looks by itself."""
        if self._lock.acquire(blocking=False):
            try:
                if self._failure:
                    raise FlowError(self._failure)
                if not self._closing:
                    self._look()
            finally:
                self._lock.release()

    def listen(self, timeout_s: float) -> list[Answer]:
        """The receiver's answers since the last call; waits for one for so long at most, or until wake().

        For the thread that sends. Only with answers=True. Raises FlowError as send() does.
        """
        assert self._wake is not None, "made with answers"
        with self._lock:
            if self._failure:
                raise FlowError(self._failure)
            if self._closing:
                return []
            with suppress(zmq.Again):  # the look tells why
                self._flush()
            self._look()
            if not self._answers:
                self._listener.poll(int(timeout_s * 1000))
                self._wake.clear()
                self._look()
            answers, self._answers = self._answers, []
            return answers

    def wake(self) -> None:
        """Let listen() return: there is something to send. From any thread."""
        if self._wake is not None:
            self._wake.set()

    def finish(self, items: int, *, stop: threading.Event | None = None) -> bool:
        """Send the end of the stream and wait until receive() returned it; then the flow is closed.

        items: how many the stream had; the receiver checks it. False when stopped or closed before.
        Raises FlowError as send() does.
        """
        with self._lock:
            if self._end_taken:
                return True
            if not self._end_sent:
                if not self._wait_for(lambda: True, stop):
                    return False
                try:
                    self._send(message(END, number=items))
                except zmq.Again:
                    self._given_up()
                self._end_sent = True
            if not self._wait_for(lambda: self._end_taken, stop):
                return False
            self._release()
            return True

    def close(self) -> None:
        """End the flow at once; without finish() the receiver sees it break. Idempotent."""
        self._closing = True
        self._look_at_s = 0.0
        self.wake()
        with self._lock:
            self._release()

    def _release(self) -> None:
        self._closing = True
        self._look_at_s = 0.0
        self._gathering.set()  # the flusher ends
        if not self._socket.closed:
            self._watch.close()
            self._socket.close()
        if self._wake is not None:
            self._wake.close()

    def _has_room(self) -> bool:
        return (
            self.items < self._full_at_items
            and self.payload_bytes < self._full_at_bytes
            and self._watch.paced_bps == self._pacing_bps
        )

    def _wait_for(self, condition: Callable[[], bool], stop: threading.Event | None) -> bool:
        """Until condition holds: True; stop or close(): False; a failure: FlowError."""
        with suppress(zmq.Again):  # the look below tells why
            if not self._closing:
                self._flush()
        while True:
            if self._failure:
                raise FlowError(self._failure)
            if self._closing or (stop is not None and stop.is_set()):
                return False
            self._look()
            if condition():
                return True
            self._poller.poll(int(TICK_S * 1000))

    def _look(self) -> None:
        """Take in what the receiver told and what became of the connection."""
        self._looked_at_s = time.time()
        self._look_at_s = self._looked_at_s + TICK_S
        self._watch.pace(self._pacing_bps)
        self._watch.update()
        while self._socket.poll(0):
            self._hear(self._socket.recv())
        if self._end_taken:
            return  # what became of the connection afterwards is of no interest
        if self._broken:
            self._fail(f"the receiver gave up: {self._broken}")
        if self._watch.refused:
            self._fail("the receiver refused us: not the key that it was told to let in")
        if self._watch.lost:
            self._fail("the receiver went away")
        if not self._watch.established and self._once and self._watch.missed:
            self._fail(f"no connection: {self._watch.last_failure}")
        if not self._watch.established and time.monotonic() > self._connect_by_s:
            self._fail(f"no connection within {self._connect_timeout_s:g} s: {self._watch.last_failure}")

    def _hear(self, told: bytes) -> None:
        if len(told) < HEADER.size or told[0] != MAGIC:
            self._fail("a message that is none of a flow's came back")
        _, kind, _, items, size, held_s = HEADER.unpack_from(told)
        if kind == TAKEN:
            self._taken_items = items
            self._full_at_items = items + self._max_items
            self._full_at_bytes = int(size) + self._max_bytes
        elif kind == ENDED:
            self._taken_items = self.items
            self._end_taken = True
        elif kind == DONE:
            self._answers.append(Answer(items, size, held_s))
        elif kind == BROKEN:
            self._broken = told[HEADER.size :].decode("utf-8", "replace")

    def _given_up(self) -> NoReturn:
        """libzmq has let go of the connection, after a handshake that failed or a loss."""
        self._look()
        if self._watch.established:
            self._fail("the receiver went away")
        self._fail(f"no connection: {self._watch.last_failure}")

    def _fail(self, why: str) -> NoReturn:
        """Latch the failure and let the socket go, so that it does not connect again by itself."""
        self._failure = f"{self.name}: {why}; {self.items} items sent, {self.queued} not known to be taken"
        self._release()
        raise FlowError(self._failure)
