"""TOOF: task offloading with one-bit feedback, its greedy form, and the rule that knows the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from policies.bandit import saved
from policies.bandit.ecolog import sigmoids
from policies.bandit.estimates import Estimates
from policies.bandit.model import Floats, Offer, clean


class Toof:
    """argmax x_n . theta_n + sqrt(gamma) ||x_n|| in the inverse of Z_n; only the chosen helper learns.

    Source: Zhu, Jin, Yang, Luo, "Time reliable task offloading with one-bit feedback" (TOOF); one OL2M estimator a
    helper, eta = 1.
    radius_rule "theory": the paper's gamma, with delta / N for N helpers: almost pure exploration. "practical" (default):
    gamma = c * the sum of log det Z_m / det Z_m(1) over all helpers: with its own alone, a helper that was never
    tried has no width and never is. Ties go to the smallest number. O(N d^2) a decision.
    """

    name = "toof"

    def __init__(
        self,
        helpers: int,
        dimensions: int,
        *,
        radius_rule: Literal["practical", "theory"] = "practical",
        c: float = 0.03,
        ridge: float = 3.0,
        radius: float = 1.0,
        delta: float = 0.05,
    ) -> None:
        self.estimates = Estimates(helpers, dimensions, radius=radius, ridge=ridge)
        self._radius_rule = radius_rule
        self._c = c
        self._delta = delta
        self._decisions = 0

    def choose(self, offer: Offer) -> int | None:
        x = clean(offer.features)
        self.decided()
        gamma = self._gamma()
        return int((self.estimates.scores(x) + np.sqrt(gamma) * self.estimates.widths(x)).argmax())

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        self.estimates.update(helper, clean(offer.features[helper : helper + 1])[0], 1 if happy else -1)

    def estimate(self, offer: Offer) -> Floats | None:
        return sigmoids(self.estimates.scores(clean(offer.features)))

    def decided(self) -> None:
        self._decisions += 1

    def resize(self, kept: list[int | None]) -> None:
        self.estimates.resize(kept)

    def state(self) -> dict[str, Any]:
        return {"estimates": self.estimates.state(), "decisions": self._decisions}

    def restore(self, state: Mapping[str, Any]) -> None:
        restored = Estimates.restore(saved.part(state, "estimates"))
        decisions = saved.count(state, "decisions")
        saved.same_shape(self.estimates.theta, restored.theta)
        self.estimates, self._decisions = restored, decisions

    def _gamma(self) -> Floats | float:
        if self._radius_rule == "practical":
            return self._c * float(self.estimates.log_det.sum())
        return theory_gamma(
            self.estimates.log_det,
            updates=self.estimates.updates,
            radius=self.estimates.radius,
            ridge=self.estimates.ridge,
            delta=self._delta / len(self.estimates.log_det),
        )


class Greedy(Toof):
    """The same rule with Z frozen at its start: every element of theta is learned at the same pace."""

    name = "greedy"

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        x = clean(offer.features[helper : helper + 1])[0]
        y = 1 if happy else -1
        estimates = self.estimates
        gradient = -y / (1 + math.exp(y * float(x @ estimates.theta[helper])))
        moved = estimates.theta[helper] - gradient * x / estimates.ridge
        length = float(np.sqrt(moved @ moved))  # Z is a multiple of the identity: nearest is along the radius
        estimates.theta[helper] = moved * min(1.0, estimates.radius / length) if length else moved


class Optimal:
    """Knows theta, shape (N, d): for simulations only."""

    name = "optimal"

    def __init__(self, theta: Floats) -> None:
        self._theta = theta

    def choose(self, offer: Offer) -> int | None:
        return int(np.einsum("nd,nd->n", clean(offer.features), self._theta).argmax())

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        """Nothing is left to learn."""

    def resize(self, kept: list[int | None]) -> None:
        """Raises ValueError for new helpers: their theta is not known."""
        if None in kept:
            raise ValueError("optimal knows nothing of new helpers")
        self._theta = self._theta[[old for old in kept if old is not None]]

    def estimate(self, offer: Offer) -> Floats | None:
        return sigmoids(np.einsum("nd,nd->n", clean(offer.features), self._theta))


def theory_gamma(
    log_det: Floats,
    *,
    updates: Floats | np.ndarray[Any, Any],
    radius: float,
    ridge: float,
    delta: float,
    eta: float = 1.0,
) -> Floats:
    """Shape (N,): the squared radius of the paper's confidence region (Proposition 1), for t >= 2 updates.

    2 eta (4R + (4/beta + 8R/3) tau + log(det) / beta) + max(lambda, eta beta / 2) R^2, with
    tau = log(2 ceil(2 log2 t) t^2 / delta).
    """
    beta = 1 / (2 * (1 + np.exp(radius)))
    t = np.maximum(updates, 2)
    tau = np.log(2 * np.ceil(2 * np.log2(t)) * t**2.0 / delta)
    gamma: Floats = (
        2 * eta * (4 * radius + (4 / beta + 8 * radius / 3) * tau + log_det / beta)
        + max(ridge, eta * beta / 2) * radius**2
    )
    return gamma
