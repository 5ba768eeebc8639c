"""Dispatchers that learn beyond TOOF: the same features with sharper estimates, and a queue model that is corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from policies.bandit import saved
from policies.bandit.ecolog import Ecolog, sigmoids
from policies.bandit.model import Floats, Offer, clean

PRIOR_SLOPE = 8.0
"""Prior logit per log(deadline / predicted): a tenth more time gives odds of 2 to 1. The specification's is 3: its queues
are counted in items, ours in work, and predictions are the sharper for it."""
CLIP = 2.0
_FEATURES = 6


class EcologUcb:
    """argmax x_n . theta_n + c ||x_n|| in the inverse of Z_n, on TOOF's features: less regret where bits are sharp."""

    name = "ecolog"

    def __init__(self, helpers: int, dimensions: int, *, c: float = 1.0, ridge: float = 0.1) -> None:
        self.estimates = Ecolog(helpers, dimensions, ridge=ridge)
        self._c = c

    def choose(self, offer: Offer) -> int | None:
        x = clean(offer.features)
        self.decided()
        return int((self.estimates.scores(x) + self._c * self.estimates.widths(x)).argmax())

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        self.estimates.update(helper, clean(offer.features[helper : helper + 1])[0], happy)

    def estimate(self, offer: Offer) -> Floats | None:
        return sigmoids(self.estimates.scores(clean(offer.features)))

    def decided(self) -> None:
        self.estimates.decided()

    def resize(self, kept: list[int | None]) -> None:
        self.estimates.resize(kept)

    def state(self) -> dict[str, Any]:
        return {"estimates": self.estimates.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        restored = Ecolog.restore(saved.part(state, "estimates"))
        saved.same_shape(self.estimates.theta, restored.theta)
        self.estimates = restored


class Hybrid:
    """What queues and work predict, plus what was learned of where that is wrong; items that would be late are refused.

    Ours (spec): features [1, z1, queue / 5 - .5, size - 1, complexity - 1, transfer / deadline] with
    z1 = log(deadline / predicted) within +-2, prior logit PRIOR_SLOPE z1 and a learned residual (Ecolog) on top. The
    helper of the largest optimistic logit, unless its own probability of being in time is below admit: then None.
    ridge: the specification's is .3, by which a few surprises, where times vary or while rates are not known yet, keep
    a good helper out for long.
    """

    name = "hybrid"

    def __init__(
        self,
        helpers: int,
        *,
        c: float = 0.5,
        ridge: float = 3.0,
        keep: float = 0.9995,
        admit: float = 0.4,
    ) -> None:
        self.estimates = Ecolog(helpers, _FEATURES, ridge=ridge, keep=keep)
        self._c = c
        self._admit_logit = float(np.log(admit / (1 - admit))) if admit > 0 else -np.inf

    def choose(self, offer: Offer) -> int | None:
        x, offset = features(offer)
        self.decided()
        logits = offset + self.estimates.scores(x)
        best = int((logits + self._c * self.estimates.widths(x)).argmax())
        return best if logits[best] >= self._admit_logit else None

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        x, offset = features(offer)
        self.estimates.update(helper, x[helper], happy, float(offset[helper]))

    def estimate(self, offer: Offer) -> Floats | None:
        x, offset = features(offer)
        return sigmoids(offset + self.estimates.scores(x))

    def decided(self) -> None:
        self.estimates.decided()

    def resize(self, kept: list[int | None]) -> None:
        self.estimates.resize(kept)

    def state(self) -> dict[str, Any]:
        return {"estimates": self.estimates.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        restored = Ecolog.restore(saved.part(state, "estimates"))
        saved.same_shape(self.estimates.theta, restored.theta)
        self.estimates = restored


def features(offer: Offer) -> tuple[Floats, Floats]:
    """Shape (N, 6), and the prior logits, shape (N,). What telemetry does not know counts as the mean."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z1 = np.minimum(np.maximum(np.log(offer.deadline_s / offer.predicted_s), -CLIP), CLIP)
    x = np.empty((len(z1), _FEATURES))
    x[:, 0] = 1.0
    x[:, 1] = z1
    x[:, 2] = offer.queue / 5 - 0.5
    x[:, 3] = offer.size - 1
    x[:, 4] = offer.complexity - 1
    x[:, 5] = offer.transfer_s / offer.deadline_s
    if not math.isfinite(x.sum()):
        x = np.nan_to_num(x, nan=0.0, posinf=CLIP, neginf=-CLIP)
    return x, PRIOR_SLOPE * x[:, 1]
