"""Run real items through the real DAG on one device, and say what each task took."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from edgeray.dataplane import FlowReceiver, FlowSender, encode, new_flow_security, wire_bytes
from edgeray.errors import StageError
from edgeray.node.code import LoadedTask, iterate
from edgeray.node.files import outgoing
from policies.model import Job, TaskId

WAITS = 3.0
"""A task under a quota whose wall time is so many times its CPU time's share waits for something else."""
TRANSFER_SAMPLES = 8
TRANSFER_WARMUP = 2
TRANSFER_ITEMS = 10
TRANSFER_PAUSE_S = 0.02
TRANSFER_PACE_BPS = 4e6
TRANSFER_LONGEST_S = 0.2
TRANSFER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMeasurement:
    """One task on one device type. seconds_*: per item under the device's CPU limit; plans use the mean, because
    throughput is a mean. output_bytes: on the wire, mean. transfer_seconds: of either end of an encrypted flow per
    item of its output. memory_bytes: what loading and running the task added to the process at most. items:
    measured ones.
    """

    task: TaskId
    seconds_mean: float
    seconds_median: float
    seconds_p95: float
    output_bytes: float
    transfer_seconds: float
    memory_bytes: float
    items: int


@dataclass(slots=True)
class _Rows:
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    output_bytes: list[int] = field(default_factory=list)
    growth_bytes: int = 0
    outputs: list[Any] = field(default_factory=list)
    transfer_cpu_s: float = 0.0


def measure(
    job: Job,
    tasks: Mapping[TaskId, LoadedTask],
    loaded_bytes: Mapping[TaskId, int],
    *,
    warmup: int = 2,
    items: int = 30,
    min_items: int = 8,
    budget_s: float = 12.0,
    quota_cpus: float | None = None,
    sent: Collection[TaskId] | None = None,
) -> dict[TaskId, TaskMeasurement]:
    """Push items through the DAG one by one, in topological order, until items or the time budget are used up.

    The first warmup items are left out; at least min_items are measured, however long they take. Of a one-shot
    job each task is called once, cold, as it will be, and its memory is its peak; what its flows compute is not
    in its model.
    quota_cpus: the CPU quota that the process runs under, where it is below one core. The kernel then stops
    whichever task happens to be running when the slice is used up, so single wall times say little; what a
    task takes is its CPU time over the quota, which is what an item costs when the device is busy.
    Of replicas the first is measured, for all of them. loaded_bytes: what loading each task added. sent: whose outputs
    may travel, and are sent over a flow to see what that computes; None: those of all that have a consumer.

    Raises StageError when a task fails or the source gives no item.
    """
    rows = {task.id: _Rows() for task in job.tasks}
    same = _same_as(job)
    rows |= {copy: rows[first] for copy, first in same.items()}
    loaded_bytes = {**loaded_bytes, **{copy: loaded_bytes.get(first, 0) for copy, first in same.items()}}
    process = psutil.Process()
    if job.mode == "once":
        _one_item(job, tasks, {}, rows, process, keep=True)
        return _summaries(rows, loaded_bytes, quota_cpus)
    sources = {task.id: iterate(tasks[task.id]) for task in job.sources}
    began = time.monotonic()
    done = 0
    while done < warmup + items:
        measured = done - warmup
        if measured >= min_items and time.monotonic() - began > budget_s:
            break
        try:
            _one_item(job, tasks, sources, rows, process, keep=done >= warmup)
        except StopIteration:
            break
        done += 1
    if done <= warmup:
        raise StageError(f"the source gave {done} items; profiling needs more than {warmup}")
    for flow in job.flows:
        row = rows[flow.producer]
        if not row.transfer_cpu_s and (sent is None or flow.producer in sent):
            row.transfer_cpu_s = transfer_cpu_s(row.outputs)
    return _summaries(rows, loaded_bytes, quota_cpus)


