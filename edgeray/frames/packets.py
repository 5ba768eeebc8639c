"""One user's packets, frame by frame: what comes in one is done in the next, or dropped at its end.

Decides and counts; it has no thread, no line and no clock of its own. All times are those of the user's clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeray.energy import DeclaredPower, Meter
from edgeray.frames.estimates import Correction, Mean
from edgeray.frames.messages import Begin, Grant, Report, Totals
from edgeray.frames.recipe import Recipe, UserSpec
from policies.deadline.frame import frame_of, next_queue
from policies.deadline.policy import FRAME_POLICIES

GRACE = 0.25
"""Of a frame: a server whose word is late by more is away, and the user begins its next frame by itself."""
ANSWER = 0.5
"""Of a frame: a user that was granted nothing by then plans without the server."""
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """at_s: Unix time at which it came."""

    number: int
    item: Any
    at_s: float


class Packets:
    """power: told of what is computed and sent; its declared watts also say what slots take. meter: tells the energy.
    sharing: users that share this one's device, itself included: each may compute an equal part of the time."""

    def __init__(
        self,
        spec: UserSpec,
        recipe: Recipe,
        power: DeclaredPower,
        meter: Meter,
        *,
        sharing: int,
        session: str,
    ) -> None:
        self.spec = spec
        self.queue = 0.0
        self.totals = Totals()
        self.over = False
        self.source_ended = False
        self.frame: int | None = None  # None: none has begun yet
        self.alone = False  # this frame was begun without the server
        self.rate_bps = recipe.rate_bps(0)  # of the way to the server, as granted
        self.under_way: dict[int, int] = {}  # bytes by number, on their way to the server
        self._recipe, self._power, self._meter = recipe, power, meter
        self._sharing, self._session = sharing, session
        self._known, self._policy = Totals(), ""
        self._begin_s = self._energy_j = 0.0
        self._number = 0
        self._coming: list[Waiting] = []  # for the next frame
        self._waiting: deque[Waiting] = deque()
        self._arrived = self._acked = self._computed = 0
        self._sending: set[int] = set()
        self._computing: set[int] = set()
        self._send_most = self._send_taken = self._local_most = self._local_taken = 0
        self._promised = (0.0, 0.0)
        self._granted = False
        self._seconds, self._bytes = Mean(), Mean()
        self._link, self._processor = Correction(), Correction()

    # What a slot holds, and takes

    @property
    def per_slot(self) -> float:
        """Packets that the whole link carries in a slot (C), as far as one can tell."""
        return self._nominal_sent * self._link.value

    @property
    def computed_per_slot(self) -> float:
        """Packets computed in a slot (mu)."""
        return self._nominal_local * self._processor.value

    @property
    def _nominal_sent(self) -> float:
        size = self._bytes.value
        return 0.0 if not size else self._recipe.link_bps * self._recipe.slot_s / (8 * size)

    @property
    def _nominal_local(self) -> float:
        seconds = self._seconds.value
        return 0.0 if seconds is None else self._recipe.slot_s / max(seconds, 1e-6) / self._sharing

    def measured(self, *, seconds: float, size_bytes: int) -> None:
        """How long a packet takes to compute here, and how large it is: before the first frame."""
        self._seconds.add(seconds)
        self._bytes.add(size_bytes)

    # Frames

    def arrive(self, item: Any, at_s: float) -> None:
        """A packet has come, to be done in the next frame."""
        self._coming.append(Waiting(number=self._number, item=item, at_s=at_s))
        self._number += 1

    def begin(self, begin: Begin, now_s: float) -> Report:
        """The server has begun a frame. What a new process does not know of its user it takes from the server."""
        if self.frame is None:
            self.queue, self._known = begin.queue, begin.known
        self._policy = begin.policy
        if not (
            self.alone and begin.frame == self.frame
        ):  # else it is the one that was begun without its word
            self._close()
            self._open(begin.frame, now_s)
        self.alone = False
        return self.report()

    def end(self, frame: int) -> Report:
        """The last frame is over."""
        self._close()
        self.frame, self.over = frame, True
        return self.report()

    def tick(self, now_s: float) -> bool:
        """Go on without the server where it has not been heard of in time; see due_s. False: it was not time yet."""
        due_s = self.due_s()
        if due_s is None or now_s < due_s:
            return False
        assert self.frame is not None, "something is due"
        if now_s >= self._ends_s():
            self._close()
            self._open(self.frame + 1, self._begin_s + self._recipe.frame_s)
            self.alone = True
        self._plan_alone()
        return True

    def due_s(self) -> float | None:
        """When tick has something to do, unless the server is heard of before; None: not at all."""
        if self.frame is None or self.over:
            return None
        if not self._granted:
            return self._begin_s + ANSWER * self._recipe.frame_s
        return self._ends_s()

    def grant(self, grant: Grant) -> None:
        """What is to be sent and computed. Late answers, to another frame, count for nothing."""
        if grant.frame == self.frame and not self.over:
            self._set(grant.sent, grant.local, slots=grant.slots, computing=grant.computing)
            self.rate_bps = grant.rate_bps

    def report(self) -> Report:
        assert self.frame is not None, "a frame has begun"
        return Report(
            user=self.spec.name,
            frame=self.frame,
            session=self._session,
            arrived=self._arrived,
            per_slot=self.per_slot,
            computed=self.computed_per_slot,
            queue=self.queue,
            totals=self.totals,
            meter=self._meter.name,
            ended=self.source_ended and not self._coming and not self._arrived,
        )

    # Sending and computing

    @property
    def waiting(self) -> int:
        return len(self._coming) + len(self._waiting)

    def next_sent(self, now_s: float, *, ahead_bytes: int, rate_bps: float) -> Waiting | None:
        """The packet to be sent next; None: none, or it could not be there in time.

        ahead_bytes: on their way before it, at rate_bps. What is late would delay the next frame's words, beside being
        lost.
        """
        if self._send_taken >= self._send_most or not self._waiting:
            return None
        needed_s = 8 * (ahead_bytes + (self._bytes.value or 0.0)) / rate_bps
        if now_s + needed_s > self._begin_s + (1 + _ROUNDING) * self._recipe.frame_s:
            return None
        self._send_taken += 1
        taken = self._waiting.popleft()
        self._sending.add(taken.number)
        return taken

    def send(self, number: int, size_bytes: int) -> bool:
        """It is about to be sent; False: its frame is over."""
        if number not in self._sending:
            return False
        self._bytes.add(size_bytes)
        self._power.sending(8 * size_bytes / self._recipe.link_bps)
        self.under_way[number] = size_bytes
        return True

    def got(self, number: int) -> None:
        self.under_way.pop(number, None)

    def done(self, number: int) -> None:
        """The server has done it in time."""
        self.got(number)
        if number in self._sending:
            self._sending.remove(number)
            self._acked += 1

    def next_local(self) -> Waiting | None:
        """The packet to be computed next; None: none."""
        if self._local_taken >= self._local_most or not self._waiting:
            return None
        self._local_taken += 1
        taken = self._waiting.popleft()
        self._computing.add(taken.number)
        return taken

    def computed(self, number: int, seconds: float, now_s: float) -> bool:
        """It was computed, and took so long. True: in time."""
        self._seconds.add(seconds)
        self._power.computing(seconds)
        if number not in self._computing or now_s > self._ends_s():
            return False
        self._computing.remove(number)
        self._computed += 1
        return True

    # Inside

    def _ends_s(self) -> float:
        grace = 0.0 if self.alone else GRACE
        return self._begin_s + (1 + grace) * self._recipe.frame_s

    def _open(self, frame: int, now_s: float) -> None:
        if self.frame is None:
            self._energy_j = self._meter.energy_j()
        self.frame, self._begin_s = frame, now_s
        self._waiting.extend(self._coming)
        self._arrived, self._coming = len(self._coming), []
        self._granted = False

    def _close(self) -> None:
        """What was not acknowledged or computed is dropped, whatever was planned; the queue takes it in."""
        if self.frame is None or self.over:
            return
        self._link.frame(tried=self._send_most, done=self._acked, promised=self._promised[0])
        self._processor.frame(tried=self._local_most, done=self._computed, promised=self._promised[1])
        if not self._local_taken:
            self._seconds.forget()
        dropped = self._arrived - self._acked - self._computed
        counted = self.totals + Totals(
            frames=1, arrived=self._arrived, sent=self._acked, local=self._computed, dropped=dropped
        )
        self.totals = Totals.of([*counted.plain()[:-1], self._meter.energy_j() - self._energy_j])
        allowed = self._recipe.rho * self._mean()
        self.queue = float(next_queue(np.array(self.queue), np.array(float(dropped)), allowed))
        self._waiting.clear()
        self._sending.clear()
        self._computing.clear()
        self._arrived = self._acked = self._computed = 0
        self._send_most = self._send_taken = self._local_most = self._local_taken = 0
        self._promised = (0.0, 0.0)

    def _mean(self) -> float:
        """Packets that come in a frame (lambda)."""
        if self.spec.mean is not None:
            return self.spec.mean
        known = self._known + self.totals
        return known.arrived / known.frames if known.frames else 0.0

    def _plan_alone(self) -> None:
        """By the same policy, as if there was no link; what is computed or on its way already stays so."""
        plan = FRAME_POLICIES[self._policy](
            frame_of(
                [self.queue],
                [float(len(self._waiting))],
                [0.0],
                [self.computed_per_slot],
                T=self._recipe.slots,
                e_local=local_j(self.spec, self._recipe, self._sharing),
                e_send=send_j(self.spec, self._recipe),
                M=self._recipe.M,
            )
        )
        local = self._local_taken + whole(float(plan.local[0]))
        self._set(self._send_taken, local, slots=0, computing=int(plan.computing[0]))

    def _set(self, sent: int, local: int, *, slots: int, computing: int) -> None:
        self._send_most, self._local_most = max(sent, self._send_taken), max(local, self._local_taken)
        self._promised = (slots * self._nominal_sent, computing * self._nominal_local)
        self._granted = True


def local_j(spec: UserSpec, recipe: Recipe, sharing: int) -> float:
    """Energy of a slot in which a user computes for its part of the time."""
    return spec.power.local_w * recipe.slot_s / sharing


def send_j(spec: UserSpec, recipe: Recipe) -> float:
    """Energy of a slot in which a user sends at the link's whole rate."""
    return spec.power.send_w * recipe.slot_s


def whole(packets: float) -> int:
    """Packets are whole: the nearest number, halves upwards."""
    return int(packets + 0.5)
