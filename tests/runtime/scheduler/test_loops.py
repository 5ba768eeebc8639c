"""Loops: a server and its clients, where they run, and what others see of them."""

from __future__ import annotations

from dataclasses import replace

from loop_cases import LOOP, running
from scheduler_cases import (
    AB,
    AC,
    BA,
    CA,
    E1,
    E2,
    E3,
    L12,
    L23,
    NETWORK,
    TRAINING,
    A,
    B,
    C,
    Cluster,
    plan,
    workload,
)

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import (
    ApplyNetwork,
    DeployStage,
    PaceStage,
    StagePlan,
)
from edgeray.scheduler.jobs import join_depth
from edgeray.scheduler.snapshots import beside
from edgeray.scheduler.views import plan_json
from policies.model import CutProfile, JobId, Plan, Profile, Snapshot

# Placed


def test_each_device_gets_its_part_with_flows_both_ways() -> None:
    cluster = running()
    stages: dict[str, StagePlan] = {e.device: e.stage for e in cluster.effects if isinstance(e, DeployStage)}
    assert {device: stage.tasks for device, stage in stages.items()} == {E1: (A,), E2: (B,), E3: (C,)}
    assert {stage.mode for stage in stages.values()} == {"loop"}
    assert {device: stage.sinks for device, stage in stages.items()} == {E1: (A,), E2: (), E3: ()}
    assert all(stage.rounds is not None and stage.rounds.cuts == {B: 0, C: 1} for stage in stages.values())
    assert {flow.flow for flow in stages[E1].outflows} == {AB, AC}
    assert {flow.flow for flow in stages[E1].inflows} == {BA, CA}
    (up,), (down,) = stages[E3].outflows, stages[E3].inflows
    assert (up.flow, up.address, up.rate_bps) == (CA, "ip-e1", 6.0), "without tc, up to its ceiling"
    assert (down.flow, down.peer) == (AC, E1)


def test_rules_guarantee_the_rate_and_allow_the_ceiling() -> None:
    cluster = running()
    rules = {
        rule.flow: (rule.rate_bps, rule.ceil_bps)
        for e in cluster.effects
        if isinstance(e, ApplyNetwork) and e.device == E1
        for rule in e.rules
    }
    assert rules == {"l/a->b": (2, None), "l/a->c": (2, None), "l/b->a": (2, None), "l/c->a": (2, 6)}


def test_a_cycle_has_no_depth() -> None:
    assert join_depth(workload("l", "loop").job, [AB, BA]) == 4


def test_streams_and_one_shot_jobs_have_their_modes_too() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    cluster.submit("j", "once")
    modes = {e.stage.job: e.stage.mode for e in cluster.effects if isinstance(e, DeployStage)}
    assert modes == {"s": "stream", "j": "once"}


def test_a_loop_is_not_readjusted_but_streams_make_way_for_it() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    effects = cluster.submit("l", "loop")
    assert {e.job for e in effects if isinstance(e, PaceStage)} == {"s"}
    before = cluster.state.jobs[LOOP].plan
    asked = len(cluster.policies["rote-loop"].seen)
    cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=6))
    assert cluster.state.jobs[LOOP].plan is before
    assert len(cluster.policies["rote-loop"].seen) == asked, "no loop waits"


# What policies see


def seen(cluster: Cluster, policy: str) -> Snapshot:
    return cluster.policies[policy].seen[-1][0]


def test_other_policies_see_what_a_loop_leaves_and_its_own_sees_all() -> None:
    """Over e1-e2 it has 4 bits/s each way, over e2-e3 2; on each device 30 bytes."""
    cluster = running()
    cluster.submit("j", "once")
    cluster.submit("s", "stream")
    cluster.submit("m", "loop")
    once = seen(cluster, "rote-once")
    assert {name: link.capacity_bps for name, link in once.network.links.items()} == {L12: 6, L23: 6}
    assert {device.memory_bytes for device in once.network.devices.values()} == {70}
    assert once.running == ()
    everything = seen(cluster, "rote-loop")
    assert everything.network == NETWORK
    assert [r.plan.job for r in everything.running] == ["l", "j", "s"]


