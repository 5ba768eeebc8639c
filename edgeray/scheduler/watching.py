"""What the scheduler asks of the nodes that watch cameras, and when it looks again at how they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgeray.node.measure import SinkWindow
from edgeray.scheduler import events as ev
from edgeray.scheduler.fleet import Fleet
from edgeray.scheduler.jobs import JobRecord
from edgeray.scheduler.progress import Progress
from policies.model import CameraId, Job, JobId, TaskId

LOOK_S = 5.0
OVER_S = 30.0
"""People a frame are counted over so long: new ones come in bursts."""


class Watching:
    """Turns what nodes have counted into events, every LOOK_S for each job."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._looked_s: dict[JobId, float] = {}

    def due(self, now_s: float, jobs: Sequence[Job]) -> list[ev.StreamsMeasured]:
        """jobs: those that run, of which those that watch cameras matter. A camera of which too little was seen keeps its
        declared number."""
        events = []
        for job in jobs:
            if job.streams is None or now_s - self._looked_s.get(job.id, now_s - LOOK_S) < LOOK_S:
                continue
            self._looked_s[job.id] = now_s
            measured = {
                camera.id: calls
                for camera in job.streams.cameras
                if (calls := self._progress.calls_per_frame(job.id, camera.id, OVER_S)) is not None
            }
            events.append(ev.StreamsMeasured(at_s=now_s, job=job.id, calls_per_frame=measured))
        return events


def joined_windows(found: Sequence[Mapping[TaskId, SinkWindow]]) -> dict[CameraId, SinkWindow]:
    """By camera, out of what each device says of its detectors. Of a stream that moved meanwhile the items of both add
    up, and latencies are those of where it had most; its rate is then not known but by the time between."""
    joined: dict[CameraId, SinkWindow] = {}
    for windows in found:
        for task, window in windows.items():
            name, _, camera = task.partition("/")
            if name != "detect":
                continue
            known = joined.get(CameraId(camera))
            if known is None:
                joined[CameraId(camera)] = window
                continue
            most = max(known, window, key=lambda each: each.items)
            joined[CameraId(camera)] = replace(most, items=known.items + window.items, rate_per_s=None)
    return joined


def stream_windows(
    fleet: Fleet, record: JobRecord | None, from_s: float, to_s: float
) -> dict[CameraId, SinkWindow]:
    """What was done of each camera's frames between two times (Unix seconds)."""
    if record is None:
        return {}
    asked = [
        fleet.ask(d, lambda node: node.sink_windows(record.id, from_s, to_s)) for d in sorted(record.stages)
    ]
    return joined_windows([windows or {} for windows in asked])


def view(fleet: Fleet, record: JobRecord | None, camera: CameraId) -> dict[str, Any] | None:
    """The last picture of a camera, with who is on it (`edgeray.streams.edge.Edge.view`); None when nobody watches it."""
    mapped = record.plan.mapped if record and record.plan else None
    where = mapped.streams.get(camera) if mapped else None
    if record is None or where is None:
        return None
    found: dict[str, Any] | None = fleet.ask(where.detect_on, lambda node: node.view(record.id, camera))
    return found
