"""Jobs that watch cameras: placed, mapped anew while they run, and without devices that are lost for a while."""

from __future__ import annotations

import pytest
from camera_cases import EDGES, HUB, N1, N2, WATCH, S, T, Yard, mapped, rates, watch_workload, watching
from loop_cases import kinds, told
from scheduler_cases import DEVICES, NETWORK

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import (
    ApplyNetwork,
    DeployStage,
    Effect,
    MapStreams,
    PaceStage,
    StagePlan,
    StartStage,
    StopStage,
)
from edgeray.scheduler.loops import RESTARTS
from edgeray.scheduler.ports import PortPool
from policies.model import DeviceId, LinkId, Network

LOCAL = {"c1": (N1, HUB), "c2": (HUB, HUB)}


def ended(device: DeviceId, error: str | None = "killed", **how: bool) -> ev.StageEnded:
    return ev.StageEnded(at_s=50, job=WATCH, device=device, error=error, **how)


def nothing_held(yard: Yard) -> bool:
    """Of the job; and all devices that are here have rules for nobody."""
    record = yard.state.jobs[WATCH]
    free = yard.state._ports.free == PortPool().free
    ruled = [rules for device, rules in yard.state._rules._sent.items() if device in yard.state.devices]
    return free and not any(ruled) and not (record.stages or record.ports or record.network)


def detail(yard: Yard) -> str:
    return yard.state.jobs[WATCH].detail


# Placed


def test_every_edge_gets_a_stage_that_knows_how_cameras_are_watched() -> None:
    yard = watching()
    stages: dict[str, StagePlan] = {e.device: e.stage for e in yard.effects if isinstance(e, DeployStage)}
    assert {device: stage.tasks for device, stage in stages.items()} == {d: (f"edge-{d}",) for d in EDGES}
    for device, stage in stages.items():
        assert stage.mode == "cameras"
        assert stage.mapped is not None
        assert {c: (p.detect_on, p.identify_on) for c, p in stage.mapped.streams.items()} == LOCAL
        assert {flow.peer for flow in stage.inflows} == {*EDGES} - {device}
        assert {flow.peer for flow in stage.outflows} == {*EDGES} - {device}
        assert stage.sinks == (("edge-hub",) if device == HUB else ())
        assert {flow.rate_bps for flow in stage.outflows} == {1e8}, "without tc, up to what the links have"
    assert [e.device for e in yard.effects if isinstance(e, StartStage)] == [*EDGES]


def test_rules_are_on_all_that_flows_go_over() -> None:
    yard = watching()
    rules = {e.device: e.rules for e in yard.effects if isinstance(e, ApplyNetwork) and e.rules}
    assert set(rules) == {*EDGES, S}
    assert len(rules[S]) == 6
    assert {(rule.ceil_bps, rule.route[1]) for rule in rules[S]} == {(1e8, S)}
    frames = rates(yard.effects, N2)["w/edge-n2->edge-hub"]
    assert frames > 10 * 1000 * 8, "c2's frames go to the head"


def test_it_waits_for_all_edges_and_for_ways_between_them() -> None:
    yard = Yard(joined=[HUB, N1, S])
    assert told(yard.watch()) == ["submitted with policy load-aware", "waits: waits for n2 to join"]
    assert yard.phase("w") == "waiting"
    yard.handle(ev.LinkChanged(at_s=2, link=LinkId("n2-s"), capacity_bps=0))
    assert told(yard.back(N2)) == ["waits: waits for a way between hub and n2, n1 and n2"]
    yard.handle(ev.LinkChanged(at_s=3, link=LinkId("n2-s"), capacity_bps=1e6))
    assert yard.phase("w") == "running"


# Mapped anew


def test_more_people_have_every_edge_told_anew_and_rates_follow() -> None:
    yard = watching()
    before = rates(yard.effects, HUB)
    effects = yard.measured(c1=0.1, c2=8.0)
    then = {"c1": (N1, HUB), "c2": (HUB, N2)}
    assert mapped(effects) == dict.fromkeys(EDGES, then)
    assert yard.where() == then
    assert "mapped anew by load-aware" in told(effects)
    assert rates(effects, HUB)["w/edge-hub->edge-n2"] > before["w/edge-hub->edge-n2"]
    assert not [e for e in effects if isinstance(e, (DeployStage, StartStage, StopStage))]


