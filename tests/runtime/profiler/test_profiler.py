"""Measuring real work, and the store of what was measured."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeray.errors import StageError
from edgeray.node.code import LoadedTask
from edgeray.profiler import ProfileStore, TaskMeasurement, measure, merge
from policies.model import Device, DeviceId, Flow, Job, JobId, Replicas, Task, TaskId

S, A, B = TaskId("s"), TaskId("a"), TaskId("b")
JOB = Job(
    id=JobId("j"),
    tasks=(Task(id=S), Task(id=A), Task(id=B)),
    flows=(Flow(producer=S, consumer=A), Flow(producer=A, consumer=B)),
)


def spin(cpu_s: float) -> None:
    """Burn CPU: what a CPU limit acts on, unlike sleeping."""
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        pass


def tasks(items: int = 1000, a_s: float = 0.0, b_s: float = 0.0) -> dict[TaskId, LoadedTask]:
    def source() -> Iterator[np.ndarray]:
        for _ in range(items):
            yield np.zeros(50_000, np.uint8)

    def a(x: np.ndarray) -> bytes:
        spin(a_s)
        return bytes(1000)

    def b(x: bytes) -> None:
        spin(b_s)

    calls = {S: source, A: a, B: b}
    return {name: LoadedTask(task=name, call=call, close=lambda: None) for name, call in calls.items()}


def test_seconds_and_bytes_follow_the_work() -> None:
    found = measure(JOB, tasks(a_s=0.004, b_s=0.001), {A: 5000}, items=20)
    assert found[A].items == 20
    assert 2 < found[A].seconds_mean / found[B].seconds_mean < 8
    assert found[A].seconds_median <= found[A].seconds_p95
    assert 50_000 < found[S].output_bytes < 60_000
    assert 1000 < found[A].output_bytes < 1500
    assert found[A].memory_bytes >= 5000
    assert 0 < found[A].transfer_seconds < 0.01
    assert found[B].transfer_seconds == 0  # nobody reads it


def test_under_a_quota_a_task_takes_its_cpu_time_over_the_quota() -> None:
    found = measure(JOB, tasks(a_s=0.004, b_s=0.001), {}, items=20, quota_cpus=0.5)
    assert 2 < found[A].seconds_mean / found[B].seconds_mean < 8
    assert 0.008 <= found[A].seconds_median < 0.012


def test_under_a_quota_a_task_that_waits_takes_its_wall_time() -> None:
    waiting = tasks(b_s=0.001)
    pause = threading.Event()
    waiting[A] = LoadedTask(task=A, call=lambda x: pause.wait(0.02), close=lambda: None)
    found = measure(JOB, waiting, {}, items=10, quota_cpus=0.5)
    assert found[A].seconds_mean >= 0.02
    assert found[B].seconds_mean >= 0.002


def test_a_short_source_is_enough_and_an_empty_one_is_named() -> None:
    assert measure(JOB, tasks(items=5), {}, warmup=2)[A].items == 3
    with pytest.raises(StageError, match="the source gave 0 items"):
        measure(JOB, tasks(items=0), {})


def test_the_budget_ends_the_measurement() -> None:
    found = measure(JOB, tasks(a_s=0.002), {}, items=10_000, min_items=3, budget_s=0.05)
    assert 3 <= found[A].items < 10_000


def test_a_task_that_raises_is_named() -> None:
    broken = {**tasks(), A: LoadedTask(task=A, call=lambda x: 1 / 0, close=lambda: None)}
    with pytest.raises(StageError, match="task a raised ZeroDivisionError while it was profiled"):
        measure(JOB, broken, {})


def measured(task: TaskId, seconds: float, output: float = 10, memory: float = 1) -> TaskMeasurement:
    return TaskMeasurement(
        task=task, seconds_mean=seconds, seconds_median=seconds, seconds_p95=seconds, output_bytes=output,
        transfer_seconds=0.1, memory_bytes=memory, items=9,
    )  # fmt: skip


def test_the_store_keeps_what_was_measured_by_code_and_device(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    pi = Device(id=DeviceId("e4"), type="pi", memory_bytes=1, cpus=0.2)
    bigger = Device(id=DeviceId("e5"), type="pi", memory_bytes=1, cpus=0.4)
    store.put("f1", pi, {A: measured(A, 2.0)})
    assert store.get("f1", pi) == {A: measured(A, 2.0)}
    assert store.get("f2", pi) is None
    assert store.get("f1", bigger) is None
    next(tmp_path.glob("f1*")).write_text("[{")
    assert store.get("f1", pi) is None


def test_merge_keeps_seconds_by_type_and_the_largest_bytes() -> None:
    profile = merge({"pi": {A: measured(A, 3, 10, 5)}, "server": {A: measured(A, 1, 12, 4)}})
    assert profile.seconds == {(A, "pi"): 3, (A, "server"): 1}
    assert profile.output_bytes == {A: 12}
    assert profile.transfer_seconds == {(A, "pi"): 0.1, (A, "server"): 0.1}
    assert profile.peak_memory_bytes == {A: 5}


def test_a_one_shot_job_is_called_once_and_its_peak_memory_measured(tmp_path: Path) -> None:
    """A source gives its value by a call, a file counts with its contents, and what is freed again counts too.

    In a process of its own, as profiles are: in one that has held much memory before, a peak may not show.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        calls, found = pool.submit(called_once, tmp_path).result()
    assert calls == ["s", "a", "b"]
    assert {found[task].items for task in (S, A, B)} == {1}
    assert 100_000 < found[S].output_bytes < 110_000
    assert 3_000_000 < found[A].output_bytes < 3_200_000
    assert found[A].memory_bytes > 39_000_000
    assert found[B].memory_bytes < 10_000_000


