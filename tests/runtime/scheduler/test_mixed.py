"""Streams and one-shot jobs beside each other: transfers, two policies, links that change, devices that come and go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from scheduler_cases import AB, AC, DEVICES, E1, E2, E3, L12, L23, NETWORK, Cluster, workload

from edgeray.scheduler import events as ev
from edgeray.scheduler import ports
from edgeray.scheduler.effects import ApplyNetwork, DeployStage, Effect, JobChanged, PaceStage, StartTransfer
from edgeray.scheduler.jobs import join_depth
from edgeray.scheduler.lanes import LATE_S
from edgeray.scheduler.snapshots import beside
from policies.model import Flow, Job, JobId, LinkId, Network, Snapshot, Task, TaskId

LOST = ev.DeviceLost(at_s=5, device=E3, reason="gone")


def started(effects: Iterable[Effect]) -> list[tuple[str, str, str]]:
    return [(e.device, e.job, e.flow) for e in effects if isinstance(e, StartTransfer)]


def seen(cluster: Cluster, policy: str) -> tuple[Snapshot, tuple[str, ...]]:
    return cluster.policies[policy].seen[-1]


# Transfers


def test_transfers_go_in_the_planned_order_and_end_with_the_job() -> None:
    cluster = Cluster()
    cluster.submit("j")
    assert cluster.phase("j") == "running"
    due = {e.stage.device: e.stage.due_s for e in cluster.effects if isinstance(e, DeployStage)}
    assert due == {E1: {"a": 0}, E2: {"b": 9}, E3: {"c": 5}}
    assert started(cluster.ready("j", AB, 2)) == [], "a->c is planned first on e1-e2"
    assert started(cluster.ready("j", AC, 2)) == [(E1, "j", AC)]
    assert started(cluster.done("j", AC, 6)) == [(E1, "j", AB)]
    assert started(cluster.done("j", AB, 9)) == []
    cluster.end("j", E1, E3)
    assert cluster.phase("j") == "running"
    cluster.end("j", E2)
    assert cluster.phase("j") == "done"


def test_a_tick_lets_one_go_whose_forerunner_is_late() -> None:
    cluster = Cluster()
    cluster.submit("j", at_s=100)
    cluster.ready("j", AB, 100.5)
    wake_s = cluster.state.wake_s()
    assert wake_s == 101 + LATE_S
    assert started(cluster.handle(ev.Ticked(at_s=101))) == []
    assert started(cluster.handle(ev.Ticked(at_s=wake_s))) == [(E1, "j", AB)]


def test_a_repeated_ready_repeats_the_start_and_repeated_or_early_others_do_nothing() -> None:
    cluster = Cluster()
    cluster.submit("j")
    assert cluster.done("j", AC, 2) == []
    cluster.ready("j", AC, 2)
    assert started(cluster.ready("j", AC, 3)) == [(E1, "j", AC)], "the first may have been lost"
    cluster.done("j", AC, 4)
    assert cluster.done("j", AC, 4) == []
    assert cluster.ready("j", AC, 5) == []
    assert cluster.ready("nobody", AC, 5) == []
    cluster.end("j")
    assert cluster.ready("j", AB, 30) == []


def test_a_stream_has_no_transfers() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    assert cluster.ready("s", AC, 5) == []


def test_the_end_of_a_job_lets_those_of_others_go() -> None:
    cluster = Cluster()
    cluster.submit("j")
    cluster.submit("k")
    cluster.ready("j", AC, 2)
    assert started(cluster.ready("k", AC, 2)) == []
    effects = cluster.handle(ev.StopRequested(at_s=3, job=JobId("j"), reason="stop"))
    assert started(effects) == [(E1, "k", AC)]


def test_a_job_that_is_being_stopped_sends_no_more() -> None:
    """Its links are free as soon as its stages are told to stop, and none of its transfers starts any more."""
    cluster = Cluster()
    cluster.submit("j")
    cluster.submit("k")
    cluster.ready("j", AC, 2)
    cluster.ready("j", AB, 2)
    cluster.ready("k", AC, 2)
    effects = cluster.state.handle(ev.StopRequested(at_s=3, job=JobId("j"), reason="stop"))
    assert started(effects) == [(E1, "k", AC)]
    assert started(cluster.state.handle(ev.TransferDone(at_s=4, job=JobId("k"), flow=AC))) == []
    assert cluster.phase("j") == "stopping"


# Two policies


def test_the_policy_of_streams_sees_streams_and_what_one_shot_jobs_leave() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    cluster.submit("j")
    snapshot, arrivals = seen(cluster, "rote")
    assert arrivals == ()
    assert [r.plan.job for r in snapshot.running] == ["s"]
    assert {d.memory_bytes for d in snapshot.network.devices.values()} == {70}
    assert {name: link.capacity_bps for name, link in snapshot.network.links.items()} == {L12: 8, L23: 6}


def test_a_link_carries_one_transfer_so_many_jobs_take_no_more_of_it_than_one() -> None:
    cluster = Cluster()
    for name in "sjk":
        cluster.submit(name, "stream" if name == "s" else "once")
    network = seen(cluster, "rote")[0].network
    assert network.links[L12].capacity_bps == 8
    assert network.devices[E1].memory_bytes == 40, "but each holds its memory"


def test_a_tenth_of_a_link_is_left_to_streams() -> None:
    cluster = Cluster()
    cluster.submit("j")
    record = cluster.state.jobs[JobId("j")]
    thin = Network(
        devices=NETWORK.devices,
        links={name: replace(link, capacity_bps=2.0) for name, link in NETWORK.links.items()},
    )
    assert {link.capacity_bps for link in beside(thin, [record]).links.values()} == {0.2}


def test_the_policy_of_one_shot_jobs_sees_everything() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    cluster.submit("j")
    cluster.submit("k")
    snapshot, arrivals = seen(cluster, "rote-once")
    assert arrivals == ("k",)
    assert [r.plan.job for r in snapshot.running] == ["s", "j"]
    assert snapshot.network == NETWORK


def test_streams_make_way_for_a_one_shot_job_and_get_it_back() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    effects = cluster.submit("j")
    pace = {e.device: e.rates_bps for e in effects if isinstance(e, PaceStage)}
    assert pace == {E1: {AB: 3.0, AC: 3.0}}, "of 8 bits/s on e2-e3 the one-shot job takes 2"
    effects = cluster.end("j")
    assert {e.device: e.rates_bps for e in effects if isinstance(e, PaceStage)} == {E1: {AB: 4.0, AC: 4.0}}


def test_each_mode_has_its_governor() -> None:
    cluster = Cluster()
    cluster.submit("j")
    asked = len(cluster.policies["rote-once"].seen)
    cluster.submit("s", "stream")
    cluster.submit("t", "stream")
    assert len(cluster.policies["rote-once"].seen) == asked, "no one-shot job waits"
    assert all(waiting != ("j",) for _, waiting in cluster.policies["rote"].seen)


def test_a_one_shot_job_that_waits_is_tried_again_when_something_ends() -> None:
    cluster = Cluster()
    for name in "sjk":
        cluster.submit(name, "stream" if name == "s" else "once")
    effects = cluster.submit("w")
    assert cluster.phase("w") == "waiting"
    assert [e.detail for e in effects if isinstance(e, JobChanged)][-1] == "waits: e1 is full"
    assert cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=9)) == [], "why it waits was told"
    cluster.end("s")
    assert cluster.phase("w") == "running"


def test_an_arrival_does_not_bring_up_again_what_was_refused() -> None:
    cluster = Cluster()
    for name in ("s", "j", "k", "w"):
        cluster.submit(name, "stream" if name == "s" else "once")
    cluster.submit("x")
    assert seen(cluster, "rote-once")[1] == ("x",)
    cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=9))
    assert seen(cluster, "rote-once")[1] == ("w", "x"), "now things are different"


def test_what_an_idle_complete_cluster_cannot_hold_fails_by_name() -> None:
    small = replace(NETWORK, devices={d: replace(NETWORK.devices[d], memory_bytes=20) for d in DEVICES})
    cluster = Cluster(small)
    cluster.submit("j")
    assert cluster.phase("j") == "failed"
    assert cluster.state.jobs[JobId("j")].detail == "cannot be placed: e1 is full"
    cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=0))
    cluster.submit("k")
    assert cluster.phase("k") == "waiting", "a link that is away may come back"
    cluster.handle(ev.LinkChanged(at_s=4, link=L12, capacity_bps=10))
    assert cluster.phase("k") == "failed"


def test_an_unknown_policy_changes_nothing() -> None:
    cluster = Cluster()
    with pytest.raises(KeyError):
        cluster.handle(
            ev.JobSubmitted(
                at_s=1,
                job=JobId("j"),
                workload=workload("j", "once"),
                policy="none such",
                needs_profile=False,
                lease_s=None,
            )
        )
    assert not cluster.state.jobs


def test_a_policy_that_raises_governs_no_longer_and_holds_no_effects_back() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    cluster.submit("t", "stream")
    cluster.policies["rote"].decide = None  # type: ignore[assignment, method-assign]
    for device in (E1, E2):
        cluster.end("t", device)
    with pytest.raises(TypeError):
        cluster.end("t", E3)
    effects = cluster.handle(ev.Ticked(at_s=30))
    assert [(e.job, e.phase) for e in effects if isinstance(e, JobChanged)] == [("t", "done")]
    rules = {e.device: [rule.flow for rule in e.rules] for e in effects if isinstance(e, ApplyNetwork)}
    assert rules == {E1: ["s/a->b", "s/a->c"], E2: ["s/a->b", "s/a->c"], E3: ["s/a->c"]}
    cluster.end("s")
    assert cluster.phase("s") == "done"


def test_a_plan_for_which_no_ports_are_left_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST_PORT", ports.FIRST_PORT + 2)
    cluster = Cluster()
    cluster.submit("j")
    cluster.submit("k")
    assert cluster.state.jobs[JobId("k")].reasons == ("its plan needs 2 flow ports; 1 are free",)
    cluster.end("j")
    assert cluster.phase("k") == "running"


# Links and devices


def test_a_link_that_changes_re_adjusts_streams() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    effects = cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=4))
    rates = {e.device: {rule.rate_bps for rule in e.rules} for e in effects if isinstance(e, ApplyNetwork)}
    assert rates == {E1: {2.0}, E2: {2.0}, E3: {2.0}}
    cluster.handle(ev.LinkChanged(at_s=4, link=L12, capacity_bps=-1))
    assert seen(cluster, "rote")[0].network.links[L12].capacity_bps == 0, "0: of no use"


def test_a_link_that_is_unknown_or_stays_as_it_was_changes_nothing() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    asked = len(cluster.policies["rote"].seen)
    assert cluster.handle(ev.LinkChanged(at_s=3, link=LinkId("e1-e9"), capacity_bps=4)) == []
    assert cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=10)) == []
    assert len(cluster.policies["rote"].seen) == asked


def test_a_lost_device_fails_its_jobs_frees_what_they_held_and_may_return() -> None:
    cluster = Cluster()
    cluster.submit("j")
    cluster.ready("j", AC, 2)
    cluster.submit("s", "stream")
    before = {e.device: e.version for e in cluster.effects if isinstance(e, ApplyNetwork)}
    cluster.handle(LOST)
    assert (cluster.phase("j"), cluster.phase("s")) == ("failed", "failed")
    after = {e.device: e for e in cluster.effects if isinstance(e, ApplyNetwork)}
    assert not after[E1].rules
    assert not after[E2].rules
    assert after[E3].version == before[E3], "nobody is there to take a new one"
    cluster.submit("k")
    assert cluster.phase("k") == "waiting", "its device is away"
    effects = cluster.handle(ev.DeviceJoined(at_s=9, device=E3, address="ip-new"))
    assert cluster.phase("k") == "running"
    versions = [e.version for e in effects if isinstance(e, ApplyNetwork) and e.device == E3]
    assert versions == [before[E3] + 1]
    assert started(cluster.ready("k", AC, 11)) == [(E1, "k", AC)], "j holds no link any more"


def test_the_rules_of_a_job_that_lost_a_device_go_at_once() -> None:
    """Not when its stages are down: the device may be back before, with another address."""
    cluster = Cluster()
    cluster.submit("j")
    effects = cluster.state.handle(LOST)
    assert {e.device: e.rules for e in effects if isinstance(e, ApplyNetwork)} == {E1: (), E2: ()}
    back = cluster.state.handle(ev.DeviceJoined(at_s=6, device=E3, address="ip-new"))
    assert [e.rules for e in back if isinstance(e, ApplyNetwork)] == [()]


def test_a_device_that_comes_back_empty_gets_its_rules_even_if_there_are_none() -> None:
    cluster = Cluster()
    cluster.handle(LOST)
    effects = cluster.handle(ev.DeviceJoined(at_s=9, device=E3, address="ip-new"))
    assert effects == [ApplyNetwork(device=E3, version=2, rules=())]


def test_a_loss_asks_the_governor_again() -> None:
    """What a lost device's jobs held is others' to take, and its links are no way any more."""
    cluster = Cluster()
    cluster.submit("s", "stream")
    cluster.submit("t", "stream")
    cluster.end("s", E3)
    asked = len(cluster.policies["rote"].seen)
    cluster.handle(LOST)
    assert len(cluster.policies["rote"].seen) > asked
    assert set(seen(cluster, "rote")[0].network.devices) == {E1, E2}


def test_a_one_shot_job_outlives_a_device_that_has_done_its_part() -> None:
    cluster = Cluster()
    cluster.submit("j")
    cluster.submit("k")
    cluster.ready("j", AC, 2)
    cluster.done("j", AC, 3)
    cluster.end("j", E3, at_s=4)
    cluster.handle(LOST)
    assert (cluster.phase("j"), cluster.phase("k")) == ("running", "failed")
    assert started(cluster.ready("j", AB, 6)) == [(E1, "j", AB)]


def test_a_one_shot_job_fails_with_a_relay_that_it_still_needs() -> None:
    cluster = Cluster()
    cluster.submit("j")
    cluster.end("j", E2)  # as if b had been sent nothing: a->c still goes over e2
    cluster.handle(ev.DeviceLost(at_s=5, device=E2, reason="gone"))
    assert cluster.phase("j") == "failed"


# Versions of the networks


def test_only_rules_that_changed_are_sent() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    count = len(cluster.effects)
    cluster.handle(ev.LinkChanged(at_s=3, link=L12, capacity_bps=9))  # e2-e3 still binds
    assert cluster.effects[count:] == []


def test_a_refused_network_is_sent_again_with_the_next_change_but_not_by_itself() -> None:
    cluster = Cluster()
    cluster.submit("s", "stream")
    refused = ev.NetworkRefused(at_s=3, device=E2, version=2, reason="no")
    assert cluster.handle(refused) == [], "what runs goes on with the rules that it has"
    effects = cluster.handle(ev.LinkChanged(at_s=4, link=L12, capacity_bps=4))
    assert [e.version for e in effects if isinstance(e, ApplyNetwork)] == [3, 3, 3]


def test_a_refusal_of_an_older_version_is_nothing_to_a_job_that_waits_for_a_newer_one() -> None:
    cluster = Cluster()
    cluster.submit("j")
    for effect in cluster.state.handle(
        ev.JobSubmitted(
            at_s=2,
            job=JobId("k"),
            workload=workload("k", "once"),
            policy="rote-once",
            needs_profile=False,
            lease_s=None,
        )
    ):
        assert not isinstance(effect, ApplyNetwork) or effect.version == 3
    cluster.handle(ev.NetworkRefused(at_s=3, device=E1, version=2, reason="no"))
    assert cluster.phase("k") == "deploying"
    cluster.handle(ev.NetworkRefused(at_s=3, device=E1, version=3, reason="no"))
    assert cluster.state.jobs[JobId("k")].detail == "device e1 cannot enforce its flows: no"


# Stages


def test_the_depth_of_joins_is_that_of_the_longest_path() -> None:
    """4 for the source, 1 for a flow on a device, 4 for one that crosses."""
    a, b, c = TaskId("a"), TaskId("b"), TaskId("c")
    flows = (Flow(producer=a, consumer=b), Flow(producer=a, consumer=c), Flow(producer=b, consumer=c))
    job = Job(id=JobId("j"), tasks=tuple(Task(id=task) for task in (a, b, c)), flows=flows)
    assert join_depth(job, ()) == 6
    assert join_depth(job, [flows[2].id]) == 9
    assert join_depth(job, [flow.id for flow in flows]) == 12
