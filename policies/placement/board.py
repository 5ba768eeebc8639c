"""What all jobs take of all resources, and how good that is: what `joint` weighs its choices by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy import sparse

from policies.flows.graph import Floats
from policies.placement.demand import Demand
from policies.placement.potential import Candidate, Use
from policies.placement.rates import ROUNDS, fair_worth, floored_sum, proportional_fair
from policies.placement.state import Placed, State

QUICK_ROUNDS = 20
"""Rounds that do for comparing two candidates, from the prices of the last comparison on."""


class Objective(Protocol):
    """Rates of jobs, and how much they are worth: a logarithm, so that units do not matter to differences."""

    def rates(self, usage: sparse.csr_array, limits: Floats) -> Floats: ...

    def worth(self, usage: sparse.csr_array, limits: Floats) -> float: ...


class ProportionalFairness:
    """The sum of the logarithms of the rates: doubling one job's rate is worth halving another's."""

    def __init__(self) -> None:
        self._prices: Floats | None = None

    def rates(self, usage: sparse.csr_array, limits: Floats) -> Floats:
        return proportional_fair(usage, limits, self._prices)[0]

    def worth(self, usage: sparse.csr_array, limits: Floats) -> float:
        rounds = ROUNDS if self._prices is None else QUICK_ROUNDS
        value, self._prices = fair_worth(usage, limits, self._prices, rounds)
        return value


class FlooredThroughput:
    """The (logarithm of the) sum of the rates, of which each job has at least half of its dominant-resource-fair one."""

    def rates(self, usage: sparse.csr_array, limits: Floats) -> Floats:
        return floored_sum(usage, limits)

    def worth(self, usage: sparse.csr_array, limits: Floats) -> float:
        return float(np.log(np.clip(floored_sum(usage, limits), 1e-300, 1e300).sum()))


class Board:
    """Jobs and their use of resources; candidates can be tried on it before one is taken."""

    def __init__(self, state: State, objective: Objective) -> None:
        self.state = state
        self.resources = state.prepared.resources.apart()
        self.objective = objective
        self.jobs: list[Placed] = []
        self._usage: list[Use] = []
        self._worth: float | None = None
        for job in state.jobs:
            self._append(job)

    def _append(self, job: Placed) -> None:
        self._worth = None
        self.jobs.append(job)
        self._usage.append(self.state.prepared.usage(job.demand, job.placement, job.routes))

    def admit(self, asked: Demand, candidate: Candidate) -> None:
        job = self.state.admit(asked, candidate.placement)
        job.routes = candidate.routes
        self._append(job)

    def load(self, without: int | None = None, weights: Floats | None = None) -> Floats:
        """Seconds of each resource that one item of every job takes, or as many items as its weight says."""
        total = np.zeros(self.resources.count)
        for index, use in enumerate(self._usage):
            if index != without:
                total[use.resources] += use.seconds if weights is None else use.seconds * weights[index]
        return total

    def candidate(self, index: int) -> Candidate:
        """How a job runs now."""
        job = self.jobs[index]
        return Candidate(placement=job.placement, routes=job.routes, usage=self._usage[index])

    def rates(self) -> Floats:
        return self.objective.rates(*self._problem(self._usage, []))

    def worth(self) -> float:
        if self._worth is None:
            self._worth = self.objective.worth(*self._problem(self._usage, []))
        return self._worth

    def worth_with(self, asked: Demand, candidate: Candidate, instead_of: int | None = None) -> float:
        """The worth of all if the candidate joined, or took the place of a job."""
        if instead_of is None:
            return self.objective.worth(*self._problem([*self._usage, candidate.usage], [asked]))
        usage = [*self._usage]
        usage[instead_of] = candidate.usage
        return self.objective.worth(*self._problem(usage, []))

    def replace(self, index: int, candidate: Candidate) -> None:
        """Move a job: its memory, devices and routes."""
        job = self.jobs[index]
        self.state.release(job)
        job.placement, job.routes = candidate.placement, candidate.routes
        self.state.hold(job)
        self._usage[index] = candidate.usage
        self._worth = None

    def _problem(self, usage: Sequence[Use], joining: Sequence[Demand]) -> tuple[sparse.csr_array, Floats]:
        limits = [asked.items_per_s for asked in (*(job.demand for job in self.jobs), *joining)]
        starts = np.cumsum([0, *(len(use.resources) for use in usage)])
        columns = np.concatenate([use.resources for use in usage])
        values = np.concatenate([use.seconds for use in usage])
        matrix = sparse.csr_array((values, columns, starts), shape=(len(usage), self.resources.count))
        return matrix, np.array(limits)