def test_of_both_loops_and_one_shot_jobs_streams_see_what_is_left() -> None:
    cluster = running()
    cluster.submit("j", "once")
    cluster.submit("s", "stream")
    network = seen(cluster, "rote").network
    assert {name: link.capacity_bps for name, link in network.links.items()} == {L12: 4, L23: 4}
    assert {device.memory_bytes for device in network.devices.values()} == {40}


def test_a_tenth_of_a_link_is_left_beside_loops_which_add_up() -> None:
    cluster = running()
    cluster.submit("m", "loop")
    records = [cluster.state.jobs[JobId(name)] for name in "lm"]
    left = {name: link.capacity_bps for name, link in beside(NETWORK, records).links.items()}
    assert left == {L12: 2, L23: 4}
    cluster.submit("n", "loop")
    records.append(cluster.state.jobs[JobId("n")])
    assert beside(NETWORK, records).links[L12].capacity_bps == 1


def test_directions_do_not_share_a_link() -> None:
    """The larger of the two counts: here 2 + 2 bits/s from the server, against 1 + 2 to it."""
    cluster = running()
    record = cluster.state.jobs[LOOP]
    old = record.plan
    assert old is not None
    record.plan = None
    record.adopt(replace(old, rates_bps={**old.rates_bps, BA: 1.0}), NETWORK)
    assert record.footprint is not None
    assert record.footprint.link_rates_bps == {L12: 4, L23: 2}


def test_a_client_holds_the_memory_that_was_measured_of_its_part() -> None:
    cluster = running()
    record = cluster.state.jobs[LOOP]
    nothing = (0.0, 0.0)
    cuts = CutProfile(
        names=("one", "all"),
        layers=(1, 2),
        up_bytes=nothing,
        down_bytes=nothing,
        weights_bytes=nothing,
        forward_s={},
        backward_s={},
        server_s={},
        memory_bytes={"pi": (20.0, 55.0)},
        send_s_per_byte={},
    )
    profile = Profile(seconds={}, output_bytes={}, peak_memory_bytes={}, cuts=cuts)
    record.workload = replace(record.workload, profile=profile)
    old, record.plan = record.plan, None
    assert old is not None
    record.adopt(old, NETWORK)
    assert record.footprint is not None
    assert record.footprint.held_bytes == {E1: 30, E2: 30, E3: 55}, "e2's cut needs less than was declared"


# What is told of the plan


def test_the_plan_tells_cuts_and_rates_by_device() -> None:
    loop = workload("l", "loop")
    told_plan = plan_json(plan(loop.job, "rote-loop", 2.0), loop)
    assert told_plan["rounds"] == {
        "cuts": {E2: 0, E3: 1},
        "cut_names": {},
        "rates_bps": {E2: 2.0, E3: 2.0},
        "ceilings_bps": {E3: 6.0},
        "micro_batches": 2,
        "round_s": 8,
        "predicted_s": 9,
        "bound_s": 7,
        "server": E1,
        "total": TRAINING.rounds,
    }
    assert {(flow["from"], flow["to"], flow["ceil_bps"]) for flow in told_plan["flows"]} == {
        (A, B, None),
        (A, C, None),
        (B, A, None),
        (C, A, 6.0),
    }
    assert isinstance(told_plan["throughput_per_s"], float)


def test_a_client_beside_its_server_has_no_flow_to_name() -> None:
    loop = workload("l", "loop")
    usual = plan(loop.job, "rote-loop", 2.0)
    together: Plan = replace(
        usual,
        placement={**usual.placement, B: E1},
        routes={**usual.routes, AB: (), BA: ()},
        rates_bps={AC: 2.0, CA: 2.0},
    )
    assert plan_json(together, loop)["rounds"]["rates_bps"] == {E1: None, E3: 2.0}
