"""What every plan of a one-shot job keeps, whoever made it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.flows.graph import Graph
from policies.makespan.instance import MOST_TASKS
from policies.makespan.residual import Residual
from policies.model import (
    Decision,
    DeviceId,
    Flow,
    Job,
    JobId,
    Network,
    Plan,
    RunningJob,
    Snapshot,
    Task,
    TaskId,
    Timetable,
    Workload,
)
from policies.registry import ONE_SHOT_POLICIES, POLICIES, load_policy
from tests.policies.generate import network_of, small_job, small_network
from tests.policies.makespan.instances import (
    disjoint,
    job_of,
    meshed,
    random_instance,
    random_job,
    random_network,
    read_alone,
)
from tests.policies.makespan.oracles import brute_force, check_timetable

every_policy = pytest.mark.parametrize("policy", ONE_SHOT_POLICIES)
CHEAP = ("heft", "cpop", "peft")


def decide(policy: str, network: Network, *workloads: Workload) -> Decision:
    return load_policy(policy).decide(Snapshot(network=network), workloads)


def planned(policy: str, network: Network, workload: Workload) -> tuple[Plan, Timetable]:
    decision = decide(policy, network, workload)
    assert not decision.infeasible, decision.infeasible
    plan = decision.plans[workload.job.id]
    check_timetable(network, workload, plan)
    assert plan.timetable is not None
    return plan, plan.timetable


def reasons(policy: str, network: Network, workload: Workload) -> str:
    decision = decide(policy, network, workload)
    assert not decision.plans
    return "; ".join(decision.infeasible[workload.job.id].reasons)


def altered(workload: Workload, change: Callable[[Task], Task]) -> Workload:
    return replace(workload, job=replace(workload.job, tasks=tuple(map(change, workload.job.tasks))))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tasks=st.integers(1, 25), devices=st.integers(1, 6))
def test_plans_are_valid_and_portfolio_is_never_worse(seed: int, tasks: int, devices: int) -> None:
    network, workload = random_instance(seed, tasks, devices)
    before = deepcopy((network, workload))
    found = {policy: planned(policy, network, workload)[1] for policy in ONE_SHOT_POLICIES}
    assert (network, workload) == before
    best = min(found[policy].makespan_s for policy in CHEAP)
    assert found["portfolio"].makespan_s <= best
    assert all(
        timetable.bound_s <= found["portfolio"].makespan_s * (1 + 1e-9) for timetable in found.values()
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), policy=st.sampled_from(ONE_SHOT_POLICIES))
def test_names_do_not_matter(seed: int, policy: str) -> None:
    """Other ids in the same order: the same plan."""
    network, workload = random_instance(seed, 12, 4)
    devices = {name: replace(d, id=DeviceId(f"x-{name}")) for name, d in network.devices.items()}
    renamed = network_of(
        list(devices.values()),
        [
            (*(list(devices).index(end) for end in link.ends), link.capacity_bps)
            for link in network.links.values()
        ],
    )
    job = workload.job
    other = Job(
        id=JobId("other"),
        tasks=tuple(
            replace(t, id=TaskId(f"y-{t.id}"), device=t.device and DeviceId(f"x-{t.device}"))
            for t in job.tasks
        ),
        flows=tuple(
            replace(f, producer=TaskId(f"y-{f.producer}"), consumer=TaskId(f"y-{f.consumer}"))
            for f in job.flows
        ),
        mode="once",
    )
    plan, timetable = planned(policy, network, workload)
    again, same = planned(policy, renamed, Workload(job=other))
    assert again.placement == {f"y-{task}": f"x-{device}" for task, device in plan.placement.items()}
    assert same.makespan_s == timetable.makespan_s


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), policy=st.sampled_from(ONE_SHOT_POLICIES))
def test_a_network_in_parts(seed: int, policy: str) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, 3)
    far = network_of(
        [replace(d, id=DeviceId(f"far-{d.id}"), speed_flop_per_s=50.0) for d in network.devices.values()],
        [(0, 1, 8.0), (1, 2, 0.0)],
    )
    both, workload = disjoint(network, far), random_job(rng, network, 9)
    plan, timetable = planned(policy, both, workload)
    assert timetable.bound_s <= timetable.makespan_s
    assert not any(device.endswith("far-e02") for route in plan.routes.values() for device in route)


@every_policy
def test_tasks_that_no_links_join(policy: str) -> None:
    network = disjoint(
        meshed(1), network_of([replace(d, id=DeviceId("q")) for d in meshed(1).devices.values()], [])
    )
    workload = job_of([[1.0], [1.0]], [(0, 1, 3.0)])
    pins = {"t0000": DeviceId("p0"), "t0001": DeviceId("q")}
    pinned = altered(workload, lambda task: replace(task, device=pins[task.id]))
    assert "t0000, t0001 are joined by flows" in reasons(policy, network, pinned)
    apart = replace(pinned, job=replace(pinned.job, flows=()))
    assert planned(policy, network, apart)[1].makespan_s == 1.0


@every_policy
def test_zero_sizes_and_equal_devices(policy: str) -> None:
    nothing = job_of([[0.0] * 3] * 4, [(0, 1, 0.0), (0, 2, 5.0), (1, 3, 0.0), (2, 3, 0.0)])
    plan, timetable = planned(policy, meshed(3), nothing)
    assert timetable.makespan_s == 0.0
    assert plan.throughput_per_s == math.inf
    free = job_of([[2.0, 2.0]] * 4, [])
    assert planned(policy, meshed(2), free)[1].makespan_s == 4.0


@every_policy
def test_links_of_no_capacity_carry_nothing(policy: str) -> None:
    workload = job_of([[4.0, 1.0], [1.0, 4.0]], [(0, 1, 1.0)])
    plan, timetable = planned(policy, meshed(2, capacity_bps=0.0), workload)
    assert timetable.makespan_s == 5.0
    assert len(set(plan.placement.values())) == 1
    pins = {"t0000": DeviceId("p0"), "t0001": DeviceId("p1")}
    pinned = altered(workload, lambda task: replace(task, device=pins[task.id]))
    assert planned(policy, meshed(2), pinned)[1].makespan_s == 9.0
    assert "no devices that links with free bandwidth join" in reasons(policy, meshed(2, 0.0), pinned)


@every_policy
def test_refusals_say_what_is_missing(policy: str) -> None:
    workload = job_of([[1.0], [1.0]], [(0, 1, 1.0)])
    assert "2 GB of memory" in reasons(
        policy, meshed(1), altered(workload, lambda task: replace(task, memory_bytes=2e9))
    )
    assert "device gone, which the network does not have" in reasons(
        policy, meshed(1), altered(workload, lambda task: replace(task, device=DeviceId("gone")))
    )
    assert "seconds per item are not known" in reasons(
        policy, meshed(1), altered(workload, lambda task: replace(task, seconds={"other": 1.0}))
    )
    unknown = replace(workload.job, flows=(Flow(producer=TaskId("t0000"), consumer=TaskId("t0001")),))
    assert "bytes per item" in reasons(policy, meshed(1), Workload(job=unknown))
    stream = replace(workload, job=replace(workload.job, mode="stream"))
    assert reasons(policy, meshed(1), stream) == f"it runs as a stream, and {policy} places one-shot jobs"
    assert "no tasks" in reasons(
        policy, meshed(1), Workload(job=Job(id=JobId("j"), tasks=(), flows=(), mode="once"))
    )
    huge = tuple(Task(id=TaskId(str(i)), work_flop=1.0) for i in range(MOST_TASKS + 1))
    said = reasons(policy, meshed(1), Workload(job=Job(id=JobId("j"), tasks=huge, flows=(), mode="once")))
    assert said == "its 200001 tasks are more than the 200000 that a one-shot job may have"


@every_policy
def test_no_arrivals_change_nothing(policy: str) -> None:
    assert decide(policy, meshed(2)) == Decision()


@every_policy
def test_each_arrival_sees_those_before(policy: str) -> None:
    """Memory that the first holds is gone for the second; the running one's plan is left alone."""
    one, two = (
        altered(job_of([[1.0, 9.0]], [], name), lambda task: replace(task, memory_bytes=0.6e9))
        for name in ("one", "two")
    )
    plans = decide(policy, meshed(2), one, two).plans
    assert [plans[JobId(name)].placement for name in ("one", "two")] == [{"t0000": "p0"}, {"t0000": "p1"}]
    running = Snapshot(network=meshed(2), running=(RunningJob(workload=one, plan=plans[JobId("one")]),))
    assert load_policy(policy).decide(running, [two]).plans == {JobId("two"): plans[JobId("two")]}


