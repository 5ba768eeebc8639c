"""What a simulation tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from policies.model import DeviceId, JobId, LinkId, Mode, Plan

Detail = Literal["items", "rates"]
Sharing = Literal["granted", "max-min"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedJob:
    """What became of one job. Times in seconds since the simulation began; None: it never came so far.

    waited_s: from submission to placement. items: how many left its slowest sink. throughput_per_s: between the
    first and the last item at that sink, once it ran for warm_s, as it is measured live. planned_per_s: what its last
    plan promised. Latencies from a source to that sink; None with detail "rates", which knows no queues.
    makespan_s: of a one-shot job, from start to end.
    """

    job: JobId
    policy: str
    mode: Mode
    phase: str
    detail: str
    submitted_s: float
    placed_s: float | None
    started_s: float | None
    ended_s: float | None
    waited_s: float | None
    items: int
    throughput_per_s: float
    planned_per_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    makespan_s: float | None
    planned_makespan_s: float | None
    plan: Plan | None

    def as_json(self) -> dict[str, Any]:
        told = {name: _finite(getattr(self, name)) for name in self.__slots__ if name != "plan"}
        return {**told, "plan": None if self.plan is None else _plan_json(self.plan)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """jobs: in the order of submission. device_busy, link_load: parts of the time, and of what could have been
    carried, from 0 to end_s. events: how many the clock handled. planning_s: real seconds of each decision, the only
    part that differs between runs; as_json leaves it out.
    """

    jobs: tuple[SimulatedJob, ...]
    end_s: float
    events: int
    device_busy: Mapping[DeviceId, float]
    link_load: Mapping[LinkId, float]
    planning_s: tuple[float, ...] = field(compare=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "end_s": self.end_s,
            "events": self.events,
            "decisions": len(self.planning_s),
            "jobs": [job.as_json() for job in self.jobs],
            "device_busy": dict(self.device_busy),
            "link_load": dict(self.link_load),
        }


def _plan_json(plan: Plan) -> dict[str, Any]:
    told: dict[str, Any] = {
        "placement": dict(plan.placement),
        "flows": [
            {"flow": flow, "route": list(plan.routes[flow]), "rate_bps": plan.rates_bps.get(flow)}
            for flow in sorted(plan.routes)
        ],
        "bottleneck": plan.bottleneck,
        "granted_per_s": _finite(plan.granted_per_s),
    }
    if plan.timetable is not None:
        told["bound_s"] = _finite(plan.timetable.bound_s)
        told["contention_free_s"] = _finite(plan.timetable.contention_free_s)
        told["tasks"] = [
            {"task": task, "start_s": start, "end_s": end}
            for task, (start, end) in sorted(plan.timetable.tasks.items())
        ]
    return told


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
