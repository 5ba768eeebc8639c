"""One estimator a helper: online stochastic linear optimisation under one-bit feedback (OL2M), rank-one updates.

Source: Zhang, Yang, Jin, Xiao, Zhou, "Online stochastic linear optimization under one-bit feedback", ICML 2016.
P(y = +-1 | x) = 1 / (1 + exp(-y x.theta)), with ||x|| <= 1 and ||theta|| <= R.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from policies.bandit import saved
from policies.bandit.model import Floats, norms

_NEWTON_STEPS = 50
_INSIDE = 1 + 1e-12


class Estimates:
    """theta: shape (N, d). Z, inverse: shape (N, d, d). log_det: shape (N,), of Z over that of its start."""

    def __init__(self, helpers: int, dimensions: int, *, radius: float = 1.0, ridge: float = 1.0) -> None:
        self.radius, self.ridge = radius, ridge
        self.beta = 1 / (2 * (1 + np.exp(radius)))
        self.theta = np.zeros((helpers, dimensions))
        self.Z = np.tile(ridge * np.eye(dimensions), (helpers, 1, 1))
        self.inverse = np.tile(np.eye(dimensions) / ridge, (helpers, 1, 1))
        self.log_det = np.zeros(helpers)
        self.updates = np.zeros(helpers, dtype=np.int64)

    def scores(self, x: Floats) -> Floats:
        """Shape (N,): x_n . theta_n."""
        scores: Floats = np.einsum("nd,nd->n", x, self.theta)
        return scores

    def widths(self, x: Floats) -> Floats:
        """Shape (N,): ||x_n|| in the norm of the inverse of Z_n."""
        return norms(x, self.inverse)

    def update(self, helper: int, x: Floats, y: int) -> None:
        """One item of this helper with features x, shape (d,), came to y: +1 or -1. O(d^2), O(d^3) at the border."""
        inverse, theta = self.inverse[helper], self.theta[helper]
        u = inverse @ x
        w = self.beta / 2  # eta = 1
        k = 1 + w * float(x @ u)
        gradient = -y / (1 + math.exp(y * float(x @ theta)))
        self.Z[helper] += w * x[:, None] * x
        inverse -= (w / k) * u[:, None] * u
        self.log_det[helper] += math.log(k)
        self.updates[helper] += 1
        moved = theta - (gradient / k) * u
        if moved @ moved > (self.radius * _INSIDE) ** 2:
            moved = projected(moved, self.Z[helper], self.radius)
        self.theta[helper] = moved

    def resize(self, kept: list[int | None]) -> None:
        """Helper i is what helper kept[i] was; None: nothing is known of it."""
        fresh = Estimates(len(kept), self.theta.shape[1], radius=self.radius, ridge=self.ridge)
        for mine, theirs in _arrays(fresh, self):
            for new, old in enumerate(kept):
                if old is not None:
                    mine[new] = theirs[old]
        for name in _STATE:
            setattr(self, name, getattr(fresh, name))

    def state(self) -> dict[str, Any]:
        """All that was learned, as plain lists (JSON); `restore` takes it back."""
        return {"radius": self.radius, "ridge": self.ridge} | {
            name: getattr(self, name).tolist() for name in _STATE
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Estimates:
        """Raises ValueError for what is no such state, or when shapes do not go together."""
        radius, ridge = saved.positive(state, "radius"), saved.positive(state, "ridge")
        made = cls(*saved.theta(state).shape, radius=radius, ridge=ridge)
        saved.put_back(made, state, _STATE)
        return made


_STATE = ("theta", "Z", "inverse", "log_det", "updates")


def _arrays(one: Estimates, other: Estimates) -> list[tuple[Any, Any]]:
    return [(getattr(one, name), getattr(other, name)) for name in _STATE]


def projected(v: Floats, Z: Floats, radius: float) -> Floats:
    """The point of the ball ||theta|| <= radius that is nearest to v in the norm of Z. v: shape (d,). O(d^3).

    Exact: theta = Q b / (L + mu) with Z = Q L Q', b = L Q'v, and mu >= 0 so that its length is the radius: Newton on
    1/||.|| - 1/radius, from 0. Scaling v back along its own direction would be another point.
    """
    if v @ v <= radius**2:
        return v
    eigenvalues, Q = np.linalg.eigh(Z)
    b = eigenvalues * (Q.T @ v)
    mu = 0.0
    for _ in range(_NEWTON_STEPS):
        point = b / (eigenvalues + mu)
        length = float(np.sqrt(point @ point))
        slope = float((point * point / (eigenvalues + mu)).sum()) / length**3
        step = (1 / radius - 1 / length) / slope
        mu += step
        if abs(step) <= 1e-14 * (1 + mu):
            break
    point = b / (eigenvalues + mu)
    nearest: Floats = Q @ (point * (radius / np.sqrt(point @ point)))
    return nearest
