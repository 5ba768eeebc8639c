"""A server and its users with threads and lines: every packet accounted for, whatever breaks, and nothing hangs."""

from __future__ import annotations

import random
from pathlib import Path

import frame_sources
import pytest
from frame_cases import COMPUTE, SEND, SOME, Job, Learner, NoLearner, all_of, until, warm

from edgeray.errors import StageError
from edgeray.frames.messages import Done, Grant, Report
from policies.deadline.policy import FRAME_POLICIES

# Packets


def test_packets_are_sent_where_that_is_cheap(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), **SOME)
    warm(job, "a", "b")
    job.come(a=["a1", "a2", "a3"], b=["b1"])
    job.frame()
    frame_sources.worked.clear()
    job.come(a=["a4"])
    job.frame()
    job.frame()
    assert job.told("a")["sent"] == 4 and job.told("b")["sent"] == 1
    assert list(frame_sources.worked) == ["a4"]
    (counters, waiting) = job.server.rows()["server"]
    assert (counters.items, waiting, job.server.late) == (5, 0, 0)
    assert job.server.windows(0, 1e12)["server"].items == 5
    job.check()
    job.stop()


def test_packets_are_computed_where_that_is_cheap(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **COMPUTE), **SOME)
    warm(job, "a", "b")
    job.come(a=["a1", "a2", "a3"], b=["b1"])
    job.frame()
    job.frame()
    assert job.told("a")["local"] == 3 and job.told("b")["local"] == 1
    (counters, _) = job.users["a"].rows()["user-a"]
    assert counters.items == 3
    assert job.users["a"].windows(0, 1e12)["user-a"].items == 3
    assert job.server.windows(0, 1e12) == {}
    job.check()
    job.stop()


def test_packets_of_a_frame_are_dropped_at_the_end_of_the_next(tmp_path: Path) -> None:
    job = Job(tmp_path, "a", users=all_of("a", **COMPUTE), **SOME)
    warm(job, "a")
    frame_sources.held.add("slow")
    job.come(a=["slow", "behind it"])
    job.frame(settled=False)
    assert frame_sources.holding.wait(30)
    job.frame(settled=False)  # its frame is over
    until(lambda: job.told("a")["dropped"] == 3, "the drops, the very first packet among them")
    frame_sources.may_work.set()
    job.come(a=["next"])
    job.frame()
    job.frame()
    assert job.told("a")["local"] == 1 and job.told("a")["dropped"] == 3
    assert "behind it" not in frame_sources.worked
    job.check()
    job.stop()


def test_what_the_server_does_too_late_is_dropped(tmp_path: Path) -> None:
    job = Job(tmp_path, "a", users=all_of("a", **SEND), **SOME)
    warm(job, "a")
    frame_sources.held.add("slow")
    job.come(a=["slow", "behind it"])
    job.frame(settled=False)
    assert frame_sources.holding.wait(30)
    until(lambda: job.server.rows()["server"][1] == 1, "the second packet")
    job.frame(settled=False)
    frame_sources.may_work.set()
    until(lambda: job.server.late == 2, "both are late: one was begun, the other was not")
    job.frame()
    assert job.told("a")["sent"] == 0 and job.told("a")["dropped"] == 3
    assert "behind it" not in frame_sources.worked
    job.check()
    job.stop()


@pytest.mark.parametrize("policy", FRAME_POLICIES)
def test_every_policy_accounts_for_every_packet(tmp_path: Path, policy: str) -> None:
    job, draw = Job(tmp_path, "abc", policy=policy, M=0.05), random.Random(3)
    came = 3  # the first of each, which were measured
    for frame in range(25):
        packets = {name: [f"{name}{frame}"] * draw.choice([0, 0, 1, 5]) for name in "abc"}
        job.come(**packets)
        came += sum(map(len, packets.values()))
        job.frame()
        job.check()
    job.frame()
    assert job.told()["arrived"] == came
    assert job.told()["frames"] == 27
    assert job.told()["sent"] + job.told()["local"] > 0
    assert job.server.late == 0
    done = [packet for packet in frame_sources.worked if "first" not in packet]
    assert len(done) <= job.told()["sent"] + job.told()["local"]
    job.stop()


