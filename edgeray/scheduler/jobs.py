"""What the scheduler remembers of one job, and how a plan becomes stages and flow rules. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeray.network.types import FlowRule
from edgeray.scheduler.effects import Inflow, Outflow, StagePlan
from policies.model import DeviceId, FlowId, Job, JobId, Plan, Workload


class Phase(enum.Enum):
    PROFILING = "profiling"
    WAITING = "waiting"
    DEPLOYING = "deploying"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (Phase.DONE, Phase.STOPPED, Phase.FAILED)

    @property
    def placed(self) -> bool:
        return self in (Phase.DEPLOYING, Phase.RUNNING, Phase.STOPPING)


@dataclass(slots=True, kw_only=True)
class JobRecord:
    """Mutable; only SchedulerState touches it.

    stages: devices that hold a stage, each True once the stage is deployed. network: the version of each
    device's rules that must be in force before the job starts. ending: the phase that STOPPING leads to.
    blamed_on_peer: detail names a flow whose other end went away; a later reason may say why it did.
    """

    id: JobId
    workload: Workload
    policy: str
    submitted_s: float
    phase: Phase
    lease_s: float | None
    heard_s: float
    plan: Plan | None = None
    ports: dict[FlowId, int] = field(default_factory=dict)
    stages: dict[DeviceId, bool] = field(default_factory=dict)
    network: dict[DeviceId, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    ending: Phase = Phase.DONE
    detail: str = ""
    blamed_on_peer: bool = False
    placed_s: float | None = None
    started_s: float | None = None
    ended_s: float | None = None


def flow_name(job: JobId, flow: FlowId) -> str:
    """The name of a flow that is unique in the cluster."""
    return f"{job}/{flow}"


def crossing_flows(plan: Plan) -> tuple[FlowId, ...]:
    """The flows that leave a device, in the order of their ids."""
    return tuple(sorted(flow for flow, route in plan.routes.items() if len(route) > 1))


def flow_rules(record: JobRecord, addresses: Mapping[DeviceId, str]) -> tuple[FlowRule, ...]:
    """The rules that enforce one job's plan, one a crossing flow."""
    plan = record.plan
    if plan is None:
        return ()
    return tuple(
        FlowRule(
            flow=flow_name(record.id, flow),
            port=record.ports[flow],
            source_address=addresses[plan.routes[flow][0]],
            destination_address=addresses[plan.routes[flow][-1]],
            destination=plan.routes[flow][-1],
            route=plan.routes[flow],
            rate_bps=plan.rates_bps[flow],
        )
        for flow in crossing_flows(plan)
    )


def stage_plans(record: JobRecord, addresses: Mapping[DeviceId, str]) -> tuple[StagePlan, ...]:
    """One stage a device of the plan, devices in the order of their ids."""
    plan = record.plan
    if plan is None:
        return ()
    devices = sorted(set(plan.placement.values()))
    return tuple(_stage_plan(record, plan, device, addresses) for device in devices)


def _stage_plan(
    record: JobRecord, plan: Plan, device: DeviceId, addresses: Mapping[DeviceId, str]
) -> StagePlan:
    job = record.workload.job
    crossing = set(crossing_flows(plan))
    here = {task.id for task in job.tasks if plan.placement[task.id] == device}
    inflows = [f for f in job.flows if f.id in crossing and f.consumer in here]
    outflows = [f for f in job.flows if f.id in crossing and f.producer in here]
    feeding = {flow.producer for flow in job.flows}
    return StagePlan(
        job=job.id,
        device=device,
        tasks=tuple(task.id for task in job.tasks if task.id in here),
        inputs={task: tuple(flow.producer for flow in job.inputs(task)) for task in sorted(here)},
        inflows=tuple(
            Inflow(
                flow=f.id,
                producer=f.producer,
                consumer=f.consumer,
                peer=plan.placement[f.producer],
                port=record.ports[f.id],
            )
            for f in inflows
        ),
        outflows=tuple(
            Outflow(
                flow=f.id,
                producer=f.producer,
                consumer=f.consumer,
                peer=plan.placement[f.consumer],
                address=addresses[plan.placement[f.consumer]],
                port=record.ports[f.id],
                rate_bps=plan.rates_bps[f.id],
            )
            for f in outflows
        ),
        sinks=tuple(task.id for task in job.tasks if task.id in here and task.id not in feeding),
        depth_items=join_depth(job, crossing),
        granted_per_s=plan.granted_per_s,
        due_s=None
        if plan.timetable is None
        else {task.id: plan.timetable.tasks[task.id][0] for task in job.tasks if task.id in here},
    )


def join_depth(job: Job, crossing: Sequence[FlowId] | set[FlowId]) -> int:
    """How many items an input must be able to hold.

    Where branches of unequal length meet again, the short branch has to hold what the long one has under
    way, or the join throttles the job: four items a task, and four more for each flow that crosses devices,
    on the longest path.
    """
    longest: dict[str, int] = {}
    for task in job.tasks:
        arriving = (longest[f.producer] + (4 if f.id in crossing else 1) for f in job.inputs(task.id))
        longest[task.id] = max(arriving, default=4)
    return max(longest.values(), default=4)
