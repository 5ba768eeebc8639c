"""Dispatchers that learn nothing: in turn, by queue, by expected delay. What is not known (NaN) goes last."""

from __future__ import annotations

import numpy as np

from policies.bandit.model import Floats, Offer


class _Plain:
    def __init__(self, helpers: int) -> None:
        self._helpers = helpers

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        """Nothing is learned."""

    def resize(self, kept: list[int | None]) -> None:
        self._helpers = len(kept)

    def estimate(self, offer: Offer) -> Floats | None:
        """Nothing is predicted."""
        return None


class RoundRobin(_Plain):
    """Helpers in turn, whatever state they are in."""

    name = "round-robin"

    def __init__(self, helpers: int) -> None:
        super().__init__(helpers)
        self._next = 0

    def choose(self, offer: Offer) -> int | None:
        chosen = self._next % self._helpers
        self._next = chosen + 1
        return chosen


class PowerOfTwo(_Plain):
    """The shorter queue of two helpers that are drawn (Mitzenmacher 2001)."""

    name = "p2c"

    def __init__(self, helpers: int, rng: np.random.Generator) -> None:
        super().__init__(helpers)
        self._rng = rng

    def choose(self, offer: Offer) -> int | None:
        if self._helpers == 1:
            return 0
        one, other = self._rng.choice(self._helpers, 2, replace=False).tolist()
        queue = _known(offer.queue)
        return int(other if queue[other] < queue[one] else one)


class ShortestQueue(_Plain):
    """The shortest queue (JSQ), ties to the smallest number."""

    name = "jsq"

    def choose(self, offer: Offer) -> int | None:
        return int(_known(offer.queue).argmin())


class ShortestDelay(_Plain):
    """The shortest expected delay (SED), by what is known of queues, work and links."""

    name = "sed"

    def choose(self, offer: Offer) -> int | None:
        return int(_known(offer.predicted_s).argmin())


def _known(values: Floats) -> Floats:
    return np.nan_to_num(values, nan=np.inf, posinf=np.inf)
