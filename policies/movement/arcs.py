"""The ways that data can take, as arcs from where it is collected to where it is processed.

Data moves one hop at most, so this flow over time is a transportation problem: a source for each device and interval,
and a sink for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.movement.instance import Floats, Ints, MovementInstance, link_most, offload_cost

_CRUMB = 1e-10
"""Of the most that a device has: what a solver's rounding leaves on an arc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arcs:
    """source, sink: t * n + i, shape (A,). cost: of a point that takes the arc. most: points that can."""

    source: Ints
    sink: Ints
    cost: Floats
    most: Floats


def arcs_of(instance: MovementInstance, keep_worth: Floats, worth: Floats) -> Arcs:
    """All arcs that can pay: that cost less than discarding, and what is worth doing at the other end.

    keep_worth: of points that stay, shape (T, n). worth: of those that go, (T, n, n) or what broadcasts to that. Kept
    data comes first. An arc takes no more than the source has and the sink can process.
    """
    T, n = instance.D.shape
    worth = np.broadcast_to(worth, (T, n, n))
    own = np.arange(T * n)
    keep_cost, keep_most = instance.c.ravel(), np.minimum(instance.D, instance.C).ravel()
    keeps = (keep_cost < keep_worth.ravel()) & (keep_most > 0)
    cost, most = offload_cost(instance)[:-1], link_most(instance)
    t, i, j = np.nonzero((cost < worth[:-1]) & (most > 0))
    return Arcs(
        source=np.concatenate([own[keeps], t * n + i]),
        sink=np.concatenate([own[keeps], (t + 1) * n + j]),
        cost=np.concatenate([keep_cost[keeps], cost[t, i, j]]),
        most=np.concatenate([keep_most[keeps], most[t, i, j]]),
    )


def amounts(
    instance: MovementInstance, arcs: Arcs, flow: Floats, *, whole: bool = False
) -> tuple[Floats, Floats]:
    """kept, shape (T, n), and sent, shape (T, n, n), of what takes each arc: no more than there is. whole: rounded."""
    T, n = instance.D.shape
    flow = np.clip(np.rint(flow) if whole else flow, 0.0, arcs.most)
    flow = np.where(flow > _CRUMB * instance.D.max(), flow, 0.0)
    leaving = np.bincount(arcs.source, flow, T * n)
    over = leaving > instance.D.ravel()  # by a rounding error
    scale = np.divide(instance.D.ravel(), leaving, out=np.ones(T * n), where=over)
    flow = flow * scale[arcs.source]
    own = arcs.source == arcs.sink
    kept, sent = np.zeros(T * n), np.zeros((T, n, n))
    kept[arcs.source[own]] = flow[own]
    t, i = np.divmod(arcs.source[~own], n)
    sent[t, i, arcs.sink[~own] % n] = flow[~own]
    return kept.reshape(T, n), sent
