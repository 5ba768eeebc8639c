"""Plans where each device's error is f / sqrt(G): fast by flows whose sinks are worth something piecewise, and by cvxpy.

Discarding costs nothing by itself here, it only leaves less to process. See `sqrt_error` for less than one point.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from policies.linear import SolverError
from policies.movement.arcs import Arcs, amounts, arcs_of
from policies.movement.flow import Segments, cheapest_flow
from policies.movement.instance import (
    Floats,
    MovementInstance,
    MovementPlan,
    processed,
    sqrt_error,
    sqrt_plan,
)
from policies.movement.prices import flow_at, market, near_optimal

_ENOUGH = 4e-3
"""Relative difference to the proven bound at which no better plan is looked for."""
_SWEEPS = (100, 300)
"""Of prices: the second only where the first are not near enough, and flows would take too long."""
_MOST_ARCS = 100_000
"""Beyond that flows by pieces take longer than one likes to wait."""
_ROUNDS = 4
_WIDTHS = np.array([0.05, 0.11, 0.2, 0.35, 0.6])
"""Of the pieces around the expected amount, relative to it, to either side: the first has it in the middle."""
_FINER = 0.4
"""How much smaller the pieces of the next round are."""


def network_aware_sqrt(instance: MovementInstance) -> MovementPlan:
    """Within 0.4 % of the optimum as a rule; the plan's bound says how near it is at most.

    Ours: what near-optimal prices ask for. Where that is not near enough, and ways are not too many, the error by
    pieces around those amounts makes an exact flow; then by finer ones around those of that flow.
    """
    arcs = _arcs(instance)
    if not len(arcs.cost):
        return _nothing_moves("network-aware-sqrt", instance)
    room = _room(instance, arcs)
    offers = market(instance, np.zeros_like(instance.D), instance.f / 2)
    best = _Best(instance)
    for sweeps in _SWEEPS:
        prices = near_optimal(offers, sweeps)
        source, sink = prices.source.ravel(), prices.sink.ravel()
        best.offer(*flow_at(instance, offers, prices), _bound(instance, arcs, source, sink, room))
        if best.enough or len(arcs.cost) <= _MOST_ARCS:
            break
    expected, widths = _wanted(sink, instance.f.ravel() / 2, room), _WIDTHS
    for _ in range(_ROUNDS):
        if best.enough or len(arcs.cost) > _MOST_ARCS:
            break
        pieces = _pieces(instance.f.ravel(), expected, room, widths)
        found = cheapest_flow(arcs, instance.D.ravel(), np.zeros_like(room), room, (source, sink), pieces)
        source, sink = found.source, found.sink
        kept, sent = amounts(instance, arcs, found.arcs)
        best.offer(kept, sent, _bound(instance, arcs, source, sink, room))
        expected, widths = processed(kept, sent).ravel(), widths * _FINER
    return best.plan


class _Best:
    """The cheapest plan so far, with the highest bound."""

    def __init__(self, instance: MovementInstance) -> None:
        self.instance = instance
        self.plan = _nothing_moves("network-aware-sqrt", instance)
        self.bound = -np.inf

    def offer(self, kept: Floats, sent: Floats, bound: float) -> None:
        self.bound = max(self.bound, bound)
        plan = sqrt_plan("network-aware-sqrt", self.instance, kept, sent, bound=self.bound)
        self.plan = plan if plan.total < self.plan.total else replace(self.plan, bound=self.bound)

    @property
    def enough(self) -> bool:
        return self.plan.total - self.bound <= _ENOUGH * abs(self.plan.total)


def _nothing_moves(policy: str, instance: MovementInstance) -> MovementPlan:
    """All is discarded."""
    return sqrt_plan(policy, instance, np.zeros_like(instance.D), np.zeros_like(instance.c_link))


def network_aware_sqrt_exact(instance: MovementInstance) -> MovementPlan:
    """The optimum by an interior-point solver (Clarabel), for reference: some 10,000 ways take seconds.

    Raises SolverError when it ends without an optimum.
    """
    import cvxpy as cp  # takes more than a second, which nobody else has to wait for

    arcs = _arcs(instance)
    count = instance.D.size
    if not len(arcs.cost):
        return _nothing_moves("network-aware-sqrt-exact", instance)
    unit = float(arcs.most.mean())
    flow = cp.Variable(len(arcs.cost), nonneg=True)
    ones, number = np.ones(len(arcs.cost)), np.arange(len(arcs.cost))
    leaving = sparse.csr_array((ones, (arcs.source, number)), shape=(count, len(ones)))
    coming = sparse.csr_array((ones, (arcs.sink, number)), shape=(count, len(ones)))
    first, more = cp.Variable(count, nonneg=True), cp.Variable(count, nonneg=True)
    error = instance.f.ravel() @ (cp.power(1 + more, -0.5) + 0.5 - first / 2)
    limited = np.isfinite(instance.C.ravel())
    constraints = [
        flow <= arcs.most / unit,
        leaving @ flow <= instance.D.ravel() / unit,
        unit * (coming @ flow) == first + more,
        first <= 1,
    ]
    if limited.any():
        constraints.append((coming @ flow)[limited] <= instance.C.ravel()[limited] / unit)
    problem = cp.Problem(cp.Minimize(unit * (arcs.cost @ flow) + error), constraints)
    problem.solve(solver=cp.CLARABEL)
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise SolverError(f"Clarabel ended with {problem.status}, expected an optimum")
    kept, sent = amounts(instance, arcs, np.asarray(flow.value) * unit)
    return sqrt_plan("network-aware-sqrt-exact", instance, kept, sent)


def _arcs(instance: MovementInstance) -> Arcs:
    """A first point at a device is worth f / 2, a later one less."""
    worth = np.zeros_like(instance.f)
    worth[:-1] = instance.f[1:] / 2
    return arcs_of(instance, instance.f / 2, worth[:, None, :])


def _room(instance: MovementInstance, arcs: Arcs) -> Floats:
    """Shape (T n,): the most points that can come to a sink and be processed there."""
    room: Floats = np.minimum(instance.C.ravel(), np.bincount(arcs.sink, arcs.most, instance.D.size))
    return room


def _wanted(price: Floats, value: Floats, room: Floats) -> Floats:
    """Points at which another one is worth as much as the price of a place (0 or less)."""
    wanted: Floats = np.minimum((value / np.maximum(-price, 1e-30)) ** (2 / 3), room)
    return np.where(price < 0, wanted, room)


def _pieces(f: Floats, expected: Floats, room: Floats, widths: Floats) -> Segments:
    """Chords of the error of each sink between 0, 1, room, and ends around what is expected there."""
    factors = np.concatenate([(1 - widths)[::-1], 1 + widths, [2.0]])
    ends = expected[:, None] * factors
    fixed = np.stack([np.zeros_like(room), np.ones_like(room), room], axis=1)
    ends = np.sort(np.clip(np.concatenate([ends, fixed], axis=1), 0.0, room[:, None]), axis=1)
    length = np.diff(ends, axis=1)
    sink, piece = np.nonzero(length > 1e-9 * np.maximum(room, 1.0)[:, None])
    start, long = ends[sink, piece], length[sink, piece]
    slope = f[sink] * (sqrt_error(start + long) - sqrt_error(start)) / long
    at = np.minimum(expected[sink], room[sink] * (1 - 1e-12))
    rank = np.where(start > at, 1, np.where(start + long <= at, -1, 0))
    return Segments(sink=sink, cost=slope, length=long, rank=rank)


def _bound(instance: MovementInstance, arcs: Arcs, source: Floats, sink: Floats, room: Floats) -> float:
    """No plan costs less, whatever the prices (Lagrange). source: at most 0."""
    source = np.minimum(source, 0.0)
    f = instance.f.ravel()
    G = np.where(-sink >= f / 2, 0.0, np.maximum(_wanted(sink, f / 2, room), np.minimum(1.0, room)))
    reduced = arcs.cost + sink[arcs.sink] - source[arcs.source]
    placed = f * sqrt_error(G) - sink * G
    return float(
        (np.minimum(reduced, 0.0) * arcs.most).sum() + placed.sum() + (source * instance.D.ravel()).sum()
    )