def _one_item(
    job: Job,
    tasks: Mapping[TaskId, LoadedTask],
    sources: Mapping[TaskId, Any],
    rows: Mapping[TaskId, _Rows],
    process: psutil.Process,
    *,
    keep: bool,
) -> None:
    values: dict[TaskId, Any] = {}
    consumers = Counter(flow.producer for flow in job.flows)
    same = _same_as(job)
    for task in job.tasks:
        if task.id in same:
            values[task.id] = values[same[task.id]]
            continue
        inputs = [values[producer] for producer in job.arguments(task.id)]
        memory_before = process.memory_info().rss
        peaks = job.mode == "once" and reset_peak_memory()
        wall, cpu = time.perf_counter(), time.process_time()
        values[task.id] = _call(task.id, tasks, sources, inputs)
        wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        row = rows[task.id]
        memory_after = peak_memory_bytes() if peaks else process.memory_info().rss
        row.growth_bytes = max(row.growth_bytes, memory_after - memory_before)
        if keep:
            row.wall_s.append(wall_s)
            row.cpu_s.append(cpu_s)
            sent = outgoing(values[task.id]) if job.mode == "once" else (values[task.id],)
            row.output_bytes.append(sum(wire_bytes(encode(item)) for item in sent))
            if job.mode == "stream":
                row.outputs = [*row.outputs[1 - TRANSFER_SAMPLES :], values[task.id]]
        for flow in job.inputs(task.id):
            consumers[flow.producer] -= 1
            if not consumers[flow.producer]:
                del values[flow.producer]  # a large DAG's values need not fit all at once


def _same_as(job: Job) -> dict[TaskId, TaskId]:
    """Replicas that need not be measured, since the first of them is."""
    return {copy: each.copies[0] for each in job.replicas for copy in each.copies[1:]}


def _call(
    task: TaskId, tasks: Mapping[TaskId, LoadedTask], sources: Mapping[TaskId, Any], inputs: list[Any]
) -> Any:
    try:
        if task in sources:
            return next(sources[task])
        return tasks[task].call(*inputs)
    except StopIteration:
        raise
    except Exception as error:
        raise StageError(
            f"task {task} raised {type(error).__name__} while it was profiled: {error}"
        ) from error


def reset_peak_memory() -> bool:
    """Let the kernel measure this process's peak memory anew; False where it does not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024


def transfer_cpu_s(outputs: Sequence[Any]) -> float:
    """CPU seconds of one end of a flow per item: half of what sending these to oneself takes.

    Over a real encrypted flow on loopback, as items come in a job on thin links: paced, one by one, with a
    pause in which threads and caches grow cold. In a tight loop it would take a fifth of that.
    """
    keys = new_flow_security()
    window: dict[str, Any] = {"max_items": 4, "max_bytes": 2**26}
    largest = max(wire_bytes(encode(value)) for value in outputs)
    pacing_bps = max(TRANSFER_PACE_BPS, largest * 8 / TRANSFER_LONGEST_S)
    receiver = FlowReceiver("127.0.0.1", 0, security=keys.for_receiver(), **window)
    sender = FlowSender(
        "127.0.0.1", receiver.port, security=keys.for_sender(), pacing_bps=pacing_bps, **window
    )
    pause = threading.Event()
    used_s: list[float] = []
    try:
        with ThreadPoolExecutor(max_workers=1) as reader:
            for number in range(TRANSFER_WARMUP + TRANSFER_ITEMS):
                began = time.process_time()
                came = reader.submit(receiver.receive, TRANSFER_TIMEOUT_S)
                sender.send(number, outputs[number % len(outputs)], created_s=0.0)
                if came.result() is None:
                    raise StageError("an item sent over loopback did not come back; see `edgeray doctor`")
                pause.wait(TRANSFER_PAUSE_S)
                used_s.append(time.process_time() - began)
        return statistics.fmean(used_s[TRANSFER_WARMUP:]) / 2
    finally:
        sender.close()
        receiver.close()


def _summaries(
    rows: Mapping[TaskId, _Rows], loaded_bytes: Mapping[TaskId, int], quota_cpus: float | None
) -> dict[TaskId, TaskMeasurement]:
    return {task: _summarise(task, loaded_bytes.get(task, 0), row, quota_cpus) for task, row in rows.items()}


def _summarise(task: TaskId, loaded_bytes: int, row: _Rows, quota_cpus: float | None) -> TaskMeasurement:
    slow_down = 1.0 if quota_cpus is None else 1 / quota_cpus
    seconds = row.wall_s
    if (
        quota_cpus is not None
        and statistics.fmean(row.wall_s) < WAITS * statistics.fmean(row.cpu_s) * slow_down
    ):
        seconds = [cpu_s * slow_down for cpu_s in row.cpu_s]
    ordered = sorted(seconds)
    return TaskMeasurement(
        task=task,
        seconds_mean=statistics.fmean(ordered),
        seconds_median=statistics.median(ordered),
        seconds_p95=ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))],
        output_bytes=statistics.fmean(row.output_bytes),
        transfer_seconds=row.transfer_cpu_s * slow_down,
        memory_bytes=float(loaded_bytes + row.growth_bytes),
        items=len(ordered),
    )
