"""What the scheduler remembers of one job, and how a plan becomes stages and flow rules. Pure."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from edgeray.network.types import FlowRule
from edgeray.scheduler.effects import Inflow, JobChanged, Outflow, PaceStage, StagePlan
from edgeray.scheduler.footprint import Footprint, crossing_flows, footprint
from policies.model import (
    DeviceId,
    Flow,
    FlowId,
    Job,
    JobId,
    Mode,
    Network,
    Plan,
    RunningJob,
    Task,
    TaskId,
    Workload,
)
from policies.placement.replicas import with_shares


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
class Attendance:
    """How the devices of tasks side by side fare while they run; see `loops.Loops`, which alone changes it.

    addresses: of its devices, when it was placed. restarts: how often a device's stage was started again. entering:
    devices whose stages are to start as soon as they stand, and the versions of networks that must be in force for
    that. lost, given_up: devices that it goes on without; those that were lost may come back.
    """

    addresses: dict[DeviceId, str] = field(default_factory=dict)
    restarts: dict[DeviceId, int] = field(default_factory=dict)
    entering: dict[DeviceId, dict[DeviceId, int]] = field(default_factory=dict)
    lost: set[DeviceId] = field(default_factory=set)
    given_up: set[DeviceId] = field(default_factory=set)

    @property
    def absent(self) -> set[DeviceId]:
        return self.lost | self.given_up


@dataclass(slots=True, kw_only=True)
class JobRecord:
    """Mutable; only SchedulerState touches it.

    running, footprint: what follows from the plan, for snapshots; see `adopt`.
    stages: devices that hold a stage, each True once the stage is deployed. network: the version of each
    device's rules that must be in force before the job starts. ending: the phase that STOPPING leads to.
    blamed_on_peer: detail names a flow whose other end went away; a later reason may say why it did.
    attendance: of a loop, how its devices fare.
    """

    id: JobId
    workload: Workload
    policy: str
    submitted_s: float
    phase: Phase
    lease_s: float | None
    heard_s: float
    plan: Plan | None = None
    running: RunningJob | None = None
    footprint: Footprint | None = None
    ports: dict[FlowId, int] = field(default_factory=dict)
    stages: dict[DeviceId, bool] = field(default_factory=dict)
    network: dict[DeviceId, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    ending: Phase = Phase.DONE
    detail: str = ""
    blamed_on_peer: bool = False
    attendance: Attendance = field(default_factory=Attendance)
    placed_s: float | None = None
    started_s: float | None = None
    ended_s: float | None = None

    @property
    def mode(self) -> Mode:
        return self.workload.job.mode

    @property
    def side_by_side(self) -> bool:
        return self.workload.job.side_by_side

    def adopt(self, plan: Plan, network: Network) -> None:
        """From now on the job goes by this plan. Only a job that is adjusted had one before."""
        self.workload = with_shares(self.workload, plan.shares)
        before = self.plan  # rates alone change far more often
        if before is None or before.routes != plan.routes or before.mapped != plan.mapped:
            self.footprint = footprint(self.workload, plan, network)
        self.plan = plan
        self.running = RunningJob(workload=self.workload, plan=plan)


def changed(record: JobRecord, detail: str) -> JobChanged:
    return JobChanged(job=record.id, phase=record.phase.value, detail=detail)


def flow_name(job: JobId, flow: FlowId) -> str:
    """The name of a flow that is unique in the cluster."""
    return f"{job}/{flow}"


def flow_rules(record: JobRecord, addresses: Mapping[DeviceId, str]) -> tuple[FlowRule, ...]:
    """The rules that enforce one job's plan, one a crossing flow; none for those of devices that it goes without."""
    plan, footprint, without = record.plan, record.footprint, record.attendance.absent
    if plan is None or footprint is None:
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
            ceil_bps=plan.ceilings_bps.get(flow),
        )
        for flow in footprint.crossing
        if without.isdisjoint((plan.routes[flow][0], plan.routes[flow][-1]))
    )


