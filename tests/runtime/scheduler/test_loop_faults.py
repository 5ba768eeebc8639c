"""Loops: a server and its clients, whose stages die and whose devices come and go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from loop_cases import LOOP, back, detail, ended, flows, kinds, lost, nothing_held, running, told
from scheduler_cases import (
    E1,
    E2,
    E3,
    Cluster,
    workload,
)

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import (
    ApplyNetwork,
    DeployStage,
    Effect,
    StartStage,
    StopStage,
)
from edgeray.scheduler.state import SchedulerState
from policies.model import DeviceId

# Stages that die


@pytest.mark.parametrize("how", ["died", "peer_lost"])
def test_a_stage_that_dies_is_deployed_and_started_again(how: str) -> None:
    state = running().state
    effects = state.handle(ended(E3, **{how: True}))
    assert told(effects) == ["c on e3 is started again (1 of 3): killed"]
    assert kinds(effects) == [("DeployStage", E3)], "the rules are in force as they were"
    deployed = ev.StageDeployed(at_s=10, job=LOOP, device=E3)
    assert kinds(state.handle(deployed)) == [("StartStage", E3)]
    assert state.handle(deployed) == []
    assert state.jobs[LOOP].phase.value == "running"


def test_a_client_whose_stage_dies_again_and_again_is_given_up() -> None:
    cluster = running()
    for _ in range(3):
        cluster.handle(ended(E3, died=True))
    effects = cluster.handle(ended(E3, died=True))
    assert told(effects) == ["goes on without e3: c on e3 ended 4 times, at last: killed"]
    assert flows(effects, E1) == ["l/a->b", "l/b->a"], "what its flows were guaranteed is free"
    assert flows(effects, E3) == []
    assert not [e for e in effects if isinstance(e, DeployStage)]
    assert cluster.phase("l") == "running"
    assert cluster.handle(ended(E3, died=True)) == []
    cluster.handle(ended(E1, None))
    assert (cluster.phase("l"), nothing_held(cluster.state)) == ("done", True)


def test_without_its_last_client_a_job_fails() -> None:
    cluster = running()
    for device in (E3, E2):
        for _ in range(4):
            cluster.handle(ended(device, died=True))
    assert cluster.phase("l") == "failed"
    assert detail(cluster.state) == "no client is left: b on e2 ended 4 times, at last: killed"
    assert nothing_held(cluster.state)


def test_a_server_is_started_again_too_but_not_for_ever() -> None:
    cluster = running()
    for _ in range(3):
        effects = cluster.handle(ended(E1, died=True))
        assert ("StartStage", E1) in kinds(effects)
    cluster.handle(ended(E1, died=True))
    assert cluster.phase("l") == "failed"
    assert detail(cluster.state) == "a on e1 ended 4 times, at last: killed"


def test_one_that_cannot_be_deployed_again_counts_as_dead() -> None:
    state = running().state
    state.handle(ended(E3, died=True))
    effects = state.handle(ended(E3, "no memory"))
    assert told(effects) == ["c on e3 is started again (2 of 3): no memory"]
    assert state.handle(ended(E3, None)) == [], "that is late: of the stage before"


def test_code_that_raises_fails_the_job_at_once() -> None:
    cluster = running()
    cluster.handle(ended(E2, "ValueError: no such layer"))
    assert cluster.phase("l") == "failed"
    assert detail(cluster.state) == "device e2: ValueError: no such layer"


def test_before_it_runs_a_dead_stage_fails_it() -> None:
    state, _ = deploying()
    state.handle(ended(E2, died=True))
    assert state.jobs[LOOP].phase.value == "stopping"
    assert detail(state) == "device e2: killed"


# The end


def test_when_the_server_ends_the_clients_are_stopped_and_the_job_is_done() -> None:
    state = running().state
    effects = state.handle(ended(E1, None))
    assert kinds(effects) == [("StopStage", E2), ("StopStage", E3)]
    state.handle(ended(E2, "flow a->b broke", peer_lost=True))
    state.handle(ended(E3, None))
    assert (state.jobs[LOOP].phase.value, detail(state)) == ("done", "")
    assert nothing_held(state)
    for late in (ended(E1, died=True), ended(E3, None), ev.StageDeployed(at_s=20, job=LOOP, device=E3)):
        assert state.handle(late) == []


def test_clients_may_end_before_the_server() -> None:
    cluster = running()
    for device in (E2, E3):
        assert cluster.handle(ended(device, None)) == []
    assert cluster.handle(lost(E3)) == [], "nothing of the job is there any more"
    assert cluster.phase("l") == "running"
    cluster.handle(ended(E1, None))
    assert cluster.phase("l") == "done"


def test_it_can_be_stopped_while_a_stage_is_on_its_way_back() -> None:
    cluster = running()
    cluster.state.handle(ended(E3, died=True))
    cluster.handle(ev.StopRequested(at_s=10, job=LOOP, reason="enough"))
    assert (cluster.phase("l"), nothing_held(cluster.state)) == ("stopped", True)


# Devices that are lost and come back


def test_a_lost_client_is_done_without_and_enters_again_once_its_rules_are_in_force() -> None:
    state = running().state
    effects = state.handle(lost(E3))
    assert told(effects) == ["goes on without e3: device e3 was lost: gone"]
    assert {device: flows(effects, device) for device in (E1, E2)} == {
        E1: ["l/a->b", "l/b->a"],
        E2: ["l/a->b", "l/b->a"],
    }
    effects = state.handle(back(E3))
    assert told(effects) == ["e3 is back"]
    assert kinds(effects) == [
        ("ApplyNetwork", E1),
        ("ApplyNetwork", E2),
        ("ApplyNetwork", E3),
        ("DeployStage", E3),
    ]
    assert len(flows(effects, E1)) == 4
    versions = {e.device: e.version for e in effects if isinstance(e, ApplyNetwork)}
    assert state.handle(ev.StageDeployed(at_s=13, job=LOOP, device=E3)) == []
    for device in (E1, E2):
        applied = ev.NetworkApplied(at_s=14, device=device, version=versions[device])
        assert state.handle(applied) == []
    effects = state.handle(ev.NetworkApplied(at_s=15, device=E3, version=versions[E3]))
    assert effects == [StartStage(device=E3, job=LOOP)]


def test_what_a_device_did_before_it_was_lost_does_not_count() -> None:
    cluster = running()
    for _ in range(4):
        cluster.handle(ended(E3, died=True))
    cluster.handle(lost(E3))
    effects = cluster.handle(back(E3))
    assert ("StartStage", E3) in kinds(effects)
    assert told(cluster.handle(ended(E3, died=True))) == ["c on e3 is started again (1 of 3): killed"]


def test_a_client_that_has_ended_well_does_not_enter_again() -> None:
    cluster = running()
    cluster.handle(ended(E3, None))
    cluster.handle(lost(E3))
    assert not [e for e in cluster.handle(back(E3)) if isinstance(e, DeployStage)]


def test_at_another_address_nobody_looks_for_a_client() -> None:
    cluster = running()
    cluster.handle(lost(E3))
    effects = cluster.handle(back(E3, "ip-new"))
    assert told(effects) == [
        "goes on without e3: e3 is back with another address, ip-new, where nobody looks for it"
    ]
    assert not [e for e in effects if isinstance(e, DeployStage)]
    cluster.handle(lost(E3))
    assert ("StartStage", E3) in kinds(cluster.handle(back(E3)))


def test_a_lost_server_or_relay_fails_the_job_by_name() -> None:
    cluster = running()
    cluster.handle(lost(E1))
    assert (cluster.phase("l"), detail(cluster.state)) == ("failed", "device e1 was lost: gone")
    cluster = running()
    cluster.handle(lost(E2))
    assert cluster.phase("l") == "failed"
    assert detail(cluster.state) == "device e2 was lost: gone\n  the flows of c on e3 go over it"
    assert nothing_held(cluster.state)


def test_a_relay_that_no_flow_needs_any_more_is_like_any_client() -> None:
    cluster = running()
    cluster.handle(ended(E3, None))
    effects = cluster.handle(lost(E2))
    assert told(effects) == ["goes on without e2: device e2 was lost: gone"]
    assert cluster.phase("l") == "running"


def test_a_client_comes_back_only_when_its_relay_has() -> None:
    cluster = running()
    cluster.handle(ended(E2, None))
    cluster.handle(lost(E3))
    cluster.handle(lost(E2))
    assert not kinds(cluster.state.handle(back(E3)))[1:], "but for its empty rules"
    effects = cluster.handle(back(E2))
    assert [device for kind, device in kinds(effects) if kind == "DeployStage"] == [E3]
    assert cluster.phase("l") == "running"


def deploying() -> tuple[SchedulerState, list[Effect]]:
    """A loop whose server stands."""
    state = Cluster().state
    submitted = ev.JobSubmitted(
        at_s=1,
        job=LOOP,
        workload=workload("l", "loop"),
        policy="rote-loop",
        needs_profile=False,
        lease_s=None,
    )
    effects = state.handle(submitted)
    state.handle(ev.StageDeployed(at_s=3, job=LOOP, device=E1))
    return state, effects


def applied(effects: Iterable[Effect], *devices: DeviceId) -> list[ev.NetworkApplied]:
    return [
        ev.NetworkApplied(at_s=5, device=e.device, version=e.version)
        for e in effects
        if isinstance(e, ApplyNetwork) and e.device in devices
    ]


def test_the_others_start_without_a_client_that_is_lost_before() -> None:
    state, effects = deploying()
    for event in applied(effects, E1, E2):
        state.handle(event)
    state.handle(ev.StageDeployed(at_s=4, job=LOOP, device=E2))
    assert kinds(state.handle(lost(E3)))[-2:] == [("ApplyNetwork", E1), ("ApplyNetwork", E2)]
    assert state.jobs[LOOP].phase.value == "running"


def test_a_client_that_is_back_before_the_start_is_waited_for() -> None:
    state, effects = deploying()
    for event in applied(effects, E1, E2, E3):
        state.handle(event)
    state.handle(lost(E3))
    effects = state.handle(back(E3))
    for device in (E2, E3):
        assert kinds(state.handle(ev.StageDeployed(at_s=4, job=LOOP, device=device))) == []
    *first, last = applied(effects, E1, E2, E3)
    for event in first:
        assert state.handle(event) == []
    assert kinds(state.handle(last)) == [("StartStage", device) for device in (E1, E2, E3)]


def test_a_client_whose_rules_are_refused_stays_out() -> None:
    state = running().state
    state.handle(lost(E3))
    versions = {e.device: e.version for e in state.handle(back(E3)) if isinstance(e, ApplyNetwork)}
    old = ev.NetworkRefused(at_s=13, device=E1, version=versions[E1] - 1, reason="no HTB")
    assert state.handle(old) == []
    effects = state.handle(replace(old, version=versions[E1]))
    assert told(effects) == ["goes on without e3: device e1 cannot enforce its flows: no HTB"]
    assert [e for e in effects if isinstance(e, StopStage)] == [StopStage(device=E3, job=LOOP)]
    assert len(flows(effects, E1)) == 2
    assert set(state.jobs[LOOP].stages) == {E1, E2}
    assert state.handle(ended(E3, None)) == [], "it was stopped"
    assert state.jobs[LOOP].phase.value == "running"


def test_the_last_client_whose_rules_are_refused_is_stopped_with_the_job() -> None:
    state = running().state
    for _ in range(4):
        state.handle(ended(E2, died=True))
    state.handle(lost(E3))
    assert state.jobs[LOOP].phase.value == "stopping", "no client was left"
    state = running().state
    state.handle(lost(E3))
    effects = state.handle(back(E3))
    version = next(e.version for e in effects if isinstance(e, ApplyNetwork) and e.device == E1)
    for _ in range(4):
        state.handle(ended(E2, died=True))
    effects = state.handle(ev.NetworkRefused(at_s=14, device=E1, version=version, reason="no HTB"))
    assert [e.device for e in effects if isinstance(e, StopStage)] == [E1, E3]
    assert detail(state) == "no client is left: device e1 cannot enforce its flows: no HTB"