def test_what_a_mapping_gives_its_flows_up_to_is_what_senders_without_tc_keep_to() -> None:
    yard = watching()
    effects = yard.handle(ev.LinkChanged(at_s=50, link=LinkId("n1-s"), capacity_bps=5e7))
    paced = {e.device: e.rates_bps for e in effects if isinstance(e, PaceStage)}
    assert paced[N1] == {"edge-n1->edge-hub": 5e7, "edge-n1->edge-n2": 5e7}
    assert paced[HUB] == {"edge-hub->edge-n1": 5e7, "edge-hub->edge-n2": 1e8}


def test_a_measurement_that_changes_nothing_has_no_effects() -> None:
    yard = watching()
    assert yard.measured(c1=0.2, c2=0.2) == []
    assert yard.measured(c1=0.2, c2=0.2) == []
    nobody = ev.StreamsMeasured(at_s=60, job=watch_workload("x").job.id, calls_per_frame={})
    assert yard.handle(nobody) == []


def test_what_was_measured_is_what_later_decisions_know() -> None:
    yard = watching()
    yard.measured(at_s=2.0, c1=0.1, c2=8.0)
    assert yard.where() == LOCAL, "it has just been placed"
    yard.handle(ev.LinkChanged(at_s=50, link=LinkId("n1-t"), capacity_bps=2e7))
    assert yard.where()["c2"] == (HUB, N2)


def test_a_measurement_of_a_job_that_does_not_run_counts_for_nothing() -> None:
    yard = watching()
    yard.state.handle(ev.StopRequested(at_s=40, job=WATCH, reason="stop"))
    assert yard.measured(c1=0.1, c2=8.0) == []
    assert yard.where() == LOCAL


def test_a_stage_that_stands_late_is_told_of_a_mapping_that_it_missed() -> None:
    """n1 and the head stand; n2 is still loading when c2's mapping changes, and all begin with the new one."""
    yard = Yard()
    yard.chosen.where["c1"] = (HUB, HUB)
    deploys = yard.state.handle(
        ev.JobSubmitted(
            at_s=1,
            job=WATCH,
            workload=watch_workload(settle_s=0.0),
            policy="load-aware",
            needs_profile=False,
            lease_s=None,
        )
    )
    for effect in deploys:
        if isinstance(effect, ApplyNetwork):
            yard.handle(ev.NetworkApplied(at_s=2, device=effect.device, version=effect.version))
    for device in (HUB, N1):
        assert yard.handle(ev.StageDeployed(at_s=2, job=WATCH, device=device)) == []
    yard.chosen.where["c1"] = (N1, N1)
    moved = yard.handle(ev.LinkChanged(at_s=30, link=LinkId("n1-t"), capacity_bps=2e7))
    assert set(mapped(moved)) == {HUB, N1}
    effects = yard.handle(ev.StageDeployed(at_s=31, job=WATCH, device=N2))
    assert yard.phase("w") == "running"
    assert mapped(effects) == {device: {"c1": (N1, N1), "c2": (HUB, HUB)} for device in EDGES}
    order = kinds(effects)
    assert order.index(("StartStage", N2)) < order.index(("MapStreams", N2))


# Devices that come and go


def test_a_lost_device_is_done_without_and_its_camera_left_out() -> None:
    yard = watching()
    effects = yard.lose(N1)
    assert yard.phase("w") == "running"
    assert set(yard.state.jobs[WATCH].stages) == {HUB, N2}
    assert mapped(effects) == {HUB: {"c2": (HUB, HUB)}, N2: {"c2": (HUB, HUB)}}
    assert told(effects) == ["goes on without n1: device n1 was lost: gone", "mapped anew by load-aware"]
    assert set(rates(effects, S)) == {"w/edge-hub->edge-n2", "w/edge-n2->edge-hub"}


