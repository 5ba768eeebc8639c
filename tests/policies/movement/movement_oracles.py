"""Instances, and what is optimal on them by other means: enumeration, and a linear program on eqs. 5-9 as they stand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from policies.movement.instance import MovementInstance, MovementPlan, movement_instance, processed


def drawn(
    devices: int, intervals: int, seed: int, *, whole: bool = False, linked: float = 0.7, f: float = 1.0
) -> MovementInstance:
    """Small and tight: capacities bind, and links are missing."""
    rng = np.random.default_rng([devices, intervals, seed])
    each, pairs = (intervals, devices), (intervals, devices, devices)
    arrays = [rng.uniform(0, 3 if whole else 10, shape) for shape in (each, each, pairs)]
    data, room, link_room = (np.rint(array) if whole else array for array in arrays)
    c_link = np.where(rng.random(pairs) < linked, rng.uniform(0, 0.5, pairs), np.inf)
    return movement_instance(
        data,
        rng.uniform(0, 1, each),
        c_link,
        rng.uniform(0, f, each),
        room,
        link_room / (1 if whole else devices),
    )


def holds(instance: MovementInstance, plan: MovementPlan) -> None:
    """Eqs. 6-9, up to a billionth of the largest amount."""
    slack = 1e-9 * (1 + instance.D.max())
    for amounts in (plan.kept, plan.sent, plan.discarded):
        assert (amounts >= 0).all()
    leaving = plan.kept + plan.sent.sum(axis=2) + plan.discarded
    assert np.abs(leaving - instance.D).max() <= slack
    assert (plan.processed <= instance.C + slack).all()
    assert (plan.sent <= np.where(np.isfinite(instance.c_link), instance.C_link, 0.0) + slack).all()


def by_program(instance: MovementInstance) -> float:
    """The least linear cost, by HiGHS' own way, on all variables s_ij D_i."""
    count, n = instance.D.shape
    t, i, j = np.nonzero(np.isfinite(instance.c_link))
    own_t, own_i = np.divmod(np.arange(count * n), n)
    source = np.concatenate([own_t * n + own_i, t * n + i])
    sink = np.concatenate([own_t * n + own_i, (t + 1) * n + j])
    cost = np.concatenate([instance.c.ravel(), instance.c_link[t, i, j] + instance.c[t + 1, j]])
    most = np.concatenate([np.full(count * n, np.inf), instance.C_link[t, i, j]])
    number = np.arange(len(cost))
    rows = sparse.csr_array(
        (np.ones(2 * len(cost)), (np.concatenate([source, count * n + sink]), np.tile(number, 2))),
        shape=(2 * count * n, len(cost)),
    )
    right = np.concatenate([instance.D.ravel(), np.minimum(instance.C.ravel(), 1e9)])
    found = linprog(
        cost - instance.f.ravel()[source],
        A_ub=rows,
        b_ub=right,
        bounds=np.stack([np.zeros_like(most), most], axis=1),
    )
    assert found.status == 0
    return float(found.fun + (instance.f * instance.D).sum())


def by_enumeration(instance: MovementInstance) -> float:
    """The least linear cost over all splits of whole points."""
    count, n = instance.D.shape
    best = np.inf
    choices = [list(_splits(instance, t, i)) for t in range(count) for i in range(n)]
    for chosen in product(*choices):
        kept, sent = np.zeros((count, n)), np.zeros((count, n, n))
        cost = 0.0
        for place, (stays, goes, price) in enumerate(chosen):
            t, i = divmod(place, n)
            kept[t, i], sent[t, i] = stays, goes
            cost += price
        if cost < best and (processed(kept, sent) <= instance.C).all():
            best = cost
    return best


def _splits(instance: MovementInstance, t: int, i: int) -> Iterator[tuple[int, list[int], float]]:
    """Ways to split what i collects at t, and what each costs in the end."""
    collected, n = int(instance.D[t, i]), instance.D.shape[1]
    mosts = [
        int(min(collected, instance.C_link[t, i, j])) if np.isfinite(instance.c_link[t, i, j]) else 0
        for j in range(n)
    ]
    for goes in product(*(range(most + 1) for most in mosts)):
        for stays in range(collected - sum(goes) + 1):
            price = instance.c[t, i] * stays + instance.f[t, i] * (collected - stays - sum(goes))
            for j, amount in enumerate(goes):
                if amount:
                    price += amount * (instance.c_link[t, i, j] + instance.c[t + 1, j])
            yield stays, list(goes), float(price)
