"""Parts of the items that fit unequal devices and ways: against a linear program, and never worse than equal parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from policies.model import (
    Device,
    DeviceId,
    Flow,
    Job,
    JobId,
    Link,
    Network,
    Plan,
    Replicas,
    RunningJob,
    Snapshot,
    Task,
    TaskId,
    Workload,
    link_id,
)
from policies.placement.replicas import LEAST, WithReplicas, balanced, with_shares
from policies.registry import POLICIES, load_policy

S, D = TaskId("s"), TaskId("d")


def star(speeds: list[float], capacities_bps: list[float]) -> Network:
    """A hub, e0, that the others are linked with."""
    devices = {
        DeviceId(f"e{at}"): Device(
            id=DeviceId(f"e{at}"), type=f"t{at}", speed_flop_per_s=speed, memory_bytes=1e9
        )
        for at, speed in enumerate(speeds)
    }
    links = [
        Link(ends=(DeviceId("e0"), DeviceId(f"e{at}")), capacity_bps=bps)
        for at, bps in enumerate(capacities_bps, start=1)
    ]
    return Network(devices=devices, links={link.id: link for link in links})


def job_of(pins: list[str | None], *, work: float = 1e9, size: float = 1.0, sink: float = 0.0) -> Workload:
    """A source and a sink on the hub, and replicas where they are pinned."""
    copies = tuple(TaskId(f"a.{at}") for at in range(1, len(pins) + 1))
    share = 1 / len(pins)
    tasks = (
        Task(id=S, device=DeviceId("e0"), work_flop=0),
        *(
            Task(id=copy, device=None if pin is None else DeviceId(pin), work_flop=work, share=share)
            for copy, pin in zip(copies, pins, strict=True)
        ),
        Task(id=D, device=DeviceId("e0"), work_flop=sink),
    )
    flows = (
        *(Flow(producer=S, consumer=copy, size_bytes=size, share=share) for copy in copies),
        *(Flow(producer=copy, consumer=D, size_bytes=size / 2, share=share) for copy in copies),
    )
    replicas = Replicas(task=TaskId("a"), producer=S, copies=copies, dispatch="jsq", deadline_s=1.0)
    return Workload(job=Job(id=JobId("j"), tasks=tasks, flows=flows, replicas=(replicas,)))


def plan_of(workload: Workload) -> Plan:
    """Each replica where it is pinned, on the one way there."""
    placement = {task.id: task.device or DeviceId("e0") for task in workload.job.tasks}
    routes: dict[Any, tuple[DeviceId, ...]] = {}
    for flow in workload.job.flows:
        ends = placement[flow.producer], placement[flow.consumer]
        routes[flow.id] = () if ends[0] == ends[1] else ends
    return Plan(
        job=JobId("j"),
        policy="p",
        placement=placement,
        routes=routes,
        rates_bps={},
        throughput_per_s=1.0,
        bottleneck="",
    )


def busiest_s(workload: Workload, plan: Plan, network: Network) -> float:
    """What the busiest device, or the narrowest link of one replica's way, has to do for an item."""
    load = dict.fromkeys(network.devices, 0.0)
    for task in workload.job.tasks:
        device = plan.placement[task.id]
        load[device] += workload.seconds(task, network.devices[device])
    ways = [
        8 * workload.size_bytes(flow) / network.links[link_id(*plan.routes[flow.id])].capacity_bps
        for flow in workload.job.flows
        if plan.routes[flow.id]
    ]
    return max([*load.values(), *ways])


def test_parts_are_as_speeds_where_links_are_wide() -> None:
    network = star([1e9, 2e9, 5e9], [1e12, 1e12])
    job = job_of(["e0", "e1", "e2"])
    shares = balanced(job, plan_of(job), network)
    assert shares == pytest.approx({"a.1": 1 / 8, "a.2": 2 / 8, "a.3": 5 / 8})


def test_a_thin_link_a_busy_device_and_company_count() -> None:
    # The hub does .5 s of other work an item; e1 is fast, behind a link of 4 items/s; two share e2.
    network = star([1e9, 100e9, 1e9], [32.0, 1e12])
    job = job_of(["e0", "e1", "e2", "e2"], work=1e9, size=1.0, sink=0.5e9)
    plan = plan_of(job)
    shares = balanced(job, plan, network)
    fits = with_shares(job, shares)
    # In T seconds e1 gets 4 T, e2 does T; the hub has no time at T = .2, and gets the least part.
    least = LEAST / 4
    assert shares == pytest.approx(
        {
            name: part / (1 + least)
            for name, part in {"a.1": least, "a.2": 0.8, "a.3": 0.1, "a.4": 0.1}.items()
        }
    )
    assert busiest_s(fits, plan, network) < busiest_s(job, plan, network)


