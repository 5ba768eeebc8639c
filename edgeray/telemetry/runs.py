"""From counters before and after a window to records of what ran. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgeray.telemetry.records import (
    DeviceRun,
    FlowRun,
    JobRun,
    LinkRun,
    OncePolicyRun,
    OnceRun,
    PolicyRun,
    TaskRun,
)
from policies.model import DeviceId, FlowId, JobId, Network, TaskId

if TYPE_CHECKING:
    from edgeray.node.measure import SinkWindow
    from edgeray.node.service import NodeCounters
    from edgeray.scheduler.views import JobView

Counters = Mapping[DeviceId, "NodeCounters"]


def job_run(
    view: JobView,
    before: Counters,
    after: Counters,
    sinks: Mapping[TaskId, SinkWindow],
    seconds: float,
) -> JobRun:
    """One job over one window. Its throughput is its slowest sink's."""
    plan = view.plan
    if plan is None or view.phase != "running":
        return _not_run(view)
    slowest = min(sinks.values(), key=lambda sink: sink.items, default=None)
    items = slowest.items if slowest else 0
    rate = slowest.rate_per_s if slowest and slowest.rate_per_s is not None else items / seconds
    return JobRun(
        job=view.job,
        app=view.app,
        plan=plan,
        planned_per_s=plan["throughput_per_s"],
        measured_per_s=rate,
        items=items,
        dropped=view.dropped,
        measured_s=seconds,
        waiting_s=view.waited_s or 0.0,
        latency_p50_s=slowest.latency_p50_s if slowest else None,
        latency_p95_s=slowest.latency_p95_s if slowest else None,
        latency_p99_s=slowest.latency_p99_s if slowest else None,
        tasks=tuple(_task_runs(view, before, after)),
        flows=tuple(_flow_run(view, flow, before, after) for flow in plan["flows"]),
        results={},
        failure=None,
    )


def _not_run(view: JobView) -> JobRun:
    return JobRun(
        job=view.job,
        app=view.app,
        plan=view.plan,
        planned_per_s=0.0,
        measured_per_s=0.0,
        items=0,
        dropped=view.dropped,
        measured_s=0.0,
        waiting_s=view.waited_s or 0.0,
        latency_p50_s=None,
        latency_p95_s=None,
        latency_p99_s=None,
        failure=_why_not(view),
    )


def _why_not(view: JobView) -> str:
    return view.detail or "; ".join(view.reasons) or f"it was {view.phase}"


def _task_runs(view: JobView, before: Counters, after: Counters) -> list[TaskRun]:
    rows = []
    placement: Mapping[str, str] = (view.plan or {})["placement"]
    for task, device in placement.items():
        now = after.get(DeviceId(device))
        old = before.get(DeviceId(device))
        stage = now.stages.get(JobId(view.job)) if now else None
        earlier = old.stages.get(JobId(view.job)) if old else None
        if stage is None or earlier is None:
            continue
        window_s = stage.at_s - earlier.at_s
        items, busy_s, _, dropped, _, _ = stage.tasks[TaskId(task)]
        items_0, busy_0_s, _, dropped_0, _, _ = earlier.tasks[TaskId(task)]
        count = items - items_0
        rows.append(
            TaskRun(
                task=task,
                device=device,
                items_per_s=count / window_s,
                busy_fraction=(busy_s - busy_0_s) / window_s,
                seconds_per_item=(busy_s - busy_0_s) / count if count else None,
                dropped=dropped - dropped_0,
            )
        )
    return rows


def _flow_run(view: JobView, flow: Mapping[str, Any], before: Counters, after: Counters) -> FlowRun:
    name = f"{flow['from']}->{flow['to']}"
    device = DeviceId(flow["route"][0])
    now, old = after.get(device), before.get(device)
    wire_bps = payload_bps = None
    if now is not None and old is not None:
        window_s = now.at_s - old.at_s
        key = f"{view.job}/{name}"
        if key in now.flow_bytes:
            wire_bps = (now.flow_bytes[key] - old.flow_bytes.get(key, 0)) * 8 / window_s
        stage, earlier = now.stages.get(JobId(view.job)), old.stages.get(JobId(view.job))
        if stage is not None and earlier is not None:
            sent = stage.flows[FlowId(name)][1] - earlier.flows[FlowId(name)][1]
            payload_bps = sent * 8 / window_s
    return FlowRun(
        flow=name,
        producer=flow["from"],
        consumer=flow["to"],
        route=tuple(flow["route"]),
        granted_bps=flow["rate_bps"],
        measured_bps=wire_bps,
        payload_bps=payload_bps or 0.0,
        saturated=_binds(view.plan or {}, flow),
    )


