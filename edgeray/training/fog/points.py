"""Points on their way from device to device: a line to each peer, opened again where it broke.

A peer says "got" for what it has taken; from then on the points are its own. What was not taken (the line broke, no "got"
came in time, too much waits already) comes back to whoever collected it, so that no point is lost. One whose "got" was
lost with the line is processed at both ends: neither can know.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from edgeray.errors import EdgeRayError, FlowError
from edgeray.training.channel import Channel, payload_bytes
from edgeray.training.data import Pack
from edgeray.training.lines import HELLO
from edgeray.training.messages import Points

log = logging.getLogger(__name__)

GOT_WITHIN_S = 30.0
"""So long a peer may take to say that it has got points."""
RETRY_S = 0.2
MOST_BYTES = 2**20
"""Of points in a message, unless a single one is larger."""
MOST_WAITING = 16
"""Messages that wait for a line at most: one that is too slow gets no more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Points that a peer has taken, and the seconds from sending them until it said so."""

    points: int = 0
    seconds: float = 0.0


class Exchange:
    """All lines of one device. connect: opens, or opens anew, the line to a peer. Thread-safe. changed: its lock."""

    def __init__(
        self,
        peers: Collection[str],
        connect: Callable[[str], Channel],
        *,
        got_within_s: float = GOT_WITHIN_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.changed = threading.Condition()
        self._got_within_s = got_within_s
        self._number = 0
        self._arrived: list[Points] = []
        self._returned: list[Points] = []
        self._lines = {
            peer: _Line(self, peer, connect, got_within_s=got_within_s, clock=clock) for peer in sorted(peers)
        }

    def start(self) -> None:
        for line in self._lines.values():
            line.start()

    def close(self) -> None:
        """Break off all lines; what is under way comes back."""
        for line in self._lines.values():
            line.close()

    def wait_open(self, within_s: float) -> bool:
        """Until the lines to all peers are open; False: one is not in time."""
        with self.changed:
            return self.changed.wait_for(lambda: all(line.open for line in self._lines.values()), within_s)

    def send(self, peer: str, interval: int, pack: Pack) -> bool:
        """Hand points over to be sent. False: the line is not open, or too much waits for it."""
        line = self._lines.get(peer)
        with self.changed:
            if line is None or not line.open or len(line.waiting) >= MOST_WAITING:
                return False
            for part in _parts(pack):
                line.waiting.append(self._numbered(interval, part))
            self.changed.notify_all()
        return True

    def take_arrived(self, before: int) -> list[Points]:
        """Points of others, collected in an interval before this one, that have come since."""
        with self.changed:
            taken = [points for points in self._arrived if points.interval < before]
            self._arrived = [points for points in self._arrived if points.interval >= before]
        return taken

    def take_returned(self) -> list[Points]:
        """Own points that nobody took since."""
        with self.changed:
            taken, self._returned = self._returned, []
        return taken

    def forget(self, since: int) -> None:
        """Of points collected in this interval or later nothing is left: the round in which they were begins again."""
        with self.changed:
            self._arrived = [points for points in self._arrived if points.interval < since]
            self._returned = [points for points in self._returned if points.interval < since]

    def take_sent(self) -> Mapping[str, Sent]:
        """By peer, what it has taken since."""
        with self.changed:
            taken = {peer: line.sent for peer, line in self._lines.items() if line.sent.points}
            for line in self._lines.values():
                line.sent = Sent()
        return taken

    def finish(self, interval: int) -> None:
        """Nothing more is sent: returns once all that was has been taken or has come back, and every peer that is there
        has finished, too. Waits for so long as a "got" may take; then lines are closed."""
        with self.changed:
            for line in self._lines.values():
                if line.open:
                    line.waiting.append(self._numbered(interval, _NONE))
            self.changed.notify_all()
            done = self.changed.wait_for(
                lambda: all(line.finished for line in self._lines.values()), self._got_within_s
            )
        if not done:
            self.close()
            with self.changed:
                self.changed.wait_for(lambda: not any(line.open for line in self._lines.values()))

    def _numbered(self, interval: int, pack: Pack) -> Points:
        self._number += 1
        return Points(number=self._number, interval=interval, pack=pack)

    # Of the lines' threads, which hold the lock

    def came(self, points: Points) -> None:
        self._arrived.append(points)

    def came_back(self, points: Points) -> None:
        if len(points.pack.labels):
            self._returned.append(points)


_NONE = Pack(inputs=torch.empty(0), labels=torch.empty(0, dtype=torch.int64))


def _parts(pack: Pack) -> list[Pack]:
    """In messages of MOST_BYTES."""
    points = len(pack.labels)
    each = max(1, int(MOST_BYTES * points / max(1, payload_bytes(pack))))
    if points <= each:
        return [pack] if points else []
    return [
        Pack(
            inputs=pack.inputs[start : start + each],
            labels=pack.labels[start : start + each],
            mean=pack.mean,
            deviation=pack.deviation,
        )
        for start in range(0, points, each)
    ]


class _Line:
    """To one peer: a thread that opens it and listens, and one that sends. All but the threads' own work is under the
    exchange's lock. open: the peer is there. waiting: to be sent, one message at a time."""

    def __init__(
        self,
        exchange: Exchange,
        peer: str,
        connect: Callable[[str], Channel],
        *,
        got_within_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.peer = peer
        self.waiting: deque[Points] = deque()
        self.sent = Sent()
        self.got_within_s = got_within_s
        self._exchange = exchange
        self._connect = connect
        self._clock = clock
        self._channel: Channel | None = None
        self._opening: Channel | None = None
        self._under_way: tuple[Points, float] | None = None
        self._peer_finished = False
        self._over = threading.Event()

    @property
    def open(self) -> bool:
        return self._channel is not None

    @property
    def finished(self) -> bool:
        """Nothing is on its way, nor will the peer send anything."""
        return not self.open or (self._peer_finished and not self.waiting and self._under_way is None)

    def start(self) -> None:
        for target in (self._keep_open, self._send_all):
            threading.Thread(
                target=target, name=f"{self.peer} {target.__name__.strip('_')}", daemon=True
            ).start()

    def close(self) -> None:
        with self._exchange.changed:
            self._over.set()
            channel = self._opening
            self._exchange.changed.notify_all()
        if channel is not None:
            channel.close()

    # The thread that listens

    def _keep_open(self) -> None:
        while not self._over.is_set():
            channel: Channel | None = None
            try:
                channel = self._connect(self.peer)
                with self._exchange.changed:
                    self._opening = channel
                if not self._over.is_set():
                    self._listen(channel)
            except FlowError as error:
                log.info("the line to %s is gone: %s", self.peer, error)
            finally:
                if channel is not None:
                    channel.close()
                self._lost()
            self._over.wait(RETRY_S)

    def _listen(self, channel: Channel) -> None:
        """From the opening until it breaks. Raises FlowError then."""
        channel.send(HELLO, None)
        kind, _ = channel.receive(None)
        if kind != HELLO:
            raise FlowError(f"{self.peer} said {kind!r}, expected {HELLO!r}")
        with self._exchange.changed:
            self._channel = channel
            self._exchange.changed.notify_all()
        while True:
            kind, value = channel.receive(None)
            if kind == "points" and isinstance(value, Points):
                channel.send("got", value.number)
                self._take(value)
            elif kind == "got" and isinstance(value, int):
                self._taken(value)
            else:
                raise FlowError(f"{self.peer} said {kind!r}, which was not due")

    def _take(self, points: Points) -> None:
        with self._exchange.changed:
            if len(points.pack.labels):
                self._exchange.came(points)
            else:
                self._peer_finished = True
            self._exchange.changed.notify_all()

    def _taken(self, number: int) -> None:
        with self._exchange.changed:
            if self._under_way is not None and self._under_way[0].number == number:
                points, began_s = self._under_way
                count = len(points.pack.labels)
                seconds = self._clock() - began_s if count else 0.0
                self.sent = Sent(self.sent.points + count, self.sent.seconds + seconds)
                self._under_way = None
                self._exchange.changed.notify_all()

    def _lost(self) -> None:
        with self._exchange.changed:
            self._channel = self._opening = None
            self._peer_finished = False
            if self._under_way is not None:
                self._exchange.came_back(self._under_way[0])
            for points in self.waiting:
                self._exchange.came_back(points)
            self._under_way = None
            self.waiting.clear()
            self._exchange.changed.notify_all()

    # The thread that sends

    def _send_all(self) -> None:
        changed = self._exchange.changed
        while True:
            with changed:
                changed.wait_for(lambda: self._over.is_set() or (self._channel is not None and self.waiting))
                channel = self._channel
                if self._over.is_set():
                    return
                assert channel is not None, "waited for"
                points = self.waiting.popleft()
                self._under_way = points, self._clock()
            self._send(channel, points)

    def _send(self, channel: Channel, points: Points) -> None:
        """Until the peer has taken them, or they have come back."""
        changed = self._exchange.changed

        def settled() -> bool:
            return self._under_way is None or self._under_way[0] is not points

        try:
            channel.send("points", points)
        except EdgeRayError as error:
            log.info("points are not sent to %s: %s", self.peer, error)
            channel.close()
        with changed:
            if not changed.wait_for(settled, self.got_within_s):
                log.info("%s has not said within %g s that it got points", self.peer, self.got_within_s)
                channel.close()  # the thread that listens gives them back
                changed.wait_for(settled)


def all_of(pack: Pack) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of a pack's samples, in its order."""
    return pack.batch(np.arange(len(pack.labels), dtype=np.int64))
