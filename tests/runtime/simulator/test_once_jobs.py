"""One-shot jobs: with exact durations a run is its timetable."""

from __future__ import annotations

import numpy as np
import pytest

from edgeray.simulator import Arrival, DeviceFails, LinkChanges, Scenario, simulate
from policies.model import Device, Flow, Job, JobId, Network, Task, TaskId, Workload
from tests.policies.generate import network_of, random_pairs
from tests.runtime.simulator.cases import job_of, network, workload

PAIR = network(("a", "b", 8e6))


def random_network(rng: np.random.Generator, count: int) -> Network:
    devices = [
        Device(id=f"e{i}", type="box", speed_flop_per_s=float(rng.uniform(1, 10)) * 1e9, memory_bytes=1e12)
        for i in range(count)
    ]
    pairs = random_pairs(rng, count, 2 * count)
    return network_of(devices, [(a, b, float(rng.uniform(5e6, 50e6))) for a, b in pairs])


def random_dag(rng: np.random.Generator, name: str, tasks: int) -> Workload:
    names = [f"t{i:02d}" for i in range(tasks)]
    flows = []
    for index in range(1, tasks):
        for producer in sorted(rng.choice(index, size=min(index, 2), replace=False).tolist()):
            size = float(rng.uniform(1e5, 2e6))
            flows.append(
                Flow(producer=TaskId(names[producer]), consumer=TaskId(names[index]), size_bytes=size)
            )
    made = tuple(Task(id=TaskId(task), work_flop=float(rng.uniform(1, 10)) * 1e9) for task in names)
    return Workload(job=Job(id=JobId(name), tasks=made, flows=tuple(flows), mode="once"))


def once(job: Workload, policy: str, at_s: float = 0.0) -> Arrival:
    return Arrival(at_s=at_s, workload=job, policy=policy)


@pytest.mark.parametrize("detail", ["items", "rates"])
@pytest.mark.parametrize("policy", ["heft", "cpop", "peft", "portfolio"])
@pytest.mark.parametrize("seed", range(4))
def test_a_run_is_its_timetable(seed: int, policy: str, detail) -> None:
    rng = np.random.default_rng(seed)
    net, job = random_network(rng, 5), random_dag(rng, "j", 30)
    got = simulate(Scenario(network=net, arrivals=(once(job, policy, 3.0),)), detail=detail).jobs[0]
    assert (got.phase, got.items, got.started_s) == ("done", 1, 3.0)
    assert got.plan.timetable.transfers
    assert got.makespan_s == pytest.approx(got.planned_makespan_s, rel=1e-6)
    assert got.makespan_s >= got.plan.timetable.bound_s * (1 - 1e-9)


def test_a_late_transfer_lets_others_go_first_and_all_end() -> None:
    """Links at a third of what was planned with: the run is longer, and no longer than three times."""
    rng = np.random.default_rng(1)
    net, job = random_network(rng, 4), random_dag(rng, "j", 25)
    slower = tuple(
        LinkChanges(at_s=0.01, link=link, capacity_bps=spec.capacity_bps / 3)
        for link, spec in net.links.items()
    )
    planned = simulate(Scenario(network=net, arrivals=(once(job, "heft"),))).jobs[0].makespan_s
    late = simulate(Scenario(network=net, arrivals=(once(job, "heft"),), disturbances=slower)).jobs[0]
    assert late.phase == "done"
    assert planned < late.makespan_s <= 3 * planned * (1 + 1e-6)


def test_one_shot_jobs_share_links_one_transfer_at_a_time() -> None:
    """Both send 8 Mbit over 8 Mbit/s at the same moment: the second one waits for the first."""
    jobs = [workload(name, {"s": 0.5, "t": 0.5}, {("s", "t"): 1e6}, mode="once") for name in ("j", "k")]
    pinned = [_pinned(job, {"s": "a", "t": "b"}) for job in jobs]
    outcome = simulate(Scenario(network=PAIR, arrivals=tuple(once(job, "heft") for job in pinned)))
    assert [job.phase for job in outcome.jobs] == ["done", "done"]
    # both compute s on a (shared: 1 s), then send one after the other, then t
    assert job_of(outcome, "j").makespan_s == pytest.approx(1.0 + 1.0 + 0.5, rel=1e-6)
    assert job_of(outcome, "k").makespan_s == pytest.approx(1.0 + 2.0 + 0.5, rel=1e-6)
    assert outcome.link_load["a-b"] == pytest.approx(2.0 / 3.5)
    assert outcome.device_busy == pytest.approx({"a": 1 / 3.5, "b": 1 / 3.5})


def test_a_stream_and_a_one_shot_job_share_a_device() -> None:
    stream = workload("stream", {"s": 0, "t": 0.1}, {("s", "t"): 0}, items_per_s=5)
    job = _pinned(workload("once", {"x": 2.0}, {}, mode="once"), {"x": "a"})
    stream = _pinned(stream, {"t": "a"})
    arrivals = (
        Arrival(at_s=0.0, workload=stream, policy="joint"),
        once(job, "heft", at_s=10.0),
    )
    outcome = simulate(Scenario(network=PAIR, arrivals=arrivals, until_s=60.0))
    # the stream leaves it half the device
    assert job_of(outcome, "once").makespan_s == pytest.approx(4.0, abs=0.2)
    assert job_of(outcome, "once").planned_makespan_s == pytest.approx(4.0)
    assert job_of(outcome, "stream").throughput_per_s == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_a_lost_device_fails_a_one_shot_job(detail) -> None:
    job = _pinned(workload("j", {"s": 5.0, "t": 5.0}, {("s", "t"): 1e6}, mode="once"), {"s": "a", "t": "b"})
    scenario = Scenario(
        network=PAIR, arrivals=(once(job, "heft"),), disturbances=(DeviceFails(at_s=3.0, device="b"),)
    )
    got = simulate(scenario, detail=detail).jobs[0]
    assert (got.phase, got.ended_s, got.makespan_s, got.items) == ("failed", 3.0, None, 0)


def _pinned(job: Workload, devices: dict[str, str]) -> Workload:
    tasks = tuple(
        Task(id=task.id, work_flop=task.work_flop, device=devices.get(task.id, task.device))
        for task in job.job.tasks
    )
    made = Job(
        id=job.job.id, tasks=tasks, flows=job.job.flows, items_per_s=job.job.items_per_s, mode=job.job.mode
    )
    return Workload(job=made)
