"""Imperfect information: a stretch of intervals is planned with the averages of the stretch before it."""

from __future__ import annotations

import numpy as np

from policies.movement.instance import Floats, MovementInstance, MovementPlan, linear_plan
from policies.movement.linear import network_aware
from policies.movement.steady import steady_fractions

STRETCH = 10
"""Intervals: as many as between aggregations in the paper, which does not say how long its own are."""


def network_aware_estimated(instance: MovementInstance) -> MovementPlan:
    """`estimated` by stretches of ten intervals."""
    return estimated(instance, STRETCH)


def estimated(instance: MovementInstance, stretch: int) -> MovementPlan:
    """Fractions s_ij and r_i for a stretch from averages over the one before; all is kept in the first.

    Averages are planned as a steady state, in which what is sent arrives as much as what is kept; fractions are then
    those of what is really collected. A link is used as long as it is there. A capacity is known to the sender when
    it is exceeded: what does not fit is not sent, own data before others', shared among these in proportion; it is
    discarded. Raises ValueError for a stretch below 1.
    """
    if stretch < 1:
        raise ValueError(f"a stretch of {stretch} intervals, expected 1 or more")
    T = len(instance.D)
    kept, sent = np.minimum(instance.D, instance.C), np.zeros_like(instance.c_link)
    for start in range(stretch, T, stretch):
        now = slice(start, min(start + stretch, T))
        keep, send = _fractions(instance, slice(start - stretch, start))
        kept[now] = np.minimum(instance.D[now] * keep, instance.C[now])
        sent[now] = np.minimum(instance.D[now, :, None] * send, instance.C_link[now])
    sent[~np.isfinite(instance.c_link)] = 0.0
    _admit(instance, kept, sent)
    return linear_plan("network-aware-estimated", instance, kept, sent)


def _fractions(instance: MovementInstance, seen: slice) -> tuple[Floats, Floats]:
    """Of a device's data, what it keeps, (n,), and sends to each other, (n, n), in the averages' steady state."""
    D, c, f, C = (array[seen].mean(axis=0) for array in (instance.D, instance.c, instance.f, instance.C))
    links, C_link = _mean_link(instance.c_link[seen]), instance.C_link[seen].mean(axis=0)
    return steady_fractions(network_aware, D, c, links, f, C, C_link)


def _mean_link(c_link: Floats) -> Floats:
    """Shape (n, n): over the intervals in which there is a link."""
    there = np.isfinite(c_link)
    count = there.sum(axis=0)
    total = np.where(there, c_link, 0.0).sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.inf), where=count > 0)
    return mean


def _admit(instance: MovementInstance, kept: Floats, sent: Floats) -> None:
    """Cut what is sent, in place, to what devices can process beside their own."""
    arriving = sent[:-1].sum(axis=1)
    free = instance.C[1:] - kept[1:]
    part = np.divide(free, arriving, out=np.ones_like(arriving), where=arriving > free)
    sent[:-1] *= part[:, None, :]
