"""One trial: a network and jobs from a seed, one policy, what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeray.generate import attributes_jobs, thesis_network
from edgeray.policy_names import policy_named
from edgeray.reproduce.experiments import ARRIVALS_PER_S, HOLD_S, SETTLED_S, Cell, Trial
from edgeray.scheduler.timed import TimedPolicy
from edgeray.simulator import Arrival, Outcome, Scenario, simulate
from policies.bound import throughput_bound
from policies.evaluate import PlacedJob, predict
from policies.model import Decision, JobId, Network, Policy, Snapshot, Workload

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The outcome of one trial; None where the measure does not tell.

    Items/s are over all submitted jobs: one that waits counts 0, and so makes the geometric mean 0.
    placed: the part of the jobs that was placed. waiting_s: mean virtual time from submission to placement.
    planning_s: mean real time that the decision took which placed a job; the one number that the clock decides.
    """

    trial: Trial
    mean_per_s: float | None = None
    geometric_mean_per_s: float | None = None
    minimum_per_s: float | None = None
    placed: float | None = None
    waiting_s: float | None = None
    planning_s: float | None = None

    @property
    def total_waiting_s(self) -> float | None:
        """From submission to the end of the decision that placed the job."""
        if self.waiting_s is None or self.planning_s is None:
            return None
        return self.waiting_s + self.planning_s

    def as_dict(self) -> dict[str, Any]:
        """Flat: the trial's fields, then the numbers."""
        numbers = asdict(self)
        del numbers["trial"]
        return {**self.trial.as_dict(), **numbers}


def row_of(fields: dict[str, Any]) -> Row:
    """The inverse of Row.as_dict. Raises KeyError or TypeError for what is no row."""
    rest = dict(fields)
    cell = Cell(**{name: rest.pop(name) for name in ("measure", "devices", "mean_bps", "jobs")})
    return Row(trial=Trial(cell=cell, seed=rest.pop("seed"), policy=rest.pop("policy")), **rest)


def compute(trial: Trial) -> Row:
    """Run one trial. The same trial gives the same row but for planning_s."""
    cell = trial.cell
    network, workloads = instance(cell, trial.seed)
    if cell.measure == "bound":
        return Row(trial=trial, mean_per_s=throughput_bound(network, workloads) / cell.jobs)
    if cell.measure == "batch":
        return _batch(trial, network, workloads)
    return _online(trial, network, workloads)


def _batch(trial: Trial, network: Network, workloads: Sequence[Workload]) -> Row:
    """One decision over all jobs, as the planning benchmark takes it."""
    policy = policy_named(trial.policy)
    began = time.perf_counter()
    plans = policy.decide(Snapshot(network=network), workloads).plans
    took = time.perf_counter() - began
    ids = [workload.job.id for workload in workloads]
    rates = np.array([plans[job].throughput_per_s if job in plans else 0.0 for job in ids])
    return Row(trial=trial, **_throughput(rates), placed=len(plans) / len(ids), planning_s=took)


def _online(trial: Trial, network: Network, workloads: Sequence[Workload]) -> Row:
    """Jobs that arrive one by one at the simulated scheduler."""
    planning = PlanningTimes()
    waits = trial.cell.measure == "waiting"
    times = arrival_times(trial.cell.jobs, trial.seed)
    arrivals = tuple(
        Arrival(at_s=at, workload=workload, policy=trial.policy, seconds=HOLD_S if waits else None)
        for at, workload in zip(times, workloads, strict=True)
    )
    outcome = simulate(
        Scenario(network=network, arrivals=arrivals, until_s=None if waits else times[-1] + SETTLED_S),
        policy_named=planning.policy_named,
        detail="rates",
    )
    placed = [job for job in outcome.jobs if job.placed_s is not None]
    took = _mean([planning.seconds[job.job] for job in placed])
    part = len(placed) / len(outcome.jobs)
    if waits:
        waiting_s = _mean([job.placed_s - job.submitted_s for job in placed if job.placed_s is not None])
        return Row(trial=trial, waiting_s=waiting_s, placed=part, planning_s=took)
    return Row(
        trial=trial, **_throughput(final_rates(network, workloads, outcome)), placed=part, planning_s=took
    )


def final_rates(network: Network, workloads: Sequence[Workload], outcome: Outcome) -> Floats:
    """Items/s of each job at the end, by the simulator's own rule for rates; 0 of one that does not run."""
    running = {job.job: job.plan for job in outcome.jobs if job.plan is not None and job.phase == "running"}
    placed: list[PlacedJob] = [
        (w, plan.placement, plan.routes, plan.rates_bps, plan.granted_per_s)
        for w in workloads
        if (plan := running.get(w.job.id)) is not None
    ]
    predicted = {job[0].job.id: rate for job, (rate, _) in zip(placed, predict(network, placed), strict=True)}
    return np.array([predicted.get(w.job.id, 0.0) for w in workloads])


def _throughput(rates: Floats) -> dict[str, float]:
    """rates: items/s, shape (jobs,)."""
    starved = rates.min() <= 0
    return {
        "mean_per_s": float(rates.mean()),
        "geometric_mean_per_s": 0.0 if starved else float(np.exp(np.log(rates).mean())),
        "minimum_per_s": float(rates.min()),
    }


def instance(cell: Cell, seed: int) -> tuple[Network, list[Workload]]:
    """The network, each device of a type drawn from the mix, and the jobs."""
    rng = np.random.default_rng(seed)
    network = thesis_network(rng, cell.devices, cell.mean_bps, drawn=True)
    return network, attributes_jobs(rng, network, cell.jobs)


def arrival_times(count: int, seed: int) -> list[float]:
    """Poisson; the times of fewer jobs are the first of more."""
    gaps = np.random.default_rng((seed, 1)).exponential(1 / ARRIVALS_PER_S, count)
    return [float(at) for at in np.cumsum(gaps)]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


class PlanningTimes:
    """How long the decision took that placed each job: the simulator's own clock stands still meanwhile."""

    def __init__(self) -> None:
        self.seconds: dict[JobId, float] = {}

    def policy_named(self, name: str) -> Policy:
        return TimedPolicy(policy_named(name), self._decided)

    def _decided(self, seconds: float, decision: Decision) -> None:
        for job in decision.plans:
            self.seconds.setdefault(job, seconds)  # later ones re-adjust it
