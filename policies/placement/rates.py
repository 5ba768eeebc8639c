"""Job rates over all devices and links together."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from policies.flows.graph import Floats
from policies.linear import LinearProgram, minimise

ROUNDS = 150
DAMPING = 0.5
ALMOST = 1e-12
CHEAPEST = 1e-100
"""An unused resource's price falls no lower: its inverse must stay a number."""


def proportional_fair(
    usage: sparse.csr_array, limits: Floats, prices: Floats | None = None, rounds: int = ROUNDS
) -> tuple[Floats, Floats]:
    """Rates that maximise the sum of their logarithms (nearly), and the prices of the resources.

    usage: part of each resource that one item/s of each job takes, shape (jobs, resources). limits: the most
    each job can do. prices: where to start from (those of a similar problem).
    Source: Kelly, Maulloo and Tan 1998, Rate control for communication networks (the dual, by multiplicative
    steps): a job that pays its prices asks 1 / price; a resource's price follows its load. What oversteps is
    scaled back, and what is left over is filled in proportion. Exact in the limit; after 150 rounds the sum of
    logarithms is within a percent or so a job. O(rounds x nonzeros).
    """
    everything = np.full(usage.shape[1], 1.0) if prices is None else prices.copy()
    used, columns = np.unique(usage.indices, return_inverse=True)
    usage = sparse.csr_array((usage.data, columns, usage.indptr), shape=(usage.shape[0], len(used)))
    backward = usage.T.tocsr()
    price = everything[used]
    rates = _asked(usage @ price, limits)
    for _ in range(rounds):
        rates = _asked(usage @ price, limits)
        price *= np.clip(backward @ rates, 0.01, 100.0) ** DAMPING
        np.maximum(price, CHEAPEST, out=price)
    everything[used] = price
    return fill(usage, backward, limits, _within(usage, backward, rates)), everything


def _asked(cost: Floats, limits: Floats) -> Floats:
    return np.minimum(limits, np.divide(1.0, cost, out=np.full_like(cost, np.inf), where=cost > 0))


def _within(usage: sparse.csr_array, backward: sparse.csr_array, rates: Floats) -> Floats:
    """Each rate over the largest load on its way, where that is more than one: then nothing is overloaded."""
    finite = np.where(np.isfinite(rates), rates, 0.0)
    over = np.maximum(backward @ finite, 1.0)
    return finite / largest(usage, over)


def largest(usage: sparse.csr_array, values: Floats) -> Floats:
    """The largest of values over the resources that each job uses; 1 where it uses none."""
    out = np.ones(usage.shape[0])
    rows = np.diff(usage.indptr) > 0
    if rows.any():
        out[rows] = np.maximum.reduceat(values[usage.indices], usage.indptr[:-1][rows])
    return out


def fill(usage: sparse.csr_array, backward: sparse.csr_array, limits: Floats, rates: Floats) -> Floats:
    """Raise rates in proportion to themselves until each meets its limit or a full resource."""
    rates = rates.copy()
    active = (rates > 0) & (rates < limits)
    for _ in range(len(rates)):
        if not active.any():
            break
        left = 1.0 - backward @ rates
        growth = backward @ np.where(active, rates, 0.0)
        room = np.divide(left, growth, out=np.full_like(left, np.inf), where=growth > 0)
        own = np.where(active, limits / np.where(rates > 0, rates, 1.0) - 1.0, np.inf)
        step = max(min(float(room.min(initial=np.inf)), float(own.min())), 0.0)
        if not np.isfinite(step):
            break
        rates[active] *= 1.0 + step
        full = (room <= step + ALMOST).astype(np.float64)
        active &= (own > step + ALMOST) & (usage @ full <= 0)
    return np.minimum(rates, limits)


def dominant_fair(usage: sparse.csr_array, limits: Floats) -> Floats:
    """Max-min over jobs of the largest part of any resource that each takes.

    Source: Ghodsi et al. 2011, Dominant resource fairness, by progressive filling.
    """
    dominant = usage.max(axis=1).toarray().ravel() if usage.nnz else np.zeros(usage.shape[0])
    unit = np.divide(1.0, dominant, out=np.zeros_like(dominant), where=dominant > 0)
    seed = unit * 1e-9 / max(len(unit), 1)
    filled = fill(usage, usage.T.tocsr(), limits, np.minimum(seed, limits))
    return np.where(dominant > 0, filled, limits)


def floored_sum(usage: sparse.csr_array, limits: Floats, floor: float = 0.5) -> Floats:
    """Rates of the largest sum in which every job has at least floor of its dominant-resource-fair rate.

    A linear program of jobs columns. The sum alone would starve jobs that need much for an item.
    """
    fair = dominant_fair(usage, limits)
    finite = np.isfinite(fair)
    rows = usage.T.tocsr()
    program = LinearProgram(
        cost=np.where(finite, -1.0, 0.0),
        rows=rows,
        row_lower=np.full(rows.shape[0], -np.inf),
        row_upper=np.ones(rows.shape[0]),
        lower=np.where(finite, floor * fair, 0.0) * (1 - 1e-9),
        upper=np.where(finite, limits, 0.0),
    )
    rates = minimise(program).x
    return np.where(finite, _within(usage, rows, rates), np.inf)
