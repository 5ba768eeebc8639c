"""A dispatcher's end of the line with the learner: bits go there in the background, and are kept until they arrived."""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from edgeray.errors import one_line
from edgeray.learner.messages import UNKNOWN, Feedback, plain_feedback, wrong_with
from policies.model import JobId

log = logging.getLogger(__name__)

RESTORE_S = 2.0
ANSWER_S = 1.0
"""A learner that has not answered for so long is away."""
RETRY_S = 0.5
PACE_S = 0.2
"""Bits of so long go together, and the newest state every KEEP_S."""
KEEP_S = 1.0
FAREWELL_S = 0.5
"""After the stop: for what has not arrived yet."""
BATCH_BITS = 100
MOST_BITS = 100_000
"""That are kept for a learner that is away; past these the oldest are given up."""
_TICK_S = 0.1


class Link:
    """What a dispatcher has of the learner. Thread-safe; nothing here blocks but `restore`, for RESTORE_S at most.

    call: asks the learner; it may block, or raise whatever it likes: the learner is away then, and decisions go on
    without it. spawn: starts a thread, once there is something to say. Rule: bits are numbered 1, 2, ... within an
    epoch and sent from the first that was not acknowledged, again and again; the learner takes each once. When it has
    less than it acknowledged (its disk was lost), or bits were given up, a new epoch begins, from the dispatcher's own
    state where `backed_by` gave one.
    """

    def __init__(
        self,
        call: Callable[..., Any],
        job: JobId,
        spawn: Callable[[str, Callable[[], None]], None],
        stop: threading.Event,
        state: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._call, self._job, self._spawn, self._stop = call, job, spawn, stop
        self._state = state
        self._changed = threading.Condition()
        self._begun = False
        self._about: dict[str, Any] = {}
        self._opened = False
        self._opened_with: Mapping[str, Any] | None = None
        self._epoch = secrets.token_hex(8)
        self._acknowledged = 0  # of the epoch; what lies between it and the next was given up
        self._first = 1  # the number, in the epoch, of the oldest of these
        self._pending: deque[Feedback] = deque()
        self._last_told = 0
        self._given_up = self._left_out = 0
        self._kept: tuple[int, str] = (0, "")
        self._kept_there = 0
        self._kept_at_s = float("-inf")
        self._away = False
        self._asked_s: float | None = None
        self._leave_s: float | None = None

    # What a dispatcher does with it

    def backed_by(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """What the learner is brought if it has lost what it had.

        state: {"number": of the last feedback in it, "helpers": [names, in its order], "state": the policy's `state()`}.
        Called in a thread of the link's own: take the dispatcher's lock in it.
        """
        self._state = state

    def restore(self, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The state that the learner has of this job; None: none, or it does not answer in time.

        about: {"policy", "helpers": [names], "dimensions", "seed"}; of a dispatcher it is the policy's state for these
        helpers in this order, else what was kept.
        """
        with self._changed:
            self._about, self._opened, self._opened_with = dict(about), False, None
            self._changed.notify_all()
        self._begin()
        deadline_s = time.monotonic() + RESTORE_S
        with self._changed:
            while not (self._opened or self._stop.is_set()):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(min(left_s, _TICK_S))
            return self._opened_with

    def tell(self, feedback: Feedback) -> None:
        """Pass a bit on. In the order in which the dispatcher learned; a number that is not new is a double: skipped."""
        with self._changed:
            if not feedback.helpers:
                feedback = replace(feedback, helpers=tuple(self._about.get("helpers", ())))
            wrong = wrong_with(feedback)
            if wrong is not None:
                self._left_out += 1
                log.error("%s: feedback %r is not told: %s", self._job, feedback.number, wrong)
                return
            if feedback.number <= self._last_told:
                return
            self._last_told = feedback.number
            self._pending.append(feedback)
            if len(self._pending) > MOST_BITS:
                self._pending.popleft()
                self._first += 1
                self._given_up += 1
                if self._given_up == 1:
                    log.warning(
                        "%s: %d bits wait for the learner: the oldest are given up", self._job, MOST_BITS
                    )
            self._changed.notify_all()
        self._begin()

    def keep(self, state: Mapping[str, Any]) -> None:
        """The newest state of what is no dispatcher's. Raises ValueError for what is no plain data (JSON)."""
        try:
            text = json.dumps(dict(state), allow_nan=False)
        except TypeError as error:
            raise ValueError(f"a state that is no plain data: {error}") from None
        with self._changed:
            self._kept = self._kept[0] + 1, text
            self._changed.notify_all()
        self._begin()

    @property
    def bypassed(self) -> bool:
        """It does not answer just now: decisions go on without it."""
        asked_s = self._asked_s
        return self._away or (asked_s is not None and time.monotonic() - asked_s > ANSWER_S)

    @property
    def waiting(self) -> int:
        """Bits that the learner has not acknowledged."""
        return len(self._pending)

    @property
    def given_up(self) -> int:
        """Bits that it will not get: it was away for too long, or they were none."""
        return self._given_up + self._left_out

    # Thread

    def _begin(self) -> None:
        with self._changed:
            if self._begun:
                return
            self._begun = True
        self._spawn("learner", self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                if not self._something():
                    self._changed.wait(_TICK_S)
                    continue
            if not self._exchange():
                self._stop.wait(RETRY_S)
            elif len(self._pending) < BATCH_BITS:
                self._stop.wait(PACE_S)  # so that the next go together
        while self._something() and not self._away and self._may_go_on():
            self._exchange()

    def _may_go_on(self) -> bool:
        if not self._stop.is_set():
            return True
        if self._leave_s is None:
            self._leave_s = time.monotonic() + FAREWELL_S
        return time.monotonic() < self._leave_s

    def _something(self) -> bool:
        """Whether there is something to say now."""
        return bool((self._about and not self._opened) or self._pending or self._kept_is_due())

    def _kept_is_due(self) -> bool:
        due = self._stop.is_set() or time.monotonic() - self._kept_at_s >= KEEP_S
        return self._kept[0] > self._kept_there and due

    def _exchange(self) -> bool:
        """Say what there is to say, once. False: the learner is away."""
        try:
            if not self._opened:
                self._open()
            if self._kept_is_due():
                self._bring_kept()
            if self._pending:
                self._bring_bits()
        except Exception as error:  # whatever a call raises: the job goes on without
            if not self._away and not self._stop.is_set():
                log.warning("%s: decisions go on without the learner: %s", self._job, one_line(error))
            self._away = True
            return False
        if self._away:
            log.info("%s: the learner answers again", self._job)
        self._away = False
        return True

    def _open(self) -> None:
        about = self._about
        found = self._ask("open", self._job, about)
        if found is not None and not isinstance(found, Mapping):
            raise TypeError(f"the learner answered {found!r:.50} for a state")
        with self._changed:
            if about is self._about:
                self._opened, self._opened_with = True, found
                self._changed.notify_all()

    def _bring_kept(self) -> None:
        number, text = self._kept
        self._kept_at_s = time.monotonic()
        answer = self._number(self._ask("keep", self._job, self._epoch, number, text))
        if answer == UNKNOWN:
            self._opened, self._kept_at_s = False, float("-inf")
        else:
            self._kept_there = number

    def _bring_bits(self) -> None:
        with self._changed:
            first, bits = self._first, list(islice(self._pending, BATCH_BITS))
        if not bits:
            return
        batch = [plain_feedback(bit) for bit in bits]
        have = self._number(self._ask("merge", self._job, self._epoch, first, batch))
        if have == UNKNOWN:
            self._open()
            self._begin_anew("has forgotten the job")
        elif have < first - 1:
            self._begin_anew(f"has {have} bits, {first - 1} had been sent or given up")
        else:
            with self._changed:
                self._given_up -= max(0, min(have, self._first - 1) - self._acknowledged)  # it was on its way
                while self._pending and self._first <= have:
                    self._pending.popleft()
                    self._first += 1
                self._acknowledged = have

    def _begin_anew(self, why: str) -> None:
        """The learner lacks bits that are no longer here: bring it all that was learned, or begin with those that are."""
        log.warning("%s: the learner %s; a new epoch begins", self._job, why)
        epoch, covered = secrets.token_hex(8), 0
        if self._state is not None:
            mine = self._state()
            covered = int(mine["number"])
            about = {**self._about, "helpers": list(mine["helpers"])}
            self._number(self._ask("adopt", self._job, epoch, about, mine["state"]))
        with self._changed:
            while self._pending and self._pending[0].number <= covered:
                self._pending.popleft()
            self._epoch, self._first, self._acknowledged = epoch, 1, 0

    def _ask(self, method: str, *args: Any) -> Any:
        """Call the learner from a thread of its own, since a call may block for ever, but a stage has to end."""
        answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def call() -> None:
            try:
                answers.put((self._call(method, *args), None))
            except BaseException as error:
                answers.put((None, error))

        self._asked_s = time.monotonic()
        threading.Thread(target=call, name=f"learner {method}", daemon=True).start()
        try:
            while True:
                try:
                    answer, error = answers.get(timeout=_TICK_S)
                except queue.Empty:
                    if not self._may_go_on():
                        raise ConnectionError("the job ends") from None
                    continue
                if error is not None:
                    raise error
                return answer
        finally:
            self._asked_s = None

    @staticmethod
    def _number(answer: Any) -> int:
        if type(answer) is not int or answer < UNKNOWN:
            raise TypeError(f"the learner answered {answer!r:.50} for a number")
        return answer
