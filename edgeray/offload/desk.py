"""Which item went where, and the one bit that each of them gives. No threads and no clock: it is told what time it is."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeray.learner.messages import Feedback
from edgeray.offload.messages import Result, Telemetry
from edgeray.offload.recipe import HelperSpec, Terms
from edgeray.offload.roster import Roster
from policies.bandit.backlog import Backlog
from policies.bandit.model import Floats, Offer
from policies.bandit.offers import FEATURES, Helpers, Item, Usual, make_offer, sent_since
from policies.bandit.registry import make_dispatcher
from policies.model import DeviceId

MOST_DECISIONS = 10_000
"""That are told with one bit (edgeray.learner.messages)."""


@dataclass(slots=True)
class Tally:
    """Items that were sent to a helper, and what became of them. Those without a bit yet are in `sent` only."""

    sent: int = 0
    met: int = 0
    late: int = 0
    failed: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Known:
    """A helper. turn: of its line; None while it is away. queue, seen: its newest telemetry that is believed. numbers: of
    items sent in this turn that queue does not count. held: telemetry, and when it is believed."""

    spec: HelperSpec
    turn: int | None = None
    queue: int = 0
    seen: int = 0
    rate_per_s: float = math.nan
    numbers: list[int] = field(default_factory=list)
    under_way: int = 0
    held: deque[tuple[float, Telemetry]] = field(default_factory=deque)
    tally: Tally = field(default_factory=Tally)
    probability: float | None = None
    backlog: Backlog = field(default_factory=Backlog)

    def believe(self, now_s: float) -> None:
        """What was held back for long enough."""
        while self.held and self.held[0][0] <= now_s:
            told = self.held.popleft()[1]
            if told.rate_per_s is not None:
                self.rate_per_s = told.rate_per_s
            if told.turn == self.turn:
                self.queue, self.seen = told.queue, told.seen
                self.numbers = self.numbers[len(self.numbers) - sent_since(self.numbers, self.seen) :]

    @property
    def unseen(self) -> int:
        """What its queue differs by now: sent since, and no more there than has not come back. Without the latter, queues
        that are old news seem to grow for ever."""
        return min(sent_since(self.numbers, self.seen), self.under_way - self.queue)

    @property
    def speed_per_s(self) -> float:
        """As its results came; before the first one, as it told, which may be old."""
        measured = self.backlog.rate_per_s
        return self.rate_per_s if math.isnan(measured) else measured


@dataclass(slots=True)
class _Sent:
    """An item under way. names: of the offer's rows. answered: its bit has been given."""

    number: int
    name: DeviceId
    offer: Offer
    names: tuple[DeviceId, ...]
    at_s: float
    answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An item's number, and to whom it goes. name: None when it is refused."""

    number: int
    name: DeviceId | None
    turn: int


