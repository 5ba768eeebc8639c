"""When jobs of frames end, what they leave, and what is said of them before they begin."""

from __future__ import annotations

import logging
from pathlib import Path

import frame_sources
import pytest
from frame_cases import COMPUTE, SEND, SOME, Job, all_of, until, warm
from frame_world import recipe_of

from edgeray.energy import DeclaredPower
from edgeray.frames import server as servers
from edgeray.frames import user as users

# Ends


def test_the_job_ends_after_its_frames(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), frames=5, **SOME)
    warm(job, "a", "b")
    job.come(a=["a1", "a2"])
    job.frame()
    job.come(a=["a3"])
    job.frame()
    job.clock.turn(job.frame_s)
    assert job.stages["server"].stop.wait(30), "the job does not end"
    assert job.told()["frames"] == 5
    assert job.told("a")["sent"] == 3, "the last frame's packets, too"
    assert job.learner.state == job.server._planner.state()
    job.check()
    job.stop()


def test_the_job_ends_when_no_packets_come(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), **SOME)
    warm(job, "a", "b")
    job.come(a=["a1"])
    job.come(a=None)
    job.frame()
    job.frame()
    assert not job.stages["server"].stop.is_set(), "b may still have some"
    job.come(b=None)
    job.frame()
    job.clock.turn(job.frame_s)
    assert job.stages["server"].stop.wait(30), "the job does not end"
    assert job.told("a")["sent"] == 1
    job.check()
    job.stop()


def test_a_source_ends_after_its_items(tmp_path: Path) -> None:
    source = {"run": "frame_sources:Scripted", "rate_per_s": None, "items": 3}
    job = Job(tmp_path, "a", users={"a": {**SEND, "source": source}}, **SOME)
    warm(job, "a")
    frame_sources.coming["a"].append(["a1", "a2", "too many"])
    until(lambda: job.packets("a").source_ended, "its end")
    job.frame()
    job.frame()
    assert job.told("a")["arrived"] == 3
    job.clock.turn(job.frame_s)
    assert job.stages["server"].stop.wait(30)
    job.stop()


def test_a_user_that_stays_away_does_not_keep_the_job_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(servers, "AWAY_S", 10.0)
    job = Job(tmp_path, "ab", users=all_of("ab", **SEND), **SOME)
    warm(job, "a", "b")
    job.kill("user-b")
    job.come(a=None)
    for _ in range(4):  # of 3 s each: it is 9 s that only b is missing
        job.frame()
    assert not job.stages["server"].stop.is_set()
    for _ in range(2):
        job.clock.turn(3.0)
    assert job.stages["server"].stop.wait(30)
    assert "ends without users that are away" in caplog.text
    job.stop()


def test_nothing_hangs_when_all_are_stopped_in_the_midst(tmp_path: Path) -> None:
    job = Job(tmp_path, "ab", M=0.01)
    warm(job)
    job.come(a=["a1"] * 50, b=["b1"] * 50)
    job.frame(settled=False)
    job.stop()


def test_nothing_hangs_where_nobody_is_connected(tmp_path: Path) -> None:
    job = Job(tmp_path, "a")
    job.kill("server")
    job.stop()


def test_nothing_hangs_where_users_never_come(tmp_path: Path) -> None:
    job = Job(tmp_path, "a")
    job.kill("user-a")
    job.kill("server")
    job.start_server()
    job.stop()


@pytest.mark.parametrize(("floor_bps", "warned"), [(5_000.0, True), (6_000.0, False)])
def test_a_floor_that_carries_no_report_is_said(
    floor_bps: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """500 bytes in a quarter of 3 s are 5333 bit/s."""
    servers.Server(recipe_of("a", floor_bps=floor_bps), "server", "djos")
    assert ("carry no report within 0.75 s" in caplog.text) == warned


# What is written


def test_work_writes_where_its_job_can_be_asked(tmp_path: Path) -> None:
    job = Job(
        tmp_path,
        "a",
        users=all_of("a", **COMPUTE),
        work={"run": "frame_sources:Written", "args": {"folder": "${OUTPUT_DIR}"}},
        **SOME,
    )
    warm(job, "a")
    job.come(a=["a1"])
    job.frame()
    job.stop()
    lines = (tmp_path / "user-a" / "results" / "packets.txt").read_text().split("\n")
    assert lines == ["a first", "a first", "a1", ""], "twice to be measured, and then its packets"


# What tells the energy


def test_a_sensor_is_read_where_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two users on one device each has half of what it says."""
    sensor = DeclaredPower(idle_w=0.0, local_w=1.0, send_w=0.0)
    monkeypatch.setattr(users, "find_meter", lambda: sensor)
    beside = {name: {**SEND, "task": "user-x", "device": "x"} for name in "ab"}
    job = Job(tmp_path, "ab", users=beside, meter="sensor", **SOME)
    sensor.computing(30.0)
    job.frame()
    job.frame()
    told = job.told()
    assert (told["users"]["a"]["energy_j"], told["energy_j"]) == (15.0, 30.0)
    assert told["meter"] == "declared / 2", "the sensor's own name"
    job.stop()


def test_a_sensor_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(users, "find_meter", lambda: None)
    job = Job(tmp_path, "a", users=all_of("a", **SEND), meter="sensor", **SOME)
    assert "a has no power sensor that can be read" in caplog.text
    job.frame()
    assert job.told()["meter"] == "declared"
    job.stop()
