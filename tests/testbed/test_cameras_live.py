"""Cameras on a real testbed: streams that move, processes that are killed, a device that is cut off."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from testbed_session import Session, namespace_of, session_on, until

from edgeray.profiler.store import cache_folder

pytestmark = [pytest.mark.testbed, pytest.mark.timeout(600)]

CAMERA = (
    "{{device: {device}, source: vtest.avi, fps: 10, repeat: true, size: [384, 288], frames: {frames}, "
    "shift: {shift}s}}"
)
JOB = """
kind: streams
name: {name}
cameras:
  left: {left}
  right: {right}
replan: {{settle: 3s}}
sync: 3s
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with session_on("cluster/testbed/three.yaml") as session:
        cache = session.root / "cache"  # its profiles are its own, the video and the models are everybody's
        cache.mkdir(exist_ok=True)
        for name in ("originals", "derived"):
            (cache / name).symlink_to(cache_folder() / name)
        yield session


def job_file(session: Session, name: str, frames: int) -> Path:
    """Two finite cameras, on the two devices that are not the head."""
    folder = session.root / name
    folder.mkdir()
    left = CAMERA.format(device="e2", frames=frames, shift=0)
    right = CAMERA.format(device="e4", frames=frames, shift=20)
    (folder / "job.yaml").write_text(JOB.format(name=name, left=left, right=right))
    return folder


def start(session: Session, folder: Path, policy: str) -> str:
    return session.run("submit", folder, "--policy", policy, "--detach").strip()


def frames_done(session: Session, job: str) -> dict[str, int]:
    return {row["camera"]: row["frames"] for row in session.job(job)["streams"]}


def until_frames(session: Session, job: str, camera: str, count: int) -> None:
    def enough() -> bool:
        view = session.job(job)
        assert view["phase"] not in ("failed", "stopped"), view["detail"]
        return any(row["camera"] == camera and row["frames"] >= count for row in view["streams"])

    until(enough, f"{count} frames of {camera}", 180)


def until_done(session: Session, job: str) -> dict[str, Any]:
    view: dict[str, Any] = until(
        lambda: (view := session.job(job))["phase"] in ("done", "failed", "stopped") and view, job, 300
    )
    assert view["phase"] == "done", view["detail"]
    return view


def archived(session: Session, job: str, question: str) -> list[tuple[Any, ...]]:
    [path] = session.root.rglob(f"{job}/streams/archive.sqlite")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as archive:
        return archive.execute(question).fetchall()


def assert_all_frames_once(session: Session, job: str, frames: int) -> None:
    counted = archived(
        session,
        job,
        "SELECT name, count(*), count(DISTINCT frame), min(frame), max(frame) FROM frames "
        "JOIN cameras ON cameras.id = camera GROUP BY name ORDER BY name",
    )
    assert counted == [(name, frames, frames, 0, frames - 1) for name in ("left", "right")]


def test_streams_that_move_lose_no_frame_and_their_people_keep_their_numbers(session: Session) -> None:
    frames = 260
    job = start(session, job_file(session, "shuttle", frames), "shuttle_policy:Shuttle")
    view = until_done(session, job)
    assert sum(row["frames"] for row in view["streams"]) == 2 * frames
    assert_all_frames_once(session, job, frames)
    story = session.json("logs", job)["story"]
    assert len([row for row in story if "mapped anew" in row["detail"]]) >= 2
    devices = archived(
        session,
        job,
        "SELECT cameras.name, count(DISTINCT sources.device) FROM frames JOIN cameras ON cameras.id = camera "
        "JOIN sources ON sources.id = source GROUP BY 1",
    )
    assert all(count >= 2 for _, count in devices), devices
    # A track that went over to another device is the same person there.
    persons = archived(
        session,
        job,
        "SELECT camera, track, count(DISTINCT person) FROM sightings WHERE person IS NOT NULL GROUP BY 1, 2",
    )
    assert persons
    assert [row for row in persons if row[2] != 1] == []
    # Each was asked about once.
    asked = archived(session, job, "SELECT camera, track, count(*) FROM identities GROUP BY 1, 2")
    assert asked
    assert sum(count for _, _, count in asked) == len(asked)


def test_a_killed_stage_comes_back_with_its_people(session: Session) -> None:
    frames = 200
    job = start(session, job_file(session, "killed", frames), "wmno")
    until_frames(session, job, "right", 40)
    [stage] = session.processes("ray::StageHost", "e4")
    stage.send_signal(signal.SIGKILL)
    until_done(session, job)
    assert_all_frames_once(session, job, frames)
    assert any("started again" in row["detail"] for row in session.json("logs", job)["story"])


def test_a_device_that_is_cut_off_loses_nothing(session: Session) -> None:
    """Long enough that the scheduler does without it; then it comes back with what it has seen."""
    frames = 220
    job = start(session, job_file(session, "cut", frames), "load-aware")
    until_frames(session, job, "right", 30)
    namespace = namespace_of(session, "e4")
    cut = ["ip", "-n", namespace, "rule"]
    subprocess.run([*cut, "add", "pref", "1", "blackhole"], check=True)
    try:
        until(lambda: not session.devices()["e4"]["joined"], "the loss of e4", 60)
        answer = session.json("query", job)
        assert not answer["complete"]
        assert [row["device"] for row in answer["missing"]] == ["e4"]
    finally:
        subprocess.run([*cut, "del", "pref", "1"], check=True)
    until(lambda: session.devices()["e4"]["joined"], "the return of e4", 150)
    until_done(session, job)
    assert_all_frames_once(session, job, frames)
    after = session.json("query", job)
    assert after["complete"] and after["missing"] == []
