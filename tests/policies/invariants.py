"""What every decision must keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from policies.model import Decision, Network, Plan, RunningJob, Snapshot, Workload, link_id

SLACK = 1e-6


def after(snapshot: Snapshot, arrivals: Sequence[Workload], decision: Decision) -> Snapshot:
    """The snapshot once the decision is in force."""
    kept = [
        RunningJob(workload=run.workload, plan=decision.plans.get(run.plan.job, run.plan))
        for run in snapshot.running
    ]
    new = [
        RunningJob(workload=workload, plan=decision.plans[workload.job.id])
        for workload in arrivals
        if workload.job.id in decision.plans
    ]
    return Snapshot(network=snapshot.network, running=(*kept, *new), now_s=snapshot.now_s)


def check_decision(snapshot: Snapshot, arrivals: Sequence[Workload], decision: Decision) -> Snapshot:
    """Assert that the decision answers every arrival, moves nothing that runs, and overloads nothing."""
    arrived = {workload.job.id for workload in arrivals}
    placed = set(decision.plans) & arrived
    assert placed | set(decision.infeasible) == arrived
    assert not placed & set(decision.infeasible)
    assert all(refused.reasons for refused in decision.infeasible.values())
    for run in snapshot.running:
        if run.plan.job in decision.plans:
            assert decision.plans[run.plan.job].placement == run.plan.placement
    assert set(decision.plans) - arrived <= {run.plan.job for run in snapshot.running}
    following = after(snapshot, arrivals, decision)
    check_snapshot(following)
    return following


def check_snapshot(snapshot: Snapshot) -> None:
    network = snapshot.network
    granted = dict.fromkeys(network.links, 0.0)
    memory = dict.fromkeys(network.devices, 0.0)
    busy = dict.fromkeys(network.devices, 0.0)
    for run in snapshot.running:
        check_plan(network, run.workload, run.plan)
        for task in run.workload.job.tasks:
            device = run.plan.placement[task.id]
            memory[device] += run.workload.memory_bytes(task)
            seconds = run.workload.seconds(task, network.devices[device])
            if run.workload.job.inputs(task.id) or math.isfinite(seconds):
                busy[device] += run.plan.throughput_per_s * seconds if seconds else 0.0
        for flow, route in run.plan.routes.items():
            for a, b in pairwise(route):
                granted[link_id(a, b)] += run.plan.rates_bps[flow]
    for link, rate in granted.items():
        assert rate <= network.links[link].capacity_bps * (1 + SLACK), link
    for device, used in memory.items():
        assert used <= network.devices[device].memory_bytes * (1 + SLACK), device
    # A plan that did not change keeps its prediction, so only fresh ones share devices exactly.
    for device, part in busy.items():
        assert part <= 1 + SLACK, device


def check_plan(network: Network, workload: Workload, plan: Plan) -> None:
    job = workload.job
    assert set(plan.placement) == {task.id for task in job.tasks}
    assert set(plan.routes) == {flow.id for flow in job.flows}
    for task in job.tasks:
        assert task.device in (None, plan.placement[task.id])
    crossing = set()
    for flow in job.flows:
        route = plan.routes[flow.id]
        ends = plan.placement[flow.producer], plan.placement[flow.consumer]
        if ends[0] == ends[1]:
            assert route == ()
            continue
        crossing.add(flow.id)
        assert (route[0], route[-1]) == ends
        assert len(set(route)) == len(route)
        assert all(network.links[link_id(a, b)].capacity_bps > 0 for a, b in pairwise(route))
        size = workload.size_bytes(flow)
        assert plan.throughput_per_s * size * 8 <= plan.rates_bps[flow.id] * (1 + SLACK)
    assert set(plan.rates_bps) == crossing
    assert plan.throughput_per_s > 0
    assert plan.throughput_per_s <= (job.items_per_s or math.inf) * (1 + SLACK)
    assert plan.throughput_per_s <= (plan.granted_per_s or math.inf) * (1 + SLACK)
    assert plan.bottleneck