class Desk:
    """Not thread-safe. tell: is told each bit, in the order in which the policy learned.

    The rule of bits. Each item that was chosen a helper gives one bit, once, with the offer of its dispatch: happy when
    its result came by the deadline. Unhappy as soon as that is known: at the deadline, when its work raised, when the
    line to its helper broke, or at once where the helper has had `most` items already, to whom it is not sent (refused).
    What comes after the bit, or twice, or of an earlier turn, changes no bit.
    An item is met, late, failed, lost or refused: one of these. An item is refused, and gives no bit, when the policy
    says so, and when nobody is there. Where the terms do not let it refuse, what would be refused, or is meant for a
    helper that has its most, goes to one who has room, which there must be: there, to have too much is no fault.
    """

    def __init__(self, terms: Terms, policy: str, *, tell: Callable[[Feedback], None]) -> None:
        rng = np.random.default_rng(terms.seed)
        self.roster = Roster(
            tuple(terms.helpers), lambda helpers: make_dispatcher(policy, helpers, FEATURES, rng)
        )
        self.items = self.met = self.late = self.refused = self.failed = self.lost = 0
        self.came_late = self.discarded = 0
        self.bits = 0
        self.regret_proxy = 0.0
        self._terms, self._tell = terms, tell
        self._known = {name: _Known(spec) for name, spec in terms.helpers.items()}
        self._usual = Usual()
        self._under_way: dict[int, _Sent] = {}
        self._due: deque[_Sent] = deque()  # by deadline, since all have as long
        self._decisions = 0  # since the last bit
        for name in self.roster.all:
            self.roster.leave(name)

    # Helpers

    def enter(self, name: DeviceId, turn: int) -> None:
        """A line to this helper stands anew; what it had over the one before is lost."""
        self.leave(name)
        known = self._known[name]
        known.turn, known.queue, known.seen, known.numbers = turn, 0, 0, []
        self.roster.enter(name)

    def leave(self, name: DeviceId) -> None:
        """The line to this helper is broken."""
        known = self._known[name]
        if known.turn is None:
            return
        for sent in [sent for sent in self._under_way.values() if sent.name == name]:
            if not sent.answered:
                self.lost += 1
                known.tally.lost += 1
                self._give(sent, happy=False)
            del self._under_way[sent.number]
        known.turn, known.under_way, known.probability = None, 0, None
        known.backlog.clear()
        self.roster.leave(name)

    def hear(self, name: DeviceId, telemetry: Telemetry, now_s: float) -> None:
        known = self._known[name]
        known.held.append((now_s + self._terms.telemetry_delay_s, telemetry))
        known.believe(now_s)

    # Items

    def decide(self, size_bytes: float, complexity: float, now_s: float) -> Choice:
        """An item came: this helper is to be sent it, in the order of decisions. Times never go back."""
        self.items += 1
        item = Item(size_bytes=size_bytes, complexity=complexity, deadline_s=self._terms.deadline_s)
        self._usual = self._usual.after(item)
        refused = Choice(number=self.items, name=None, turn=0)
        names = self.roster.names
        if not names:
            self.refused += 1
            return refused
        offer = make_offer(self._helpers(now_s), item, self._usual)
        row = self.roster.policy.choose(offer)
        self._decisions += 1
        self._predict(offer, row)
        full = row is not None and not self.has_room(names[row])
        if (row is None or full) and not self._terms.refuse:
            row, full = self._instead(offer), False
        if row is None or full:
            self.refused += 1
            if row is not None:
                self._give(_Sent(self.items, names[row], offer, names, now_s), happy=False)
            return refused
        known = self._known[names[row]]
        sent = _Sent(self.items, names[row], offer, names, now_s)
        assert known.turn is not None, "who is chosen is there"
        known.under_way += 1
        known.tally.sent += 1
        known.numbers.append(sent.number)
        known.backlog.send(sent.number, complexity, now_s, float(offer.transfer_s[row]))
        self._under_way[sent.number] = sent
        self._due.append(sent)
        return Choice(number=sent.number, name=sent.name, turn=known.turn)

    def has_room(self, name: DeviceId) -> bool:
        """Whether it may be sent an item more."""
        return self._known[name].under_way < self._terms.most

    def expire(self, now_s: float) -> None:
        """Items whose deadline has passed are late."""
        while self._due and (self._due[0].answered or self._due_s(self._due[0]) < now_s):
            sent = self._due.popleft()
            if not sent.answered:
                self._be_late(sent)

    @property
    def next_due_s(self) -> float | None:
        """When the next item would be late; None: all have their bits."""
        while self._due and self._due[0].answered:
            self._due.popleft()
        return self._due_s(self._due[0]) if self._due else None

    @property
    def under_way(self) -> int:
        """Items whose results are to come, late ones among them."""
        return len(self._under_way)

    def result(self, name: DeviceId, result: Result, now_s: float) -> float | None:
        """How long it took, when the result is to be delivered; else None."""
        self.hear(name, result.telemetry, now_s)
        sent = self._under_way.get(result.number)
        known = self._known[name]
        if sent is None or sent.name != name or result.turn != known.turn:
            self.discarded += 1
            return None
        del self._under_way[result.number]
        known.under_way -= 1
        known.backlog.back(result.number, now_s, done=result.error is None)
        if not sent.answered and now_s > self._due_s(sent):
            self._be_late(sent)
        if sent.answered:
            self.came_late += 1
            if result.error is None and self._terms.late == "deliver":
                return now_s - sent.at_s
            self.discarded += 1
            return None
        if result.error is not None:
            self.failed += 1
            known.tally.failed += 1
            self._give(sent, happy=False)
            return None
        self.met += 1
        known.tally.met += 1
        self._give(sent, happy=True)
        return now_s - sent.at_s

    # What others want to know

    def state(self) -> dict[str, Any]:
        """For `edgeray.learner.link.Link.backed_by`."""
        return {"number": self.bits, "helpers": list(self.roster.all), "state": self.roster.state() or {}}

    def told(self, now_s: float) -> dict[str, Any]:
        """Plain data (JSON), counted since the start. came_late: results after the bit; those that are not delivered, and
        those of lost items, are discarded."""
        return {
            "items": self.items,
            "met": self.met,
            "late": self.late,
            "refused": self.refused,
            "failed": self.failed,
            "lost": self.lost,
            "came_late": self.came_late,
            "discarded": self.discarded,
            "regret_proxy": self.regret_proxy,
            "helpers": {name: _told(known, now_s) for name, known in self._known.items()},
        }

    def _helpers(self, now_s: float) -> Helpers:
        there = [self._known[name] for name in self.roster.names]
        for known in there:
            known.believe(now_s)
        return Helpers(
            queue=_floats(known.queue for known in there),
            rate_per_s=_floats(known.speed_per_s for known in there),
            unseen=_floats(known.unseen for known in there),
            cpus=_floats(known.spec.cpus for known in there),
            bps=_floats(known.spec.bps for known in there),
            work=_floats(known.backlog.left(known.queue + known.unseen, now_s) for known in there),
        )

    def _predict(self, offer: Offer, row: int | None) -> None:
        probabilities = self.roster.policy.estimate(offer)
        if probabilities is None:
            return
        for name, probability in zip(self.roster.names, probabilities.tolist(), strict=True):
            self._known[name].probability = probability
        if row is not None:
            self.regret_proxy += float(probabilities.max() - probabilities[row])

    def _instead(self, offer: Offer) -> int:
        """Of those with room, whom the policy expects most of; then who would have it done first, or is least busy."""
        estimates = self.roster.policy.estimate(offer)
        expected = np.zeros(len(offer.queue)) if estimates is None else estimates
        done_s = np.nan_to_num(offer.predicted_s, nan=np.inf)
        rows = [row for row, name in enumerate(self.roster.names) if self.has_room(name)]
        return min(rows, key=lambda row: (-expected[row], done_s[row], offer.queue[row]))

    def _due_s(self, sent: _Sent) -> float:
        return sent.at_s + self._terms.deadline_s

    def _be_late(self, sent: _Sent) -> None:
        self.late += 1
        self._known[sent.name].tally.late += 1
        self._give(sent, happy=False)

    def _give(self, sent: _Sent, *, happy: bool) -> None:
        sent.answered = True
        self.roster.feedback(sent.name, sent.offer, sent.names, happy)
        self.bits += 1
        self._tell(
            Feedback(
                number=self.bits,
                helper=sent.name,
                offer=sent.offer,
                happy=happy,
                helpers=sent.names,
                decisions=min(self._decisions, MOST_DECISIONS),
            )
        )
        self._decisions = 0


def _told(known: _Known, now_s: float) -> dict[str, Any]:
    known.believe(now_s)
    return {
        "sent": known.tally.sent,
        "met": known.tally.met,
        "late": known.tally.late,
        "failed": known.tally.failed,
        "lost": known.tally.lost,
        "queue": 0 if known.turn is None else known.queue + known.unseen,
        "probability": known.probability,
        "away": known.turn is None,
    }


def _floats(values: Any) -> Floats:
    return np.fromiter(values, dtype=float)
