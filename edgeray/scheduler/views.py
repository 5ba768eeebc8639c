"""What the scheduler tells those who ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeray.scheduler.jobs import JobRecord
from policies.model import Flow, JobId, Mode, Plan, Timetable, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job as `edgeray jobs` shows it. items: that left the sinks so far; rate_per_s: in the last seconds.

    tasks_done, makespan_s: of one-shot jobs; makespan_s was measured, from the job's start until its last task's
    end, and is None until then (the planned one is in the plan).
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


def plan_json(plan: Plan, workload: Workload) -> dict[str, Any]:
    """One job of `edgeray plan --json`: the file contract's shape, and what each flow carries per item.

    Of a one-shot job also when each task and transfer begins and ends, in seconds from the job's start.
    """
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
    return told if plan.timetable is None else told | _timetable_json(plan, plan.timetable, workload)


def _flow_json(plan: Plan, flow: Flow, workload: Workload) -> dict[str, Any]:
    told = {
        "from": flow.producer,
        "to": flow.consumer,
        "route": list(plan.routes[flow.id]),
        "rate_bps": plan.rates_bps.get(flow.id),
        "item_bytes": workload.size_bytes(flow),
    }
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


def job_view(record: JobRecord, app: str, progress: Mapping[str, Any], results: Mapping[str, Any]) -> JobView:
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
    )


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