def test_a_lost_detector_of_anothers_camera_has_it_watched_elsewhere_at_once() -> None:
    yard = Yard()
    yard.chosen.where = {"c1": (N2, N2), "c2": (N2, N2)}
    yard.watch(settle_s=1000.0)
    effects = yard.lose(N2, at_s=2.0)
    assert yard.where() == {"c1": (HUB, HUB)}
    assert set(mapped(effects)) == {HUB, N1}


def test_a_device_that_is_back_is_deployed_started_and_mapped() -> None:
    yard = watching()
    yard.lose(N1)
    effects = yard.back(N1)
    order = [name for name, device in kinds(effects) if device == N1 and name != "ApplyNetwork"]
    assert order == ["DeployStage", "StartStage", "MapStreams"]
    assert mapped(effects) == dict.fromkeys(EDGES, LOCAL)
    assert yard.where() == LOCAL
    assert len(rates(effects, S)) == 6
    assert yard.phase("w") == "running"


def test_all_clients_may_be_lost_and_come_back() -> None:
    """The head goes on without any camera, and keeps the archive."""
    yard = watching()
    yard.lose(N1)
    yard.lose(N2)
    assert (yard.phase("w"), set(yard.state.jobs[WATCH].stages)) == ("running", {HUB})
    yard.back(N2)
    assert (yard.where(), set(yard.state.jobs[WATCH].stages)) == ({"c2": (HUB, HUB)}, {HUB, N2})
    yard.back(N1)
    assert (yard.where(), set(yard.state.jobs[WATCH].stages)) == (LOCAL, {*EDGES})


def test_a_lost_head_fails_the_job() -> None:
    yard = watching()
    effects = yard.lose(HUB)
    assert {e.device for e in effects if isinstance(e, StopStage)} == {N1, N2}
    assert (yard.phase("w"), detail(yard)) == ("failed", "device hub was lost: gone")
    assert nothing_held(yard)


def test_a_lost_relay_has_flows_go_over_the_other() -> None:
    yard = watching()
    effects = yard.lose(S)
    assert yard.phase("w") == "running"
    assert yard.where() == LOCAL
    assert len(rates(effects, T)) == 6
    assert {rule.ceil_bps for e in effects if isinstance(e, ApplyNetwork) for rule in e.rules} == {1e7}
    again = yard.back(S)
    assert len(rates(again, S)) == 6 and not rates(again, T)
    assert yard.phase("w") == "running"


def test_a_relay_lost_while_the_job_is_being_deployed_is_not_waited_for() -> None:
    yard = Yard()
    for effect in yard.state.handle(
        ev.JobSubmitted(
            at_s=1,
            job=WATCH,
            workload=watch_workload(),
            policy="load-aware",
            needs_profile=False,
            lease_s=None,
        )
    ):
        if isinstance(effect, ApplyNetwork) and effect.device != S:
            yard.handle(ev.NetworkApplied(at_s=2, device=effect.device, version=effect.version))
    for device in EDGES:
        yard.handle(ev.StageDeployed(at_s=2, job=WATCH, device=device))
    assert yard.phase("w") == "deploying", "the switch has no rules yet"
    yard.lose(S, at_s=3.0)
    assert yard.phase("w") == "running"


def test_a_device_comes_back_over_the_other_relay() -> None:
    yard = watching()
    yard.lose(N1)
    yard.lose(S)
    effects = yard.back(N1)
    assert ("StartStage", N1) in kinds(effects)
    assert yard.where() == LOCAL
    assert len(rates(effects, T)) == 6


def test_a_relay_without_a_way_around_takes_those_behind_it_along() -> None:
    """What is left is watched; the others' edges run on, and are heard of again when it is back."""
    yard = Yard(joined=[*EDGES, S])
    yard.watch()
    before = len(yard.effects)
    yard.lose(S)
    assert yard.phase("w") == "running"
    assert set(yard.state.jobs[WATCH].stages) == {*EDGES}
    yard.back(S)
    assert (yard.phase("w"), yard.where()) == ("running", LOCAL)
    assert not [e for e in yard.effects[before:] if isinstance(e, (DeployStage, StopStage))]


