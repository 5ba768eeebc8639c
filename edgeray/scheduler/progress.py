"""How far each job has come, from the nodes' samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeray.node.host import StageCounters
from edgeray.scheduler.jobs import sinks_of
from edgeray.telemetry.records import DeviceSample, TaskSample
from policies.model import CameraId, Job, JobId, TaskId, Training
from policies.streams.reading import step

RATE_WINDOW_S = 10.0
LEAST_FRAMES = 10


@dataclass(slots=True)
class _TaskProgress:
    """counted: items and drops of each process that the task has had. final_p50_s: of the last that has ended.
    last_busy, last_on: the last sample with items, and its device."""

    counted: dict[int, tuple[int, int]] = field(default_factory=dict)
    recent: deque[tuple[float, float, int]] = field(default_factory=lambda: deque(maxlen=240))
    last: TaskSample | None = None
    last_busy: TaskSample | None = None
    last_on: str | None = None
    final_p50_s: float | None = None

    @property
    def items(self) -> int:
        return sum(items for items, _ in self.counted.values())

    @property
    def dropped(self) -> int:
        return sum(dropped for _, dropped in self.counted.values())

    def count(self, pid: int, items: int, dropped: int) -> None:
        """Take cumulative counts in; samples may come late."""
        before = self.counted.get(pid, (0, 0))
        self.counted[pid] = max(before[0], items), max(before[1], dropped)


class Progress:
    """Items and drops by task, over all processes that it has had, and the rate over the last seconds."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], _TaskProgress] = {}
        self._said: dict[str, dict[str, Any]] = {}  # what stages say beside what they count

    def add(self, sample: DeviceSample) -> None:
        for stage in sample.stages:
            self._hear(stage.job, stage.told)
            for row in stage.tasks:
                task = self._tasks.setdefault((stage.job, row.task), _TaskProgress())
                task.count(stage.pid, row.items_total, row.dropped_total)
                task.recent.append((stage.at_s, stage.window_s, row.items))
                task.last = row
                if row.items or task.last_busy is None:  # a stream that has moved away still has a row there
                    task.last_busy, task.last_on = row, stage.device

    def finish(self, job: JobId, final: StageCounters) -> None:
        """The last counts of a stage that has ended: what no sample told any more."""
        self._hear(job, final.told)
        for name, (items, _, _, dropped, p50_s, _) in final.tasks.items():
            task = self._tasks.setdefault((job, name), _TaskProgress())
            task.count(final.pid, items, dropped)
            task.final_p50_s = p50_s

    def _hear(self, job: str, said: Mapping[str, Any] | None) -> None:
        """Several stages of a job may deal out items to replicas, each of other tasks."""
        if said is not None:
            self._said.setdefault(job, {}).update(said)

    def told(self, job: Job) -> dict[str, Any]:
        """How far a job has come, in the terms of its mode."""
        told = self.of(job.id, sinks_of(job))
        if job.mode == "once":
            return told | self.of_once(job.id, [task.id for task in job.tasks])
        if job.training is not None:
            return told | self.of_loop(job.id, job.training)
        if job.online is not None:
            return told | {"online": self._said.get(job.id)}
        if job.streams is not None:
            return told | self.of_cameras(job.id, [camera.id for camera in job.streams.cameras])
        return told | {"replicas": self._said.get(job.id)} if job.replicas else told

    def of(self, job: JobId, sinks: Sequence[TaskId]) -> dict[str, Any]:
        """What a job's slowest sink has seen, and what all its sources dropped."""
        rows = [self._tasks[key] for sink in sinks if (key := (job, sink)) in self._tasks]
        dropped = sum(row.dropped for (name, _), row in self._tasks.items() if name == job)
        if not rows:
            return {"dropped": dropped}
        slowest = min(rows, key=lambda row: row.items)
        return {
            "items": slowest.items,
            "dropped": dropped,
            "rate_per_s": _rate(slowest),
            "latency_p50_s": slowest.last.latency_p50_s if slowest.last else None,
            "latency_p95_s": slowest.last.latency_p95_s if slowest.last else None,
        }

    def of_once(self, job: JobId, tasks: Sequence[TaskId]) -> dict[str, Any]:
        """How many of a one-shot job's tasks have run, and once all have, how long that took."""
        rows = [self._tasks[key] for task in tasks if (key := (job, task)) in self._tasks]
        # A task that ran once has one latency: from the job's start.
        ends = [row.final_p50_s for row in rows if row.final_p50_s is not None]
        return {
            "tasks_done": sum(row.items > 0 for row in rows),
            "makespan_s": max(ends) if len(ends) == len(tasks) else None,
        }

    def of_loop(self, job: JobId, training: Training) -> dict[str, Any]:
        """How many rounds the job's server has done, and the median of what the last ones took."""
        row = self._tasks.get((job, training.server))
        if row is None:
            return {}
        now_s = row.last.latency_p50_s if row.last else None
        return {
            # A round that was done when the server died, and not yet kept, is done again.
            "rounds_done": min(row.items, training.rounds),
            "round_s": row.final_p50_s if now_s is None else now_s,
        }

    def of_cameras(self, job: JobId, cameras: Sequence[CameraId]) -> dict[str, Any]:
        """What was done of each camera's frames, wherever that was, and of all together: the least and the mean."""
        streams = {camera: self._of_camera(job, camera) for camera in cameras}
        rows = list(streams.values())
        latencies = [row["latency_p50_s"] for row in rows if row["latency_p50_s"] is not None]
        return {
            "streams": streams,
            "items": sum(row["frames"] for row in rows),
            "rate_per_s": sum(row["fps"] for row in rows) / max(1, len(rows)),
            "latency_p50_s": sum(latencies) / len(latencies) if latencies else None,
        }

    def _of_camera(self, job: JobId, camera: CameraId) -> dict[str, Any]:
        read, done, asked, people = (
            self._tasks.get((job, step(name, camera)), _TaskProgress())
            for name in ("camera", "detect", "identify", "people")
        )
        last = done.last_busy
        return {
            "frames": done.items,
            "dropped": read.dropped,
            "fps": _rate_anywhere(done),
            "asked": asked.items,
            "people": _rate_anywhere(people) / fps if (fps := _rate_anywhere(done)) > 0 else None,
            "device": done.last_on,
            "latency_p50_s": last.latency_p50_s if last else None,
            "latency_p95_s": last.latency_p95_s if last else None,
        }

    def calls_per_frame(self, job: JobId, camera: CameraId, over_s: float) -> float | None:
        """People re-identified a frame in the last seconds; None with too few frames to tell."""
        frames = _items_since(self._tasks.get((job, step("detect", camera))), over_s)
        asked = _items_since(self._tasks.get((job, step("identify", camera))), over_s)
        return asked / frames if frames >= LEAST_FRAMES else None


def _items_since(task: _TaskProgress | None, over_s: float) -> int:
    if task is None or not task.recent:
        return 0
    newest_s = task.recent[-1][0]
    return sum(items for at_s, _, items in task.recent if at_s > newest_s - over_s)


def _rate_anywhere(task: _TaskProgress) -> float:
    """Items a second of a task that may have run on several devices at a time."""
    if not task.recent:
        return 0.0
    newest_s = max(row[0] for row in task.recent)
    rows = [row for row in task.recent if row[0] > newest_s - RATE_WINDOW_S]
    since_s = min(at_s - window_s for at_s, window_s, _ in rows)
    return sum(items for _, _, items in rows) / max(newest_s - since_s, 1e-6)


def _rate(task: _TaskProgress) -> float:
    if not task.recent:
        return 0.0
    newest_s = task.recent[-1][0]
    rows = [row for row in task.recent if row[0] > newest_s - RATE_WINDOW_S]
    span_s = sum(row[1] for row in rows)
    return sum(row[2] for row in rows) / span_s if span_s > 0 else 0.0
