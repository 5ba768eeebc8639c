"""The cheapest plan where errors grow with what is discarded, within capacities: eqs. 5-9 as a flow over time."""

from __future__ import annotations

import numpy as np

from policies.movement.arcs import amounts, arcs_of
from policies.movement.flow import cheapest_flow
from policies.movement.instance import MovementInstance, MovementPlan, first_excess, linear_plan
from policies.movement.prices import market, near_optimal
from policies.movement.rule import theorem_3

_FEW = 5_000
"""Arcs from which on prices to begin with are worth their time."""


def network_aware(instance: MovementInstance) -> MovementPlan:
    """Of all plans the cheapest; in whole points where data and capacities are. Ours: see `flow`."""
    free = theorem_3(instance)
    if first_excess(instance, free.kept, free.sent) is None:  # nothing limits what is cheapest
        return linear_plan("network-aware", instance, free.kept, free.sent, bound=free.total)
    arcs = arcs_of(instance, instance.f, instance.f[:, :, None])
    if not len(arcs.cost):
        kept, sent = np.zeros_like(instance.D), np.zeros_like(instance.c_link)
        return linear_plan(
            "network-aware", instance, kept, sent, bound=float((instance.f * instance.D).sum())
        )
    source, sink = instance.f, np.zeros_like(instance.f)
    if len(arcs.cost) >= _FEW:
        prices = near_optimal(market(instance, instance.f, sink))
        source, sink = prices.source, prices.sink
    found = cheapest_flow(
        arcs, instance.D.ravel(), instance.f.ravel(), instance.C.ravel(), (source.ravel(), sink.ravel())
    )
    kept, sent = amounts(instance, arcs, found.arcs, whole=instance.whole)
    bound = float((instance.f * instance.D).sum()) + found.cost
    return linear_plan("network-aware", instance, kept, sent, bound=bound)
