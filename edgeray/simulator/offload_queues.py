"""Which helper gets an item, simulated: helpers with queues, deadlines, and telemetry that is old or does not tell all.

Each helper has a link of its own and then does one item after the other, first come first served. Its dispatcher is asked
with the very `Offer` of a live job. The bit of an item: whether its result came by the deadline, given then or at
the deadline; of an item that failed, unhappy, as soon as it failed.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf, nan
from typing import Protocol

import numpy as np

from edgeray.offload.speed import Speed
from edgeray.simulator.offload import (
    CLAIRVOYANT,
    QUEUE_POLICIES,
    OffloadRun,
    PaperOffload,
    check_policy,
    curve_of,
    learner,
)
from policies.bandit.backlog import Backlog
from policies.bandit.model import Floats, Offer
from policies.bandit.offers import FEATURES, Helpers, Item, Usual, make_offer, sent_since


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """What a seed draws. rate_per_s: shape (N,), units of work; the fastest is the one that something happens to.

    arrives_s, work, complexity, size_bytes: shape (items,). complexity: what the work is said to be.
    """

    rate_per_s: Floats
    arrives_s: Floats
    work: Floats
    complexity: Floats
    size_bytes: Floats

    @property
    def fastest(self) -> int:
        return int(self.rate_per_s.argmax())


@dataclass(slots=True)
class _Helper:
    """arrived_s, left_s: of the items sent to it, in order; sent_s: when they were sent."""

    rate_per_s: float
    link_bps: float
    sent_s: list[float] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    throttle: float = 1.0
    fail_s: float | None = None
    changes_s: float = inf
    backlog: Backlog = field(default_factory=Backlog)
    speed: Speed = field(default_factory=Speed)
    told_per_s: list[float] = field(default_factory=list)

    def outlook(self, now_s: float, work: float, size_bytes: float) -> tuple[float, float, bool]:
        """When an item sent now would arrive, when it would be done or have failed, and whether it will fail."""
        link_free_s = self.arrived_s[-1] if self.arrived_s else 0.0
        arrives_s = max(now_s, link_free_s) + size_bytes * 8 / self.link_bps
        starts_s = max(arrives_s, self.left_s[-1] if self.left_s else 0.0)
        if self.fail_s is not None and starts_s >= self.changes_s:
            return arrives_s, starts_s + self.fail_s, True
        return arrives_s, self._done_s(starts_s, work), False

    def send(self, now_s: float, work: float, item: Item) -> tuple[float, bool]:
        """When it will have done this item, or have failed, and whether it will fail."""
        arrives_s, left_s, fails = self.outlook(now_s, work, item.size_bytes)
        starts_s = max(arrives_s, self.left_s[-1] if self.left_s else 0.0)
        if not fails:
            self.speed.add(left_s - starts_s, item.complexity)
        self.sent_s.append(now_s)
        self.arrived_s.append(arrives_s)
        self.left_s.append(left_s)
        self.told_per_s.append(nan if self.speed.per_s is None else self.speed.per_s)
        self.backlog.send(len(self.sent_s), item.complexity, now_s, item.size_bytes * 8 / self.link_bps)
        return left_s, fails

    def told_at(self, at_s: float) -> float:
        """How fast it says to have been with its last items, at that time."""
        done = bisect_right(self.left_s, at_s)
        return self.told_per_s[done - 1] if done else nan

    def queue_at(self, at_s: float) -> int:
        return bisect_right(self.arrived_s, at_s) - bisect_right(self.left_s, at_s)

    def grown(self, told_s: float, now_s: float, *, returns: bool) -> int:
        """`policies.bandit.offers.unseen`, of lists that know the future."""
        back = bisect_right(self.left_s, now_s) - bisect_right(self.left_s, told_s)
        return sent_since(self.sent_s, told_s) - (back if returns else 0)

    def _done_s(self, starts_s: float, work: float) -> float:
        before = max(0.0, self.changes_s - starts_s) * self.rate_per_s
        if work <= before:
            return starts_s + work / self.rate_per_s
        slower = self.rate_per_s * self.throttle
        return (
            max(starts_s, self.changes_s) + (work - before) / slower if before else starts_s + work / slower
        )


class _Chooser(Protocol):
    def choose(self, offer: Offer) -> int | None: ...

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None: ...


class _Clairvoyant:
    """Knows when each helper would be done, and sends nothing that would be late: greedy, hence no bound."""

    def __init__(self) -> None:
        self.done_s: Floats = np.empty(0)
        self.due_s = 0.0

    def choose(self, offer: Offer) -> int | None:
        best = int(self.done_s.argmin())
        return best if self.done_s[best] <= self.due_s else None

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        """Nothing is left to learn."""


def drawn_yard(settings: PaperOffload, items: int, seed: int) -> Yard:
    """Helpers' rates are spread evenly on a logarithmic scale; arrivals are Poisson; work and bytes are drawn apart."""
    rng, rng_of_jitter = np.random.default_rng([seed, 3]), np.random.default_rng([seed, 4])
    places = np.linspace(-0.5, 0.5, settings.helpers) if settings.helpers > 1 else np.zeros(1)
    rate_per_s = settings.rate_per_s * settings.spread ** rng.permutation(places)
    work = settings.work_spread ** rng.uniform(-0.5, 0.5, items)
    work /= _mean_of_spread(settings.work_spread)
    surprise = np.exp(settings.jitter * rng_of_jitter.normal(size=items) - settings.jitter**2 / 2)
    gap_s = 1 / (settings.load * float(rate_per_s.sum()))
    return Yard(
        rate_per_s=rate_per_s,
        arrives_s=np.cumsum(np.full(items, gap_s) if settings.paced else rng.exponential(gap_s, items)),
        work=work * surprise,
        complexity=work,
        size_bytes=settings.item_bytes * rng.uniform(0.5, 1.5, items),
    )


