"""Jobs that train in cycles, placed: coefficients from what was profiled, rates, and plans that cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.batch.allocation import eta, mel_exact
from policies.batch.instance import BatchInstance, BatchPlan
from policies.batch.registry import BATCH_POLICIES
from policies.batch.training import BatchTraining, instance_of, refusal, runnable
from policies.model import (
    CutProfile,
    Cycles,
    Device,
    DeviceId,
    Flow,
    FlowId,
    Job,
    JobId,
    Link,
    Network,
    Plan,
    Profile,
    Snapshot,
    Task,
    TaskId,
    Training,
    Workload,
)
from policies.online.shares import GRANTED
from policies.registry import load_policy

BPS = 8e6
BYTE_S = 8 / (GRANTED * BPS)


def network(**types: str) -> Network:
    """A server and devices of these types, each with a link of its own."""
    kinds = {DeviceId("s"): "server", **{DeviceId(name): kind for name, kind in types.items()}}
    links = [
        Link(
            ends=(DeviceId(name), DeviceId("s")) if name < "s" else (DeviceId("s"), DeviceId(name)),
            capacity_bps=BPS,
        )
        for name in types
    ]
    return Network(
        devices={name: Device(id=name, type=kind, memory_bytes=1e9) for name, kind in kinds.items()},
        links={link.id: link for link in links},
    )


CUTS = CutProfile(
    names=("0", "1"),
    layers=(1, 2),
    up_bytes=(10.0, 0.0),
    down_bytes=(10.0, 0.0),
    weights_bytes=(1e4, 1e5),
    forward_s={"fast": (0.1, 0.4), "slow": (0.4, 1.6), "server": (0.0, 0.1)},
    backward_s={"fast": (0.1, 0.6), "slow": (0.4, 2.4), "server": (0.0, 0.1)},
    server_s={"fast": (0.1, 0.0), "slow": (0.1, 0.0), "server": (0.1, 0.0)},
    memory_bytes={},
    piece_s={},
    server_piece_s={},
    send_s_per_byte={"fast": 1e-7, "slow": 4e-7, "server": 1e-7},
)


def workload(*devices: str, cycle_s: float = 60.0, samples: int = 100, **changes: Any) -> Workload:
    server, learners = TaskId("server"), {TaskId(f"l-{device}"): DeviceId(device) for device in devices}
    job = Job(
        id=JobId("j"),
        tasks=(Task(id=server, device=DeviceId("s")), *(Task(id=t, device=d) for t, d in learners.items())),
        flows=tuple(
            Flow(producer=a, consumer=b) for task in learners for a, b in ((task, server), (server, task))
        ),
        kind="batch-training",
        mode="batches",
        training=Training(
            server=server,
            batches=dict.fromkeys(learners, 1),
            rounds=5,
            cycles=Cycles(cycle_s=cycle_s, samples=samples, sample_bytes=1000.0, batch_size=10, margin=0.1),
        ),
    )
    profile = Profile(seconds={}, output_bytes={}, transfer_seconds={}, peak_memory_bytes={}, cuts=CUTS)
    return replace(Workload(job=job, profile=profile), **changes)


def placed(policy: str, given: Workload, net: Network) -> Plan | tuple[str, ...]:
    decision = load_policy(policy).decide(Snapshot(network=net), [given])
    refused = decision.infeasible.get(given.job.id)
    return decision.plans[given.job.id] if refused is None else refused.reasons


def test_coefficients_are_eqs_5_to_8() -> None:
    given, net = workload("a", "b"), network(a="fast", b="slow")
    plan = placed("eta", given, net)
    assert isinstance(plan, Plan)
    found = instance_of(given, net, plan)
    assert isinstance(found, BatchInstance)
    assert found.learners == ("l-a", "l-b") and found.samples == 100
    assert found.cycle_s == pytest.approx(54.0)
    assert found.C2.tolist() == pytest.approx([0.1, 0.4])
    assert found.C1.tolist() == pytest.approx([1000 * (BYTE_S + 2e-7), 1000 * (BYTE_S + 5e-7)])
    assert found.C0.tolist() == pytest.approx([2e5 * (BYTE_S + 2e-7), 2e5 * (BYTE_S + 5e-7)])


def test_rates_are_ceilings_so_that_nobody_takes_what_another_was_reckoned_with() -> None:
    plan = placed("mel-exact", workload("a", "b"), network(a="fast", b="slow"))
    assert isinstance(plan, Plan)
    assert plan.ceilings_bps == {}
    assert plan.rates_bps == {
        FlowId(f"{a}->{b}"): pytest.approx(GRANTED * BPS)
        for learner in ("l-a", "l-b")
        for a, b in ((learner, "server"), ("server", learner))
    }


@pytest.mark.parametrize("policy", sorted(BATCH_POLICIES))
def test_the_first_cycle_is_the_policys(policy: str) -> None:
    given, net = workload("a", "b", "c"), network(a="fast", b="slow", c="slow")
    plan = placed(policy, given, net)
    assert isinstance(plan, Plan) and plan.rounds is not None and plan.rounds.cycle is not None
    instance = instance_of(given, net, plan)
    assert isinstance(instance, BatchInstance)
    asked = BATCH_POLICIES[policy](instance)
    cycle = plan.rounds.cycle
    assert cycle.iterations == asked.tau and list(cycle.samples.values()) == list(asked.batches)
    assert list(cycle.predicted_s.values()) == pytest.approx(
        instance.seconds(asked.tau, asked.batches).tolist()
    )
    assert plan.rounds.predicted_s == max(cycle.predicted_s.values())
    assert plan.rounds.round_s == 60.0
    assert set(plan.rounds.cuts.values()) == {1}


def test_one_learner_gets_everything() -> None:
    plan = placed("mel-exact", workload("a"), network(a="fast"))
    assert isinstance(plan, Plan) and plan.rounds is not None and plan.rounds.cycle is not None
    assert dict(plan.rounds.cycle.samples) == {"l-a": 100}


@pytest.mark.parametrize("policy", ["eta", "mel", "mel-exact"])
def test_a_cycle_that_is_too_short_names_the_shortest(policy: str) -> None:
    """And in a cycle of that length there is a plan."""
    net = network(a="fast", b="slow")
    refused = placed(policy, workload("a", "b", cycle_s=2.0), net)
    assert isinstance(refused, tuple)
    told = next(reason for reason in refused if "shortest cycle" in reason)
    assert "10% margin included" in told and "raise cycle" in told
    shortest_s = float(told.split(" samples is ")[1].split(" s,")[0])
    assert isinstance(placed("mel-exact", workload("a", "b", cycle_s=1.01 * shortest_s), net), Plan)
    assert not isinstance(placed("mel-exact", workload("a", "b", cycle_s=0.98 * shortest_s), net), Plan)


def test_what_is_not_there_is_named() -> None:
    net = network(a="fast", b="slow")
    assert placed("eta", replace(workload("a"), profile=None), net) == (
        "nothing is measured yet of how long its model takes; profile it",
    )
    unmeasured = placed("eta", workload("c"), network(c="phone"))
    assert isinstance(unmeasured, tuple) and "type phone are not measured" in unmeasured[0]
    away = placed("eta", workload("z"), net)
    assert away == ("waits for z to join",)
    apart = Network(devices=net.devices, links={})
    assert placed("eta", workload("a"), apart) == (
        "waits for a way between l-a and server",
    ) or "way between" in str(placed("eta", workload("a"), apart))


def test_a_job_of_another_mode_is_refused() -> None:
    given = workload("a")
    other = replace(given, job=replace(given.job, mode="loop"))
    refused = BatchTraining("eta").decide(Snapshot(network=network(a="fast")), [other]).infeasible
    assert "does not train in cycles" in refused[JobId("j")].reasons[0]


def test_a_plan_late_by_less_than_a_sample_is_run() -> None:
    """As `mel` rounds: what the margin has room for; not one that leaves samples out, or is later."""
    given, net = workload("a", "b"), network(a="fast", b="slow")
    plan = placed("eta", given, net)
    assert isinstance(plan, Plan)
    instance = instance_of(given, net, plan)
    assert isinstance(instance, BatchInstance)
    best = mel_exact(instance)
    assert runnable(instance, best)
    a, b = best.batches
    assert runnable(instance, replace(best, batches=(a - 1, b + 1)))
    assert not runnable(instance, replace(best, batches=(a - 40, b + 40)))
    assert not runnable(instance, replace(best, batches=(a - 1, b)))
    assert not runnable(instance, replace(best, tau=0))


def own(instance: BatchInstance) -> BatchPlan:
    return replace(eta(instance), policy="own")


def test_a_function_of_ones_own() -> None:
    policy = load_policy(f"{__name__}:own")
    assert isinstance(policy, BatchTraining)
    found = policy.decide(Snapshot(network=network(a="fast")), [workload("a")])
    assert JobId("j") in found.plans


def test_a_policy_that_leaves_samples_out_is_told() -> None:
    plan = replace(mel_exact_of(), batches=(1, 1), reasons=())
    cycles = Cycles(cycle_s=20.0, samples=100, sample_bytes=1.0, batch_size=10, margin=0.1)
    assert refusal(plan, cycles)[0] == "mel-exact gave out 2 of 100 samples"


def mel_exact_of() -> BatchPlan:
    given, net = workload("a", "b"), network(a="fast", b="slow")
    plan = placed("eta", given, net)
    assert isinstance(plan, Plan)
    instance = instance_of(given, net, plan)
    assert isinstance(instance, BatchInstance)
    return mel_exact(instance)