def test_back_with_another_address_stays_out() -> None:
    yard = watching()
    yard.lose(N1)
    effects = yard.handle(ev.DeviceJoined(at_s=60, device=N1, address="ip-new"))
    assert "nobody looks for it" in told(effects)[0]
    assert set(yard.state.jobs[WATCH].stages) == {HUB, N2}
    assert yard.phase("w") == "running"


# Stages that die


@pytest.mark.parametrize("device", EDGES)
def test_a_stage_that_died_is_started_again_with_the_mapping_of_now(device: DeviceId) -> None:
    yard = watching()
    yard.measured(c1=0.1, c2=8.0)
    effects = yard.handle(ended(device, died=True))
    then = {"c1": (N1, HUB), "c2": (HUB, N2)}
    (stage,) = [e.stage for e in effects if isinstance(e, DeployStage)]
    assert stage.mapped is not None
    assert {c: (p.detect_on, p.identify_on) for c, p in stage.mapped.streams.items()} == then
    assert kinds(effects) == [("DeployStage", device), ("StartStage", device), ("MapStreams", device)]
    assert yard.phase("w") == "running"


def test_a_stage_that_dies_too_often_is_given_up_and_the_heads_fails_the_job() -> None:
    yard = watching()
    for _ in range(RESTARTS + 1):
        yard.handle(ended(N1, died=True))
    assert (yard.phase("w"), set(yard.state.jobs[WATCH].stages)) == ("running", {HUB, N2})
    for _ in range(RESTARTS + 1):
        yard.handle(ended(HUB, died=True))
    assert yard.phase("w") == "failed"
    assert nothing_held(yard)


def test_code_that_raises_fails_the_job() -> None:
    yard = watching()
    effects = yard.handle(ended(N2, "detect raised ValueError"))
    assert {e.device for e in effects if isinstance(e, StopStage)} == {HUB, N1}
    assert (yard.phase("w"), detail(yard)) == ("failed", "device n2: detect raised ValueError")
    assert nothing_held(yard)


def test_the_job_is_done_when_the_heads_stage_ends_well() -> None:
    yard = watching()
    assert yard.handle(ended(N1, None)) == []
    effects = yard.handle(ended(HUB, None))
    assert [e.device for e in effects if isinstance(e, StopStage)] == [N2]
    assert yard.phase("w") == "done"
    assert nothing_held(yard)


# Beside jobs of other kinds

ALL = Network(
    devices=dict(sorted({**NETWORK.devices, **Yard().state._cluster.live.devices}.items())),
    links=dict(sorted({**NETWORK.links, **Yard().state._cluster.live.links}.items())),
)


def test_each_policy_sees_what_it_must() -> None:
    """Devices of the two parts share nothing, so what is taken off where is plain to see."""
    yard = Yard(ALL, joined=[*DEVICES, *EDGES, S, T])
    yard.watch()
    yard.submit("s", "stream")
    yard.submit("j", "once")
    yard.submit("l", "loop")
    assert {yard.phase(name) for name in "wsjl"} == {"running"}
    for policy in ("rote", "rote-once", "rote-loop"):
        snapshot = yard.policies[policy].seen[-1][0]
        assert WATCH not in [running.plan.job for running in snapshot.running]
        left = {device: snapshot.network.devices[device].memory_bytes for device in EDGES}
        assert left == {HUB: 1000 - 100 - 200, N1: 1000 - 100, N2: 1000}, "detectors and a model"
        assert snapshot.network.links[LinkId("hub-s")].capacity_bps < 1e8


def effects_of(yard: Yard, kind: type[Effect]) -> list[Effect]:
    return [effect for effect in yard.effects if isinstance(effect, kind)]


def test_a_second_job_of_cameras_is_mapped_beside_the_first() -> None:
    yard = watching()
    yard.watch("v")
    assert (yard.phase("w"), yard.phase("v")) == ("running", "running")
    ports = [port for name in "wv" for port in yard.state.jobs[WATCH.__class__(name)].ports.values()]
    assert len(ports) == len(set(ports)) == 12
    assert effects_of(yard, MapStreams)
    yard.lose(N1)
    assert yard.where("w") == yard.where("v") == {"c2": (HUB, HUB)}