def test_what_streams_leave() -> None:
    """Devices stretch by what streams use, down to a fair share; links keep a tenth at least."""
    network = small_network(np.random.default_rng(4))
    stream = small_job(np.random.default_rng(4), network, "s")
    plan = load_policy("joint").decide(Snapshot(network=network), [stream]).plans[JobId("s")]
    graph = Graph.of(network)
    left = Residual.of(network, graph, [RunningJob(workload=stream, plan=plan)])
    assert (left.stretch >= 1).all()
    assert (left.stretch <= 2).all()
    assert left.stretch.max() > 1
    for position, link in enumerate(graph.links):
        ends = network.links[link].ends
        carried = sum(
            plan.throughput_per_s * 8 * stream.size_bytes(flow)
            for flow in stream.job.flows
            for pair in zip(plan.routes[flow.id], plan.routes[flow.id][1:], strict=False)
            if tuple(sorted(pair)) == ends
        )
        capacity = network.links[link].capacity_bps
        assert left.capacity_bps[position] == pytest.approx(max(capacity - carried, capacity / 10))
    idle = Residual.of(network, graph, [])
    assert left.free_bytes.sum() < idle.free_bytes.sum()
    assert (idle.stretch == 1).all()


@pytest.mark.parametrize("seed", range(25))
def test_portfolio_is_as_good_as_brute_force_and_no_bound_is_above(seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    network = random_network(rng, int(rng.integers(2, 4)))
    workload = random_job(rng, network, int(rng.integers(2, 6)))
    best = brute_force(read_alone(network, workload))
    for policy in ONE_SHOT_POLICIES:
        timetable = planned(policy, network, workload)[1]
        assert timetable.bound_s <= best * (1 + 1e-9)
        assert timetable.makespan_s >= best * (1 - 1e-9)
    assert timetable.makespan_s == pytest.approx(best)


def test_a_relay_is_used_where_it_is_faster() -> None:
    """The only direct link is a hundred times slower than the way over a third device."""
    network = network_of(list(meshed(3).devices.values()), [(0, 1, 0.08), (0, 2, 8.0), (1, 2, 8.0)])
    pins = {"t0000": DeviceId("p0"), "t0001": DeviceId("p1")}
    free = job_of([[1.0, 99.0, 99.0], [99.0, 1.0, 99.0]], [(0, 1, 2.0)])
    workload = altered(free, lambda task: replace(task, device=pins[task.id]))
    for policy in ONE_SHOT_POLICIES:
        plan, timetable = planned(policy, network, workload)
        assert plan.routes == {"t0000->t0001": ("p0", "p2", "p1")}
        assert timetable.makespan_s == 4.0


def test_bottlenecks_have_names() -> None:
    alone = job_of([[3.0]], [])
    assert planned("heft", meshed(1), alone)[0].bottleneck == "critical path"
    queue = job_of([[3.0]] * 2, [])
    assert planned("heft", meshed(1), queue)[0].bottleneck == "device p0"
    fan = job_of([[1.0, 99.0], [99.0, 1.0], [99.0, 1.0]], [(0, 1, 9.0), (0, 2, 9.0)])
    assert planned("heft", meshed(2), fan)[0].bottleneck == "link p0-p1"


def test_streams_and_one_shot_jobs_have_their_own_policies() -> None:
    assert ONE_SHOT_POLICIES == ("heft", "cpop", "peft", "portfolio")
    assert not set(ONE_SHOT_POLICIES) & set(POLICIES)
    assert [load_policy(name).name for name in ONE_SHOT_POLICIES] == list(ONE_SHOT_POLICIES)


SCRIPT = """
from policies.model import Snapshot
from policies.registry import ONE_SHOT_POLICIES, load_policy
from tests.policies.makespan.instances import random_instance
network, workload = random_instance(3, 40, 5)
for name in ONE_SHOT_POLICIES:
    print(load_policy(name).decide(Snapshot(network=network), [workload]))
"""


def test_hash_seeds_do_not_matter() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert printed[0].count("Timetable(") == len(ONE_SHOT_POLICIES)