def test_two_users_of_one_device_have_one_process_and_one_flow(tmp_path: Path) -> None:
    users = {name: {**SEND, "task": "user-x", "device": "x"} for name in "ab"}
    job = Job(tmp_path, "ab", users=users, floor_bps=100.0, **SOME)
    assert list(job.stages) == ["server", "user-x"]
    warm(job, "a", "b")
    job.come(a=["a1", "a2"], b=["b1"])
    job.frame()
    job.frame()
    assert (job.told("a")["sent"], job.told("b")["sent"]) == (2, 1)
    shares = job.stages["server"].shares
    assert all(rates.keys() == {"user-x"} for rates in shares)
    assert min(rates["user-x"] for rates in shares) == 200.0, "their floors, when neither was granted a slot"
    assert max(rates["user-x"] for rates in shares) <= job.recipe["link_bps"]
    job.check()
    job.stop()


def test_rates_are_those_of_the_slots(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), floor_bps=64.0, **SOME)
    warm(job, "a", "b")
    job.come(a=["a1"])
    job.frame()
    link_bps = job.recipe["link_bps"]
    slots = job.told("a")["slots"]
    assert slots >= 1
    *_, rates = job.stages["server"].shares
    assert rates["user-b"] == 64.0
    assert rates["user-a"] == pytest.approx(64.0 + (link_bps - 128.0) / 3, rel=1e-12), (
        "of three slots it needs one"
    )
    job.stop()


# What breaks


def test_acknowledgements_that_are_lost_are_drops(tmp_path: Path) -> None:
    """The server has done them, but nobody knows: X must not be too small."""
    job = Job(tmp_path, "a", users=all_of("a", **SEND), **SOME)
    warm(job, "a")
    job.wires.loses = lambda value: isinstance(value, Done)
    before = job.packets("a").queue
    job.come(a=["a1", "a2"])
    job.frame(settled=False)
    until(lambda: job.server.rows()["server"][0].items == 2, "both are done")
    job.frame(settled=False)
    until(lambda: job.told("a")["arrived"] == 3, "the report")
    assert job.told("a")["sent"] == 0 and job.told("a")["dropped"] == 3
    assert job.told("a")["queue"] == pytest.approx(before + 2 - 2 * 0.001, abs=1e-9), "two frames"
    assert job.packets("a")._link.value == 0.5, "and the channel is trusted less"
    job.wires.loses = None
    job.come(a=["a3"])
    job.frame()
    job.frame()
    assert job.told("a")["sent"] == 1
    job.check()
    job.stop()


@pytest.mark.parametrize("lost", [Report, Grant])
def test_a_word_that_is_lost_costs_one_frame(tmp_path: Path, lost: type) -> None:
    """Without a grant a user plans without the link; without a report it is not granted anything."""
    job = Job(tmp_path, "a", users=all_of("a", **COMPUTE), **SOME)
    warm(job, "a")
    job.wires.loses = lambda value: isinstance(value, lost)
    job.come(a=["a1"])
    job.turn()
    until(lambda: job.server.told()["frames"] == 4, "the frame has begun")
    until(lambda: job.packets("a")._arrived == 1, "with its packet")
    job.clock.turn(0.6 * job.frame_s)
    until(lambda: job.packets("a")._computed == 1, "what it does by itself")
    job.wires.loses = None
    job.frame()
    assert job.told("a")["local"] == 1 and not job.told("a")["away"]
    job.check()
    job.stop()


