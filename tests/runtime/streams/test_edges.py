"""Edges that work together: every frame once, everybody known once, and an end at which all is in the archive."""

from __future__ import annotations

import random
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import pytest
import square_people
from edge_cases import Together, camera, join, mapped, until

from edgeray.errors import StageError
from edgeray.streams import edge as edges
from edgeray.streams import head as heads
from policies.model import CameraId

FRAMES = list(range(240))
EVERYBODY = {1: {1}, 2: {2}, 3: {3}}
"""By track, who it is: red, green and blue come in this order."""


@pytest.fixture(autouse=True)
def _quick(quick_edges: None) -> None:
    """Nobody waits a second for a tick."""


def check_all(job: Together, *cameras: str) -> None:
    """Every frame was done once, and each track was told once who it is."""
    for name in cameras:
        assert job.frames(name) == FRAMES
        assert job.persons(name) == EVERYBODY
        # Somebody is followed from the third sight on; red is there throughout, the others as long as they walk.
        seen = job.tracks(name)
        assert seen.keys() == {1, 2, 3}
        assert seen[1] >= 236 and seen[2] >= 116 and seen[3] >= 136


def test_one_camera_on_its_own_device(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("a", street_film)}, mapped(0, gate="aa"))
    job.wait_for_the_end()
    check_all(job, "gate")
    assert job.count("identify", "gate") == 3, "asked about once each"
    assert job.count("people", "gate") == sum(job.tracks("gate").values())


def test_read_here_detected_there_identified_elsewhere(tmp_path: Path, street_film: Path) -> None:
    """And a second camera the other way round; both see the same three people."""
    cameras = {"gate": camera("b", street_film), "yard": camera("c", street_film)}
    job = Together(tmp_path, cameras, mapped(0, gate="ca", yard="bc"))
    job.wait_for_the_end()
    check_all(job, "gate", "yard")
    assert job.edges["c"].rows().keys() >= {"detect/gate", "identify/yard", "camera/yard"}
    assert (job.count("identify", "gate"), job.count("identify", "yard")) == (3, 3)
    where = {device: {f for (f,) in job.stored(device, "SELECT count(*) FROM frames")} for device in "abc"}
    assert where == {"a": {0}, "b": {240}, "c": {240}}, "each has stored what it has detected"


def test_a_stream_that_moves_to_and_fro_loses_nothing_and_nobody(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="bb"))
    feed = job.edges["b"]._feeds[CameraId("gate")]
    for turn, where in zip(range(1, 12), cycle(["ca", "ab", "cc", "bb", "bc"]), strict=False):
        until(lambda turn=turn: job.done("gate") >= 15 * turn, "frames")  # type: ignore[misc]
        job.map(turn, gate=where)
        until(lambda turn=turn: feed.moves == _moves(turn), "the move")  # type: ignore[misc]
    job.wait_for_the_end()
    check_all(job, "gate")
    assert job.count("identify", "gate") == 3, "who is known need not be asked about where it moves to"


def _moves(turn: int) -> int:
    """Of bb, ca, ab, cc, bb, bc, ca, ...: from bb to bc the detector stays."""
    return turn - turn // 5


def test_mappings_change_faster_than_streams_move(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="bb"))
    draw = random.Random(7)
    decided = 0
    while not job.stages["a"].stop.is_set() and decided < 100_000:
        decided += 1
        job.map(decided, gate=draw.choice("abc") + draw.choice("abc"))
        job.stages["a"].stop.wait(draw.choice([0.0, 0.001, 0.01]))
    job.wait_for_the_end()
    check_all(job, "gate")


def test_a_mapping_that_comes_late_counts_for_nothing(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="bb"))
    job.map(5, gate="cc")
    job.map(4, gate="aa")
    job.wait_for_the_end()
    check_all(job, "gate")
    assert job.stored("a", "SELECT count(*) FROM frames") == [(0,)]


@pytest.mark.parametrize("seed", range(3))
def test_cut_connections_lose_nothing(tmp_path: Path, street_film: Path, seed: int) -> None:
    cameras = {"gate": camera("b", street_film), "yard": camera("c", street_film)}
    job = Together(tmp_path, cameras, mapped(0, gate="ca", yard="bc"))
    draw, cuts = random.Random(seed), 0
    while not job.stages["a"].stop.is_set() and cuts < 60:
        before = job.done("gate") + job.done("yard")
        until(lambda before=before: job.done("gate") + job.done("yard") > before + 4 or _over(job), "frames")  # type: ignore[misc]
        job.lines.cut(*draw.sample("abc", 2))
        cuts += 1
        if cuts % 9 == 0:
            job.map(
                cuts,
                gate=draw.choice("abc") + draw.choice("abc"),
                yard=draw.choice("abc") + draw.choice("abc"),
            )
    job.wait_for_the_end()
    assert cuts > 20
    check_all(job, "gate", "yard")


