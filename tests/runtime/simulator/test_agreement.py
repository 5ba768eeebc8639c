"""Simulated rates against planned ones, on generated networks; items against rates."""

from __future__ import annotations

import numpy as np
import pytest

from edgeray.simulator import Arrival, Outcome, Scenario, simulate
from tests.policies.generate import attributes_jobs, small_job, small_network, thesis_network


@pytest.mark.parametrize("policy", ["lr", "otfa", "joint"])
@pytest.mark.parametrize("seed", range(3))
def test_streams_reach_what_was_planned(policy: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = thesis_network(rng, 12, 10e6)
    jobs = attributes_jobs(rng, network, 5, spread=0.3)
    arrivals = tuple(Arrival(at_s=0.0, workload=job, policy=policy) for job in jobs)
    scenario = Scenario(network=network, arrivals=arrivals, until_s=900.0)
    outcome = simulate(scenario, warm_s=200.0)
    for job in outcome.jobs:
        assert job.phase == "running"
        assert job.throughput_per_s == pytest.approx(job.planned_per_s, rel=0.03)
        assert 0 < job.latency_p50_s <= job.latency_p95_s
    loads = (*outcome.device_busy.values(), *outcome.link_load.values())
    assert all(0 <= load <= 1 + 1e-9 for load in loads)
    assert max(loads) > 0.9  # something binds


@pytest.mark.parametrize("seed", range(8))
def test_random_jobs_reach_what_was_planned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    jobs = [small_job(rng, network, f"j{i}") for i in range(2)]
    arrivals = tuple(Arrival(at_s=0.0, workload=job, policy="joint") for job in jobs)
    outcome = simulate(Scenario(network=network, arrivals=arrivals, until_s=300.0), warm_s=50.0)
    ran = [job for job in outcome.jobs if job.phase == "running"]
    assert ran
    for job in ran:
        assert job.throughput_per_s == pytest.approx(job.planned_per_s, rel=0.03)


def stream(detail: str) -> Outcome:
    rng = np.random.default_rng(5)
    network = thesis_network(rng, 15, 20e6)
    jobs = attributes_jobs(rng, network, 12)
    arrivals = tuple(
        Arrival(at_s=10.0 * i, workload=job, policy="otfa", items=60) for i, job in enumerate(jobs)
    )
    return simulate(Scenario(network=network, arrivals=arrivals), detail=detail)


def test_rates_end_jobs_when_items_do() -> None:
    items, rates = stream("items"), stream("rates")
    for one, other in zip(items.jobs, rates.jobs, strict=True):
        assert (one.job, one.phase, one.items) == (other.job, "done", 60)
        # an item more or less on its way through the pipeline, where others come and go
        ran_s = other.ended_s - other.started_s
        assert one.ended_s - one.started_s == pytest.approx(ran_s, rel=0.08)
    assert rates.device_busy == pytest.approx(items.device_busy, abs=0.02)
    assert rates.link_load == pytest.approx(items.link_load, abs=0.02)
    assert rates.events < items.events
