"""Invariants of every policy over generated networks and jobs that come and go."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.model import (
    Decision,
    Device,
    DeviceId,
    Flow,
    FlowId,
    Job,
    JobId,
    Network,
    Snapshot,
    Task,
    TaskId,
    Workload,
)
from policies.registry import POLICIES, load_policy
from tests.policies.generate import network_of, small_job, small_network
from tests.policies.invariants import check_decision, check_snapshot

SEEDS = st.integers(0, 2**32 - 1)
every_policy = pytest.mark.parametrize("policy", POLICIES)


@every_policy
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_jobs_that_come_and_go_overload_nothing(policy: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng, 5, int(rng.integers(4, 9)))
    snapshot, decide = Snapshot(network=network), load_policy(policy).decide
    for step in range(4):
        arrivals = [small_job(rng, network, f"j{step}{i}") for i in range(int(rng.integers(0, 3)))]
        before = copy.deepcopy((snapshot, arrivals))
        decision = decide(snapshot, arrivals)
        assert (snapshot, arrivals) == before
        snapshot = check_decision(snapshot, arrivals, decision)
        if snapshot.running and rng.integers(2):
            gone = int(rng.integers(len(snapshot.running)))
            left = snapshot.running[:gone] + snapshot.running[gone + 1 :]
            snapshot = check_decision(
                replace(snapshot, running=left), [], decide(replace(snapshot, running=left), [])
            )


@every_policy
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_a_decision_in_force_is_not_changed_again(policy: str, seed: int) -> None:
    """Deciding anew with nothing new: published policies keep all; the joint ones may still find better routes."""
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    arrivals = [small_job(rng, network, f"j{i}") for i in range(3)]
    decide = load_policy(policy).decide
    snapshot = check_decision(
        Snapshot(network=network), arrivals, decide(Snapshot(network=network), arrivals)
    )
    again = decide(snapshot, [])
    if policy.startswith("joint"):
        check_decision(snapshot, [], again)
    else:
        assert again == Decision()


@every_policy
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_a_finished_job_leaves_no_trace(policy: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    first, second = (small_job(rng, network, name) for name in ("first", "second"))
    decide = load_policy(policy).decide
    alone = decide(Snapshot(network=network), [second])
    snapshot = check_decision(Snapshot(network=network), [first], decide(Snapshot(network=network), [first]))
    emptied = replace(snapshot, running=())
    assert decide(emptied, [second]) == alone


def scaled(network: Network, workload: Workload, work: float, capacity: float) -> tuple[Network, Workload]:
    """work times the bytes and FLOP, capacity times the bits/s and FLOP/s; the source follows."""
    devices = {
        name: replace(device, speed_flop_per_s=device.speed_flop_per_s * capacity)
        for name, device in network.devices.items()
    }
    links = {
        name: replace(link, capacity_bps=link.capacity_bps * capacity) for name, link in network.links.items()
    }
    job = workload.job
    tasks = tuple(replace(task, work_flop=(task.work_flop or 0.0) * work) for task in job.tasks)
    flows = tuple(replace(flow, size_bytes=(flow.size_bytes or 0.0) * work) for flow in job.flows)
    rate = None if job.items_per_s is None else job.items_per_s * capacity / work
    scaled_job = replace(job, tasks=tasks, flows=flows, items_per_s=rate)
    return Network(devices=devices, links=links), Workload(job=scaled_job)


@every_policy
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, factor=st.sampled_from([0.25, 8.0]))
def test_more_work_divides_and_more_capacity_multiplies_the_throughput(
    policy: str, seed: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    workload = small_job(rng, network, "j")
    decide = load_policy(policy).decide
    plain = decide(Snapshot(network=network), [workload])
    for work, capacity in ((factor, 1.0), (1.0, factor)):
        other_network, other = scaled(network, workload, work, capacity)
        decision = decide(Snapshot(network=other_network), [other])
        assert decision.plans.keys() == plain.plans.keys()
        for job, plan in plain.plans.items():
            assert decision.plans[job].placement == plan.placement
            assert decision.plans[job].routes == plan.routes
            expected = plan.throughput_per_s * capacity / work
            assert decision.plans[job].throughput_per_s == pytest.approx(expected, rel=1e-6)


def renamed(network: Network, workload: Workload) -> tuple[Network, Workload]:
    """Other names in the same order."""
    devices = [replace(network.devices[name], id=DeviceId(f"x-{name}")) for name in sorted(network.devices)]
    index = {name: position for position, name in enumerate(sorted(network.devices))}
    links = [(index[link.ends[0]], index[link.ends[1]], link.capacity_bps) for link in network.links.values()]
    job = workload.job

    def task_name(task: TaskId) -> TaskId:
        return TaskId(f"{task}!")

    tasks = tuple(
        replace(
            task, id=task_name(task.id), device=None if task.device is None else DeviceId(f"x-{task.device}")
        )
        for task in job.tasks
    )
    flows = tuple(
        replace(flow, producer=task_name(flow.producer), consumer=task_name(flow.consumer))
        for flow in job.flows
    )
    return network_of(devices, links), Workload(job=replace(job, id=JobId("other"), tasks=tasks, flows=flows))


@every_policy
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_names_do_not_matter(policy: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = small_network(rng)
    workload = small_job(rng, network, "j")
    other_network, other = renamed(network, workload)
    decide = load_policy(policy).decide
    plain = decide(Snapshot(network=network), [workload]).plans
    same = decide(Snapshot(network=other_network), [other]).plans
    assert len(plain) == len(same)
    for plan in plain.values():
        twin = same[JobId("other")]
        assert {f"{t}!": f"x-{d}" for t, d in plan.placement.items()} == twin.placement
        assert list(twin.rates_bps.values()) == pytest.approx(list(plan.rates_bps.values()))
        assert twin.throughput_per_s == pytest.approx(plan.throughput_per_s)


def line(*specs: tuple[str, float, float], capacity_bps: float = 80.0) -> Network:
    """Devices (id, speed, memory) in a row."""
    devices = [
        Device(id=DeviceId(name), type="t", speed_flop_per_s=speed, memory_bytes=memory)
        for name, speed, memory in specs
    ]
    return network_of(devices, [(i, i + 1, capacity_bps) for i in range(len(devices) - 1)])


def chain(work: list[float], memory: list[float], size: float = 1.0, camera: str = "a") -> Workload:
    """A camera and a chain of tasks t0, t1, ..."""
    names = [TaskId("camera"), *(TaskId(f"t{i}") for i in range(len(work)))]
    tasks = [Task(id=names[0], device=DeviceId(camera), work_flop=0)]
    for name, flop, held in zip(names[1:], work, memory, strict=True):
        tasks.append(Task(id=name, work_flop=flop, memory_bytes=held))
    flows = tuple(Flow(producer=a, consumer=b, size_bytes=size) for a, b in itertools.pairwise(names))
    return Workload(job=Job(id=JobId("j"), tasks=tuple(tasks), flows=flows))


def decide_one(policy: str, network: Network, workload: Workload) -> Decision:
    decision = load_policy(policy).decide(Snapshot(network=network), [workload])
    check_decision(Snapshot(network=network), [workload], decision)
    return decision


@every_policy
def test_a_job_whose_camera_is_cut_off_waits_and_says_why(policy: str) -> None:
    network = line(("a", 10, 0), ("b", 10, 8), capacity_bps=0.0)
    reasons = decide_one(policy, network, chain([5], [4])).infeasible[JobId("j")].reasons
    assert any("no route" in reason for reason in reasons)


@every_policy
def test_a_task_that_fits_nowhere_is_named_with_the_amounts(policy: str) -> None:
    network = line(("a", 10, 2e9), ("b", 10, 1e9))
    [reason] = decide_one(policy, network, chain([5], [3e9])).infeasible[JobId("j")].reasons
    assert "3 GB" in reason
    assert "2 GB" in reason
    assert "device a" in reason


@every_policy
def test_a_task_without_known_seconds_is_named(policy: str) -> None:
    workload = chain([5], [1])
    job = replace(workload.job, tasks=(workload.job.tasks[0], replace(workload.job.tasks[1], work_flop=None)))
    [reason] = decide_one(policy, line(("a", 10, 2)), Workload(job=job)).infeasible[JobId("j")].reasons
    assert "t0" in reason
    assert "profile" in reason


@every_policy
def test_a_flow_of_unknown_size_and_a_device_that_is_not_there_are_named(policy: str) -> None:
    workload = chain([5], [1], camera="gone")
    unsized = replace(workload.job.flows[0], size_bytes=None)
    job = replace(workload.job, flows=(unsized,))
    reasons = decide_one(policy, line(("a", 10, 2)), Workload(job=job)).infeasible[JobId("j")].reasons
    assert len(reasons) == 2
    assert "gone" in reasons[0]
    assert "camera->t0" in reasons[1]


@every_policy
def test_memory_that_just_suffices_does(policy: str) -> None:
    plan = decide_one(policy, line(("a", 10, 4)), chain([5, 5], [1, 3])).plans[JobId("j")]
    assert plan.throughput_per_s == pytest.approx(1.0)
    assert plan.routes == {"camera->t0": (), "t0->t1": ()}
    assert plan.rates_bps == {}


@pytest.mark.parametrize("policy", [name for name in POLICIES if name not in ("lr", "br")])
def test_a_job_too_large_for_one_device_is_split(policy: str) -> None:
    plan = decide_one(policy, line(("a", 10, 2), ("b", 10, 2)), chain([5, 5], [2, 2])).plans[JobId("j")]
    assert sorted(plan.placement.values()) == ["a", "a", "b"]
    assert plan.throughput_per_s == pytest.approx(2.0)


@pytest.mark.parametrize("policy", ["lr", "br"])
def test_a_job_too_large_for_one_device_waits_for_whole_job_policies(policy: str) -> None:
    decision = decide_one(policy, line(("a", 10, 2), ("b", 10, 2)), chain([5, 5], [2, 2]))
    [reason] = decision.infeasible[JobId("j")].reasons
    assert "needs 4 B" in reason
    assert "2 B, on device a" in reason


@every_policy
def test_of_equal_devices_the_smallest_id_is_taken(policy: str) -> None:
    workload = chain([5], [1], size=0.0, camera="m")
    devices = [
        Device(id=DeviceId(name), type="t", speed_flop_per_s=10, memory_bytes=memory)
        for name, memory in (("b", 4), ("c", 4), ("m", 0))
    ]
    network = network_of(devices, [(0, 2, 8.0), (1, 2, 8.0)])
    assert decide_one(policy, network, workload).plans[JobId("j")].placement[TaskId("t0")] == "b"


@every_policy
def test_flows_of_no_bytes_and_tasks_of_no_work_bind_nothing(policy: str) -> None:
    network = line(("a", 10, 0), ("b", 10, 8), capacity_bps=8.0)
    workload = chain([5, 0], [1, 1], size=0.0)
    plan = decide_one(policy, network, workload).plans[JobId("j")]
    assert plan.throughput_per_s == pytest.approx(2.0)
    assert plan.bottleneck == "device b"


@every_policy
def test_pinned_tasks_stay(policy: str) -> None:
    workload = chain([5, 5], [1, 1])
    first, middle, last = workload.job.tasks
    job = replace(workload.job, tasks=(first, replace(middle, device=DeviceId("c")), last))
    network = line(("a", 10, 9), ("b", 99, 9), ("c", 10, 9))
    plan = decide_one(policy, network, Workload(job=job)).plans[JobId("j")]
    assert plan.placement[TaskId("camera")] == "a"
    assert plan.placement[TaskId("t0")] == "c"
    assert plan.routes[FlowId("camera->t0")] == ("a", "b", "c")


@every_policy
def test_pinned_tasks_without_a_way_between_them_wait(policy: str) -> None:
    workload = chain([5], [1])
    camera, task = workload.job.tasks
    job = replace(workload.job, tasks=(camera, replace(task, device=DeviceId("b"))))
    decision = decide_one(policy, line(("a", 10, 9), ("b", 10, 9), capacity_bps=0), Workload(job=job))
    [reason] = decision.infeasible[JobId("j")].reasons
    assert "no route" in reason


@every_policy
def test_a_lost_link_under_a_running_job_breaks_nothing(policy: str) -> None:
    devices = [
        Device(id=DeviceId(name), type="t", speed_flop_per_s=10, memory_bytes=memory)
        for name, memory in (("a", 0), ("b", 8), ("c", 0))
    ]
    network = network_of(devices, [(0, 1, 80.0), (0, 2, 80.0), (1, 2, 80.0)])
    decide = load_policy(policy).decide
    snapshot = check_decision(
        Snapshot(network=network), [chain([5], [1])], decide(Snapshot(network=network), [chain([5], [1])])
    )
    links = {
        name: replace(link, capacity_bps=0.0) if name == "a-b" else link
        for name, link in network.links.items()
    }
    decision = decide(replace(snapshot, network=replace(network, links=links)), [])
    if policy != "otfs":  # which leaves what runs alone
        assert decision.plans[JobId("j")].routes[FlowId("camera->t0")] == ("a", "c", "b")
    for missing in ({"c"}, {"b"}):  # a device that leaves takes its links along
        smaller = Network(
            devices={name: device for name, device in network.devices.items() if name not in missing},
            links={name: link for name, link in network.links.items() if not missing & set(link.ends)},
        )
        decide(replace(snapshot, network=smaller), [])


def test_otfs_leaves_running_flows_alone_and_otfa_adjusts_them() -> None:
    network = line(("a", 10, 0), ("b", 100, 8), capacity_bps=80.0)
    first = chain([5], [1])
    second = Workload(job=replace(first.job, id=JobId("k")))
    for policy, expected in (("otfs", 80.0), ("otfa", 40.0)):
        decide = load_policy(policy).decide
        snapshot = check_decision(
            Snapshot(network=network), [first], decide(Snapshot(network=network), [first])
        )
        decision = decide(snapshot, [second])
        following = check_decision(snapshot, [second], decision)
        assert following.running[0].plan.rates_bps == {"camera->t0": pytest.approx(expected)}
        assert (JobId("k") in decision.infeasible) == (policy == "otfs")


def test_joint_grants_job_rates_that_its_flows_cover() -> None:
    rng = np.random.default_rng(5)
    network = small_network(rng)
    arrivals = [small_job(rng, network, f"j{i}") for i in range(3)]
    for policy in ("joint", "joint-floor"):
        decision = load_policy(policy).decide(Snapshot(network=network), arrivals)
        assert decision.plans
        for plan in decision.plans.values():
            assert plan.throughput_per_s == pytest.approx(plan.granted_per_s)
    check_snapshot(check_decision(Snapshot(network=network), arrivals, decision))