@given(
    st.lists(st.floats(0.5, 20), min_size=2, max_size=5),
    st.lists(st.floats(0.1, 50), min_size=4, max_size=4),
    st.data(),
)
@settings(max_examples=200)
def test_the_busiest_has_as_little_to_do_as_a_linear_program_finds(
    speeds: list[float], rates: list[float], data: st.DataObject
) -> None:
    """But for the least part that each has."""
    network = star([speed * 1e9 for speed in speeds], [8 * rate for rate in rates[: len(speeds) - 1]])
    pins = data.draw(st.lists(st.sampled_from([str(d) for d in network.devices]), min_size=2, max_size=5))
    sink = data.draw(st.sampled_from([0.0, 0.1e9, 2e9]))
    job = job_of(list(pins), sink=sink)
    plan = plan_of(job)
    found = balanced(job, plan, network)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= LEAST / len(pins) / (1 + LEAST) - 1e-12
    took_s = busiest_s(with_shares(job, found), plan, network)
    assert took_s <= (1 + LEAST) * max(_least_s(job, plan, network), sink / speeds[0] / 1e9) + 1e-9


def _least_s(job: Workload, plan: Plan, network: Network) -> float:
    """T of: min T, parts x of at least the least part, sum x = 1, every device and way within T."""
    [replicas] = job.job.replicas
    copies = replicas.copies
    least = LEAST / len(copies)
    rows, limits = [], []
    for device in network.devices.values():
        row = [1e9 / device.speed_flop_per_s if plan.placement[copy] == device.id else 0.0 for copy in copies]
        other = sum(
            job.seconds(task, device)
            for task in job.job.tasks
            if task.id not in copies and plan.placement[task.id] == device.id
        )
        rows.append([*row, -1.0])
        limits.append(-other)
    for at, copy in enumerate(copies):
        route = plan.routes[Flow(producer=S, consumer=copy).id]
        if route:
            row = [0.0] * len(copies)
            row[at] = 8 / network.links[link_id(*route)].capacity_bps
            rows.append([*row, -1.0])
            limits.append(0.0)
    solved = linprog(
        c=[*([0.0] * len(copies)), 1.0],
        A_ub=np.array(rows),
        b_ub=np.array(limits),
        A_eq=np.array([[*([1.0] * len(copies)), 0.0]]),
        b_eq=[1.0],
        bounds=[*([(least, 1.0)] * len(copies)), (0.0, None)],
    )
    assert solved.status == 0
    return float(solved.fun)


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_plans_less_with_parts_that_fit(name: str) -> None:
    network = star([1e9, 2e9, 5e9], [1e9, 1e9])
    for pins in (["e0", "e1", "e2"], [None, None, None]):
        job = job_of(list(pins))
        snapshot = Snapshot(network=network)
        equal = load_policy(name).decide(snapshot, [job]).plans[JobId("j")]
        fits = WithReplicas(load_policy(name)).decide(snapshot, [job]).plans[JobId("j")]
        assert fits.throughput_per_s >= equal.throughput_per_s * (1 - 1e-9)
        if pins[0] is not None and name not in ("lr", "br"):  # these put whole jobs on one device
            assert fits.throughput_per_s > 2 * equal.throughput_per_s
            assert sum(fits.shares.values()) == pytest.approx(1)


def test_jobs_without_replicas_are_decided_as_ever_and_running_ones_keep_their_parts() -> None:
    network = star([1e9, 2e9, 5e9], [1e9, 1e9])
    policy = WithReplicas(load_policy("otfa"))
    first = job_of(["e0", "e1", "e2"])
    plan = policy.decide(Snapshot(network=network), [first]).plans[JobId("j")]
    running = RunningJob(workload=with_shares(first, plan.shares), plan=plan)
    tasks = (Task(id=S, device=DeviceId("e0"), work_flop=0), Task(id=D, device=DeviceId("e1"), work_flop=1e9))
    flows = (Flow(producer=S, consumer=D, size_bytes=1e5),)
    other = Workload(job=Job(id=JobId("k"), tasks=tasks, flows=flows))
    snapshot = Snapshot(network=network, running=(running,))
    decided = policy.decide(snapshot, [other])
    assert decided.plans[JobId("k")].shares == {}
    alone = load_policy("otfa").decide(snapshot, [other])
    assert decided.plans.keys() == alone.plans.keys()
    for job, found in decided.plans.items():
        assert replace(found, shares={}) == alone.plans[job]
        assert found.shares == (plan.shares if job == "j" else {})