def called_once(folder: Path) -> tuple[list[str], dict[TaskId, TaskMeasurement]]:
    calls: list[str] = []

    def source() -> np.ndarray:
        calls.append("s")
        return np.zeros(100_000, np.uint8)

    def a(x: np.ndarray) -> Path:
        calls.append("a")
        np.ones(40_000_000, np.uint8)
        path = folder / "a.bin"
        path.write_bytes(bytes(3_000_000))
        return path

    def b(x: Path) -> int:
        calls.append("b")
        return x.stat().st_size

    loaded = {
        name: LoadedTask(task=name, call=call, close=lambda: None)
        for name, call in {S: source, A: a, B: b}.items()
    }
    return calls, measure(replace(JOB, mode="once"), loaded, {})


def test_of_replicas_one_is_measured_for_all() -> None:
    calls = {"one": 0, "other": 0, "after": 0}

    def counting(name: str) -> LoadedTask:
        def call(x: np.ndarray) -> bytes:
            calls[name] += 1
            return bytes(1000)

        return LoadedTask(task=TaskId(name), call=call, close=lambda: None)

    one, other = TaskId("a.1"), TaskId("a.2")
    job = Job(
        id=JobId("j"),
        tasks=(Task(id=S), Task(id=one, share=0.5), Task(id=other, share=0.5), Task(id=B)),
        flows=tuple(
            Flow(producer=producer, consumer=consumer)
            for producer, consumer in ((S, one), (S, other), (one, B), (other, B))
        ),
        replicas=(Replicas(task=A, producer=S, copies=(one, other), dispatch="jsq", deadline_s=1.0),),
    )
    loaded = {**tasks(), one: counting("one"), other: counting("other"), B: counting("after")}
    found = measure(job, loaded, {S: 0, one: 7_000_000, other: 5, B: 0}, items=10)
    assert calls["one"] == calls["after"] == 12
    assert calls["other"] == 0
    assert replace(found[other], task=one) == found[one]
    assert found[one].output_bytes >= 1000