def _binds(plan: Mapping[str, Any], flow: Mapping[str, Any]) -> bool:
    """Whether the plan has this flow as slow as the job: it should then use all of its grant."""
    if not flow["rate_bps"] or not flow["item_bytes"]:
        return False
    return bool(flow["rate_bps"] / 8 / flow["item_bytes"] <= plan["throughput_per_s"] * 1.02)


def device_runs(
    before: Counters, after: Counters, network: Network, enforcement: Mapping[str, str]
) -> list[DeviceRun]:
    """CPU and memory of each device's stages over the window."""
    rows = []
    for device in network.devices.values():
        now, old = after.get(device.id), before.get(device.id)
        if now is None or old is None:
            continue
        window_s = now.at_s - old.at_s
        used_s = sum(
            stage.cpu_s - old.stages[job].cpu_s for job, stage in now.stages.items() if job in old.stages
        )
        rows.append(
            DeviceRun(
                device=device.id,
                cpu_fraction=used_s / window_s / device.cpus,
                memory_bytes=now.memory_bytes,
                enforcement=enforcement.get(device.id, "unknown"),
            )
        )
    return rows


def link_runs(before: Counters, after: Counters, network: Network) -> list[LinkRun]:
    """Bits/s over each link, both directions together: each end counts what it sends."""
    rows = []
    for link in network.links.values():
        measured = control = 0.0
        for end in link.ends:
            now, old = after.get(end), before.get(end)
            if now is None or old is None or link.id not in now.link_bytes or link.id not in old.link_bytes:
                continue
            window_s = now.at_s - old.at_s
            measured += (now.link_bytes[link.id][0] - old.link_bytes[link.id][0]) * 8 / window_s
            control += (now.link_bytes[link.id][1] - old.link_bytes[link.id][1]) * 8 / window_s
        rows.append(
            LinkRun(link=link.id, capacity_bps=link.capacity_bps, measured_bps=measured, control_bps=control)
        )
    return rows


def policy_run(
    policy: str,
    jobs: Sequence[JobRun],
    devices: Sequence[DeviceRun],
    links: Sequence[LinkRun],
    *,
    planning_s: float,
    bound_per_s: float | None,
) -> PolicyRun:
    """All jobs under one policy. A job that did not run counts with 0; then the geometric mean is 0 too."""
    rates = [job.measured_per_s for job in jobs]
    return PolicyRun(
        policy=policy,
        jobs=tuple(jobs),
        devices=tuple(devices),
        links=tuple(links),
        mean_per_s=sum(rates) / len(rates) if rates else 0.0,
        geometric_mean_per_s=geometric_mean(rates),
        minimum_per_s=min(rates, default=0.0),
        planned_mean_per_s=sum(job.planned_per_s for job in jobs) / len(jobs) if jobs else 0.0,
        planning_s=planning_s,
        bound_per_s=bound_per_s,
    )


def once_run(view: JobView) -> OnceRun:
    """A one-shot job that has ended."""
    plan = view.plan or {}
    failure = None if view.phase == "done" else _why_not(view)
    if failure is None and view.makespan_s is None:
        failure = "its makespan was not measured"
    return OnceRun(
        job=view.job,
        app=view.app,
        plan=view.plan,
        makespan_s=view.makespan_s if failure is None else None,
        planned_s=plan.get("makespan_s"),
        bound_s=plan.get("bound_s"),
        failure=failure,
    )


def once_policy_run(policy: str, jobs: Sequence[OnceRun], *, planning_s: float) -> OncePolicyRun:
    return OncePolicyRun(
        policy=policy,
        jobs=tuple(jobs),
        makespan_mean_s=_mean([job.makespan_s for job in jobs]),
        planned_mean_s=_mean([job.planned_s for job in jobs]),
        bound_mean_s=_mean([job.bound_s for job in jobs]),
        planning_s=planning_s,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def geometric_mean(rates: Sequence[float]) -> float:
    if not rates or min(rates) <= 0:
        return 0.0
    return math.exp(sum(math.log(rate) for rate in rates) / len(rates))
