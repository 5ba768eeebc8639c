"""The working state of one decision: what runs, what is free, and the plans that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from policies.evaluate import PlacedJob, predict
from policies.flows.graph import LOCAL, Floats, Graph, Route, Router
from policies.flows.jrba import FlowDemand
from policies.model import Decision, FlowId, Infeasible, JobId, Plan, RunningJob, Snapshot, Workload
from policies.placement.demand import Demand
from policies.placement.prepared import Prepared
from policies.placement.reasons import Refusal

K = TypeVar("K")
V = TypeVar("V")
SAME = 1e-9
"""Plans whose numbers differ by less than this (relatively) are the same plan."""


@dataclass(slots=True, kw_only=True)
class Placed:
    """A job with devices: one that runs (plan says how) or one that this decision places.

    placement: device of each task. routes: of each flow, LOCAL on one device. rates_bps: of each flow.
    """

    demand: Demand
    placement: tuple[int, ...]
    routes: list[Route]
    rates_bps: Floats
    granted_per_s: float | None = None
    plan: Plan | None = None

    @property
    def flows(self) -> list[FlowDemand]:
        """The flows as devices and bits, in the job's order."""
        asked = self.demand
        return [
            FlowDemand(source=self.placement[a], target=self.placement[b], bits=bits)
            for a, b, bits in zip(asked.producers, asked.consumers, asked.bits, strict=True)
        ]


