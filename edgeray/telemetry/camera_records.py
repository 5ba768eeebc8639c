"""Records of jobs that watch cameras, measured under several policies. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeray.node.measure import SinkWindow
    from edgeray.scheduler.views import JobView, StreamView


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """One camera's stream over a measured time. device: the camera's. fps: frames/s whose people are all known.

    latency_*: from when a frame was taken until then, queues included. planned_latency_s: by the published model, which
    knows no queues. people: on a frame, mean. asked: people re-identified.
    """

    camera: str
    device: str
    detect_on: str | None
    identify_on: str | None
    fps: float
    planned_fps: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    planned_latency_s: float | None
    people: float | None
    dropped: int
    asked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CamerasRun:
    """One job under one policy. fps_*, planned_fps: of its streams, mean and least; off_plan: the mean measured over the
    mean planned, less 1. latency_s: mean over the streams of their median; planned_latency_s: of the published model.
    failure: why it did not run; then there are no numbers."""

    job: str
    app: str
    policy: str
    plan: Mapping[str, Any] | None
    streams: tuple[StreamRun, ...]
    measured_s: float
    fps_mean: float | None
    fps_least: float | None
    planned_fps: float | None
    off_plan: float | None
    latency_s: float | None
    planned_latency_s: float | None
    planning_s: float
    cpu: Mapping[str, float]
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CamerasComparison:
    """Several policies on the same cameras and cluster, one after the other; network as in `records.Comparison`."""

    app: str
    cluster: str
    network: Mapping[str, Any]
    seconds: float
    started_at: str
    edgeray: str
    emulation: str
    runs: tuple[CamerasRun, ...]
    notes: tuple[str, ...] = ()


def cameras_run(
    view: JobView,
    windows: Mapping[str, SinkWindow],
    dropped_before: Mapping[str, int],
    asked_before: Mapping[str, int],
    *,
    measured_s: float,
    planning_s: float,
    cpu: Mapping[str, float],
) -> CamerasRun:
    """What a job's streams did in a window. windows: by camera; one that is not there did nothing."""
    if view.phase != "running":
        return _not_run(view, planning_s)
    streams = tuple(
        _stream_run(row, windows.get(row.camera), dropped_before, asked_before, measured_s)
        for row in view.streams
    )
    rates = [stream.fps for stream in streams]
    planned = _mean([stream.planned_fps for stream in streams])
    mean = statistics.fmean(rates) if rates else 0.0
    return CamerasRun(
        job=view.job,
        app=view.app,
        policy=view.policy,
        plan=view.plan,
        streams=streams,
        measured_s=measured_s,
        fps_mean=mean,
        fps_least=min(rates, default=0.0),
        planned_fps=planned,
        off_plan=mean / planned - 1 if planned else None,
        latency_s=_mean([stream.latency_p50_s for stream in streams]),
        planned_latency_s=_mean([stream.planned_latency_s for stream in streams]),
        planning_s=planning_s,
        cpu=cpu,
    )


def _not_run(view: JobView, planning_s: float) -> CamerasRun:
    return CamerasRun(
        job=view.job,
        app=view.app,
        policy=view.policy,
        plan=view.plan,
        streams=(),
        measured_s=0.0,
        fps_mean=None,
        fps_least=None,
        planned_fps=None,
        off_plan=None,
        latency_s=None,
        planned_latency_s=None,
        planning_s=planning_s,
        cpu={},
        failure=view.detail or "; ".join(view.reasons) or f"it was {view.phase}",
    )


def _stream_run(
    row: StreamView,
    window: SinkWindow | None,
    dropped_before: Mapping[str, int],
    asked_before: Mapping[str, int],
    measured_s: float,
) -> StreamRun:
    rate = 0.0 if window is None else window.items / measured_s
    if window is not None and window.rate_per_s is not None and window.items > 2:
        rate = window.rate_per_s
    return StreamRun(
        camera=row.camera,
        device=row.device,
        detect_on=row.detect_on,
        identify_on=row.identify_on,
        fps=rate,
        planned_fps=row.planned_fps,
        latency_p50_s=window.latency_p50_s if window else None,
        latency_p95_s=window.latency_p95_s if window else None,
        planned_latency_s=row.planned_latency_s,
        people=row.people,
        dropped=row.dropped - dropped_before.get(row.camera, 0),
        asked=row.asked - asked_before.get(row.camera, 0),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
