"""What decisions on one network share, so that the next need not begin anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from policies.flows.graph import Floats, Graph, Route, Router
from policies.model import JobId, Network, Plan, RunningJob, Workload
from policies.placement.demand import Demand, Hardware, demand
from policies.placement.potential import Resources, Use

REMEMBERED = 2
"""Networks that are remembered: one, and what it was before (or is to another kind of job)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A running job, read: its plan as indices."""

    workload: Workload
    plan: Plan
    demand: Demand
    placement: tuple[int, ...]
    routes: tuple[Route, ...]
    rates_bps: Floats

    def says(self, plan: Plan, routes: Sequence[Route]) -> bool:
        """Whether these are the routes of this very plan."""
        return self.plan is plan and self.routes == tuple(routes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A network read into arrays, and the jobs that the last decision on it read.

    Nothing here decides anything: all of it follows from the network, the workloads and the plans, which are
    never changed once made, and is taken only where they are the very same objects.
    """

    network: Network
    graph: Graph
    router: Router
    hardware: Hardware
    resources: Resources
    memory_bytes: Floats
    demands: dict[JobId, Demand] = field(default_factory=dict)
    resumed: dict[JobId, Resumed] = field(default_factory=dict)
    usages: dict[JobId, tuple[Workload, tuple[int, ...], tuple[Route, ...], Use]] = field(
        default_factory=dict
    )

    @classmethod
    def of(cls, network: Network) -> Prepared:
        """The one made for this very network if it is among the last REMEMBERED, else a new one."""
        known = next((known for known in _RECENT if known.network is network), None) or cls._read(network)
        _RECENT[:] = [known, *(other for other in _RECENT if other is not known)][:REMEMBERED]
        return known

    @classmethod
    def _read(cls, network: Network) -> Prepared:
        graph = Graph.of(network)
        return cls(
            network=network,
            graph=graph,
            router=Router(graph),
            hardware=Hardware.of(network, graph),
            resources=Resources.of(graph),
            memory_bytes=np.array(
                [float(network.devices[device].memory_bytes) for device in graph.devices], dtype=np.float64
            ),
        )

    def forget_all_but(self, jobs: Iterable[JobId]) -> None:
        """Keep only these jobs in mind."""
        kept = dict.fromkeys(jobs)
        for known in (self.demands, self.resumed, self.usages):
            for job in [job for job in known if job not in kept]:
                known.pop(job, None)

    def demand(self, workload: Workload) -> Demand:
        """The workload's numbers on this network."""
        known = self.demands.get(workload.job.id)
        if known is None or known.workload is not workload:
            known = self.demands[workload.job.id] = demand(workload, self.hardware)
        return known

    def resume(self, running: RunningJob) -> Resumed | None:
        """Read a running job; None when it uses a device or link that is gone, or cannot be read."""
        workload, plan = running.workload, running.plan
        known = self.resumed.get(plan.job)
        if known is not None and known.workload is workload and known.plan is plan:
            return known
        asked = self.demand(workload)
        devices = [self.graph.index.get(plan.placement[task.id]) for task in workload.job.tasks]
        placed = tuple(device for device in devices if device is not None)
        routes = [self.graph.route(plan.routes.get(flow, ())) for flow in asked.flow_ids]
        led = tuple(route for route in routes if route is not None)
        if len(placed) < len(devices) or len(led) < len(routes) or asked.problems:
            return None
        return self.remember(asked, plan, placed, led)

    def remember(
        self, asked: Demand, plan: Plan, placement: tuple[int, ...], routes: tuple[Route, ...]
    ) -> Resumed:
        """Keep in mind what a plan says."""
        asked = replace(asked)  # without the arrays over all devices, which it needs no longer
        rates = [plan.rates_bps.get(flow, 0.0) for flow in asked.flow_ids]
        resumed = Resumed(
            workload=asked.workload,
            plan=plan,
            demand=asked,
            placement=placement,
            routes=routes,
            rates_bps=np.array(rates, dtype=np.float64),
        )
        self.demands[plan.job] = asked
        self.resumed[plan.job] = resumed
        return resumed

    def usage(self, asked: Demand, placement: tuple[int, ...], routes: Sequence[Route]) -> Use:
        """What an item of the job takes: as before where placement and routes are."""
        job, asking = asked.workload.job.id, (asked.workload, placement, tuple(routes))
        known = self.usages.get(job)
        if known is not None and known[0] is asking[0] and known[1:3] == asking[1:]:
            return known[3]
        usage = self.resources.usage(asked, placement, routes)
        self.usages[job] = (*asking, usage)
        return usage


_RECENT: list[Prepared] = []
"""The last networks, the latest first: decisions follow one another on the same one far more often than not."""