@dataclass(slots=True, kw_only=True)
class State:
    """free_bytes: memory left of each device. jobs: those that run, then those placed here.
    stranded: running jobs that use a device or link that is gone; they keep their memory and their plan.
    """

    snapshot: Snapshot
    policy: str
    prepared: Prepared
    free_bytes: Floats
    jobs: list[Placed] = field(default_factory=list)
    stranded: list[RunningJob] = field(default_factory=list)
    infeasible: dict[JobId, Infeasible] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, policy: str) -> State:
        prepared = Prepared.of(snapshot.network)
        prepared.forget_all_but(running.plan.job for running in snapshot.running)
        state = cls(
            snapshot=snapshot, policy=policy, prepared=prepared, free_bytes=prepared.memory_bytes.copy()
        )
        for running in snapshot.running:
            state._resume(running)
        return state

    @property
    def graph(self) -> Graph:
        return self.prepared.graph

    @property
    def router(self) -> Router:
        return self.prepared.router

    @property
    def total_bytes(self) -> Floats:
        return self.prepared.memory_bytes

    def demand(self, workload: Workload) -> Demand:
        asked = self.prepared.demand(workload)
        if workload.job.mode == "stream":
            return asked
        problem = f"it runs once (`mode: once`), and {self.policy} places streams"
        return replace(asked, problems=(*asked.problems, problem))

    def _resume(self, running: RunningJob) -> None:
        resumed = self.prepared.resume(running)
        if resumed is None or running.workload.job.mode != "stream":
            for device, held in running.workload.held_bytes(running.plan.placement).items():
                if device in self.graph.index:
                    self.free_bytes[self.graph.index[device]] -= held
            self.stranded.append(running)
            return
        job = Placed(
            demand=resumed.demand,
            placement=resumed.placement,
            routes=list(resumed.routes),
            rates_bps=resumed.rates_bps,
            granted_per_s=running.plan.granted_per_s,
            plan=running.plan,
        )
        self.hold(job)
        self.jobs.append(job)

    def admit(self, asked: Demand, placement: Sequence[int]) -> Placed:
        """Take a job in: its memory is held from here on; routes and rates are still to be set."""
        flows = len(asked.bits)
        job = Placed(
            demand=asked, placement=tuple(placement), routes=[LOCAL] * flows, rates_bps=np.zeros(flows)
        )
        self.hold(job)
        self.jobs.append(job)
        return job

    def hold(self, job: Placed) -> None:
        np.subtract.at(self.free_bytes, np.array(job.placement), job.demand.memory_bytes)

    def release(self, job: Placed) -> None:
        self.free_bytes = self.free_without(job)

    def free_without(self, job: Placed) -> Floats:
        """Memory that would be free if job were not there."""
        free = self.free_bytes.copy()
        np.add.at(free, np.array(job.placement), job.demand.memory_bytes)
        return free

    def refuse(self, asked: Demand, refusal: Refusal) -> None:
        job = asked.workload.job.id
        self.infeasible[job] = Infeasible(job=job, reasons=refusal.reasons)

    def strand_cut_off(self) -> None:
        """Set aside the running jobs of which a flow has no way left (its links have lost their capacity)."""
        if self.router.all_usable:
            return
        for job in tuple(self.jobs):
            cut = any(
                not self.router.usable(route) and self.router.hops(flow.source)[flow.target] < 0
                for flow, route in zip(job.flows, job.routes, strict=True)
            )
            if cut and job.plan is not None:
                self.jobs.remove(job)
                self.stranded.append(RunningJob(workload=job.demand.workload, plan=job.plan))

    def repair_routes(self) -> None:
        """Lead flows whose links have lost their capacity by the shortest route instead."""
        if self.router.all_usable:
            return
        for job in self.jobs:
            for position, (flow, route) in enumerate(zip(job.flows, job.routes, strict=True)):
                if not self.router.usable(route):
                    job.routes[position] = self.router.shortest(flow.source, flow.target) or route

    def all_flows(self) -> list[FlowDemand]:
        return [flow for job in self.jobs for flow in job.flows]

    def set_flows(self, routes: Sequence[Route], rates_bps: Floats) -> None:
        """Give all_flows their routes and rates."""
        at = 0
        for job in self.jobs:
            count = len(job.demand.bits)
            job.routes = list(routes[at : at + count])
            job.rates_bps = np.array(rates_bps[at : at + count], dtype=np.float64)
            job.granted_per_s = None
            at += count

    def decision(self) -> Decision:
        """Plans of the jobs placed here, and of those that ran and whose plan is no longer the same."""
        described = [self._describe(job) for job in self.jobs]
        stranded = [
            (run.workload, run.plan.placement, run.plan.routes, run.plan.rates_bps, run.plan.granted_per_s)
            for run in self.stranded
        ]
        predicted = predict(self.snapshot.network, [*described, *stranded])
        plans = {}
        for job, (workload, placement, routes, rates, granted), (throughput, bottleneck) in zip(
            self.jobs, described, predicted[: len(described)], strict=True
        ):
            plan = Plan(
                job=workload.job.id,
                policy=self.policy,
                placement=placement,
                routes=routes,
                rates_bps=rates,
                throughput_per_s=throughput,
                bottleneck=bottleneck,
                granted_per_s=granted,
            )
            if job.plan is None or not _same(job.plan, plan):
                plans[plan.job] = plan
                self.prepared.remember(job.demand, plan, job.placement, tuple(job.routes))
        return Decision(plans=plans, infeasible=dict(self.infeasible))

    def _describe(self, job: Placed) -> PlacedJob:
        work, names, flows = job.demand.workload.job, self.graph.devices, job.demand.flow_ids
        rates = {
            flow: rate
            for flow, route, rate in zip(flows, job.routes, job.rates_bps.tolist(), strict=True)
            if route.links
        }
        resumed = self.prepared.resumed.get(work.id)
        if job.plan is not None and resumed is not None and resumed.says(job.plan, job.routes):
            return job.demand.workload, job.plan.placement, job.plan.routes, rates, job.granted_per_s
        placement = {task.id: names[device] for task, device in zip(work.tasks, job.placement, strict=True)}
        routes = {flow: self.graph.names(route) for flow, route in zip(flows, job.routes, strict=True)}
        return job.demand.workload, placement, routes, rates, job.granted_per_s


def _same(old: Plan, new: Plan) -> bool:
    def close(a: float | None, b: float | None) -> bool:
        return a == b or (a is not None and b is not None and abs(a - b) <= SAME * max(abs(a), abs(b)))

    def same_rates(a: Mapping[FlowId, float], b: Mapping[FlowId, float]) -> bool:
        return a.keys() == b.keys() and all(close(a[flow], b[flow]) for flow in a)

    def equal(a: Mapping[K, V], b: Mapping[K, V]) -> bool:
        return a is b or dict(a) == dict(b)

    return (
        equal(old.placement, new.placement)
        and equal(old.routes, new.routes)
        and same_rates(old.rates_bps, new.rates_bps)
        and close(old.throughput_per_s, new.throughput_per_s)
        and close(old.granted_per_s, new.granted_per_s)
        and old.bottleneck == new.bottleneck
    )
