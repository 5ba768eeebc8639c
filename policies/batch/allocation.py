"""Batches in whole samples, and local iterations in whole numbers: ETA, MEL as published, and the exact optimum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policies.batch.instance import CLOSE, BatchInstance, BatchPlan, Floats, Ints
from policies.batch.relaxed import bounds_at, most_iterations, most_iterations_by_polynomial

_BISECTIONS = 48


def eta(instance: BatchInstance) -> BatchPlan:
    """Equal task allocation: samples / K for each usable learner, and as many iterations as the slowest manages."""
    usable = np.flatnonzero(instance.usable)
    batches = np.zeros(len(instance.learners), dtype=np.int64)
    if len(usable):
        batches[usable] = instance.samples // len(usable)
        batches[usable[: instance.samples % len(usable)]] += 1
    busy = batches > 0
    most = (instance.cycle_s * (1 + CLOSE) - instance.C0 - instance.C1 * batches)[busy] / (
        instance.C2 * batches
    )[busy]
    tau = int(np.floor(most.min())) if len(most) else 0
    return _plan("eta", instance, tau, batches)


def mel(instance: BatchInstance) -> BatchPlan:
    """UB-analytical: tau* and the bounds of Theorem 1, rounded: tau down, batches to the nearest with the right sum.

    As published, which finds it "always already feasible"; in about a fifth of random cases a rounded batch is
    late, and the plan says so. `mel_exact` makes the improving steps that the paper leaves out.
    """
    return _rounded("mel", instance, most_iterations)


def mel_polynomial(instance: BatchInstance) -> BatchPlan:
    """`mel` by the roots of the expanded polynomial (eq. 16), for reference."""
    return _rounded("mel-polynomial", instance, most_iterations_by_polynomial)


def mel_exact(instance: BatchInstance) -> BatchPlan:
    """The most iterations for which whole batches fit: the largest tau with sum floor((T - C0)/(tau C2 + C1)) >= d.

    Ours, exact: the sum falls with tau, so tau is bisected below tau*. Of all batches that fit, those that let the
    last learner end soonest. O(K) a step, log2(tau*) + 48 steps.
    """
    high = most_iterations(instance)
    low, above = 0, int(min(high, 2**53)) + 2 if high >= 0 else 1
    while above - low > 1:
        tau = (low + above) // 2
        if _most(instance, tau, instance.cycle_s).sum() >= instance.samples:
            low = tau
        else:
            above = tau
    if low == 0:
        return _plan("mel-exact", instance, 0, np.zeros(len(instance.learners), dtype=np.int64))
    return _plan("mel-exact", instance, low, _soonest(instance, low)[1])


def shortest_cycle_s(instance: BatchInstance) -> float:
    """The shortest cycle in which all samples can be iterated over once."""
    return _soonest(instance, 1)[0]


def _soonest(instance: BatchInstance, tau: int) -> tuple[float, Ints]:
    """The batches with which the last learner ends soonest, and when; ties go to the first learners."""
    slope = instance.C2 * tau + instance.C1
    high_s = float((slope * instance.samples + instance.C0).min())  # one learner alone
    low_s = float(instance.C0.min())
    for _ in range(_BISECTIONS):
        middle_s = (low_s + high_s) / 2
        if _most(instance, tau, middle_s).sum() >= instance.samples:
            high_s = middle_s
        else:
            low_s = middle_s
    batches = _most(instance, tau, high_s)
    surplus = int(batches.sum()) - instance.samples
    while surplus > 0:  # several are done at the very same time: the last of them goes without
        last = np.flatnonzero(batches > 0)[instance.seconds(tau, batches)[batches > 0].argsort()[::-1]]
        cut = last[:surplus]
        batches[cut] -= 1
        surplus -= len(cut)
    return float(instance.seconds(tau, batches).max()), batches


def _most(instance: BatchInstance, tau: float, cycle_s: float) -> Ints:
    """Shape (K,): the most whole samples that fit the cycle."""
    most: Ints = np.floor(bounds_at(instance, tau, cycle_s * (1 + CLOSE / 10))).astype(np.int64)
    return most


def _rounded(policy: str, instance: BatchInstance, bound: Callable[[BatchInstance], float]) -> BatchPlan:
    most = bound(instance)
    if not (np.isfinite(most) and most >= 1):
        return _plan(policy, instance, 0, np.zeros(len(instance.learners), dtype=np.int64))
    real = bounds_at(instance, most)
    return _plan(policy, instance, int(most), _to_whole(real, instance.samples))


def _to_whole(real: Floats, total: int) -> Ints:
    """Whole numbers next to real ones, with the right sum: the largest remainders are rounded up."""
    whole: Ints = np.floor(real).astype(np.int64)
    order = np.argsort(-(real - whole), kind="stable")
    missing = total - int(whole.sum())
    whole[order[: max(0, min(missing, len(order)))]] += 1
    return whole


def _plan(policy: str, instance: BatchInstance, tau: int, batches: Ints) -> BatchPlan:
    feasible, shortest_s = instance.holds(tau, batches), shortest_cycle_s(instance)
    reasons: tuple[str, ...] = ()
    if not instance.usable.any():
        reasons = (
            f"sending the model both ways takes every learner the whole cycle of {instance.cycle_s:g} s",
        )
    elif tau < 1:
        reasons = (f"not one iteration fits into the cycle of {instance.cycle_s:g} s",)
    elif not feasible:
        late_s = instance.seconds(tau, batches)
        slowest = int(late_s.argmax())
        reasons = (
            f"learner {instance.learners[slowest]} with {batches[slowest]} samples takes {late_s[slowest]:g} s "
            f"of a cycle of {instance.cycle_s:g} s",
        )
    return BatchPlan(
        policy=policy,
        tau=max(tau, 0),
        batches=tuple(batches.tolist()),
        feasible=feasible,
        shortest_cycle_s=shortest_s,
        reasons=reasons if not feasible else (),
    )
