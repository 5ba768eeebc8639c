"""What the scheduler tells those who ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgeray.scheduler.jobs import JobRecord
from edgeray.telemetry.records import DeviceSample, as_json
from policies.model import (
    Cycle,
    Device,
    Flow,
    JobId,
    Mapped,
    Mode,
    Plan,
    Rounds,
    Streams,
    TaskId,
    Timetable,
    Training,
    Workload,
)
from policies.placement.replicas import with_shares


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """One camera's stream as it is now. device: what the camera is attached to. detect_on, identify_on: where its people
    are found and told; None while it is watched nowhere. frames: done so far. fps: in the last seconds; planned_fps: what
    the plan reckons with. latency: from when a frame was taken until all was known of it. people: in its last frame.
    asked: people re-identified so far. moving: it does not run where the plan wants it yet."""

    camera: str
    device: str
    detect_on: str | None
    identify_on: str | None
    frames: int
    dropped: int
    fps: float
    planned_fps: float | None
    planned_latency_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    people: float | None
    asked: int
    moving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job as `edgeray jobs` shows it. items: that left the sinks so far; rate_per_s: in the last seconds.

    tasks_done, makespan_s: of one-shot jobs; makespan_s was measured, from the job's start until its last task's
    end, and is None until then (the planned one is in the plan).
    rounds_done, rounds_total, round_s: of jobs that train a model; round_s is the median of the last ones, None before
    the first. A job that resumes another one counts its own rounds only.
    streams: of jobs that watch cameras, a row a camera. online: of those that decide while they run, what their server
    counts (`told` of edgeray.offload and edgeray.frames); None before it first said so. learner: what the learner holds
    of these (`learning.Learning.of`), from all processes that the job has had; None before it first said so, and after
    `forget`. replicas: how the items of tasks with replicas are dealt out, by task (`edgeray.node.replicas.Dealer.told`);
    None where there are none, and before it was first said.
    """

    job: str
    app: str
    policy: str
    phase: str
    detail: str
    reasons: tuple[str, ...]
    plan: Mapping[str, Any] | None
    submitted_s: float
    started_s: float | None
    ended_s: float | None
    waited_s: float | None
    items: int
    dropped: int
    rate_per_s: float
    latency_p50_s: float | None
    latency_p95_s: float | None
    results: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    mode: Mode = "stream"
    tasks_done: int = 0
    tasks_total: int = 0
    makespan_s: float | None = None
    rounds_done: int = 0
    rounds_total: int = 0
    round_s: float | None = None
    streams: tuple[StreamView, ...] = ()
    online: Mapping[str, Any] | None = None
    learner: Mapping[str, Any] | None = None
    replicas: Mapping[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ("done", "stopped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device as `edgeray devices` shows it. sample_age_s: None before the first sample."""

    device: str
    type: str
    cpus: float
    memory_bytes: float
    address: str | None
    joined: bool
    enforcement: str | None
    sample: Mapping[str, Any] | None
    sample_age_s: float | None
    jobs: tuple[str, ...]


def device_view(
    device: Device, address: str | None, sample: DeviceSample | None, age_s: float, jobs: tuple[str, ...]
) -> DeviceView:
    """address: None while the device is away. sample: its last; age_s: how long ago that was."""
    return DeviceView(
        device=device.id,
        type=device.type,
        cpus=device.cpus,
        memory_bytes=device.memory_bytes,
        address=address,
        joined=address is not None,
        enforcement=sample.enforcement if sample else None,
        sample=as_json(sample) if sample else None,
        sample_age_s=age_s if sample else None,
        jobs=jobs,
    )


def plan_json(plan: Plan, workload: Workload) -> dict[str, Any]:
    """One job of `edgeray plan --json`: the file contract's shape, and what each flow carries per item.

    Of a one-shot job also when each task and transfer begins and ends, in seconds from the job's start. Of a job that
    trains a model also "rounds": cuts and rates by device, and what a round takes. Of one that watches cameras also
    "mapped": where each is watched. Of one with replicas also "shares": by task and replica, the part of the items that
    each is planned to take.
    """
    workload = with_shares(workload, plan.shares)
    flows = {flow.id: flow for flow in workload.job.flows}
    told = {
        "name": plan.job,
        "placement": dict(plan.placement),
        "flows": [
            _flow_json(plan, flows[id], workload) for id, route in plan.routes.items() if len(route) > 1
        ],
        "throughput_per_s": plan.throughput_per_s,
        "bottleneck": plan.bottleneck,
        "granted_per_s": plan.granted_per_s,
    }
    if plan.rounds is not None and workload.job.training is not None:
        return told | _rounds_json(plan, plan.rounds, workload, workload.job.training)
    if plan.mapped is not None and workload.job.streams is not None:
        return told | _mapped_json(plan.mapped, workload.job.streams)
    if workload.job.side_by_side:
        return told | {"mode": workload.job.mode}
    if workload.job.replicas:
        share = {task.id: task.share for task in workload.job.tasks}
        return told | {
            "shares": {r.task: {copy: share[copy] for copy in r.copies} for r in workload.job.replicas}
        }
    return told if plan.timetable is None else told | _timetable_json(plan, plan.timetable, workload)


def _flow_json(plan: Plan, flow: Flow, workload: Workload) -> dict[str, Any]:
    told: dict[str, Any] = {
        "from": flow.producer,
        "to": flow.consumer,
        "route": list(plan.routes[flow.id]),
        "rate_bps": plan.rates_bps.get(flow.id),
    }
    if workload.job.side_by_side:  # what it carries differs from item to item
        return told | {"ceil_bps": plan.ceilings_bps.get(flow.id)}
    told["item_bytes"] = workload.size_bytes(flow)
    if plan.timetable is None:
        return told
    start_s, end_s = plan.timetable.transfers[flow.id]
    return told | {"start_s": start_s, "end_s": end_s}


def _timetable_json(plan: Plan, timetable: Timetable, workload: Workload) -> dict[str, Any]:
    rows = [(task.id, *timetable.tasks[task.id]) for task in workload.job.tasks]
    return {
        "mode": workload.job.mode,
        "makespan_s": timetable.makespan_s,
        "bound_s": timetable.bound_s,
        "contention_free_s": timetable.contention_free_s,
        "tasks": [
            {"task": task, "device": plan.placement[task], "start_s": start_s, "end_s": end_s}
            for task, start_s, end_s in rows
        ],
    }


def _rounds_json(plan: Plan, rounds: Rounds, workload: Workload, training: Training) -> dict[str, Any]:
    """rates_bps: each way, between a client's device and the server's; null for a client on that one. cut_names:
    the layer behind which each cut is."""
    clients = sorted((plan.placement[client], client) for client in training.clients)
    cuts = {device: rounds.cuts[client] for device, client in clients}
    up = {device: Flow(producer=client, consumer=training.server).id for device, client in clients}
    profiled = workload.profile.cuts if workload.profile else None
    return {
        "mode": workload.job.mode,
        "rounds": {
            "cuts": cuts,
            "cut_names": {d: profiled.names[cut] for d, cut in cuts.items()} if profiled else {},
            "rates_bps": {device: plan.rates_bps.get(flow) for device, flow in up.items()},
            "ceilings_bps": {
                d: plan.ceilings_bps[flow] for d, flow in up.items() if flow in plan.ceilings_bps
            },
            "micro_batches": rounds.micro_batches,
            "round_s": rounds.round_s,
            "predicted_s": rounds.predicted_s,
            "bound_s": rounds.bound_s,
            "server": plan.placement[training.server],
            "total": training.rounds,
            **({} if rounds.cycle is None else {"cycle": _cycle_json(plan, rounds.cycle)}),
        },
    }


def _cycle_json(plan: Plan, cycle: Cycle) -> dict[str, Any]:
    """Of the first cycle, by device."""

    def by_device(values: Mapping[TaskId, float]) -> dict[str, float]:
        return {plan.placement[task]: value for task, value in values.items()}

    return {
        "iterations": cycle.iterations,
        "samples": by_device(cycle.samples),
        "predicted_s": by_device(cycle.predicted_s),
        "C2": by_device(cycle.C2),
        "C1": by_device(cycle.C1),
        "C0": by_device(cycle.C0),
    }


def _mapped_json(mapped: Mapped, streams: Streams) -> dict[str, Any]:
    at = {camera.id: camera.device for camera in streams.cameras}
    return {
        "mode": "cameras",
        "mapped": {
            "streams": {
                camera: {"device": at[camera], **asdict(place)} for camera, place in mapped.streams.items()
            },
            "sum_latency_s": mapped.sum_latency_s,
            "common_fps": mapped.common_fps,
            "decided_s": mapped.decided_s,
        },
    }


def job_view(
    record: JobRecord,
    app: str,
    progress: Mapping[str, Any],
    results: Mapping[str, Any],
    learner: Mapping[str, Any] | None = None,
) -> JobView:
    return JobView(
        job=record.id,
        app=app,
        policy=record.policy,
        phase=record.phase.value,
        detail=record.detail,
        reasons=record.reasons,
        plan=plan_json(record.plan, record.workload) if record.plan else None,
        submitted_s=record.submitted_s,
        started_s=record.started_s,
        ended_s=record.ended_s,
        waited_s=None if record.placed_s is None else record.placed_s - record.submitted_s,
        items=progress.get("items", 0),
        dropped=progress.get("dropped", 0),
        rate_per_s=progress.get("rate_per_s", 0.0),
        latency_p50_s=progress.get("latency_p50_s"),
        latency_p95_s=progress.get("latency_p95_s"),
        results=results,
        mode=record.workload.job.mode,
        tasks_done=progress.get("tasks_done", 0),
        tasks_total=len(record.workload.job.tasks),
        makespan_s=progress.get("makespan_s"),
        rounds_done=progress.get("rounds_done", 0),
        rounds_total=training.rounds if (training := record.workload.job.training) else 0,
        round_s=progress.get("round_s"),
        streams=_stream_views(record, progress.get("streams", {})),
        online=progress.get("online"),
        learner=learner,
        replicas=progress.get("replicas"),
    )


def _stream_views(record: JobRecord, told: Mapping[str, Mapping[str, Any]]) -> tuple[StreamView, ...]:
    """told: of each camera what `Progress.of_cameras` knows."""
    streams = record.workload.job.streams
    mapped = record.plan.mapped.streams if record.plan and record.plan.mapped else {}
    rows = []
    for camera in streams.cameras if streams else ():
        where, seen = mapped.get(camera.id), told.get(camera.id, {})
        at = seen.get("device")
        rows.append(
            StreamView(
                camera=camera.id,
                device=camera.device,
                detect_on=where.detect_on if where else None,
                identify_on=where.identify_on if where else None,
                frames=seen.get("frames", 0),
                dropped=seen.get("dropped", 0),
                fps=seen.get("fps", 0.0),
                planned_fps=where.items_per_s if where else None,
                planned_latency_s=where.latency_s if where else None,
                latency_p50_s=seen.get("latency_p50_s"),
                latency_p95_s=seen.get("latency_p95_s"),
                people=seen.get("people"),
                asked=seen.get("asked", 0),
                moving=where is not None and at is not None and at != where.detect_on,
            )
        )
    return tuple(rows)


def ended_view(job: JobId, row: Mapping[str, Any], phase: str, detail: str) -> JobView:
    """A job of which only the journal knows."""
    return JobView(
        job=job,
        app=row["app"],
        policy=row["policy"],
        phase=phase,
        detail=detail,
        reasons=(),
        plan=None,
        submitted_s=row["at_s"],
        started_s=None,
        ended_s=row["at_s"],
        waited_s=None,
        items=0,
        dropped=0,
        rate_per_s=0.0,
        latency_p50_s=None,
        latency_p95_s=None,
    )
