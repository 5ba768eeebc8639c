"""Every item through every task and flow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgeray.network.types import FlowRule
from edgeray.scheduler.effects import StagePlan
from edgeray.scheduler.jobs import flow_name
from edgeray.simulator.clock import Clock
from edgeray.simulator.fluid import Fluid, Pipe
from edgeray.simulator.outcome import Sharing
from edgeray.simulator.processor import Processor
from edgeray.simulator.queues import CrossingFlow, Inbox, SinkLog, SourceRun, TaskRun
from edgeray.simulator.stages import OnceRun, OnceTask, OnceTransfer, StageRun
from edgeray.simulator.world import NOTHING, Measured, Order, Reports
from policies.model import Device, DeviceId, Flow, FlowId, JobId, LinkId, Network, Plan, Task, TaskId

Way = tuple[tuple[DeviceId, ...], float]
"""A flow's route and rate."""


class _StreamJob:
    """A stream's stages, flows and sinks, put together as its stages are deployed."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.stages: dict[DeviceId, StageRun] = {}
        self.tasks: dict[TaskId, TaskRun] = {}
        self.flows: dict[FlowId, CrossingFlow] = {}
        self.sinks: list[SinkLog] = []
        self.started_s: float | None = None

    def deploy(self, plan: StagePlan, stage: StageRun, device: Device, fluid: Fluid) -> None:
        self.stages[plan.device] = stage
        workload = self.order.workload
        specs = {task.id: task for task in workload.job.tasks}
        for task in plan.tasks:
            run = self._task(specs[task], stage, device)
            self.tasks[task] = run
            if task in plan.sinks:
                run.sink = SinkLog()
                self.sinks.append(run.sink)
        crossing = {f.flow for f in plan.inflows} | {f.flow for f in plan.outflows}
        for flow in workload.job.flows:
            if flow.id in crossing:
                self._crossing(flow, plan, fluid)
            elif flow.consumer in plan.tasks:
                producer, consumer = self.tasks[flow.producer], self.tasks[flow.consumer]
                producer.local.append(Inbox(producer, consumer, plan.depth_items, None))
        stage.tasks = [self.tasks[task] for task in reversed(plan.tasks) if plan.inputs[task]]
        stage.sources = [run for task in plan.tasks if isinstance(run := self.tasks[task], SourceRun)]
        stage.pace(plan.granted_per_s)

    def _task(self, spec: Task, stage: StageRun, device: Device) -> TaskRun:
        workload = self.order.workload
        flows = [f for f in workload.job.flows if spec.id in (f.producer, f.consumer)]
        transfers_s = sum(workload.transfer_seconds(f, device) for f in flows if self.order.plan.routes[f.id])
        own_s = workload.seconds(spec, device)
        if any(flow.consumer == spec.id for flow in flows):
            return TaskRun(spec.id, own_s + transfers_s, stage)
        make_s = 0.0 if own_s == math.inf else own_s
        return SourceRun(spec.id, transfers_s, stage, make_s=make_s, own_per_s=workload.job.items_per_s)

    def _crossing(self, spec: Flow, plan: StagePlan, fluid: Fluid) -> None:
        """One end of a flow: whichever stage is there first makes it."""
        flow = self.flows.get(spec.id)
        if flow is None:
            size_bytes = self.order.workload.size_bytes(spec)
            flow = self.flows[spec.id] = CrossingFlow(spec.id, size_bytes, fluid)
        if spec.producer in plan.tasks:
            flow.producer = self.tasks[spec.producer]
            flow.producer.crossing.append(flow)
        else:
            consumer = self.tasks[spec.consumer]
            flow.inbox = Inbox(consumer, consumer, plan.depth_items, flow)

    def pipes(self) -> dict[FlowId, Pipe]:
        return {flow.id: flow.pipe for flow in self.flows.values()}

    def begin(self, now_s: float) -> None:
        self.started_s = now_s
        for sink in self.sinks:
            sink.from_s = now_s + self.order.warm_s

    def done(self) -> bool:
        return all(sink.items == self.order.items for sink in self.sinks)

    def measured(self, now_s: float) -> Measured:
        if self.started_s is None:
            return NOTHING
        sink = min(self.sinks, key=lambda sink: sink.count)
        items = min(sink.items for sink in self.sinks)
        if not sink.count:
            return Measured(items=items, throughput_per_s=0.0, latency_p50_s=None, latency_p95_s=None)
        span_s = sink.last_s - sink.first_s
        window_s = now_s - self.started_s - self.order.warm_s
        rate = (sink.count - 1) / span_s if span_s > 0 else sink.count / window_s if window_s > 0 else 0.0
        p50, p95 = (float(q) for q in np.percentile(sink.latencies_s, [50, 95]))
        return Measured(items=items, throughput_per_s=rate, latency_p50_s=p50, latency_p95_s=p95)


class _OnceJob:
    """A one-shot job's stages, tasks and transfers."""

    def __init__(self, order: Order, reports: Reports) -> None:
        self.order = order
        self.reports = reports
        self.id = order.workload.job.id
        self.stages: dict[DeviceId, OnceRun] = {}
        self.tasks: dict[TaskId, OnceTask] = {}
        self.transfers: dict[FlowId, OnceTransfer] = {}
        self.left = len(order.workload.job.tasks)
        self.started_s: float | None = None

    def deploy(self, plan: StagePlan, clock: Clock, processor: Processor, device: Device) -> None:
        job = self.order.workload.job
        mine = {}
        for spec in job.tasks:
            if spec.id in plan.tasks:
                work_s = self.order.workload.seconds(spec, device)
                mine[spec.id] = OnceTask(spec.id, work_s, len(plan.inputs[spec.id]))
        self.tasks.update(mine)
        stage = OnceRun(clock, processor, list(mine.values()), dict(plan.due_s or {}), self.ran)
        self.stages[plan.device] = stage
        for task in mine.values():
            task.stage = stage
        crossing = {f.flow for f in plan.inflows} | {f.flow for f in plan.outflows}
        for flow in job.flows:
            if flow.id in crossing:
                self._transfer(flow, mine)
            elif flow.consumer in mine:
                mine[flow.producer].local.append(mine[flow.consumer])

    def _transfer(self, flow: Flow, mine: Mapping[TaskId, OnceTask]) -> None:
        if flow.id not in self.transfers:
            size_bytes = self.order.workload.size_bytes(flow)
            self.transfers[flow.id] = OnceTransfer(flow.id, size_bytes, self.transferred)
        if flow.producer in mine:
            mine[flow.producer].crossing.append(flow.id)
        else:
            self.transfers[flow.id].consumer = mine[flow.consumer]

    def pipes(self) -> dict[FlowId, Pipe]:
        return {flow.id: flow.pipe for flow in self.transfers.values()}

    def begin(self, now_s: float) -> None:
        self.started_s = now_s

    def ran(self, task: OnceTask) -> None:
        for consumer in task.local:
            consumer.came()
        for flow in task.crossing:
            self.reports.transfer_ready(self.id, flow)
        self.left -= 1
        if not self.left:
            self.reports.finished(self.id)

    def transferred(self, flow: FlowId) -> None:
        self.reports.transfer_done(self.id, flow)

    def measured(self, now_s: float) -> Measured:
        return Measured(
            items=int(not self.left), throughput_per_s=0.0, latency_p50_s=None, latency_p95_s=None
        )


