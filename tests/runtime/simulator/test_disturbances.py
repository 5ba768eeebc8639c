"""Devices that go and come back, links that change, jobs that wait, scenarios that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgeray.errors import BadInputError
from edgeray.simulator import Arrival, DeviceFails, DeviceReturns, LinkChanges, Scenario, simulate
from tests.runtime.simulator.cases import Told, arrives, job_of, network, placed, workload

PAIR = network(("a", "b", 8e6))
JOB = workload("j", {"s": 0, "t": 0.1}, {("s", "t"): 1000})
ON_B = Told(placed(JOB, {"s": "a", "t": "b"}))


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_a_lost_device_fails_its_jobs_and_spares_others(detail) -> None:
    other = workload("k", {"s": 0, "t": 0.1}, {("s", "t"): 0})
    policy = Told(placed(JOB, {"s": "a", "t": "b"}), placed(other, {"s": "a", "t": "a"}))
    scenario = Scenario(
        network=PAIR,
        arrivals=(arrives(JOB), arrives(other)),
        disturbances=(DeviceFails(at_s=30.0, device="b"),),
        until_s=100.0,
    )
    outcome = simulate(scenario, policy_named=policy, detail=detail, warm_s=10.0)
    lost, kept = job_of(outcome, "j"), job_of(outcome, "k")
    assert (lost.phase, lost.ended_s) == ("failed", 30.0)
    assert "device b was lost" in lost.detail
    assert lost.throughput_per_s == pytest.approx(10.0, rel=0.01)  # while it ran
    assert 297 <= lost.items <= 300
    assert (kept.phase, kept.ended_s) == ("running", None)
    assert kept.throughput_per_s == pytest.approx(10.0, rel=0.01)
    assert outcome.device_busy["b"] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_a_route_through_a_lost_device_carries_nothing(detail) -> None:
    net = network(("a", "b", 8e6), ("b", "c", 8e6), ("a", "c", 8e6))
    job = workload("j", {"s": 0, "t": 0.01}, {("s", "t"): 100_000})
    policy = Told(placed(job, {"s": "a", "t": "c"}, routes={"s->t": ("a", "b", "c")}))
    fails = DeviceFails(at_s=10.0, device="b")
    scenario = Scenario(network=net, arrivals=(arrives(job),), disturbances=(fails,), until_s=50.0)
    got = job_of(simulate(scenario, policy_named=policy, detail=detail, control_delay_s=5.0), "j")
    assert got.phase == "failed"
    assert got.items <= 50 + 1  # from 10 or 15 s, when it started, to 10 s


def test_a_job_waits_for_a_device_that_comes_back() -> None:
    class WhenThere(Told):
        def decide(self, snapshot, arrivals):
            return super().decide(snapshot, arrivals if "b" in snapshot.network.devices else ())

    policy = WhenThere(placed(JOB, {"s": "a", "t": "b"}))
    scenario = Scenario(
        network=PAIR,
        arrivals=(arrives(JOB, at_s=5.0, seconds=10.0),),
        disturbances=(DeviceFails(at_s=1.0, device="b"), DeviceReturns(at_s=20.0, device="b")),
    )
    got = job_of(simulate(scenario, policy_named=policy), "j")
    assert (got.waited_s, got.started_s, got.ended_s, got.phase) == (15.0, 20.0, 30.0, "done")
    assert got.throughput_per_s == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_a_link_that_narrows_slows_and_one_that_widens_speeds_up(detail) -> None:
    """joint re-adjusts: 10 items/s are 8 Mbit/s; with 4 Mbit/s it is 5, then again 10."""
    job = workload("j", {"s": 0, "t": 0.001}, {("s", "t"): 100_000}, items_per_s=10)
    job = replace(job, job=replace(job.job, tasks=(job.job.tasks[0], replace(job.job.tasks[1], device="b"))))

    def rate(from_s: float, until_s: float) -> float:
        scenario = Scenario(
            network=PAIR,
            arrivals=(Arrival(at_s=0.0, workload=job, policy="joint"),),
            disturbances=(
                LinkChanges(at_s=30.0, link="a-b", capacity_bps=4e6),
                LinkChanges(at_s=60.0, link="a-b", capacity_bps=8e6),
            ),
            until_s=until_s,
        )
        return simulate(scenario, detail=detail, warm_s=from_s).jobs[0].throughput_per_s

    assert rate(5.0, 30.0) == pytest.approx(10.0, rel=0.01)
    assert rate(35.0, 60.0) == pytest.approx(5.0, rel=0.01)
    assert rate(65.0, 90.0) == pytest.approx(10.0, rel=0.01)


def test_control_takes_its_time() -> None:
    scenario = Scenario(network=PAIR, arrivals=(arrives(JOB, at_s=2.0, seconds=3.0),))
    got = job_of(simulate(scenario, policy_named=ON_B, control_delay_s=0.25), "j")
    assert (got.placed_s, got.started_s, got.ended_s) == (2.0, 2.25, 5.25)


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_the_same_scenario_gives_the_same_bytes_in_any_process(detail) -> None:
    code = (
        "import json, sys\n"
        "from tests.runtime.simulator.test_disturbances import told_twice\n"
        f"sys.stdout.write(told_twice({detail!r}))\n"
    )
    told = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        told.append(run.stdout)
    assert told[0] == told[1] == told_twice(detail)
    assert len(json.loads(told[0])["jobs"]) == 6


def told_twice(detail) -> str:
    import numpy as np

    from tests.policies.generate import attributes_jobs, thesis_network

    rng = np.random.default_rng(3)
    net = thesis_network(rng, 12, 10e6)
    jobs = attributes_jobs(rng, net, 6, spread=0.3)
    scenario = Scenario(
        network=net,
        arrivals=tuple(
            Arrival(at_s=7.0 * i, workload=w, policy="joint", items=30) for i, w in enumerate(jobs)
        ),
        disturbances=(
            DeviceFails(at_s=20.0, device=sorted(net.devices)[3]),
            LinkChanges(at_s=25.0, link=sorted(net.links)[0], capacity_bps=1e6),
            DeviceReturns(at_s=40.0, device=sorted(net.devices)[3]),
        ),
        until_s=400.0,
    )
    return json.dumps(simulate(scenario, detail=detail).as_json())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arrivals": (arrives(JOB),), "until_s": None}, "never ends"),
        ({"arrivals": (arrives(JOB), arrives(JOB))}, "two jobs"),
        ({"arrivals": (arrives(JOB, at_s=-1.0),)}, "arrives at -1"),
        ({"arrivals": (arrives(JOB, items=0),)}, "ends after 0 items"),
        ({"disturbances": (DeviceFails(at_s=1.0, device="z"),)}, "no such device"),
        ({"disturbances": (LinkChanges(at_s=1.0, link="a-z", capacity_bps=1.0),)}, "no such link"),
        ({"until_s": float("nan")}, "until_s"),
        ({"arrivals": (replace(arrives(JOB), policy="nobody's"),)}, "unknown policy"),
    ],
)
def test_scenarios_that_are_none_are_told(change, said) -> None:
    sound = Scenario(network=PAIR, arrivals=(arrives(JOB),), until_s=10.0)
    with pytest.raises(BadInputError, match=said):
        simulate(replace(sound, **change))


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_a_job_that_nothing_slows_is_refused(detail) -> None:
    job = workload("j", {"s": 0, "t": 0}, {("s", "t"): 0})
    policy = Told(placed(job, {"s": "a", "t": "a"}))
    with pytest.raises(BadInputError, match="nothing bounds how fast it goes"):
        simulate(
            Scenario(network=PAIR, arrivals=(arrives(job),), until_s=1.0), policy_named=policy, detail=detail
        )


def test_a_part_of_a_job_that_nothing_slows_is_refused() -> None:
    job = workload("j", {"s": 0, "t": 0.1, "x": 0, "y": 0}, {("s", "t"): 0, ("x", "y"): 0})
    policy = Told(placed(job, {"s": "a", "t": "a", "x": "b", "y": "b"}))
    with pytest.raises(BadInputError, match="source x"):
        simulate(Scenario(network=PAIR, arrivals=(arrives(job),), until_s=1.0), policy_named=policy)
