"""Policies that place jobs which train a model: cuts, routes and rates for their clients, on a network in use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from policies.linear import SolverError
from policies.model import (
    Decision,
    DeviceId,
    Flow,
    FlowId,
    Infeasible,
    JobId,
    Mode,
    Network,
    Plan,
    Rounds,
    RunningJob,
    Snapshot,
    Training,
    Workload,
    link_id,
)
from policies.partition.bound import round_bound
from policies.partition.instance import NoSplit, SplitInstance, SplitPlan
from policies.partition.policy import SplitPolicy
from policies.partition.reading import Routed, instance_of
from policies.partition.registry import load_split_policy
from policies.partition.routes import overloaded
from policies.partition.timeline import Timeline, timeline_of
from policies.placement.reasons import Refusal

__all__ = ["Routed", "SplitTraining", "instance_of"]


class SplitTraining:
    """Places jobs that train a model, in turn, each beside all that runs by then; jobs that run are never changed.

    name: of a policy of `SPLIT_POLICIES`, or "module:function" of one's own. decide_split: that function, else by name.
    """

    mode: Mode = "loop"

    def __init__(self, name: str, decide_split: SplitPolicy | None = None) -> None:
        self.name = name
        self._decide_split = load_split_policy(name) if decide_split is None else decide_split

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        running = list(snapshot.running)
        plans: dict[JobId, Plan] = {}
        infeasible: dict[JobId, Infeasible] = {}
        for workload in arrivals:
            job = workload.job.id
            found = self._place(snapshot.network, running, workload)
            if isinstance(found, Refusal):
                infeasible[job] = Infeasible(job=job, reasons=found.reasons)
            else:
                plans[job] = found
                running.append(RunningJob(workload=workload, plan=found))
        return Decision(plans=plans, infeasible=infeasible)

    def _place(self, network: Network, running: Sequence[RunningJob], workload: Workload) -> Plan | Refusal:
        training = workload.job.training
        if workload.job.mode != "loop" or training is None:
            return Refusal((f"it does not train a model in rounds, and {self.name} is for jobs that do",))
        routed = instance_of(workload, network, running)
        if isinstance(routed, Refusal):
            return routed
        decided = self._decide_split(routed.instance)
        if isinstance(decided, NoSplit):
            return Refusal(decided.reasons)
        wrong = what_is_wrong(routed.instance, decided, training)
        if wrong:
            return Refusal(tuple(f"policy {self.name} planned what cannot be: {each}" for each in wrong))
        return _plan(self.name, workload, training, network, routed, decided)


def what_is_wrong(instance: SplitInstance, plan: SplitPlan, training: Training) -> list[str]:
    """What keeps a plan from being carried out, in words; policies may be anybody's, and nothing is put right here."""
    count, last = len(instance.devices), len(instance.layers) - 1
    if len(plan.cuts) != count or len(plan.rates_bps) != count:
        return [f"{len(plan.cuts)} cuts and {len(plan.rates_bps)} rates for {count} clients"]
    if any(not 0 <= cut <= last for cut in plan.cuts):
        return [f"cuts {list(plan.cuts)}, expected 0 to {last}"]
    problems = []
    if not 1 <= plan.micro_batches <= training.micro_batches:
        problems.append(f"{plan.micro_batches} micro-batches, the job allows 1 to {training.micro_batches}")
    rates_bps = np.array(plan.rates_bps, dtype=np.float64)
    rows, cuts = np.arange(count), np.array(plan.cuts)
    for device in np.flatnonzero(~instance.usable[rows, cuts]).tolist():
        problems.append(f"device {instance.devices[device]} cannot have cut {plan.cuts[device]}")
    lacking = ~((rates_bps > 0) & np.isfinite(rates_bps)) & (instance.C_bits[rows, cuts] > 0)
    for device in np.flatnonzero(lacking).tolist():
        problems.append(
            f"device {instance.devices[device]} must send, at a rate of {rates_bps[device]:g} bit/s"
        )
    if not problems and instance.steps is not None:
        problems += overloaded(instance.steps, rates_bps)
    return problems


def _plan(
    policy: str, workload: Workload, training: Training, network: Network, routed: Routed, decided: SplitPlan
) -> Plan:
    timeline = timeline_of(routed.instance, decided)
    routes: dict[FlowId, tuple[DeviceId, ...]] = {}
    rates: dict[FlowId, float] = {}
    ceilings: dict[FlowId, float] = {}
    for client, rate_bps in zip(training.clients, decided.rates_bps, strict=True):
        up = Flow(producer=client, consumer=training.server).id
        down = Flow(producer=training.server, consumer=client).id
        route = routed.routes[client]
        routes |= {up: route, down: route[::-1]}
        if route:
            rates |= {up: rate_bps, down: rate_bps}
            if decided.work_conserving:
                width = _width_bps(network, route)
                ceilings |= {up: width, down: width}
    return Plan(
        job=workload.job.id,
        policy=policy,
        placement={task.id: task.device for task in workload.job.tasks if task.device is not None},
        routes=routes,
        rates_bps=rates,
        throughput_per_s=1 / timeline.round_s if timeline.round_s > 0 else float("inf"),
        bottleneck=bottleneck(routed.instance, decided, timeline, training.server),
        rounds=Rounds(
            cuts=dict(zip(training.clients, decided.cuts, strict=True)),
            micro_batches=decided.micro_batches,
            round_s=decided.round_s,
            predicted_s=timeline.round_s,
            bound_s=_bound_s(routed.instance),
        ),
        ceilings_bps=ceilings,
    )


def _width_bps(network: Network, route: tuple[DeviceId, ...]) -> float:
    return min(network.links[link_id(a, b)].capacity_bps for a, b in pairwise(route))


def _bound_s(instance: SplitInstance) -> float | None:
    try:
        return round_bound(instance)
    except SolverError:  # numbers too far apart: the plan stands without it
        return None


def bottleneck(instance: SplitInstance, plan: SplitPlan, timeline: Timeline, server: str) -> str:
    """What is busy for the largest part of the round: a client's device, the server, or what carries the data: where
    rates are ceilings a client's own rate, else a link. The first of equals, in this order."""
    steps = instance.steps
    assert steps is not None, "the timeline was made of them"
    busy = {
        f"device {device}": client.compute_s
        for device, client in zip(instance.devices, timeline.clients, strict=True)
    }
    busy[f"task {server}"] = timeline.server_s
    rows, cuts = np.arange(len(plan.cuts)), np.array(plan.cuts)
    ways = np.stack([steps.up_total_bits()[rows, cuts], steps.down_total_bits()[rows, cuts]])
    if plan.work_conserving:
        loads = (ways @ steps.crossing().T / steps.links_bps).max(axis=0, initial=0.0)
        busy |= {f"link {name}": float(load) for name, load in zip(steps.link_names, loads, strict=True)}
    else:
        busy |= {
            f"the rate of device {device}": client.transfer_s
            for device, client in zip(instance.devices, timeline.clients, strict=True)
        }
    return max(busy, key=lambda name: busy[name])
