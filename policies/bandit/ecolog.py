"""Logistic bandits with exact implicit updates, helpers that drift, and old bits that fade.

ECOLog: Faury, Abeille, Jun, Calauzenes, "Jointly efficient and optimal algorithms for logistic bandits", AISTATS
2022: theta - s Z^-1 x where s solves the logistic loss's stationarity exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from policies.bandit import saved
from policies.bandit.model import Bools, Floats, norms

ALARM, WARM_UP = 9.0, 20
"""The CUSUM statistic that counts as a change, after so many bits of a helper."""
PULL = 0.3
"""How much of what was learned of the others stays when one of them changed: they may have, too."""
FADE_EVERY = 50
_NEWTON_STEPS = 30


class Ecolog:
    """N estimators in d dimensions. P(happy) = sigma(offset + x . theta).

    ridge: lambda, of the prior. keep: rho, of what is known after each decision; 1: nothing fades. What fades is
    the mean, too, and not the certainty alone. theta: shape (N, d); Z, inverse: shape (N, d, d).
    """

    def __init__(self, helpers: int, dimensions: int, *, ridge: float = 0.1, keep: float = 1.0) -> None:
        self.ridge, self.keep = ridge, keep
        self.theta = np.zeros((helpers, dimensions))
        self.Z = np.tile(ridge * np.eye(dimensions), (helpers, 1, 1))
        self.inverse = np.tile(np.eye(dimensions) / ridge, (helpers, 1, 1))
        self.seen = np.zeros(helpers, dtype=np.int64)
        self.rise, self.fall = np.zeros(helpers), np.zeros(helpers)
        self.alarms = np.zeros(helpers, dtype=np.int64)
        self._since = 0

    def scores(self, x: Floats) -> Floats:
        """Shape (N,): x_n . theta_n."""
        scores: Floats = np.einsum("nd,nd->n", x, self.theta)
        return scores

    def widths(self, x: Floats) -> Floats:
        """Shape (N,): ||x_n|| in the norm of the inverse of Z_n."""
        return norms(x, self.inverse)

    def decided(self) -> None:
        """Another decision was made: what is known fades a little. Done for FADE_EVERY of them at a time."""
        self._since += 1
        if self.keep < 1 and self._since >= FADE_EVERY:
            self.fade(np.ones(len(self.theta), dtype=np.bool_), self.keep**self._since)
            self._since = 0

    def update(self, helper: int, x: Floats, happy: bool, offset: float = 0.0) -> bool:
        """One item with features x, shape (d,), came back. True: the helper is not what it was, and starts anew."""
        inverse, theta, y = self.inverse[helper], self.theta[helper], float(happy)
        u = inverse @ x
        q, z0 = float(x @ u), offset + float(x @ theta)
        if self._changed(helper, z0 / math.sqrt(1 + math.pi * q / 8), happy):
            self._restart(helper)
            return True
        theta -= implicit_step(z0, q, y) * u
        p = sigmoid(offset + float(x @ theta))
        w = p * (1 - p)
        self.Z[helper] += w * x[:, None] * x
        inverse -= (w / (1 + w * q)) * u[:, None] * u
        self.seen[helper] += 1
        return False

    def fade(self, which: Bools, r: float) -> None:
        """Keep a part r of what is known of these helpers: r Z + (1 - r) lambda I, and of theta what Z keeps of it."""
        rows = np.flatnonzero(which)
        b = r * np.einsum("nde,ne->nd", self.Z[rows], self.theta[rows])
        self.Z[rows] = r * self.Z[rows] + (1 - r) * self.ridge * np.eye(self.theta.shape[1])
        self.inverse[rows] = np.linalg.inv(self.Z[rows])
        self.theta[rows] = np.einsum("nde,ne->nd", self.inverse[rows], b)

    def resize(self, kept: list[int | None]) -> None:
        """Helper i is what helper kept[i] was; None: nothing is known of it."""
        fresh = Ecolog(len(kept), self.theta.shape[1], ridge=self.ridge, keep=self.keep)
        for name in _STATE:
            for new, old in enumerate(kept):
                if old is not None:
                    getattr(fresh, name)[new] = getattr(self, name)[old]
            setattr(self, name, getattr(fresh, name))

    def state(self) -> dict[str, Any]:
        """All that was learned, as plain lists (JSON)."""
        return {"ridge": self.ridge, "keep": self.keep, "since": self._since} | {
            name: getattr(self, name).tolist() for name in _STATE
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Ecolog:
        """Raises ValueError for what is no such state, or when shapes do not go together."""
        ridge, keep = saved.positive(state, "ridge"), saved.positive(state, "keep")
        made = cls(*saved.theta(state).shape, ridge=ridge, keep=keep)
        made._since = saved.count(state, "since")
        saved.put_back(made, state, _STATE)
        return made

    def _changed(self, helper: int, z: float, happy: bool) -> bool:
        """CUSUM on the log-likelihood ratios of z + 1 and z - 1 against z, of this bit."""
        sign = 1.0 if happy else -1.0
        base = log_sigmoid(sign * z)
        rise = self.rise[helper] = max(0.0, self.rise[helper] + log_sigmoid(sign * (z + 1)) - base)
        fall = self.fall[helper] = max(0.0, self.fall[helper] + log_sigmoid(sign * (z - 1)) - base)
        return bool(self.seen[helper] >= WARM_UP and max(rise, fall) > ALARM)

    def _restart(self, helper: int) -> None:
        others = np.ones(len(self.theta), dtype=np.bool_)
        others[helper] = False
        self.fade(others, PULL)
        d = self.theta.shape[1]
        self.theta[helper], self.seen[helper] = 0.0, 0
        self.Z[helper], self.inverse[helper] = self.ridge * np.eye(d), np.eye(d) / self.ridge
        self.rise[helper] = self.fall[helper] = 0.0
        self.alarms[helper] += 1


_STATE = ("theta", "Z", "inverse", "seen", "rise", "fall", "alarms")


def implicit_step(z0: float, q: float, y: float) -> float:
    """s with s = sigma(z0 - s q) - y, by Newton, kept between its ends; y in {0, 1}."""
    low, high = (0.0, 1.0) if y == 0 else (-1.0, 0.0)
    s = sigmoid(z0) - y
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(z0 - s * q)
        error = s - p + y
        if error > 0:
            high = s
        else:
            low = s
        step = error / (1 + q * p * (1 - p))
        if abs(step) < 1e-14:
            break
        s -= step
        if not low < s < high:
            s = (low + high) / 2
    return s


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def sigmoids(z: Floats) -> Floats:
    """Of each: what `sigmoid` is of one."""
    e = np.exp(-np.abs(z))
    found: Floats = np.where(z >= 0, 1.0, e) / (1 + e)
    return found


def log_sigmoid(z: float) -> float:
    return -math.log1p(math.exp(-z)) if z >= 0 else z - math.log1p(math.exp(z))
