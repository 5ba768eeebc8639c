"""The least energy a frame with which stationary arrivals can be served at an allowed drop rate."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import factorial

import numpy as np
from scipy.optimize import minimize_scalar

from policies.deadline.frame import Floats, frame_of
from policies.deadline.policy import djos


def least_energy(
    users: int,
    states: Floats,
    probabilities: Floats,
    *,
    mu: float,
    T: int,
    e_local: float,
    e_send: float,
    rho: float,
) -> float:
    """Energy of a user in a frame below which no policy, however it draws, drops at most rho of what comes.

    users: alike. states: shape (S, 2), packets that come and packets that a slot carries; probabilities: shape (S,).
    The linear program over what may be done in each state of all users, through its dual, which has one multiplier for
    users that are alike: max over x >= 0 of E[min energy + x dropped] - x rho lambda, where the inner minimum is
    JOS. States are counted up to order: (users + S - 1 over S - 1) of them.
    """
    lists = list(combinations_with_replacement(range(len(states)), users))
    chances = np.array([_chance(each, probabilities) for each in lists])
    A, C = (states[np.array(lists), column] for column in (0, 1))
    arrivals = float(probabilities @ states[:, 0]) * users

    def negative_dual(x: float) -> float:
        plan = djos(frame_of(np.full(A.shape, x), A, C, mu, T=T, e_local=e_local, e_send=e_send, M=1.0))
        spent = plan.energy.sum(axis=1) + x * plan.dropped.sum(axis=1)
        return -(float(chances @ spent) - x * rho * arrivals)

    dearest = 2 * (e_local / mu if mu > 0 else 0.0) + 2 * e_send + 1
    grid = np.linspace(0, dearest, 65)
    start = int(np.argmin([negative_dual(x) for x in grid]))
    found = minimize_scalar(
        negative_dual,
        bounds=(grid[max(0, start - 1)], grid[min(len(grid) - 1, start + 1)]),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return max(0.0, -float(found.fun)) / users


def _chance(state: tuple[int, ...], probabilities: Floats) -> float:
    """Of users being in these states, in any order."""
    counts = np.bincount(state, minlength=len(probabilities)).tolist()
    ways = factorial(len(state))
    chance = 1.0
    for count, probability in zip(counts, probabilities.tolist(), strict=True):
        ways //= factorial(count)
        chance *= probability**count
    return ways * chance
