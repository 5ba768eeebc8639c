"""A policy for tests: fixed placement, and the long way round, so that a middle device must forward."""

from __future__ import annotations

from collections.abc import Sequence

from policies.model import Decision, DeviceId, Plan, Snapshot, Workload

E1, E2, E4 = DeviceId("e1"), DeviceId("e2"), DeviceId("e4")
RATE_BPS = 2e6


class Detour:
    """Sources on e4, everything else on e1, by way of e2, at 2 Mbit/s a flow; one job at a time."""

    name = "detour"

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        return Decision(plans={w.job.id: self._plan(w) for w in arrivals})

    def _plan(self, workload: Workload) -> Plan:
        job = workload.job
        sources = {task.id for task in job.sources}
        placement = {task.id: E4 if task.id in sources else E1 for task in job.tasks}
        crossing = [f for f in job.flows if placement[f.producer] != placement[f.consumer]]
        routes = {f.id: (E4, E2, E1) if f in crossing else () for f in job.flows}
        return Plan(
            job=job.id,
            policy=self.name,
            placement=placement,
            routes=routes,
            rates_bps={f.id: RATE_BPS for f in crossing},
            throughput_per_s=min(RATE_BPS / 8 / workload.size_bytes(f) for f in crossing),
            bottleneck="link e2-e4",
        )
