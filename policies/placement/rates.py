"""Job rates over all devices and links together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from policies.flows.graph import Floats, Ints
from policies.flows.sharing import rise
from policies.linear import LinearProgram, minimise

ROUNDS = 100
MOMENTUM = 0.5
SETTLING = 4
ALMOST = 1e-12
CHEAPEST = 1e-100
"""An unused resource's price falls no lower: its inverse must stay a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What of a problem is in dispute: resources that could be asked for too much, and what each job can do alone.

    usage: part of each such resource that one item/s of each job takes, shape (jobs, resources). backward: its
    transpose. limits: items/s of each job if it were alone. resources: index of each column in the whole.
    """

    usage: sparse.csr_array
    backward: sparse.csr_array
    limits: Floats
    resources: Ints

    @classmethod
    def of(cls, usage: sparse.csr_array, limits: Floats) -> Contest:
        """Leave out what binds no two jobs: a resource is slack if all jobs together, each at the most that it
        could do alone, do not fill it. Exact. O(nonzeros)."""
        jobs, count = usage.shape
        row = np.repeat(np.arange(jobs), np.diff(usage.indptr))
        need = largest(usage, usage.data)
        alone = np.minimum(limits, np.divide(1.0, need, out=np.full(jobs, np.inf), where=need > 0))
        most = np.bincount(usage.indices, weights=usage.data * alone[row], minlength=count)
        disputed = most > 1 + ALMOST
        kept = disputed[usage.indices]
        columns = np.cumsum(disputed) - 1
        starts = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=jobs))])
        left = sparse.csr_array(
            (usage.data[kept], columns[usage.indices[kept]], starts),
            shape=(jobs, int(np.count_nonzero(disputed))),
        )
        return cls(usage=left, backward=left.T.tocsr(), limits=alone, resources=np.flatnonzero(disputed))


def proportional_fair(
    usage: sparse.csr_array, limits: Floats, prices: Floats | None = None, rounds: int = ROUNDS
) -> tuple[Floats, Floats]:
    """Rates that maximise the sum of their logarithms (nearly), and the prices of the resources.

    usage: part of each resource that one item/s of each job takes, shape (jobs, resources). limits: the most
    each job can do. prices: where to start from (those of a similar problem).
    Source: Kelly, Maulloo and Tan 1998, Rate control for communication networks (the dual, by multiplicative
    steps): a job that pays its prices asks 1 / price; a resource's price is multiplied by its load, which is the
    expectation-maximisation step of that dual, and by a power of the step before (momentum). What oversteps is
    scaled back, and what is left over is filled in proportion. Exact in the limit; after 100 rounds the sum of
    logarithms is within some thousandths a job. O(rounds x nonzeros).
    """
    contest = Contest.of(usage, limits)
    rates, prices = _bid(contest, np.ones(usage.shape[1]) if prices is None else prices, rounds)
    return fill(contest, settle(contest, rates, 1)), prices


def fair_worth(
    usage: sparse.csr_array, limits: Floats, prices: Floats | None, rounds: int
) -> tuple[float, Floats]:
    """The sum of the logarithms of the proportionally fair rates, and the prices: for comparisons, hence quick."""
    contest = Contest.of(usage, limits)
    rates, prices = _bid(contest, np.ones(usage.shape[1]) if prices is None else prices, rounds)
    return worth(settle(contest, rates, SETTLING)), prices


def worth(rates: Floats) -> float:
    """The sum of logarithms, as far as they are numbers."""
    return float(np.log(np.clip(rates, 1e-300, 1e300)).sum())


def _bid(contest: Contest, prices: Floats, rounds: int) -> tuple[Floats, Floats]:
    everything = prices.copy()
    price = everything[contest.resources]
    step = np.zeros(len(price))
    rates = _asked(contest.usage @ price, contest.limits)
    for _ in range(rounds):
        rates = _asked(contest.usage @ price, contest.limits)
        step = np.log(np.clip(contest.backward @ rates, 0.01, 100.0)) + MOMENTUM * step
        price *= np.exp(step)
        np.maximum(price, CHEAPEST, out=price)
    everything[contest.resources] = price
    return rates, everything


def _asked(cost: Floats, limits: Floats) -> Floats:
    return np.minimum(limits, np.divide(1.0, cost, out=np.full_like(cost, np.inf), where=cost > 0))


def settle(contest: Contest, rates: Floats, rounds: int) -> Floats:
    """Each rate over the largest load on its way, some times over: from the first on nothing is overloaded, and
    no rate falls any more, as a resource's jobs together grow by no more than it has room for."""
    for _ in range(rounds):
        most = largest(contest.usage, (contest.backward @ rates)[contest.usage.indices])
        grown = np.divide(rates, most, out=np.full_like(rates, np.inf), where=most > 0)
        rates = np.minimum(contest.limits, grown)
    return rates