def test_a_line_that_is_cut_between_frames_is_opened_again(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), **SOME)
    warm(job, "a", "b")
    for number in range(10):
        job.wires.cut(random.Random(number).choice(["user-a", "user-b"]))
        until(job.stand, "both lines")
        job.come(a=[f"a{number}"], b=[f"b{number}"])
        job.frame()
    job.frame()
    told = job.told()
    assert told["arrived"] == 22 and told["sent"] == 20
    job.check()
    job.stop()


def test_lines_that_are_cut_at_any_time_lose_only_what_is_counted(tmp_path: Path) -> None:
    job, draw = Job(tmp_path, "ab", M=0.05), random.Random(5)
    for number in range(40):
        job.come(a=[f"a{number}"] * draw.choice([0, 2, 5]), b=[f"b{number}"] * draw.choice([0, 2]))
        if number % 3 == 0:
            job.wires.cut(draw.choice(["user-a", "user-b", "server"]))
        job.frame(settled=draw.random() < 0.3 and number % 3 != 0, flows=True)
        job.check()
    until(job.stand, "both lines")
    job.frame()
    job.frame()
    for packets in job.all_packets():
        assert job.told(packets.spec.name)["arrived"] == packets.totals.arrived
    job.stop()


def test_a_killed_user_is_planned_without_and_comes_back(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), **SOME)
    warm(job, "a", "b")
    job.come(a=["a1", "a2"], b=["b1"])
    job.frame()
    job.frame()
    before = job.told("b")
    assert before["sent"] == 1
    job.kill("user-b")
    job.come(a=["a3"])
    job.frame()
    job.frame()
    assert job.told("b") == {**before, "away": True}
    assert job.told("a")["sent"] == 3
    job.start("b")
    until(lambda: job.server._peers["b"].standing, "its line")
    job.frame()
    assert job.packets("b").queue == before["queue"], "it is told what it had"
    warm(job)
    job.come(b=["b2", "b3"])
    job.frame()
    job.frame()
    after = job.told("b")
    assert not after["away"]
    assert after["sent"] == 4, (
        "with the packet that its source began with again, which was asked for this time"
    )
    assert after["arrived"] == before["arrived"] + 3
    job.check()
    job.stop()


@pytest.mark.parametrize("learner", [Learner, NoLearner])
def test_a_killed_server_comes_back(tmp_path: Path, learner: type[Learner]) -> None:
    """With what was kept; and without it by what users know, of their queues and of all that they have counted."""
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), learner=learner(), **SOME)
    warm(job, "a", "b")
    job.come(a=["a1", "a2"], b=["b1"])
    job.frame()
    job.frame()
    before = job.told()
    job.kill("server")
    job.come(a=["a3"])
    frames = job.packets("a").totals.frames
    for passed in range(1, 4):
        job.clock.turn(1.3 * job.frame_s)
        until(
            lambda passed=passed: job.packets("a").totals.frames >= frames + passed, "frames without a server"
        )  # type: ignore[misc]
    job.start_server()
    until(lambda: job.server.told()["arrived"] >= before["arrived"] + 1, "reports")
    after = job.told()
    assert after["sent"] == before["sent"] and after["arrived"] == before["arrived"] + 1
    for name in "ab":
        assert after["users"][name]["queue"] == job.packets(name).queue > 0
    expected = before["frames"] + 1 if learner is Learner else 1
    assert after["frames"] == expected
    job.check()
    job.stop()


def test_work_that_raises_ends_its_stage_with_its_words(tmp_path: Path) -> None:
    job = Job(tmp_path, "a", users=all_of("a", **COMPUTE), **SOME)
    warm(job, "a")
    job.come(a=["bad"])
    job.frame(settled=False)
    stage = job.stages.pop("user-a")
    assert stage.stop.wait(30)
    stage.join()
    (error,) = stage.errors
    assert isinstance(error, StageError)
    assert str(error) == "work on a packet of user a raised ValueError: a bad packet"
    job.users.clear()
    job.stop()