class ItemsWorld:
    """Stages on processors, flows on links. What it does of each item is in queues.py and stages.py.

    Flows have the routes and rates of their producer's device's rules, as they are in force there.
    """

    def __init__(self, network: Network, clock: Clock, reports: Reports, sharing: Sharing) -> None:
        self._network = network
        self._clock = clock
        self._reports = reports
        self._fluid = Fluid(network, clock, sharing)
        self._processors = {device: Processor(clock) for device in network.devices}
        self._jobs: dict[JobId, _StreamJob | _OnceJob] = {}
        self._over: dict[JobId, Measured] = {}
        self._ways: dict[DeviceId, dict[str, Way]] = {device: {} for device in network.devices}
        self._pipes: dict[str, Pipe] = {}

    # What the scheduler wants

    def rules(self, device: DeviceId, rules: Sequence[FlowRule]) -> None:
        ways = {rule.flow: (rule.route, rule.rate_bps) for rule in rules if rule.route[0] == device}
        known = self._ways[device]
        for flow, way in ways.items():
            if flow in self._pipes and known.get(flow) != way:
                self._fluid.lay(self._pipes[flow], *way)
        self._ways[device] = ways

    def deploy(self, stage: StagePlan, order: Order) -> None:
        job = self._jobs.get(stage.job)
        if job is None:
            once = order.plan.timetable is not None
            job = _OnceJob(order, self._reports) if once else _StreamJob(order)
            self._jobs[stage.job] = job
        device, processor = self._network.devices[stage.device], self._processors[stage.device]
        if isinstance(job, _OnceJob):
            job.deploy(stage, self._clock, processor, device)
        else:
            run = StageRun(self._clock, processor, order.items, self._ended(stage.job, job))
            job.deploy(stage, run, device, self._fluid)

    def _ended(self, name: JobId, job: _StreamJob) -> Callable[[], None]:
        def ended() -> None:
            if job.done():
                self._reports.finished(name)

        return ended

    def start(self, device: DeviceId, job: JobId) -> None:
        run = self._jobs.get(job)
        if run is None or device not in run.stages:
            return
        if run.started_s is None:
            run.begin(self._clock.now_s)
            for flow, pipe in run.pipes().items():
                name = flow_name(job, flow)
                self._pipes[name] = pipe
                way = self._ways[run.order.plan.routes[flow][0]].get(name)
                if way is not None:  # None: the job was ended while the order to start was under way
                    self._fluid.lay(pipe, *way)
        run.stages[device].start()

    def pace(self, device: DeviceId, job: JobId, granted_per_s: float | None, plan: Plan) -> None:
        run = self._jobs.get(job)
        if run is not None and device in run.stages:
            run.stages[device].pace(granted_per_s)

    def transfer(self, job: JobId, flow: FlowId) -> None:
        run = self._jobs.get(job)
        if isinstance(run, _OnceJob):
            self._fluid.send(run.transfers[flow].pipe)

    def stop(self, device: DeviceId, job: JobId) -> None:
        """The whole job leaves with its first stage: without it nothing would come of the others."""
        run = self._jobs.pop(job, None)
        if run is None:
            return
        self._over[job] = run.measured(self._clock.now_s)
        for stage in run.stages.values():
            stage.stop()
        for flow, pipe in run.pipes().items():
            self._fluid.close(pipe)
            self._pipes.pop(flow_name(job, flow), None)

    def device_fails(self, device: DeviceId) -> None:
        for job, run in tuple(self._jobs.items()):
            if device in run.stages:
                self.stop(device, job)
        self._fluid.device_fails(device)

    def device_returns(self, device: DeviceId) -> None:
        self._fluid.device_returns(device)

    def link_changes(self, link: LinkId, capacity_bps: float) -> None:
        self._fluid.change(link, capacity_bps)

    # What is measured

    def measured(self, job: JobId) -> Measured:
        run = self._jobs.get(job)
        return self._over.get(job, NOTHING) if run is None else run.measured(self._clock.now_s)

    def busy_seconds(self) -> Mapping[DeviceId, float]:
        now_s = self._clock.now_s
        return {device: processor.busy_until(now_s) for device, processor in self._processors.items()}

    def link_loads(self) -> Mapping[LinkId, float]:
        return self._fluid.loads()