def stage_plans(record: JobRecord, addresses: Mapping[DeviceId, str]) -> tuple[StagePlan, ...]:
    """One stage a device of the plan, devices in the order of their ids. Complexity: O(tasks + flows)."""
    plan, job = record.plan, record.workload.job
    if plan is None:
        return ()
    crossing = crossing_flows(plan)
    inputs = inputs_of(job)
    sinks = set(sinks_of(job))
    depth_items = join_depth(job, crossing)
    starts = plan.timetable.tasks if plan.timetable else None
    tasks: dict[DeviceId, list[Task]] = defaultdict(list)
    for task in job.tasks:
        tasks[plan.placement[task.id]].append(task)
    inflows: dict[DeviceId, list[Inflow]] = defaultdict(list)
    outflows: dict[DeviceId, list[Outflow]] = defaultdict(list)
    for flow in _of(job, crossing):
        inflows[plan.placement[flow.consumer]].append(_inflow(record, plan, flow))
        outflows[plan.placement[flow.producer]].append(_outflow(record, plan, flow, addresses))
    return tuple(
        StagePlan(
            job=job.id,
            device=device,
            tasks=tuple(task.id for task in tasks[device]),
            inputs={
                task: tuple(flow.producer for flow in inputs[task])
                for task in sorted(task.id for task in tasks[device])
            },
            inflows=tuple(inflows[device]),
            outflows=tuple(outflows[device]),
            sinks=tuple(task.id for task in tasks[device] if task.id in sinks),
            depth_items=depth_items,
            granted_per_s=plan.granted_per_s,
            due_s=None if starts is None else {task.id: starts[task.id][0] for task in tasks[device]},
            mode=job.mode,
            rounds=plan.rounds,
            mapped=plan.mapped,
            policy=plan.policy,
            replicas=job.replicas,
        )
        for device in sorted(tasks)
    )


def pace_stages(record: JobRecord, plan: Plan, old: Plan) -> list[PaceStage]:
    """New rates and routes for those of the job's stages whose own have changed; plan is the job's, old was it."""
    same_grant = plan.granted_per_s == old.granted_per_s
    same_rates = plan.rates_bps == old.rates_bps and plan.ceilings_bps == old.ceilings_bps
    if same_grant and same_rates and plan.routes == old.routes:
        return []
    rates: dict[DeviceId, dict[FlowId, float]] = {device: {} for device in sorted(record.stages)}
    changed: set[DeviceId] = set()
    for flow in record.footprint.crossing if record.footprint else ():
        route, rate = plan.routes[flow], _most_bps(plan, flow)
        if route[0] in rates:
            rates[route[0]][flow] = rate
        if rate != _most_bps(old, flow) or route != old.routes[flow]:
            changed.add(route[0])
    return [
        PaceStage(device=device, job=record.id, granted_per_s=plan.granted_per_s, rates_bps=mine)
        for device, mine in rates.items()
        if not same_grant or device in changed
    ]


def _inflow(record: JobRecord, plan: Plan, flow: Flow) -> Inflow:
    return Inflow(
        flow=flow.id,
        producer=flow.producer,
        consumer=flow.consumer,
        peer=plan.placement[flow.producer],
        port=record.ports[flow.id],
    )


def _outflow(record: JobRecord, plan: Plan, flow: Flow, addresses: Mapping[DeviceId, str]) -> Outflow:
    peer = plan.placement[flow.consumer]
    return Outflow(
        flow=flow.id,
        producer=flow.producer,
        consumer=flow.consumer,
        peer=peer,
        address=addresses[peer],
        port=record.ports[flow.id],
        rate_bps=_most_bps(plan, flow.id),
    )


def _most_bps(plan: Plan, flow: FlowId) -> float:
    """What its sender keeps to, where tc does not see to it."""
    return plan.ceilings_bps.get(flow, plan.rates_bps[flow])


def _of(job: Job, flows: Collection[FlowId]) -> list[Flow]:
    """These flows in the job's order."""
    wanted = set(flows)
    return [flow for flow in job.flows if flow.id in wanted]


def inputs_of(job: Job) -> dict[TaskId, list[Flow]]:
    """The flows into each task, in the job's order: `Job.inputs` of all tasks at once."""
    inputs: dict[TaskId, list[Flow]] = {task.id: [] for task in job.tasks}
    for flow in job.flows:
        inputs[flow.consumer].append(flow)
    return inputs


def sinks_of(job: Job) -> tuple[TaskId, ...]:
    """The tasks that have a job's results: those that feed no other; of tasks side by side, where all do, the server."""
    if job.side_by_side:
        return () if job.server is None else (job.server,)
    feeding = {flow.producer for flow in job.flows}
    return tuple(task.id for task in job.tasks if task.id not in feeding)


def join_depth(job: Job, crossing: Collection[FlowId]) -> int:
    """How many items an input must be able to hold.

    Where branches of unequal length meet again, the short branch has to hold what the long one has under
    way, or the join throttles the job: four items a task, and four more for each flow that crosses devices,
    on the longest path. Side by side no branches meet.
    """
    if job.side_by_side:
        return 4
    inputs, across = inputs_of(job), set(crossing)
    longest: dict[TaskId, int] = {}
    for task in job.tasks:
        arriving = (longest[f.producer] + (4 if f.id in across else 1) for f in inputs[task.id])
        longest[task.id] = max(arriving, default=4)
    return max(longest.values(), default=4)
