"""The exact program against brute force; joint and the bound against the exact program."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from policies.bound import throughput_bound
from policies.flows.graph import Graph, Router
from policies.linear import SolverError, minimise
from policies.model import Flow, JobId, Network, Snapshot, TaskId, Workload
from policies.placement.demand import ANYWHERE, Hardware, demand
from policies.placement.exact import solve_exactly
from policies.placement.potential import Resources
from policies.registry import POLICIES, load_policy
from policies.relaxation import relax
from tests.policies.generate import small_job, small_network


def brute_force(network: Network, workload: Workload) -> float:
    """The best throughput of one job over every placement and every simple route of every flow; 0 for none."""
    graph = Graph.of(network)
    router, resources, asked = (
        Router(graph),
        Resources.of(graph),
        demand(workload, Hardware.of(network, graph)),
    )
    memory = np.array([network.devices[device].memory_bytes for device in graph.devices])
    everywhere = range(len(graph.devices))
    best = 0.0
    for placement in product(*(everywhere if pin == ANYWHERE else [pin] for pin in asked.pinned)):
        held = np.bincount(placement, weights=asked.memory_bytes, minlength=len(memory))
        if (held > memory).any():
            continue
        ways = [
            router.routes(placement[a], placement[b], 99)
            for a, b in zip(asked.producers, asked.consumers, strict=True)
        ]
        for routes in product(*ways):
            slowest = resources.usage(asked, placement, list(routes)).seconds.max(initial=0.0)
            best = max(best, min(asked.items_per_s, 1 / slowest if slowest > 0 else np.inf))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_one_job_is_solved_as_by_brute_force_and_joint_is_close(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng, 4, 5)
    workload = small_job(rng, network, "j", 3)
    best = brute_force(network, workload)
    plans = load_policy("joint").decide(Snapshot(network=network), [workload]).plans
    if best == 0.0:
        with pytest.raises(SolverError):
            solve_exactly(network, [workload])
        assert not plans
        return
    for goal in ("sum", "min"):
        assert solve_exactly(network, [workload], goal).rates_per_s[0] == pytest.approx(best, rel=1e-4)
    assert throughput_bound(network, [workload]) >= best * (1 - 1e-6)
    assert best * (1 + 1e-6) >= plans[workload.job.id].throughput_per_s >= 0.6 * best


@pytest.mark.parametrize("seed", [0, 1, 9])
def test_several_jobs_no_policy_beats_the_exact_program_nor_that_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng, 4, 5)
    workloads = [small_job(rng, network, f"j{i}", 2) for i in range(2)]
    most = solve_exactly(network, workloads, "sum", time_limit_s=60)
    least = solve_exactly(network, workloads, "min", time_limit_s=60)
    fair = solve_exactly(network, workloads, "log", time_limit_s=60)
    assert throughput_bound(network, workloads) >= most.value * (1 - 1e-5)
    assert most.value >= sum(fair.rates_per_s) * (1 - 1e-5)
    assert least.value >= min(fair.rates_per_s) * (1 - 1e-5)
    for policy in POLICIES:
        plans = load_policy(policy).decide(Snapshot(network=network), workloads).plans
        rates = [plan.throughput_per_s for plan in plans.values()]
        assert sum(rates) <= most.bound * (1 + 1e-5)
        if len(rates) == len(workloads):
            assert min(rates) <= least.bound * (1 + 1e-5)
            assert np.log(rates).sum() <= fair.bound + 1e-5


def fanned_out(rng: np.random.Generator, network: Network, name: str) -> Workload:
    """A camera, a task, three equal tasks beside one that is not, and a task that gathers."""
    job = small_job(rng, network, name, 2).job
    camera, first, last = job.tasks
    middle = [
        replace(first, id=TaskId(f"m{i}"), work_flop=float(1 + (i == 3)), memory_bytes=0.5) for i in range(4)
    ]
    flows = [Flow(producer=camera.id, consumer=first.id, size_bytes=4.0)]
    flows += [Flow(producer=first.id, consumer=task.id, size_bytes=2.0) for task in middle]
    flows += [Flow(producer=task.id, consumer=last.id, size_bytes=1.0) for task in middle]
    return Workload(
        job=replace(job, tasks=(camera, first, *middle, last), flows=tuple(flows), items_per_s=9.0)
    )


@pytest.mark.parametrize("seed", range(5))
def test_equal_jobs_and_tasks_as_one_leave_the_bound_as_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    kinds = [fanned_out(rng, network, "fan"), small_job(rng, network, "j", 3)]
    workloads = [
        Workload(job=replace(kinds[i].job, id=JobId(f"job{n}"))) for n, i in enumerate((0, 1, 0, 0, 1))
    ]
    plain, merged = relax(network, workloads), relax(network, workloads, merged=True)
    assert [group.jobs for group in plain.groups] == [1] * 5
    assert [group.jobs for group in merged.groups] == [3, 2]
    assert merged.groups[0].tasks == (1, 1, 3, 1, 1)
    assert merged.groups[0].flows == (1, 3, 1, 3, 1)
    expected = -minimise(plain.model.maximise(plain.rates)).objective
    assert -minimise(merged.model.maximise(merged.rates, np.array([3.0, 2.0]))).objective == pytest.approx(
        expected, rel=1e-6
    )
    assert throughput_bound(network, workloads) == pytest.approx(expected, rel=1e-5)


def test_a_job_that_nothing_bounds_is_refused() -> None:
    rng = np.random.default_rng(0)
    network = small_network(rng)
    job = small_job(rng, network, "j", 0).job
    workload = Workload(job=replace(job, items_per_s=None))
    with pytest.raises(ValueError, match="neither a source nor any work"):
        throughput_bound(network, [workload])
    assert throughput_bound(network, []) == 0.0
