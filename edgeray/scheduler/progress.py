"""How far each job has come, from the nodes' samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeray.node.host import StageCounters
from edgeray.telemetry.records import DeviceSample, TaskSample
from policies.model import JobId, TaskId

RATE_WINDOW_S = 10.0


@dataclass(slots=True)
class _TaskProgress:
    items: int = 0
    dropped: int = 0
    recent: deque[tuple[float, float, int]] = field(default_factory=lambda: deque(maxlen=60))
    last: TaskSample | None = None
    ended_s: float | None = None  # of a one-shot job's task, since the job's start


class Progress:
    """Items and drops by task, and the rate over the last seconds."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], _TaskProgress] = {}

    def add(self, sample: DeviceSample) -> None:
        for stage in sample.stages:
            for row in stage.tasks:
                task = self._tasks.setdefault((stage.job, row.task), _TaskProgress())
                task.items = max(task.items, row.items_total)
                task.dropped = max(task.dropped, row.dropped_total)
                task.recent.append((stage.at_s, stage.window_s, row.items))
                task.last = row

    def finish(self, job: JobId, final: StageCounters) -> None:
        """The last counts of a stage that has ended: what no sample told any more."""
        for name, (items, _, _, dropped, p50_s, _) in final.tasks.items():
            task = self._tasks.setdefault((job, name), _TaskProgress())
            task.items = max(task.items, items)
            task.dropped = max(task.dropped, dropped)
            task.ended_s = p50_s  # a task that ran once has one latency: from the job's start

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
        ends = [row.ended_s for row in rows if row.ended_s is not None]
        return {
            "tasks_done": sum(row.items > 0 for row in rows),
            "makespan_s": max(ends) if len(ends) == len(tasks) else None,
        }


def _rate(task: _TaskProgress) -> float:
    if not task.recent:
        return 0.0
    newest_s = task.recent[-1][0]
    rows = [row for row in task.recent if row[0] > newest_s - RATE_WINDOW_S]
    span_s = sum(row[1] for row in rows)
    return sum(row[2] for row in rows) / span_s if span_s > 0 else 0.0
