"""What the scheduler tells those who ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeray.scheduler.jobs import JobRecord
from policies.model import JobId, Plan, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job as `edgeray jobs` shows it. items: that left the sinks so far; rate_per_s: in the last seconds."""

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
    """One job of `edgeray plan --json`: the file contract's shape, and what each flow carries per item."""
    sizes = {flow.id: workload.size_bytes(flow) for flow in workload.job.flows}
    return {
        "name": plan.job,
        "placement": dict(plan.placement),
        "flows": [
            {
                "from": flow.split("->")[0],
                "to": flow.split("->")[1],
                "route": list(route),
                "rate_bps": plan.rates_bps.get(flow),
                "item_bytes": sizes[flow],
            }
            for flow, route in plan.routes.items()
            if len(route) > 1
        ],
        "throughput_per_s": plan.throughput_per_s,
        "bottleneck": plan.bottleneck,
        "granted_per_s": plan.granted_per_s,
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