def _over(job: Together) -> bool:
    return job.stages["a"].stop.is_set() or job.done("gate") + job.done("yard") >= 2 * len(FRAMES)


# Edges that are killed


@pytest.mark.parametrize("pair", ["ca", "cc"])
def test_a_killed_detector_is_begun_again_where_it_was(tmp_path: Path, street_film: Path, pair: str) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate=pair))
    for many in (50, 80):
        until(lambda many=many: job.done("gate") >= many, "frames")  # type: ignore[misc]
        job.kill("c")
        job.start("c")
    job.wait_for_the_end()
    _check_after_a_kill(job, "gate")
    assert job.frames("gate") == FRAMES  # none twice


def test_a_killed_detector_is_replaced_by_another(tmp_path: Path, street_film: Path) -> None:
    """The camera does not wait for an answer for long: nobody is connected."""
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="cc"))
    until(lambda: job.done("gate") >= 60, "frames")
    job.kill("c")
    job.map(1, gate="aa")
    until(lambda: job.done("gate") >= 60, "frames elsewhere")
    job.start("c")
    job.wait_for_the_end()
    _check_after_a_kill(job, "gate")


def _check_after_a_kill(job: Together, name: str) -> None:
    """A camera keeps its frames until what they gave is on the detector's disk; everybody keeps his number."""
    assert sorted(set(job.frames(name))) == FRAMES
    assert job.tracks(name).keys() == {1, 2, 3}
    assert job.persons(name) == EVERYBODY


def test_a_killed_camera_goes_on_with_its_next_frame(tmp_path: Path, street_film: Path) -> None:
    """Its detector, which lives on, may do some frames again, those behind its last state, and stores them once."""
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="ca"))
    until(lambda: job.done("gate") >= 80, "frames")
    job.kill("b")
    job.start("b")
    job.wait_for_the_end()
    assert job.frames("gate") == FRAMES
    assert job.persons("gate") == EVERYBODY
    assert job.tracks("gate").keys() == {1, 2, 3}


def test_a_head_that_is_begun_again_knows_everybody(tmp_path: Path, street_film: Path) -> None:
    """Two of the three were seen before it is killed, and it is told of the second camera's only after that."""
    cameras = {"gate": camera("b", street_film), "yard": camera("c", street_film)}
    job = Together(tmp_path, cameras, mapped(0, gate="bb", yard="cb"))
    until(lambda: job.count("identify", "gate") >= 2 and job.done("gate") >= 60, "people")
    job.kill("a")
    job.start("a")
    job.wait_for_the_end()
    check_all(job, "gate", "yard")


# Ends


def test_cameras_end_when_they_end_and_the_job_with_the_last(tmp_path: Path, street_film: Path) -> None:
    cameras = {
        "gate": camera("b", street_film, frames=60),
        "yard": camera("c", street_film),
    }
    job = Together(tmp_path, cameras, mapped(0, gate="bb", yard="ac"))
    until(lambda: job.edges["b"]._feeds[CameraId("gate")]._ended, "the first camera's end")
    assert job.done("gate") == 60
    assert not job.stages["a"].stop.is_set()
    job.wait_for_the_end()
    check_all(job, "yard")
    assert job.frames("gate") == FRAMES[:60]