def largest(usage: sparse.csr_array, values: Floats) -> Floats:
    """The largest of each job's values, one of which stands by each of its entries; 0 where it has none."""
    out = np.zeros(usage.shape[0])
    rows = np.diff(usage.indptr) > 0
    if rows.any():
        out[rows] = np.maximum.reduceat(values, usage.indptr[:-1][rows])
    return out


def fill(contest: Contest, rates: Floats) -> Floats:
    """Raise rates in proportion to themselves until each meets its limit or a full resource."""
    backward, limits = contest.backward, contest.limits
    rising = np.flatnonzero((rates > 0) & (rates < limits))
    place = np.full(len(rates), -1)
    place[rising] = np.arange(len(rising))
    grows = place[backward.indices] >= 0
    members = place[backward.indices[grows]].tolist()
    weights = (backward.data * rates[backward.indices])[grows].tolist()
    starts = np.concatenate([[0], np.cumsum(grows)])[backward.indptr].tolist()
    groups = [list(zip(members[a:b], weights[a:b], strict=True)) for a, b in pairwise(starts)]
    groups += [[(member, 1.0)] for member in range(len(rising))]
    own = limits[rising] / rates[rising] - 1.0
    levels = rise(len(rising), groups, [*(1.0 - backward @ rates).tolist(), *own.tolist()])
    grown = rates.copy()
    grown[rising] *= 1.0 + np.array(levels)
    return np.minimum(grown, limits)


def dominant_fair(usage: sparse.csr_array, limits: Floats) -> Floats:
    """Max-min over jobs of the largest part of any resource that each takes.

    Source: Ghodsi et al. 2011, Dominant resource fairness, by progressive filling.
    """
    contest, dominant = Contest.of(usage, limits), largest(usage, usage.data)
    unit = np.divide(1.0, dominant, out=np.zeros_like(dominant), where=dominant > 0)
    filled = fill(contest, np.minimum(unit * 1e-9 / max(len(unit), 1), contest.limits))
    return np.where(dominant > 0, filled, contest.limits)


def floored_sum(usage: sparse.csr_array, limits: Floats, floor: float = 0.5) -> Floats:
    """Rates of the largest sum in which every job has at least floor of its dominant-resource-fair rate.

    A linear program of jobs columns. The sum alone would starve jobs that need much for an item.
    """
    contest = Contest.of(usage, limits)
    fair = dominant_fair(usage, limits)
    finite = np.isfinite(fair)
    rows = contest.backward
    program = LinearProgram(
        cost=np.where(finite, -1.0, 0.0),
        rows=rows,
        row_lower=np.full(rows.shape[0], -np.inf),
        row_upper=np.ones(rows.shape[0]),
        lower=np.where(finite, floor * fair, 0.0) * (1 - 1e-9),
        upper=np.where(finite, contest.limits, 0.0),
    )
    rates = minimise(program).x
    load = largest(contest.usage, (rows @ rates)[contest.usage.indices])
    return np.where(finite, rates / np.maximum(load, 1.0), np.inf)
