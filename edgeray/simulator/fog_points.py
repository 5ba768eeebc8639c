"""Which points each device of fog training collects, and which it processes when: plans carried out in whole points.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
eqs. 6, 8 and 9. Pure: the caller seeds what is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from edgeray.errors import BadInputError
from edgeray.training.data import Indices
from policies.movement.instance import (
    Floats,
    Ints,
    MovementInstance,
    MovementPlan,
    linear_plan,
    movement_instance,
    processed,
    sqrt_plan,
)

SQRT_POLICIES = ("network-aware-sqrt", "network-aware-sqrt-exact")
"""Their errors are f / sqrt(G); those of all others are f a discarded point."""
_CRUMB = 1e-6
"""Of a point: what solvers leave beside whole ones."""

Moved = tuple[tuple[Indices, ...], ...]
"""Samples of the data set by interval and device."""


def whole_instance(instance: MovementInstance) -> MovementInstance:
    """The same in whole points, capacities rounded down.

    What a device collects up to an interval is rounded to the nearest, so that rounding makes it collect neither more
    nor less over time, however little D is.
    """
    return movement_instance(
        np.diff(np.rint(instance.D.cumsum(axis=0)), axis=0, prepend=0.0),
        instance.c,
        instance.c_link,
        instance.f,
        np.floor(instance.C),
        np.floor(instance.C_link),
    )


def whole_plan(instance: MovementInstance, plan: MovementPlan) -> MovementPlan:
    """The plan in whole points, and what it costs then. instance: `whole_instance`.

    All amounts are rounded down; of what a device then has left, points go one each where the most was cut off (of
    equals: kept, then sent to the smallest number, then discarded), within capacities, else they are discarded. So
    a device's kept, sent and discarded points are what it collected, and no capacity is exceeded that the plan kept.
    """
    if not instance.whole:
        raise BadInputError(
            "D and capacities are no whole points\n  expected: whole numbers\n  remedy:   round them: whole_instance"
        )
    kept, sent = np.floor(plan.kept + _CRUMB), np.floor(plan.sent + _CRUMB)
    _hand_out(instance, plan, kept, sent)
    priced = sqrt_plan if plan.policy in SQRT_POLICIES else linear_plan
    return priced(plan.policy, instance, kept, sent, bound=plan.bound)


def collect(counts: Ints, pools: Sequence[Indices], rng: np.random.Generator) -> Moved:
    """Samples that devices collect: T by n of them. counts: shape (T, n). pools: each device's samples, or one of all.

    At random and without replacement as long as a pool lasts, then all of it anew. Raises BadInputError for points
    of an empty pool.
    """
    drawing = [_Pool(samples, rng) for samples in pools]
    owned = drawing if len(drawing) > 1 else drawing * counts.shape[1]
    return tuple(
        tuple(pool.take(int(count)) for pool, count in zip(owned, row, strict=True)) for row in counts
    )


def carry_out(plan: MovementPlan, collected: Moved) -> Moved:
    """Samples that devices process, by interval and device (eq. 6): what they kept, then what was sent to them an
    interval before, from the smallest number on. plan: in whole points of what is collected.

    Of what a device collects the first points are kept, the next ones sent to the smallest number, and so on: they
    came in random order.
    """
    found: list[list[list[Indices]]] = [[[] for _ in row] for row in collected]
    for t, row in enumerate(collected):
        for i, points in enumerate(row):
            to = np.flatnonzero(plan.sent[t, i])
            amounts = [int(plan.kept[t, i]), *plan.sent[t, i, to].astype(int).tolist()]
            ends = list(accumulate(amounts))
            found[t][i].insert(0, points[: ends[0]])
            for j, start, end in zip(to.tolist(), ends, ends[1:], strict=False):
                found[t + 1][j].append(points[start:end])
    return tuple(tuple(np.concatenate(parts) for parts in row) for row in found)


def at_one_device(collected: Moved) -> Moved:
    """All points processed by a single device, in the interval in which they are collected: centralized learning."""
    return tuple((np.concatenate(row),) for row in collected)


def points_of(moved: Moved) -> Ints:
    """How many, shape (T, n)."""
    return np.array([[len(points) for points in row] for row in moved], dtype=np.int64)


class _Pool:
    """Samples in random order, without end."""

    def __init__(self, samples: Indices, rng: np.random.Generator) -> None:
        self._samples, self._rng = samples, rng
        self._order = rng.permutation(samples)
        self._at = 0

    def take(self, count: int) -> Indices:
        if count and not len(self._samples):
            raise BadInputError(
                f"there are no samples of which to collect {count}\n  expected: one at least\n"
                "  remedy:   a larger data set, or fewer devices"
            )
        parts = []
        while count:
            part = self._order[self._at : self._at + count]
            parts.append(part)
            count, self._at = count - len(part), self._at + len(part)
            if count:
                self._order, self._at = self._rng.permutation(self._samples), 0
        return np.concatenate([self._order[:0], *parts])


def _hand_out(instance: MovementInstance, plan: MovementPlan, kept: Floats, sent: Floats) -> None:
    """Add the points that rounding down left over, in place; those that fit nowhere stay discarded."""
    dropped = np.floor(plan.discarded + _CRUMB)
    left = instance.D - kept - sent.sum(axis=2) - dropped
    room, link_room = instance.C - processed(kept, sent), instance.C_link - sent
    for t, i in np.argwhere(left > 0.5).tolist():
        cut = [
            plan.kept[t, i] - kept[t, i],
            *(plan.sent[t, i] - sent[t, i]),
            plan.discarded[t, i] - dropped[t, i],
        ]
        for way in np.argsort(-np.array(cut), kind="stable").tolist():
            if left[t, i] < 0.5 or cut[way] <= _CRUMB:
                break
            j = way - 1
            if way == 0 and room[t, i] >= 1:
                kept[t, i] += 1
                room[t, i] -= 1
            elif 0 <= j < len(kept[t]) and min(room[t + 1, j], link_room[t, i, j]) >= 1:
                sent[t, i, j] += 1
                room[t + 1, j] -= 1
            elif j < len(kept[t]):
                continue
            left[t, i] -= 1
