"""Jobs that train a model, placed: what is read, beside what runs, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.model import (
    DeviceId,
    Flow,
    FlowId,
    Job,
    JobId,
    LinkId,
    Network,
    Plan,
    RunningJob,
    Snapshot,
    Task,
    TaskId,
    Workload,
)
from policies.partition.instance import SplitInstance, SplitPlan
from policies.partition.policy import edgesplit
from policies.partition.reading import Routed, instance_of
from policies.partition.routes import overloaded
from policies.partition.training import SplitTraining
from policies.placement.reasons import Refusal
from policies.registry import TRAINING_POLICIES, load_policy
from tests.policies.partition.jobs import SERVER, cut_profile, deep_profile, link, network, star, training_job

seeds = st.integers(0, 10**9)
CUTS = cut_profile([1, 3, 6], [2, 6, 12], [4e5, 1e5, 0], [1e4, 1e5, 1e6])
C1, C2 = TaskId("client-c1"), TaskId("client-c2")


def routed(workload: Workload, net: Network, running: Sequence[RunningJob] = ()) -> Routed:
    found = instance_of(workload, net, running)
    assert isinstance(found, Routed), found
    return found


def placed(name: str, workload: Workload, net: Network, running: Sequence[RunningJob] = ()) -> Plan:
    decision = load_policy(name).decide(Snapshot(network=net, running=tuple(running)), [workload])
    assert workload.job.id in decision.plans, decision.infeasible
    return decision.plans[workload.job.id]


def reasons(workload: Workload, net: Network, name: str = "edgesplit") -> str:
    decision = load_policy(name).decide(Snapshot(network=net), [workload])
    assert not decision.plans
    return "; ".join(decision.infeasible[workload.job.id].reasons)


def test_a_and_c_are_sums_of_what_was_measured() -> None:
    """A pi and a server ten times as fast; 5 batches, and 1 µs/byte to send on one core."""
    profile = cut_profile([1, 3, 6], [2, 6, 12], [4e5, 1e5, 0], [1e4, 1e5, 1e6], send_s_per_byte=1e-6)
    workload = training_job(profile, ["c1"], batches=5, micro_batches=2)
    instance = routed(workload, star(["pi"], shared_bps=8e6)).instance
    assert instance.devices == ("c1",)
    assert (instance.total_bps, instance.rate_caps_bps.tolist()) == (8e6, [8e6])
    parts = instance.parts
    assert parts is not None and parts.full_duplex and parts.micro_batches == 2
    sent = np.array([4e5, 1e5, 0])
    weights = np.array([1e4, 1e5, 1e6])
    sending_s = 1e-6 * (5 * 2 * sent + 2 * weights)
    assert parts.device_s[0] == pytest.approx(5 * np.array([3, 9, 18]) + sending_s)
    assert parts.server_s[0] == pytest.approx(5 * np.array([1.5, 0.9, 0]) + sending_s / 10)
    assert parts.up_bits[0] == pytest.approx(8 * (5 * sent + weights))
    assert instance.A_s[0] == pytest.approx(parts.device_s[0] + parts.server_s[0])
    assert instance.C_bits[0] == pytest.approx(16 * (5 * sent + weights))


def test_the_round_of_edgesplit_alone_is_p1s() -> None:
    workload = training_job(CUTS, ["c1"], batches=5)
    plan = placed("edgesplit", workload, star(["pi"], shared_bps=8e6))
    assert plan.rounds is not None
    # Cut 0: 15 s on the device, 7.5 s on the server, 5 x 0.4 s and 0.01 s each way.
    assert plan.rounds.cuts == {C1: 0}
    assert plan.rounds.round_s == pytest.approx(15 + 7.5 + 2 * (2 + 0.01))
    assert plan.rounds.predicted_s == pytest.approx(plan.rounds.round_s)
    assert plan.rounds.bound_s is not None and plan.rounds.bound_s < plan.rounds.predicted_s
    assert plan.throughput_per_s == pytest.approx(1 / plan.rounds.predicted_s)
    assert plan.placement == {C1: "c1", SERVER: "s"}
    up, down = FlowId(f"{C1}->{SERVER}"), FlowId(f"{SERVER}->{C1}")
    assert plan.routes == {up: ("c1", "w", "s"), down: ("s", "w", "c1")}
    assert plan.rates_bps == pytest.approx({up: 8e6, down: 8e6})
    assert plan.ceilings_bps == {}
    assert plan.bottleneck == "device c1"


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_plans_hold_what_they_must(seed: int) -> None:
    """Every policy, on trees of links: rates fit each direction, and predictions are no shorter than the bound."""
    rng = np.random.default_rng(seed)
    net, clients = _tree(rng)
    workload = training_job(
        deep_profile(rng, int(rng.integers(1, 8))),
        clients,
        batches=int(rng.integers(1, 4)),
        micro_batches=int(rng.choice([1, 2])),
    )
    for name in TRAINING_POLICIES:
        plan = placed(name, workload, net)
        assert plan.policy == name and plan.rounds is not None
        training = workload.job.training
        assert training is not None and plan.rounds.micro_batches <= training.micro_batches
        assert tuple(plan.rounds.cuts) == training.clients
        carried: dict[tuple[str, str], float] = {}
        for flow in workload.job.flows:
            route = plan.routes[flow.id]
            assert (route[0], route[-1]) == (plan.placement[flow.producer], plan.placement[flow.consumer])
            for a, b in pairwise(route):
                carried[a, b] = carried.get((a, b), 0.0) + plan.rates_bps[flow.id]
        for (a, b), rate_bps in carried.items():
            ends = LinkId("-".join(sorted((a, b))))
            assert rate_bps <= net.links[ends].capacity_bps * (1 + 1e-9)
        assert plan.rounds.bound_s is not None
        assert plan.rounds.bound_s <= plan.rounds.predicted_s
        if name == "edgesplit-overlap":
            assert set(plan.ceilings_bps) == set(plan.rates_bps)
            assert all(plan.ceilings_bps[flow] >= rate * (1 - 1e-9) for flow, rate in plan.rates_bps.items())
        else:
            assert not plan.ceilings_bps and plan.rounds.micro_batches == 1


def _tree(rng: np.random.Generator) -> tuple[Network, list[str]]:
    """A server behind switches, some of which are behind others."""
    switches = int(rng.integers(1, 4))
    links = [link("s", "w0", float(rng.uniform(5, 40)) * 1e6)]
    links += [
        link(f"w{number}", f"w{rng.integers(number)}", float(rng.uniform(2, 40)) * 1e6)
        for number in range(1, switches)
    ]
    clients = [f"c{number + 1}" for number in range(int(rng.integers(1, 7)))]
    links += [link(name, f"w{rng.integers(switches)}", float(rng.uniform(1, 40)) * 1e6) for name in clients]
    kinds = {name: str(rng.choice(["pi", "nano", "nx"])) for name in clients}
    kinds |= {f"w{number}": "switch" for number in range(switches)} | {"s": "server"}
    return network(kinds, links), clients


def test_links_that_some_share_cap_these() -> None:
    """c1 and c2 share 4 Mbps, c3 has 30; all share 20: the caps keep the first two to 2 each."""
    net = network(
        {"s": "server", "w": "switch", "x": "switch", "c1": "pi", "c2": "pi", "c3": "pi"},
        [
            link("s", "w", 20e6),
            link("w", "x", 4e6),
            link("x", "c1", 30e6),
            link("x", "c2", 30e6),
            link("w", "c3", 30e6),
        ],
    )
    found = routed(training_job(CUTS, ["c1", "c2", "c3"]), net).instance
    assert found.total_bps == 20e6
    assert found.rate_caps_bps.tolist() == [2e6, 2e6, 20e6]


def test_without_a_link_of_all_the_total_is_what_all_can_have() -> None:
    net = network({"s": "server", "c1": "pi", "c2": "pi"}, [link("s", "c1", 4e6), link("s", "c2", 6e6)])
    found = routed(training_job(CUTS, ["c1", "c2"]), net).instance
    assert found.rate_caps_bps.tolist() == [4e6, 6e6]
    assert found.total_bps == 10e6


def test_routes_are_the_widest_then_the_shortest() -> None:
    """Direct 5 Mbps; over a 20; over b and c 20; over d 10."""
    net = network(
        {"s": "server", "c1": "pi", "a": "switch", "b": "switch", "d": "switch", "e": "switch"},
        [
            link("c1", "s", 5e6),
            link("c1", "b", 20e6),
            link("b", "e", 20e6),
            link("e", "s", 20e6),
            link("c1", "a", 20e6),
            link("a", "s", 20e6),
            link("c1", "d", 10e6),
            link("d", "s", 10e6),
        ],
    )
    assert routed(training_job(CUTS, ["c1"]), net).routes == {C1: ("c1", "a", "s")}


def test_a_client_on_the_servers_device_sends_nothing() -> None:
    net = network({"s": "server", "c1": "pi"}, [link("s", "c1", 4e6)])
    plan = placed("edgesplit-overlap", training_job(CUTS, ["s", "c1"]), net)
    local, away = TaskId("client-s"), C1
    assert plan.routes[FlowId(f"{local}->{SERVER}")] == ()
    assert set(plan.rates_bps) == {FlowId(f"{away}->{SERVER}"), FlowId(f"{SERVER}->{away}")}


def stream(net: Network, rate_per_s: float) -> RunningJob:
    """A stream from c1 to s of 1e5 bytes an item, which takes 0.05 s on c1."""
    producer, consumer = TaskId("camera"), TaskId("sink")
    flow = Flow(producer=producer, consumer=consumer, size_bytes=1e5)
    job = Job(
        id=JobId("stream"),
        tasks=(
            Task(id=producer, device=DeviceId("c1"), seconds={"pi": 0.05}, memory_bytes=1e9),
            Task(id=consumer, seconds={"server": 0.0}),
        ),
        flows=(flow,),
    )
    plan = Plan(
        job=job.id,
        policy="tp",
        placement={producer: DeviceId("c1"), consumer: DeviceId("s")},
        routes={flow.id: tuple(DeviceId(each) for each in ("c1", "w", "s"))},
        rates_bps={flow.id: rate_per_s * 8e5},
        throughput_per_s=rate_per_s,
        bottleneck="granted",
    )
    return RunningJob(workload=Workload(job=job), plan=plan)


def test_streams_leave_the_rest_of_links_memory_and_computing() -> None:
    net = star(["pi", "pi"], shared_bps=8e6, own_bps=8e6)
    workload = training_job(CUTS, ["c1", "c2"])
    alone = routed(workload, net).instance
    beside = routed(workload, net, [stream(net, 5)]).instance  # 4 Mbps, a quarter of c1
    assert beside.total_bps == pytest.approx(4e6)
    assert beside.memory_bytes.tolist() == [3e9, 4e9]
    assert beside.parts is not None and alone.parts is not None
    assert beside.parts.device_s[0] == pytest.approx(alone.parts.device_s[0] / 0.75)
    assert beside.parts.device_s[1] == pytest.approx(alone.parts.device_s[1])
    full = routed(workload, net, [stream(net, 10)]).instance
    assert full.total_bps == pytest.approx(0.8e6)  # a tenth is left of a full link


def test_training_jobs_are_placed_beside_each_other() -> None:
    profile = replace(CUTS, memory_bytes=dict.fromkeys(CUTS.memory_bytes, (1e9, 2e9, 3e9)))
    net = star(["pi", "nx"], shared_bps=30e6)
    first, second = (training_job(profile, ["c1", "c2"], name=name) for name in ("a", "b"))
    decision = SplitTraining("edgesplit").decide(Snapshot(network=net), [first, second])
    plans = [decision.plans[JobId(name)] for name in ("a", "b")]
    up = [sum(plan.rates_bps[FlowId(f"{client}->{SERVER}")] for client in (C1, C2)) for plan in plans]
    assert up[0] == pytest.approx(30e6) and up[1] == pytest.approx(3e6)  # a tenth of the link
    running = [RunningJob(workload=first, plan=plans[0])]
    beside = routed(second, net, running).instance
    assert plans[0].rounds is not None
    held = [profile.memory_bytes["pi"][plans[0].rounds.cuts[client]] for client in (C1, C2)]
    assert beside.memory_bytes.tolist() == [4e9 - each for each in held]
    alone = routed(second, net).instance
    assert beside.parts is not None and alone.parts is not None
    assert beside.parts.server_s == pytest.approx(2 * alone.parts.server_s)
    again = SplitTraining("edgesplit").decide(Snapshot(network=net, running=tuple(running)), [second])
    assert again.plans[JobId("b")] == plans[1] and set(again.plans) == {JobId("b")}


def test_cuts_that_do_not_fit_a_devices_memory_are_left_out() -> None:
    profile = replace(CUTS, memory_bytes=dict.fromkeys(CUTS.memory_bytes, (5e9, 1e9, 9e9)))
    workload, net = training_job(profile, ["c1"]), star(["pi"])
    plan = placed("edgesplit", workload, net)
    assert plan.rounds is not None and plan.rounds.cuts == {C1: 1}
    assert reasons(workload, net, "vanilla-fl") == (
        "device c1: cut 2 (the whole model) needs 9 GB of memory, it has 4 GB"
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["edgesplit", "edgesplit-alternating", "edgesplit-overlap"])
def test_cuts_that_were_not_measured_are_left_out(name: str) -> None:
    """Of a model that is too large, on the device or on the server, only some cuts have seconds."""
    device, server = (np.inf, 1.0, np.inf), (1.0, np.inf, np.inf)
    for change in (
        {"forward_s": {**CUTS.forward_s, "pi": device}, "memory_bytes": {**CUTS.memory_bytes, "pi": device}},
        {"server_s": {**CUTS.server_s, "server": (np.inf, 1.0, np.inf)}},
        {
            "server_s": {**CUTS.server_s, "server": server},
            "forward_s": {**CUTS.forward_s, "pi": (1.0, 2.0, np.inf)},
        },
    ):
        workload = training_job(replace(CUTS, **change), ["c1"], micro_batches=4)  # type: ignore[arg-type]
        rounds = placed(name, workload, star(["pi"])).rounds
        assert rounds is not None and np.isfinite(rounds.predicted_s)
        assert rounds.cuts == {C1: 0 if "server_s" in change and "forward_s" in change else 1}


def test_what_cannot_be_trained_is_refused_by_name() -> None:
    net = star(["pi", "toaster"])
    assert reasons(training_job(None), net) == (
        "nothing is measured yet of the places where its model can be cut; profile it"
    )
    assert "task client-c2: devices of type toaster are not measured yet" in reasons(
        training_job(CUTS, ["c1", "c2"]), net
    )
    assert "task client-c9 is pinned to device c9, which the network does not have" in reasons(
        training_job(CUTS, ["c1", "c9"]), net
    )
    servers = replace(CUTS, server_s={"pi": (1.0, 1.0, 0.0)})
    assert "task server: devices of type server are not measured yet" in reasons(
        training_job(servers, ["c1"]), net
    )
    island = network({"s": "server", "c1": "pi", "c2": "pi"}, [link("c1", "c2", 1e6)])
    assert (
        "task client-c1: no link with free capacity leads from device c1 to the server on device s"
        in reasons(training_job(CUTS, ["c1", "c2"]), island)
    )
    assert "task server needs 5 GB of memory; device s has 4 GB free" in reasons(
        training_job(CUTS, ["c1"], memory_bytes=5e9), net
    )
    job = training_job(CUTS, ["c1"]).job
    loose = replace(job, tasks=(*job.tasks[:-1], replace(job.tasks[-1], device=None)))
    assert "task client-c1 is not pinned" in reasons(replace(training_job(CUTS, ["c1"]), job=loose), net)
    both = replace(
        training_job(CUTS, ["c1", "c2"]).job,
        tasks=tuple(
            task if task.device == "s" else replace(task, device=DeviceId("c1"))
            for task in training_job(CUTS, ["c1", "c2"]).job.tasks
        ),
    )
    assert "clients client-c1 and client-c2 are both pinned to device c1" in reasons(
        replace(training_job(CUTS), job=both), net
    )
    once = replace(job, mode="once", training=None)
    assert "does not train a model" in reasons(replace(training_job(CUTS, ["c1"]), job=once), net)


def half_of_edgesplit(instance: SplitInstance) -> SplitPlan:
    plan = edgesplit(instance)
    assert isinstance(plan, SplitPlan)
    return replace(plan, policy="mine", rates_bps=tuple(rate / 2 for rate in plan.rates_bps))


def double_of_edgesplit(instance: SplitInstance) -> SplitPlan:
    plan = half_of_edgesplit(instance)
    return replace(plan, rates_bps=tuple(4 * rate for rate in plan.rates_bps))


def wild(instance: SplitInstance) -> SplitPlan:
    return replace(half_of_edgesplit(instance), micro_batches=9, rates_bps=(0.0,) * len(instance.devices))


def test_ones_own_function_of_an_instance_is_a_policy() -> None:
    workload, net = training_job(CUTS, ["c1", "c2"]), star(["pi", "nx"])
    name = f"{__name__}:half_of_edgesplit"
    mine = load_policy(name)
    assert mine.name == name and mine.mode == "loop"  # type: ignore[attr-defined]
    plan, whole = placed(name, workload, net), placed("edgesplit", workload, net)
    assert plan.rates_bps == pytest.approx({flow: rate / 2 for flow, rate in whole.rates_bps.items()})
    assert plan.rounds is not None and whole.rounds is not None
    assert plan.rounds.predicted_s > whole.rounds.predicted_s


def test_plans_that_cannot_be_are_refused_and_not_put_right() -> None:
    workload, net = training_job(CUTS, ["c1", "c2"]), star(["pi", "nx"])
    told = reasons(workload, net, f"{__name__}:double_of_edgesplit")
    assert "link s-w: the rates granted on it are 6e+07 bit/s each way, it has 3e+07 bit/s" in told
    told = reasons(workload, net, f"{__name__}:wild")
    assert "9 micro-batches, the job allows 1 to 1" in told
    assert "device c1 must send, at a rate of 0 bit/s" in told


def test_the_order_of_devices_and_links_does_not_matter() -> None:
    net = star(["pi", "nano", "nx"])
    turned = Network(
        devices=dict(reversed(list(net.devices.items()))), links=dict(reversed(list(net.links.items())))
    )
    workload = training_job(deep_profile(np.random.default_rng(3)), ["c1", "c2", "c3"], micro_batches=4)
    for name in TRAINING_POLICIES:
        assert placed(name, workload, net) == placed(name, workload, turned)


def test_overloaded_links_are_told_within_rounding() -> None:
    steps = routed(training_job(CUTS, ["c1", "c2"]), star(["pi", "pi"])).instance.steps
    assert steps is not None
    assert overloaded(steps, np.array([15e6, 15e6 * (1 + 1e-12)])) == []
    assert len(overloaded(steps, np.array([15e6, 15.1e6]))) == 1


def test_a_device_that_is_gone_frees_nothing_and_breaks_nothing() -> None:
    """A running job on a device which has left the network still counts on the others."""
    net = star(["pi", "nx"])
    first = training_job(CUTS, ["c1", "c2"], name="a")
    running = [RunningJob(workload=first, plan=placed("edgesplit", first, net))]
    smaller = Network(
        devices={name: each for name, each in net.devices.items() if name != "c2"},
        links={name: each for name, each in net.links.items() if "c2" not in each.ends},
    )
    assert isinstance(instance_of(training_job(CUTS, ["c1"], name="b"), smaller, running), Routed)
    assert isinstance(instance_of(training_job(CUTS, ["c1", "c2"], name="b"), smaller, running), Refusal)
