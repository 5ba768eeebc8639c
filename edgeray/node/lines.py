"""Lines between tasks of mode "loop": two flows, one each way, over which a connection is opened and opened again.

A flow that broke is over, and a process that was killed comes back with new ones. Both ends then open the line
again, each in its own time, on the same ports. An end binds its receiver and tries to connect its sender until
each end knows that both flows lead to the same connection of the other: the first item of every sender names it
(hello), the next one repeats the name that came from the other end (welcome). What was left of an earlier
connection, at either end, says another name, and is passed over.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from edgeray.dataplane import FlowReceiver, FlowSecurity, FlowSender, Item
from edgeray.errors import FlowError, StageError, one_line
from edgeray.node.bounds import FLOW_BYTES, FLOW_ITEMS
from edgeray.scheduler.effects import Inflow, Outflow
from policies.model import FlowId, TaskId

log = logging.getLogger(__name__)

PEER_TIMEOUT_S = 30.0  # decrypting a layer of hundreds of MB keeps a slow device from reading for seconds
TICK_S = 0.2  # how soon a receive() that waits sees close() and the loss of its peer
RETRY_S, MAX_RETRY_S = 0.1, 0.5
BIND_TIMEOUT_S = 10.0  # a killed process, and libzmq's own threads, let go of a port in their own time
_HELLO, _WELCOME, _NAME_BYTES = b"hello ", b"welcome ", 16


@dataclass(slots=True)
class Tally:
    """What went one way over a line, all its connections together."""

    items: int = 0
    payload_bytes: int = 0


class Line:
    """The flows between a task here and its peer. One connection at a time; thread-safe.

    address: where this device listens. self_paced: this device has no tc, so the sender keeps to its rate.
    """

    def __init__(
        self,
        inflow: Inflow,
        outflow: Outflow,
        *,
        address: str,
        security: Mapping[FlowId, FlowSecurity],
        self_paced: bool,
        peer_timeout_s: float = PEER_TIMEOUT_S,
    ) -> None:
        self.inflow = inflow
        self.outflow = outflow
        self.peer: TaskId = inflow.producer
        self.sent = Tally()
        self.received = Tally()
        self._address = address
        self._security = security
        self._peer_timeout_s = peer_timeout_s
        self._pacing_bps = outflow.rate_bps if self_paced else None
        self._connection: Connection | None = None
        self._closed = False
        self._lock = threading.Lock()

    def connect(self) -> Connection:
        """A new connection, which opens by itself; the one before is closed. Raises FlowError after close()."""
        with self._lock:
            if self._closed:
                raise FlowError(f"the line to {self.peer} is closed: the stage has been stopped")
            if self._connection is not None:
                self._connection.close()
            self._connection = Connection(self)
            return self._connection

    def close(self) -> None:
        """Close the line for good, and the connection over it."""
        self._closed = True
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def pace(self, rate_bps: float) -> None:
        """A new rate of what is sent, where the sender keeps to it by itself."""
        if self._pacing_bps is not None:
            self._pacing_bps = rate_bps
            if self._connection is not None:
                self._connection.pace(rate_bps)

    def counters(self) -> dict[FlowId, tuple[int, int]]:
        """Items and bytes by flow, of all connections together."""
        return {
            flow: (tally.items, tally.payload_bytes)
            for flow, tally in ((self.outflow.flow, self.sent), (self.inflow.flow, self.received))
        }

    def new_receiver(self) -> FlowReceiver:
        """Raises FlowError when the port is taken."""
        flow = self.inflow
        return FlowReceiver(
            self._address,
            flow.port,
            security=self._security.get(flow.flow),
            max_items=FLOW_ITEMS,
            max_bytes=FLOW_BYTES,
            name=f"{flow.flow} from {flow.peer}",
            peer_timeout_s=self._peer_timeout_s,
            tick_s=TICK_S,
        )

    def new_sender(self) -> FlowSender:
        flow = self.outflow
        return FlowSender(
            flow.address,
            flow.port,
            security=self._security.get(flow.flow),
            max_items=FLOW_ITEMS,
            max_bytes=FLOW_BYTES,
            name=f"{flow.flow} to {flow.peer}",
            pacing_bps=self._pacing_bps,
            once=True,
            peer_timeout_s=self._peer_timeout_s,
        )


class Connection:
    """A two-way connection with a peer: values arrive whole and in order. Made by Line.connect; opens by itself.

    Thread-safe; one thread may send while another receives. sent_bytes, received_bytes: of values.
    A connection whose peer is gone closes itself (see closed): then connect again. One that nothing came over in
    time stays open.
    """

    def __init__(self, line: Line) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0
        self._line = line
        self._why = ""
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._sender: FlowSender | None = None
        self._receiver: FlowReceiver | None = None
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._kept: deque[Item] = deque()  # came while finish() waited
        threading.Thread(target=self._make, name=f"connect {line.outflow.flow}", daemon=True).start()

    @property
    def closed(self) -> bool:
        return self._ended.is_set()

    def send(self, value: Any) -> None:
        """Hand a value over; blocks until the line is open and has room. Nobody may write to its arrays afterwards.

        Raises FlowError when the peer is gone or this end is closed; StageError for what cannot be pickled.
        """
        sender, _ = self._ends(None)
        with self._writing:
            before = sender.payload_bytes
            try:
                sent = sender.send(sender.items, value, created_s=time.time())
            except FlowError as error:
                if error.__cause__ is not None:  # the value's own fault: another connection would not help
                    raise StageError(str(error)) from error
                self._broke(error)
            if not sent:
                raise FlowError(self._why)
            size = sender.payload_bytes - before
            self.sent_bytes += size
            self._line.sent.items += 1
            self._line.sent.payload_bytes += size

    def receive(self, timeout_s: float | None) -> Any:
        """The next value; None waits for ever.

        Raises FlowError when nothing comes in time, when the peer is gone or has finished and all that it sent
        was received, and when this end is closed, also while it waits.
        """
        by_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._ends(by_s)
        while (item := self._next(by_s)) is None:
            if by_s is not None and time.monotonic() >= by_s:
                raise FlowError(f"{self._line.inflow.flow}: nothing came within {timeout_s:g} s")
        return item.value

    def finish(self) -> None:
        """Nothing more is sent: returns once the peer has taken all of it. What comes meanwhile is kept.

        The peer may finish at the same time. Raises FlowError as send() does.
        """
        sender, _ = self._ends(None)
        finished = threading.Event()
        keeper = threading.Thread(target=self._keep_until, args=(finished,), daemon=True)
        keeper.start()
        try:
            if not sender.finish(sender.items):
                raise FlowError(self._why)
        except FlowError as error:
            self._broke(error)
        finally:
            finished.set()
            keeper.join()

    def close(self) -> None:
        """End it at once; the peer sees it break unless it was finished. Idempotent."""
        self._end(f"the connection with {self._line.peer} is closed")

    def pace(self, rate_bps: float) -> None:
        sender = self._sender
        if sender is not None:
            sender.pace(rate_bps)

    # While it is open

    def _ends(self, by_s: float | None) -> tuple[FlowSender, FlowReceiver]:
        """Both flows, once the connection is open. Raises FlowError when it is not by then, or closed."""
        with self._changed:
            while not (self._why or (self._sender and self._receiver)):
                left_s = None if by_s is None else by_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise FlowError(f"{self._line.peer} has not opened its end of the line in time")
                self._changed.wait(left_s)
            if self._why or self._sender is None or self._receiver is None:
                raise FlowError(self._why)
            return self._sender, self._receiver

    def _next(self, by_s: float | None) -> Item | None:
        """The next item; None: nothing for a tick, or by then."""
        with self._reading:
            return self._kept.popleft() if self._kept else self._read(by_s)

    def _read(self, by_s: float | None) -> Item | None:
        sender, receiver = self._ends(None)
        left_s = TICK_S if by_s is None else min(TICK_S, max(0.0, by_s - time.monotonic()))
        try:
            got = receiver.receive(left_s)
            if got is None:
                sender.check()
        except FlowError as error:
            self._broke(error)
        if isinstance(got, Item):
            self.received_bytes += got.payload_bytes
            self._line.received.items += 1
            self._line.received.payload_bytes += got.payload_bytes
            return got
        if got is not None:
            raise FlowError(f"{self._line.peer} has ended the connection")
        return None

    def _keep_until(self, finished: threading.Event) -> None:
        """Thread of finish(): both ends may finish at once, and each waits until the other has read its end."""
        with suppress(FlowError):
            while not finished.is_set():
                with self._reading:
                    item = self._read(None)
                    if item is not None:
                        self._kept.append(item)

    def _broke(self, error: FlowError) -> NoReturn:
        self._end(str(error))
        raise FlowError(self._why) from error

    def _end(self, why: str) -> None:
        with self._changed:
            self._why = self._why or why
            self._ended.set()
            ends = (self._sender, self._receiver)
            self._changed.notify_all()
        for end in ends:
            if end is not None:
                end.close()

    def _make(self) -> None:
        """Thread: open it, and hand the flows over."""
        try:
            ends = _Opening(self._line, self._ended).run()
        except FlowError as error:
            self._end(str(error))
            return
        except Exception as error:  # nobody waits for ever for a thread that is gone
            log.exception("the connection with %s cannot be opened", self._line.peer)
            self._end(f"the connection with {self._line.peer} cannot be opened: {one_line(error)}")
            return
        if ends is None:
            return
        with self._changed:
            if not self._why:
                self._sender, self._receiver = ends
                self._changed.notify_all()
                return
        for end in ends:
            end.close()


class _Opening:
    """Makes both flows, again and again, until they lead to one connection of the peer (see the top).

    A new sender gets a new name, so that a welcome to the one before is no welcome to it.
    """

    def __init__(self, line: Line, ended: threading.Event) -> None:
        self._line = line
        self._ended = ended
        self._sender: FlowSender | None = None
        self._receiver: FlowReceiver | None = None
        self._name = b""
        self._peer = b""  # the name of the sender that our receiver hears
        self._retry_s = RETRY_S

    def run(self) -> tuple[FlowSender, FlowReceiver] | None:
        """Both flows; None once ended is set. Raises FlowError when the port stays taken, or keys are missing."""
        opened = None
        try:
            while opened is None and not self._ended.is_set():
                self._call()
                opened = self._listen()
        finally:
            if opened is None:
                self._drop_sender()
                self._drop_receiver()
        return opened

    def _call(self) -> None:
        """See that there is a sender, and that it has said who it is."""
        if self._receiver is None:
            self._receiver = self._bound()
        if self._sender is None:
            self._sender, self._name = self._line.new_sender(), b""
        try:
            if not self._name:
                self._name = secrets.token_bytes(_NAME_BYTES)
                self._say(_HELLO + self._name)
                if self._peer:
                    self._say(_WELCOME + self._peer)
            self._sender.check()
        except FlowError:
            self._drop_sender()

    def _listen(self) -> tuple[FlowSender, FlowReceiver] | None:
        """Hear what the peer says, for a while; both flows once it has welcomed our sender."""
        receiver = self._receiver
        if receiver is None:
            return None
        try:
            got = receiver.receive(self._retry_s)
        except FlowError:
            self._drop_receiver()
            return None
        if got is None:
            self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)
            return None
        self._retry_s = RETRY_S
        told = getattr(got, "value", None)
        if self._sender is not None and self._peer and told == _WELCOME + self._name:
            return self._sender, receiver
        if isinstance(told, bytes) and told.startswith(_HELLO):
            self._peer = told.removeprefix(_HELLO)
            with suppress(FlowError):  # the next call makes another sender, which says it too
                self._say(_WELCOME + self._peer)
        elif not (isinstance(told, bytes) and told.startswith(_WELCOME)):
            self._drop_receiver()  # what follows is of no connection that we know
        return None

    def _say(self, told: bytes) -> None:
        if self._sender is not None:
            self._sender.send(self._sender.items, told, created_s=time.time(), stop=self._ended)

    def _bound(self) -> FlowReceiver:
        by_s = time.monotonic() + BIND_TIMEOUT_S
        while True:
            try:
                return self._line.new_receiver()
            except FlowError:
                if time.monotonic() > by_s or self._ended.wait(RETRY_S):
                    raise

    def _drop_sender(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _drop_receiver(self) -> None:
        self._peer = b""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None