def test_the_job_ends_without_a_camera_that_is_no_longer_watched(
    tmp_path: Path, street_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its device is gone for good; neither it nor what it had stored is waited for for long."""
    monkeypatch.setattr(edges, "FINISH_TIMEOUT_S", 0.3)
    monkeypatch.setattr(heads, "AWAY_S", 0.3)
    cameras = {"gate": camera("b", street_film), "yard": camera("c", street_film)}
    job = Together(tmp_path, cameras, mapped(0, gate="bb", yard="cc"))
    until(lambda: job.done("yard") >= 30, "frames")
    job.kill("c")
    job.map(1, gate="bb")
    job.wait_for_the_end()
    check_all(job, "gate")


def test_a_camera_that_is_away_for_a_while_is_waited_for(tmp_path: Path, street_film: Path) -> None:
    cameras = {"gate": camera("b", street_film), "yard": camera("c", street_film)}
    job = Together(tmp_path, cameras, mapped(0, gate="bb", yard="aa"))
    until(lambda: job.done("yard") >= 30, "frames")
    job.kill("c")
    job.map(1, gate="bb")
    until(lambda: job.edges["b"]._feeds[CameraId("gate")]._ended, "the other camera's end")
    assert not job.stages["a"].stop.is_set()
    job.start("c")
    job.map(2, gate="bb", yard="aa")
    job.wait_for_the_end()
    check_all(job, "gate")
    assert sorted(set(job.frames("yard"))) == FRAMES
    assert job.persons("yard") == EVERYBODY


def test_nothing_hangs_when_all_are_stopped_in_the_midst(tmp_path: Path, street_film: Path) -> None:
    cameras = {"gate": camera("b", street_film), "yard": camera("c", street_film)}
    job = Together(tmp_path, cameras, mapped(0, gate="ca", yard="bc"))
    until(lambda: job.done("gate") >= 20 and job.done("yard") >= 20, "frames")
    job.map(1, gate="ac", yard="ab")
    job.stop()
    assert not [error for stage in job.all_stages for error in stage.errors]


def test_nothing_hangs_where_nobody_is_connected(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="cc"))
    until(lambda: job.done("gate") >= 10, "frames")
    job.kill("c")
    job.stop()


def test_code_that_raises_ends_its_stage_with_its_words(tmp_path: Path, street_film: Path) -> None:
    job = Together(
        tmp_path,
        {"gate": camera("b", street_film)},
        mapped(0, gate="bb"),
        detect={"run": "square_people:Broken", "args": {}},
    )
    stage = job.stages["b"]
    assert stage.stop.wait(30)
    join(stage)
    (error,) = stage.errors
    assert isinstance(error, StageError)
    assert str(error) == "detect of camera gate raised ValueError on frame 0: a picture of 128 columns"
    job.stop()


# Frames that are left out


def test_the_oldest_frames_go_when_a_detector_is_slow(
    tmp_path: Path, street_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits before its first frame until some were left out; those that are left have numbers without a gap."""
    monkeypatch.setattr(square_people, "may_detect", square_people.Gate())
    cameras = {"gate": camera("b", street_film, reliable=False, buffer=2)}
    job = Together(
        tmp_path, cameras, mapped(0, gate="bb"), detect={"run": "square_people:detect_at_a_gate", "args": {}}
    )
    feed = job.edges["b"]._feeds[CameraId("gate")]
    until(lambda: feed.counters.dropped >= 20, "frames that are left out")
    square_people.may_detect.set()
    job.wait_for_the_end()
    frames = job.frames("gate")
    assert frames == list(range(len(frames)))
    assert feed.counters.dropped + len(frames) == feed.counters.items == len(FRAMES)


# What is shown


def test_the_last_picture_is_shown_with_who_is_on_it(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="ca"))
    until(lambda: 1 in (_persons(job) or []), "a picture with somebody who is known")
    view = job.edges["c"].view(CameraId("gate"))
    assert view is not None
    picture = cv2.imdecode(np.frombuffer(view["jpeg"], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (view["height"], view["width"], 3) == (96, 128, 3)
    left, top, right, bottom = view["boxes"][view["persons"].index(1)]
    inside = picture[round(top) + 4 : round(bottom) - 4, round(left) + 4 : round(right) - 4]
    assert inside[:, :, 2].mean() > 200 > 100 > inside[:, :, 1].mean(), "red is the first that was seen"
    assert job.edges["b"].view(CameraId("gate")) is None
    job.wait_for_the_end()


def _persons(job: Together) -> list[int | None] | None:
    view = job.edges["c"].view(CameraId("gate"))
    return None if view is None else view["persons"]


def test_windows_count_what_was_done_between_two_times(tmp_path: Path, street_film: Path) -> None:
    job = Together(tmp_path, {"gate": camera("b", street_film)}, mapped(0, gate="ca"))
    job.wait_for_the_end()
    windows = [edge.windows(0, 1e12) for edge in job.edges.values()]
    assert {task: w.items for each in windows for task, w in each.items()} == {"detect/gate": len(FRAMES)}
