"""Predicted throughput of jobs that share devices and links."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.evaluate import PlacedJob, predict
from policies.model import (
    Device,
    DeviceId,
    Flow,
    FlowId,
    Job,
    JobId,
    Network,
    Profile,
    Task,
    TaskId,
    Workload,
)
from tests.policies.generate import network_of

A, B = DeviceId("a"), DeviceId("b")


def pair(capacity_bps: float = 80.0) -> Network:
    return network_of(
        [Device(id=name, type="t", speed_flop_per_s=10.0, memory_bytes=1) for name in (A, B)],
        [(0, 1, capacity_bps)],
    )


def camera_job(work: float, size: float, device: DeviceId, **options: float | None) -> PlacedJob:
    """A camera on a, its one task on device."""
    job = Job(
        id=JobId("j"),
        tasks=(Task(id=TaskId("cam"), device=A), Task(id=TaskId("t"), work_flop=work)),
        flows=(Flow(producer=TaskId("cam"), consumer=TaskId("t"), size_bytes=size),),
        items_per_s=options.get("items_per_s"),
    )
    crossing = device != A
    rate = options.get("rate_bps") or 80.0
    return (
        Workload(job=job),
        {TaskId("cam"): A, TaskId("t"): device},
        {FlowId("cam->t"): (A, device) if crossing else ()},
        {FlowId("cam->t"): rate} if crossing else {},
        options.get("granted"),
    )


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (camera_job(5, 1, A), (2.0, "device a")),
        (camera_job(5, 10, B), (1.0, "link a-b")),
        (camera_job(5, 1, B, rate_bps=8.0), (1.0, "link a-b")),
        (camera_job(5, 1, B, items_per_s=0.5), (0.5, "source cam")),
        (camera_job(5, 1, B, granted=0.25), (0.25, "granted")),
        (camera_job(5, 0, B), (2.0, "device b")),
    ],
)
def test_one_job_is_as_fast_as_its_slowest_part(job: PlacedJob, expected: tuple[float, str]) -> None:
    assert predict(pair(), [job]) == [expected]


def test_a_device_takes_the_sum_of_its_tasks() -> None:
    job = Job(id=JobId("j"), tasks=tuple(Task(id=TaskId(t), work_flop=5) for t in "xy"), flows=())
    placed = (Workload(job=job), {TaskId("x"): A, TaskId("y"): A}, {}, {}, None)
    assert predict(pair(), [placed]) == [(1.0, "device a")]


def test_jobs_share_a_device_by_time_not_by_items() -> None:
    rates = [rate for rate, _ in predict(pair(), [camera_job(5, 1, A), camera_job(20, 1, A)])]
    assert rates == pytest.approx([1.0, 0.25])


def test_what_one_job_cannot_use_goes_to_the_other() -> None:
    slow, fast = camera_job(5, 1, A, items_per_s=0.2), camera_job(5, 1, A)
    assert predict(pair(), [slow, fast]) == [
        (pytest.approx(0.2), "source cam"),
        (pytest.approx(1.8), "device a"),
    ]


def test_each_bound_by_the_device_that_the_other_needs_less() -> None:
    def crossed(first: float, second: float) -> PlacedJob:
        tasks = (Task(id=TaskId("x"), work_flop=first), Task(id=TaskId("y"), work_flop=second))
        job = Job(id=JobId("j"), tasks=tasks, flows=())
        return (Workload(job=job), {TaskId("x"): A, TaskId("y"): B}, {}, {}, None)

    rates = [rate for rate, _ in predict(pair(), [crossed(10, 20), crossed(20, 10)])]
    assert rates == pytest.approx([1 / 3, 1 / 3])


def test_a_source_that_nobody_timed_takes_no_time_and_other_tasks_never_run() -> None:
    flow = Flow(producer=TaskId("cam"), consumer=TaskId("t"), size_bytes=1)
    job = Job(id=JobId("j"), tasks=(Task(id=TaskId("cam"), device=A), Task(id=TaskId("t"))), flows=(flow,))
    placement = {TaskId("cam"): A, TaskId("t"): A}
    timed = Profile(seconds={(TaskId("t"), "t"): 0.25}, output_bytes={}, peak_memory_bytes={})
    placed = (Workload(job=job, profile=timed), placement, {flow.id: ()}, {}, None)
    assert predict(pair(), [placed]) == [(4.0, "device a")]
    unknown = (Workload(job=job), placement, {flow.id: ()}, {}, None)
    assert predict(pair(), [unknown]) == [(0.0, "device a")]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), jobs=st.integers(1, 6))
def test_no_device_is_overloaded_and_no_job_could_have_more_for_nothing(seed: int, jobs: int) -> None:
    rng = np.random.default_rng(seed)
    names = [DeviceId(f"e{i}") for i in range(3)]
    network = network_of([Device(id=d, type="t", speed_flop_per_s=1.0, memory_bytes=1) for d in names], [])
    placed, work = [], np.zeros((jobs, 3))
    for index in range(jobs):
        tasks = tuple(Task(id=TaskId(f"t{i}"), work_flop=float(rng.integers(1, 9))) for i in range(3))
        where = [names[int(rng.integers(3))] for _ in tasks]
        for task, device in zip(tasks, where, strict=True):
            work[index, names.index(device)] += task.work_flop or 0.0
        rate = float(rng.uniform(0.01, 1)) if rng.integers(2) else None
        job = Job(id=JobId(f"j{index}"), tasks=tasks, flows=(), items_per_s=rate)
        placement = {task.id: device for task, device in zip(tasks, where, strict=True)}
        placed.append((Workload(job=job), placement, {}, {}, None))
    found = predict(network, placed)
    rates = np.array([rate for rate, _ in found])
    load = rates @ work
    assert (load <= 1 + 1e-9).all()
    for index, (_, bottleneck) in enumerate(found):
        kind, _, name = bottleneck.partition(" ")
        if kind == "device":  # full, and nobody on it has more of its time
            device = names.index(DeviceId(name))
            assert load[device] == pytest.approx(1.0, abs=1e-5)
            shares = rates * work[:, device]
            assert shares[index] >= shares.max() - 1e-5
        else:
            assert rates[index] == pytest.approx(placed[index][0].job.items_per_s)
