"""What one job's dispatcher has learned, by helper name, and how it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from edgeray.errors import BadInputError, FlowError
from edgeray.learner.messages import (
    MAX_DIMENSIONS,
    MAX_HELPERS,
    Feedback,
    alone,
    are_names,
    feedback_of,
    plain_feedback,
)
from policies.bandit.model import Dispatcher, Floats, Learning, Offer
from policies.bandit.registry import DISPATCHERS, make_dispatcher

KNOWN_HELPERS = 1000
"""Past so many, what was learned of helpers that the job no longer has is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """With which the same policy is made as the dispatcher's."""

    policy: str
    helpers: tuple[str, ...]
    dimensions: int
    seed: int

    @staticmethod
    def of(told: Mapping[str, Any]) -> About:
        """Out of plain values. Raises BadInputError."""
        policy, helpers = told.get("policy"), told.get("helpers")
        dimensions, seed = told.get("dimensions"), told.get("seed", 0)
        if policy not in DISPATCHERS:
            raise _bad(f"policy {policy!r:.50}", f"one of {', '.join(DISPATCHERS)}")
        if not isinstance(helpers, list | tuple) or not helpers or not are_names(helpers):
            raise _bad(f"helpers {helpers!r:.80}", f"1 to {MAX_HELPERS} names, no two alike")
        if type(dimensions) is not int or not 0 < dimensions <= MAX_DIMENSIONS:
            raise _bad(f"dimensions {dimensions!r:.50}", f"1 to {MAX_DIMENSIONS}")
        if type(seed) is not int or seed < 0:
            raise _bad(f"seed {seed!r:.50}", "a whole number from 0")
        return About(policy=policy, helpers=tuple(helpers), dimensions=dimensions, seed=seed)


def _bad(what: str, expected: str) -> BadInputError:
    return BadInputError(
        f"a job tells the learner of {what}\n  expected: {expected}\n  remedy:   use matching versions of EdgeRay"
    )


