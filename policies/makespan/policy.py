"""Policies that place one-shot jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from policies.flows.graph import Graph
from policies.makespan.bound import makespan_bound
from policies.makespan.cpop import cpop
from policies.makespan.heft import heft
from policies.makespan.instance import Instance, read
from policies.makespan.peft import peft
from policies.makespan.portfolio import portfolio
from policies.makespan.residual import Residual
from policies.makespan.timetable import Schedule, plan
from policies.model import Decision, Infeasible, JobId, Plan, RunningJob, Snapshot, Workload
from policies.placement.reasons import Refusal


@dataclass(frozen=True, slots=True)
class _OneShotPolicy:
    """Place arrivals in turn, each beside all that runs by then; jobs that run are never changed.

    schedule: how one job is planned, given a bound of its makespan; it may give back a better one. Whatever it
    thought of, its plan's times are those of the strict schedule with contention (`timetable.timing`).
    """

    name: str
    schedule: Callable[[Instance, float], tuple[Schedule, float]]

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        graph = Graph.of(snapshot.network)
        running = list(snapshot.running)
        plans: dict[JobId, Plan] = {}
        infeasible: dict[JobId, Infeasible] = {}
        for workload in arrivals:
            job = workload.job.id
            found = self._place(snapshot, graph, running, workload)
            if isinstance(found, Refusal):
                infeasible[job] = Infeasible(job=job, reasons=found.reasons)
            else:
                plans[job] = found
                running.append(RunningJob(workload=workload, plan=found))
        return Decision(plans=plans, infeasible=infeasible)

    def _place(
        self, snapshot: Snapshot, graph: Graph, running: Sequence[RunningJob], workload: Workload
    ) -> Plan | Refusal:
        if workload.job.mode != "once":
            return Refusal((f"it runs as a stream, and {self.name} places one-shot jobs",))
        instance = read(workload, Residual.of(snapshot.network, graph, running))
        if isinstance(instance, Refusal):
            return instance
        bound_s = makespan_bound(instance)
        schedule, bound_s = self.schedule(instance, bound_s)
        return plan(instance, schedule, self.name, bound_s)


class Heft(_OneShotPolicy):
    """See `heft`."""

    def __init__(self) -> None:
        super().__init__("heft", lambda instance, bound_s: (heft(instance), bound_s))


class Cpop(_OneShotPolicy):
    """See `cpop`."""

    def __init__(self) -> None:
        super().__init__("cpop", lambda instance, bound_s: (cpop(instance), bound_s))


class Peft(_OneShotPolicy):
    """See `peft`."""

    def __init__(self) -> None:
        super().__init__("peft", lambda instance, bound_s: (peft(instance), bound_s))


class Portfolio(_OneShotPolicy):
    """See `portfolio`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(
            "portfolio",
            lambda instance, bound_s: portfolio(instance, np.random.default_rng(seed), bound_s),
        )
