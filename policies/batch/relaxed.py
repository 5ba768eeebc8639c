"""The most local iterations when neither they nor batches need be whole: an upper bound for both.

Source: Mohammad, Sorour 2019, "Adaptive Task Allocation for Mobile Edge Learning", Theorem 1, eqs. 13-16.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from policies.batch.instance import BatchInstance, Floats

_STEPS = 200
_CLOSE = 1e-13


def most_iterations(instance: BatchInstance) -> float:
    """tau*: the root of sum a_k / (tau + b_k) = d (eq. 24) over usable learners, by Newton from the left.

    The sum is convex and decreasing, so each step stays left of the root. Below 0: not even tau = 0 fits.
    -inf: no learner is usable. K terms a step, 2 to 6 steps.
    """
    a, b = _terms(instance)
    if not len(a):
        return -np.inf
    tau = float((a / instance.samples - b).max())  # one learner alone: the sum is at least d there
    for _ in range(_STEPS):
        parts = a / (tau + b)
        step = (parts.sum() - instance.samples) / (parts / (tau + b)).sum()
        tau += float(step)
        if step <= _CLOSE * max(1.0, abs(tau)):
            break
    return tau


def most_iterations_by_polynomial(instance: BatchInstance) -> float:
    """The same by expanding eq. 16 and its roots: the published way, for reference. Breaks down for large K."""
    a, b = _terms(instance)
    if not len(a):
        return -np.inf
    whole = instance.samples * np.poly(-b)
    for k in range(len(a)):
        whole = np.polysub(whole, a[k] * np.poly(-np.delete(b, k)))
    roots = np.roots(whole)
    real = roots[np.abs(roots.imag) <= 1e-6 * np.maximum(1.0, np.abs(roots.real))].real
    return float(real.max()) if len(real) else np.nan


def most_iterations_by_search(instance: BatchInstance) -> float:
    """The same by a general root finder (Brent), in place of the paper's numerical solver; nan where tau* < 0."""
    a, b = _terms(instance)

    def left_over(tau: float) -> float:
        return float((a / (tau + b)).sum()) - instance.samples

    low, high = 1e-12, 1.0
    if not len(a) or left_over(low) < 0:
        return np.nan
    while left_over(high) > 0:
        high *= 2
    return float(brentq(left_over, low, high, xtol=1e-14 * high, rtol=1e-14))


def bounds_at(instance: BatchInstance, tau: float, cycle_s: float | None = None) -> Floats:
    """Shape (K,): the most samples (not whole) that each learner can do tau iterations on in time (eq. 15)."""
    free_s = np.maximum((instance.cycle_s if cycle_s is None else cycle_s) - instance.C0, 0.0)
    most: Floats = free_s / (tau * instance.C2 + instance.C1)
    return most


def _terms(instance: BatchInstance) -> tuple[Floats, Floats]:
    usable = instance.usable
    C2 = instance.C2[usable]
    return (instance.cycle_s - instance.C0[usable]) / C2, instance.C1[usable] / C2