@dataclass(slots=True, kw_only=True)
class Arm:
    """What is known of one helper. estimate: how probable success was in the last offer that it was in."""

    seen: int = 0
    happy: int = 0
    estimate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A bit as it is learned from and lies on the disk: `told` has the row of its helper only.

    regret: the best estimate in its offer less its helper's, by what had been learned before; None: nothing is predicted.
    """

    told: Feedback
    regret: float | None

    def plain(self) -> dict[str, Any]:
        return {**plain_feedback(self.told), "regret": self.regret}

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Lesson:
        """Raises FlowError for what is none."""
        told = dict(plain)
        regret = told.pop("regret", None)
        if regret is not None and type(regret) is not float:
            raise FlowError(f"a regret cannot be {regret!r:.50}")
        return Lesson(told=feedback_of(told, number=1), regret=regret)


class Learned:
    """A copy of the policy that learns from the same bits. Helpers are known by name, also those that are away."""

    def __init__(self, about: About) -> None:
        self.about = about
        self.helpers = list(about.helpers)
        self.arms = {name: Arm() for name in self.helpers}
        self.items = self.happy = self.predicted = 0
        self.regret = 0.0
        self.empty = True  # nothing is learned yet
        self._use(self._made(len(self.helpers)))

    def learn(self, feedback: Feedback) -> Lesson:
        """Learn from one bit."""
        self._welcome(feedback.helpers)
        self._fits(feedback.offer)
        row = feedback.helpers.index(feedback.helper)
        estimates = self._estimates(feedback)
        regret = None
        if estimates is not None:
            regret = float(estimates.max() - estimates[row])
            for name, estimate in zip(feedback.helpers, estimates.tolist(), strict=True):
                self.arms[name].estimate = estimate
        told = replace(feedback, offer=alone(feedback.offer, row), helpers=(feedback.helper,))
        lesson = Lesson(told=told, regret=regret)
        self._take(lesson)
        return lesson

    def learn_again(self, lesson: Lesson) -> None:
        """What `learn` did, off the disk; of one that it `knows`."""
        self._take(lesson)

    def knows(self, lesson: Lesson) -> bool:
        """Whether a lesson is of this job: its helper, and as many features."""
        features = lesson.told.offer.features
        return lesson.told.helper in self.arms and features.shape == (1, self.about.dimensions)

    def state_for(self, helpers: Sequence[str]) -> dict[str, Any] | None:
        """The policy's state with these helpers in this order, what it never saw included; None: nothing is learned."""
        if self._learning is None or self.empty:
            return None
        known = {name: row for row, name in enumerate(self.helpers)}
        copy = self._made(len(self.helpers))
        assert isinstance(copy, Learning), "of the same name"
        copy.restore(self._learning.state())
        copy.resize([known.get(name) for name in helpers])
        return copy.state()

    def adopt(self, helpers: Sequence[str], state: Mapping[str, Any]) -> None:
        """Be as a dispatcher that lost less. Raises BadInputError when it is no state of this policy."""
        fresh = self._made(len(helpers))
        if isinstance(fresh, Learning):
            try:
                fresh.restore(state)
            except ValueError as error:
                raise _bad(f"a state: {error}", f"one of {self.about.policy}") from None
        self._use(fresh)
        self.empty = False
        self.helpers = list(helpers)
        self.arms = {name: self.arms.get(name, Arm()) for name in helpers}

    def accept(self, helpers: Sequence[str]) -> None:
        """The job has these helpers now. What is known of others stays, for they may come back."""
        if len(set(self.helpers) | set(helpers)) > KNOWN_HELPERS:
            known = {name: row for row, name in enumerate(self.helpers)}
            self._policy.resize([known.get(name) for name in helpers])
            self.helpers = list(helpers)
            self.arms = {name: self.arms.get(name, Arm()) for name in helpers}
        self._welcome(helpers)

    @property
    def estimates(self) -> dict[str, float]:
        """By helper, where one was made."""
        return {name: arm.estimate for name, arm in self.arms.items() if arm.estimate is not None}

    @estimates.setter
    def estimates(self, told: Mapping[str, float]) -> None:
        for name in told.keys() & self.arms.keys():
            self.arms[name].estimate = float(told[name])

    def view(self) -> dict[str, Any]:
        """For people. happy: the fraction. regret_proxy: sum of the regrets by the policy's own estimates."""
        return {
            "policy": self.about.policy,
            "items": self.items,
            "happy": self.happy / self.items if self.items else None,
            "regret_proxy": self.regret if self.predicted else None,
            "arms": {name: asdict(self.arms[name]) for name in self.helpers},
        }

    def plain(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {
            "about": asdict(self.about),
            "helpers": self.helpers,
            "arms": [asdict(self.arms[name]) for name in self.helpers],
            "empty": self.empty,
            "items": self.items,
            "happy": self.happy,
            "predicted": self.predicted,
            "regret": self.regret,
            "state": None if self._learning is None else self._learning.state(),
        }

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Learned:
        """Raises BadInputError, ValueError, KeyError or TypeError for what is none."""
        learned = Learned(About.of(plain["about"]))
        helpers = list(plain["helpers"])
        if not are_names(helpers):
            raise ValueError(f"helpers cannot be {helpers!r:.80}")
        learned.adopt(helpers, plain["state"] or {})
        learned.arms = {name: Arm(**arm) for name, arm in zip(helpers, plain["arms"], strict=True)}
        learned.empty = bool(plain["empty"])
        learned.items, learned.happy = int(plain["items"]), int(plain["happy"])
        learned.predicted, learned.regret = int(plain["predicted"]), float(plain["regret"])
        return learned

    def _take(self, lesson: Lesson) -> None:
        told = lesson.told
        if self._learning is not None:
            for _ in range(told.decisions):
                self._learning.decided()
        row = self.helpers.index(told.helper)
        self._policy.feedback(row, _spread(told.offer, len(self.helpers)), told.happy)
        arm = self.arms[told.helper]
        arm.seen += 1
        arm.happy += told.happy
        self.empty = False
        self.items += 1
        self.happy += told.happy
        if lesson.regret is not None:
            self.regret += lesson.regret
            self.predicted += 1

    def _estimates(self, feedback: Feedback) -> Floats | None:
        """Shape (N,), in the order of its offer."""
        if list(feedback.helpers) == self.helpers:
            return self._policy.estimate(feedback.offer)
        row_of = {name: row for row, name in enumerate(feedback.helpers)}
        rows = [
            row_of.get(name, 0) for name in self.helpers
        ]  # any row for those who are away: it is not asked for
        estimates = self._policy.estimate(_rows(feedback.offer, rows))
        if estimates is None:
            return None
        mine = {name: row for row, name in enumerate(self.helpers)}
        found: Floats = estimates[[mine[name] for name in feedback.helpers]]
        return found

    def _welcome(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self.arms]
        if not new:
            return
        if len(self.helpers) + len(new) > MAX_HELPERS:
            raise FlowError(f"a job with more than {MAX_HELPERS} helpers")
        self._policy.resize([*range(len(self.helpers)), *(None for _ in new)])
        self.helpers += new
        self.arms |= {name: Arm() for name in new}

    def _fits(self, offer: Offer) -> None:
        if offer.features.shape[1] != self.about.dimensions:
            raise FlowError(
                f"an offer with {offer.features.shape[1]} features, expected {self.about.dimensions}"
            )

    def _use(self, policy: Dispatcher) -> None:
        self._policy = policy
        self._learning = policy if isinstance(policy, Learning) else None

    def _made(self, helpers: int) -> Dispatcher:
        rng = np.random.default_rng(self.about.seed)
        return make_dispatcher(self.about.policy, helpers, self.about.dimensions, rng)


def _spread(one: Offer, helpers: int) -> Offer:
    """The one helper's row for each of so many: whichever learns has it as its own."""
    return Offer(
        features=np.broadcast_to(one.features, (helpers, one.features.shape[1])),
        queue=np.broadcast_to(one.queue, helpers),
        predicted_s=np.broadcast_to(one.predicted_s, helpers),
        transfer_s=np.broadcast_to(one.transfer_s, helpers),
        deadline_s=one.deadline_s,
        size=one.size,
        complexity=one.complexity,
    )


def _rows(offer: Offer, rows: list[int]) -> Offer:
    """Its rows in another order."""
    return replace(
        offer,
        features=offer.features[rows],
        queue=offer.queue[rows],
        predicted_s=offer.predicted_s[rows],
        transfer_s=offer.transfer_s[rows],
    )
