"""Jobs as rates: no items, no queues; thousands of jobs in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from edgeray.network.types import FlowRule
from edgeray.scheduler.effects import StagePlan
from edgeray.simulator.capacities import Capacities
from edgeray.simulator.clock import LAST, WORLD, Clock
from edgeray.simulator.outcome import Sharing
from edgeray.simulator.world import NOTHING, Measured, Order, Reports
from policies.evaluate import PlacedJob, predict
from policies.flows.graph import Graph
from policies.flows.sharing import max_min
from policies.model import DeviceId, FlowId, JobId, LinkId, Network, Plan, link_id


class _Run:
    """A job under way. done: items so far, of which before_warm left before they count. links: bits per item over
    each link, and granted: bits/s. finish_s: when it ends if nothing changes."""

    __slots__ = (
        "before_warm", "bits", "done", "finish_s", "flushed", "granted", "links", "measured_from_s", "order",
        "plan", "rate", "running", "seconds", "since_s", "stages", "warm_at_s",
    )  # fmt: skip

    def __init__(self, order: Order, network: Network) -> None:
        self.order = order
        self.running = False
        self.stages: set[DeviceId] = set()
        self.done = self.before_warm = self.flushed = self.rate = 0.0
        self.since_s = self.warm_at_s = 0.0
        self.finish_s = math.inf
        self.seconds = _busy_seconds(order, network)
        self.bits = {flow.id: order.workload.size_bytes(flow) * 8 for flow in order.workload.job.flows}
        self.follow(order.plan)

    def follow(self, plan: Plan) -> None:
        self.plan = plan
        self.links: dict[LinkId, float] = {}
        self.granted: dict[LinkId, float] = {}
        for flow, route in plan.routes.items():
            for link in (link_id(a, b) for a, b in pairwise(route)):
                self.links[link] = self.links.get(link, 0.0) + self.bits[flow]
                self.granted[link] = self.granted.get(link, 0.0) + plan.rates_bps.get(flow, 0.0)

    def advance(self, now_s: float) -> None:
        if self.since_s < self.warm_at_s <= now_s:
            self.before_warm = self.done + self.rate * (self.warm_at_s - self.since_s)
        elif now_s < self.warm_at_s:
            self.before_warm = self.done + self.rate * (now_s - self.since_s)
        self.done += self.rate * (now_s - self.since_s)
        self.since_s = now_s


class RatesWorld:
    """Between the scheduler's events every stream goes at the rate that `predict` gives; one-shot jobs keep their
    timetables to the second.

    A change concerns only the jobs that share devices, or links with less capacity than was granted, with the ones
    that changed. sharing="max-min" shares links among all flows of all jobs as if each always had something to send.
    """

    def __init__(self, network: Network, clock: Clock, reports: Reports, sharing: Sharing) -> None:
        self._clock = clock
        self._reports = reports
        self._max_min = sharing == "max-min"
        self._network = Network(devices=network.devices, links={})  # links only name what binds
        self._graph = Graph.of(network)
        self._capacities = Capacities(network)
        self._runs: dict[JobId, _Run] = {}
        self._at: dict[DeviceId, dict[JobId, _Run]] = {device: {} for device in network.devices}
        self._over: dict[LinkId, dict[JobId, _Run]] = {link: {} for link in network.links}
        self._scale: dict[LinkId, float] = {}
        self._changed: dict[JobId, _Run] = {}
        self._touched: dict[LinkId, None] = {}
        self._settling = False
        self._carried: dict[LinkId, float] = dict.fromkeys(network.links, 0.0)

    # What the scheduler wants

    def rules(self, device: DeviceId, rules: Sequence[FlowRule]) -> None:
        """A job's rates and routes come with its plan."""

    def deploy(self, stage: StagePlan, order: Order) -> None:
        run = self._runs.get(stage.job)
        if run is None:
            run = self._runs[stage.job] = _Run(order, self._network)
        run.stages.add(stage.device)

    def start(self, device: DeviceId, job: JobId) -> None:
        run = self._runs[job]
        if run.running or device not in run.stages:
            return
        run.running = True
        run.since_s = self._clock.now_s
        run.warm_at_s = self._clock.now_s + run.order.warm_s
        if run.plan.timetable is not None:
            run.finish_s = self._clock.now_s + run.plan.timetable.makespan_s
            self._clock.at(run.finish_s, WORLD, self._finish, (job, run))
            return
        for used in run.seconds:
            self._at[used][job] = run
        self._join_links(job, run)
        self._settle_soon(job, run)

    def pace(self, device: DeviceId, job: JobId, granted_per_s: float | None, plan: Plan) -> None:
        run = self._runs.get(job)
        if run is None or run.plan is plan:
            return
        self._leave_links(job, run)
        run.advance(self._clock.now_s)
        self._flush(run)
        run.follow(plan)
        if run.running:
            self._join_links(job, run)
            self._settle_soon(job, run)

    def transfer(self, job: JobId, flow: FlowId) -> None:
        """One-shot jobs keep their timetables here: nobody asks for a transfer."""

    def stop(self, device: DeviceId, job: JobId) -> None:
        run = self._runs.get(job)
        if run is None or not run.running:
            return
        run.advance(self._clock.now_s)
        run.running, run.rate, run.finish_s = False, 0.0, math.inf
        for used in run.seconds:
            self._at[used].pop(job, None)
            self._changed.update(self._at[used])
        self._changed.pop(job, None)
        self._leave_links(job, run)
        self._settle_soon()

    def device_fails(self, device: DeviceId) -> None:
        for job, run in self._runs.items():
            if run.running and device in run.stages:
                self.stop(device, job)
        self._touch(self._capacities.device_fails(device, self._clock.now_s))

    def device_returns(self, device: DeviceId) -> None:
        self._touch(self._capacities.device_returns(device, self._clock.now_s))

    def link_changes(self, link: LinkId, capacity_bps: float) -> None:
        self._touch(self._capacities.change(link, capacity_bps, self._clock.now_s))

    # Rates

    def _join_links(self, job: JobId, run: _Run) -> None:
        for link in run.granted:
            self._over[link][job] = run
        self._touched.update(dict.fromkeys(run.granted))

    def _leave_links(self, job: JobId, run: _Run) -> None:
        for link in run.granted:
            self._over[link].pop(job, None)
        self._touched.update(dict.fromkeys(run.granted))

    def _touch(self, links: Iterable[LinkId]) -> None:
        self._touched.update(dict.fromkeys(links))
        self._settle_soon()

    def _settle_soon(self, job: JobId | None = None, run: _Run | None = None) -> None:
        """Once all that the scheduler does at this moment is done."""
        if job is not None and run is not None:
            self._changed[job] = run
        if not self._settling:
            self._settling = True
            self._clock.at(self._clock.now_s, LAST, self._settle)

    def _settle(self, _: object) -> None:
        self._settling = False
        self._rescale()
        if self._max_min:
            concerned = {
                job: run for job, run in self._runs.items() if run.running and not run.plan.timetable
            }
        else:
            concerned = self._concerned()
        self._changed.clear()
        now_s = self._clock.now_s
        for run in concerned.values():
            run.advance(now_s)
        for (job, run), rate in zip(concerned.items(), self._rates(list(concerned.values())), strict=True):
            if rate == run.rate:
                continue
            run.rate = rate
            if run.order.items is not None:
                left = max(run.order.items - run.done, 0.0)
                run.finish_s = now_s + left / rate if rate > 0 else math.inf
                self._clock.at(run.finish_s, WORLD, self._finish, (job, run))

    def _rescale(self) -> None:
        """By what part each touched link falls short of what was granted on it."""
        for link in self._touched:
            granted = sum(run.granted[link] for run in self._over[link].values())
            capacity = self._capacities.bps(link)
            scale = capacity / granted if granted > capacity * (1 + 1e-9) else 1.0
            if scale != self._scale.get(link, 1.0):
                self._scale[link] = scale
                self._changed.update(self._over[link])
        self._touched.clear()

    def _concerned(self) -> dict[JobId, _Run]:
        """The jobs that changed, and all that share a device with one of these, and so on; by id."""
        found = dict(self._changed)
        left = list(found.values())
        while left:
            for device in left.pop().seconds:
                for job, run in self._at[device].items():
                    if job not in found:
                        found[job] = run
                        left.append(run)
        return {job: found[job] for job in sorted(found) if found[job].running}

    def _rates(self, runs: Sequence[_Run]) -> list[float]:
        granted = self._shared(runs) if self._max_min else [self._scaled(run.plan) for run in runs]
        placed: list[PlacedJob] = [
            (
                run.order.workload,
                run.plan.placement,
                run.plan.routes,
                rates,
                None if self._max_min else run.plan.granted_per_s,
            )
            for run, rates in zip(runs, granted, strict=True)
        ]
        return [rate for rate, _ in predict(self._network, placed)]

    def _scaled(self, plan: Plan) -> Mapping[FlowId, float]:
        return {
            flow: rate
            * min((self._scale.get(link_id(a, b), 1.0) for a, b in pairwise(plan.routes[flow])), default=1.0)
            for flow, rate in plan.rates_bps.items()
        }

    def _shared(self, runs: Sequence[_Run]) -> list[dict[FlowId, float]]:
        flows = [(i, flow, route) for i, run in enumerate(runs) for flow, route in run.plan.routes.items()]
        routes = [self._graph.route(route) for _, _, route in flows]
        weights = np.array([float(runs[i].bits[flow] > 0) for i, flow, _ in flows])
        capacity = np.array([self._capacities.bps(link) for link in self._graph.links])
        shares = max_min([route for route in routes if route is not None], weights, capacity)
        given: list[dict[FlowId, float]] = [{} for _ in runs]
        for (i, flow, _), share in zip(flows, shares.tolist(), strict=True):
            given[i][flow] = share
        return given

    def _finish(self, due: tuple[JobId, _Run]) -> None:
        job, run = due
        if not run.running or run.finish_s != self._clock.now_s:
            return
        run.advance(self._clock.now_s)
        run.done = float(run.order.items or 1)
        self._reports.finished(job)

    # What is measured

    def measured(self, job: JobId) -> Measured:
        run = self._runs.get(job)
        if run is None:
            return NOTHING
        if run.running:
            run.advance(self._clock.now_s)
        span_s = run.since_s - run.warm_at_s
        return Measured(
            items=int(run.done + 1e-6),
            throughput_per_s=(run.done - run.before_warm) / span_s if span_s > 0 else 0.0,
            latency_p50_s=None,
            latency_p95_s=None,
        )

    def busy_seconds(self) -> Mapping[DeviceId, float]:
        busy = dict.fromkeys(self._at, 0.0)
        for run in self._runs.values():
            if run.running:
                run.advance(self._clock.now_s)
            for device, took_s in run.seconds.items():
                busy[device] += took_s * run.done
        return busy

    def link_loads(self) -> Mapping[LinkId, float]:
        for run in self._runs.values():
            self._flush(run)
        return self._capacities.loads(self._carried, self._clock.now_s)

    def _flush(self, run: _Run) -> None:
        """Count the bits of the items since the last time, on the routes that they took."""
        for link, bits in run.links.items():
            self._carried[link] += bits * (run.done - run.flushed)
        run.flushed = run.done


def _busy_seconds(order: Order, network: Network) -> dict[DeviceId, float]:
    """Seconds per item that the job keeps each of its devices busy, as `predict` counts them."""
    workload, placement = order.workload, order.plan.placement
    fed = {flow.consumer for flow in workload.job.flows}
    seconds = dict.fromkeys(placement.values(), 0.0)
    for task in workload.job.tasks:
        took_s = workload.seconds(task, network.devices[placement[task.id]])
        seconds[placement[task.id]] += 0.0 if took_s == math.inf and task.id not in fed else took_s
    if order.plan.timetable is not None:
        return seconds
    for flow in workload.job.flows:
        if order.plan.routes[flow.id]:
            for device in (placement[flow.producer], placement[flow.consumer]):
                seconds[device] += workload.transfer_seconds(flow, network.devices[device])
    return seconds