def simulate_queues(settings: PaperOffload, policy: str, items: int, seed: int) -> OffloadRun:
    """One policy's run. Regret is what the clairvoyant meets of the same items beyond what this policy does."""
    check_policy(policy, QUEUE_POLICIES)
    best = _Course(settings, CLAIRVOYANT, items, seed).run()
    found = best if policy == CLAIRVOYANT else _Course(settings, policy, items, seed).run()
    happy, ideal = found.happy, best.happy
    regret = ideal.astype(np.float64) - happy.astype(np.float64)
    reward = np.where(happy, 1.0, -1.0)
    return OffloadRun(
        policy=policy,
        seed=seed,
        items=items,
        regret=float(regret.mean()),
        reward=float(reward.mean()),
        met=float(happy.mean()),
        refused=found.refused,
        late=found.late,
        failed=found.failed,
        sent=tuple(len(helper.sent_s) for helper in found.helpers),
        curve=curve_of(regret, reward),
    )


class _Course:
    """One run, item by item. happy: shape (items,)."""

    def __init__(self, settings: PaperOffload, policy: str, items: int, seed: int) -> None:
        self._settings = settings
        self._yard = drawn_yard(settings, items, seed)
        self._chooser: _Chooser = (
            _Clairvoyant()
            if policy == CLAIRVOYANT
            else learner(policy, settings, FEATURES, np.random.default_rng([seed, 2]), QUEUE_POLICIES)
        )
        self.helpers = [_Helper(float(rate), settings.link_bps) for rate in self._yard.rate_per_s]
        self._disturb()
        self.happy = np.zeros(items, dtype=np.bool_)
        self.refused = self.late = self.failed = 0
        self._bits: list[tuple[float, int, int, Offer, bool]] = []
        self._backs: list[tuple[float, int, int, bool]] = []

    def run(self) -> _Course:
        usual, yard = Usual(), self._yard
        columns = [array.tolist() for array in (yard.arrives_s, yard.work, yard.complexity, yard.size_bytes)]
        for number, (now_s, work, complexity, size_bytes) in enumerate(zip(*columns, strict=True)):
            self._give_back(now_s)
            self._give_bits(now_s)
            item = Item(size_bytes=size_bytes, complexity=complexity, deadline_s=self._settings.deadline_s)
            usual = usual.after(item)
            offer = make_offer(self._known(now_s), item, usual)
            if isinstance(self._chooser, _Clairvoyant):
                self._foretell(self._chooser, now_s, work, item)
            chosen = self._chooser.choose(offer)
            if chosen is None:
                self.refused += 1
            else:
                self._send(number, chosen, now_s, work, item, offer)
        return self

    def _send(self, number: int, chosen: int, now_s: float, work: float, item: Item, offer: Offer) -> None:
        helper = self.helpers[chosen]
        left_s, fails = helper.send(now_s, work, item)
        heappush(self._backs, (left_s, chosen, len(helper.sent_s), fails))
        due_s = now_s + item.deadline_s
        happy = left_s <= due_s and not fails
        self.happy[number] = happy
        self.failed += fails
        self.late += not happy and not fails
        heappush(self._bits, (min(left_s, due_s), number, chosen, offer, happy))

    def _give_back(self, now_s: float) -> None:
        while self._backs and self._backs[0][0] <= now_s:
            left_s, helper, number, fails = heappop(self._backs)
            self.helpers[helper].backlog.back(number, left_s, done=not fails)

    def _give_bits(self, now_s: float) -> None:
        while self._bits and self._bits[0][0] <= now_s:
            _, _, helper, offer, happy = heappop(self._bits)
            self._chooser.feedback(helper, offer, happy)

    def _known(self, now_s: float) -> Helpers:
        """What helpers told at the last of their times that has been heard; at first, that they are idle.

        They tell what they are meant to do a second, and the throttled one does not know of it; or what they measured,
        of which failed items are no part. What the dispatcher measures itself goes before.
        """
        settings = self._settings
        delay_s = settings.stale_s if settings.situation == "stale" else settings.delay_s
        rounds = (now_s - delay_s) // settings.telemetry_s
        told_s = rounds * settings.telemetry_s if rounds >= 0 else -1.0
        queue = np.array([float(helper.queue_at(told_s)) for helper in self.helpers])
        unseen = np.array([float(h.grown(told_s, now_s, returns=settings.returns)) for h in self.helpers])
        rate_per_s, work = self._yard.rate_per_s, np.full(len(self.helpers), nan)
        if settings.measured:
            rate_per_s = np.array([helper.told_at(told_s) for helper in self.helpers])
        if settings.own:
            own = np.array([helper.backlog.rate_per_s for helper in self.helpers])
            rate_per_s = np.where(np.isnan(own), rate_per_s, own)
            there = (queue + unseen).tolist()
            work = np.array([h.backlog.left(q, now_s) for h, q in zip(self.helpers, there, strict=True)])
        return Helpers(
            queue=queue,
            rate_per_s=rate_per_s,
            unseen=unseen,
            cpus=self._yard.rate_per_s / settings.rate_per_s,
            bps=np.full(len(self.helpers), settings.link_bps),
            work=work,
        )

    def _foretell(self, chooser: _Clairvoyant, now_s: float, work: float, item: Item) -> None:
        outlooks = [helper.outlook(now_s, work, item.size_bytes) for helper in self.helpers]
        chooser.done_s = np.array([inf if fails else done_s for _, done_s, fails in outlooks])
        chooser.due_s = now_s + item.deadline_s

    def _disturb(self) -> None:
        yard, settings = self._yard, self._settings
        if settings.situation not in ("throttled", "fails-fast"):
            return
        target = self.helpers[yard.fastest]
        target.changes_s = settings.from_part * float(yard.arrives_s[-1])
        if settings.situation == "throttled":
            target.throttle = settings.throttle
        else:
            target.fail_s = settings.fail_s


def _mean_of_spread(spread: float) -> float:
    """Of spread^u, u uniform in -.5 ... .5: (sqrt(spread) - 1 / sqrt(spread)) / ln(spread)."""
    if spread == 1:
        return 1.0
    root = float(np.sqrt(spread))
    return (root - 1 / root) / float(np.log(spread))
