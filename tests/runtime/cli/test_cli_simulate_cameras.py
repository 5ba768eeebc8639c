"""`edgeray simulate` of cameras, from measurements that are made up and stored as a profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import CLUSTER, FIG32, edgeray

from edgeray.client import fingerprint
from edgeray.errors import BadInputError
from edgeray.profiler import ProfileStore
from edgeray.profiler.measure import TaskMeasurement
from edgeray.spec import load_cluster, load_on
from policies.model import CameraId, TaskId
from policies.streams.reading import step

JOB = """
kind: streams
name: doors
cameras:
  north: {device: n1, source: vtest.avi, fps: 10}
  south: {device: p1, source: "rtsp://camera/", fps: 10, buffer: 3}
detect: {memory: 100MB}
identify: {memory: 100MB}
"""
LAB = """
head: box
devices:
  box: {type: server, memory: 4GB}
  hub: {type: switch, memory: 1GB}
  n1: {type: nano, memory: 2GB}
  p1: {type: pi, memory: 1GB}
links:
  - {ends: [box, hub], capacity: 10Mbps}
  - {ends: [hub, n1], capacity: 10Mbps}
  - {ends: [hub, p1], capacity: 10Mbps}
"""
SLOWER = {"server": 1.0, "nano": 4.0, "pi": 20.0}
SECONDS = {"camera": 0.001, "encode": 0.001, "decode": 0.001, "detect": 0.02, "identify": 0.04}
BYTES = {"encode": 20_000.0, "detect": 5_000.0}
POLICIES = "nmno,wmno,nmwo,jstsh,load-aware"

Simulate = Callable[..., dict[str, Any]]


def measured(kind: str, camera: str, name: str) -> TaskMeasurement:
    seconds = SECONDS[name] * SLOWER[kind]
    return TaskMeasurement(
        task=step(name, camera),
        seconds_mean=seconds,
        seconds_median=seconds,
        seconds_p95=seconds,
        output_bytes=BYTES.get(name, 0.0),
        transfer_seconds=0.0,
        memory_bytes=1e8,
        items=20,
    )


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job and a cluster; nothing is measured."""
    monkeypatch.setenv("EDGERAY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "job.yaml").write_text(JOB)
    (tmp_path / "lab.yaml").write_text(LAB)
    return tmp_path


@pytest.fixture
def folder(bare: Path) -> Path:
    cluster = load_cluster(bare / "lab.yaml")
    name = fingerprint(load_on(bare / "app", cluster))
    for device in cluster.network.devices.values():
        if device.type in SLOWER:
            rows: dict[TaskId, TaskMeasurement] = {
                step(each, camera): measured(device.type, camera, each)
                for camera in ("north", "south")
                for each in SECONDS
            }
            ProfileStore().put(name, device, rows)
    return bare


@pytest.fixture
def simulate(folder: Path) -> Simulate:
    def simulated(*args: object) -> dict[str, Any]:
        asked = ("simulate", folder / "app", "--cluster", folder / "lab.yaml", *args, "--json")
        told: dict[str, Any] = json.loads(edgeray(*asked, state=folder).stdout)
        return told

    return simulated


def test_json_of_all_policies(simulate: Simulate, folder: Path) -> None:
    told = simulate("--policies", POLICIES, "--seconds", 60)
    assert told["scenario"] == {
        "job": "doors",
        "cluster": str(folder / "lab.yaml"),
        "seconds": 60.0,
        "people": None,
    }
    assert [run["policy"] for run in told["runs"]] == POLICIES.split(",")
    for run in told["runs"]:
        assert run["feasible"] is True
        assert run["fps_mean"] == pytest.approx(sum(row["fps"] for row in run["streams"]) / 2)
        assert run["fps_least"] == min(row["fps"] for row in run["streams"])
        assert run["fps_mean"] == pytest.approx(run["planned_fps"], rel=0.1)
        assert 0 < run["latency_s"] <= run["latency_p95_s"] * 2
    best = told["runs"][-1]
    assert best["fps_least"] == pytest.approx(10, rel=0.02)  # the box has time for both cameras
    wmno = next(run for run in told["runs"] if run["policy"] == "wmno")
    assert wmno["fps_least"] < 5  # the pi watches its own


def test_a_file_says_how_many_people_there_are(simulate: Simulate, folder: Path) -> None:
    """The box tells a person in 40 ms: with three in every frame both cameras cannot have 10 frames/s any more."""
    file = folder / "people.csv"
    file.write_text("seconds,camera,people\n20,north,3\n20,south,3\n")
    quiet = simulate("--policy", "jstsh", "--seconds", 60)["runs"][0]
    busy = simulate("--policy", "jstsh", "--seconds", 60, "--people", file)
    assert busy["scenario"]["people"] == str(file)
    assert busy["runs"][0]["fps_mean"] < 0.8 * quiet["fps_mean"]


def test_tables(folder: Path) -> None:
    asked = ("simulate", folder / "app", "--cluster", folder / "lab.yaml", "--seconds", 30)
    side_by_side = edgeray(*asked, "--policies", POLICIES, state=folder).stdout
    assert "doors on lab, 30 virtual s" in side_by_side
    assert all(name in side_by_side for name in POLICIES.split(","))
    alone = edgeray(*asked, "--policy", "wmno", state=folder).stdout
    assert all(word in alone for word in ("north", "south", "by wmno", "identify"))


def test_how_cameras_feed_is_what_the_job_says(folder: Path) -> None:
    from edgeray.cli.simulate_cameras import feeding

    told = feeding(load_on(folder / "app", load_cluster(folder / "lab.yaml")))
    assert told[CameraId("north")].waits
    assert not told[CameraId("south")].waits and told[CameraId("south")].buffer == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the first line is missing"),
        ("when,who,what\n", "the first line is when,who,what"),
        ("seconds,camera,people\n5,west,1\n", "names none of the cameras north, south"),
        ("seconds,camera,people\n5,north,many\n", "no time and number of people"),
        ("seconds,camera,people\n-5,north,1\n", "no time and number of people"),
        ("seconds,camera,people\n5,north,nan\n", "no time and number of people"),
    ],
)
def test_a_wrong_file_of_people(tmp_path: Path, text: str, told: str) -> None:
    from edgeray.cli.simulate_cameras import scripted

    file = tmp_path / "people.csv"
    file.write_text(text)
    with pytest.raises(BadInputError, match=told):
        scripted(file, {CameraId("north"): 0.1, CameraId("south"): 0.1})


def test_people_hold_from_their_second_on(tmp_path: Path) -> None:
    from edgeray.cli.simulate_cameras import scripted

    file = tmp_path / "people.csv"
    file.write_text("seconds,camera,people\n20,north,0.5\n10,north,2\n")
    people = scripted(file, {CameraId("north"): 0.1, CameraId("south"): 0.2})
    assert [people(CameraId("north"), at_s) for at_s in (0, 9.9, 10, 19, 20, 1e6)] == [
        0.1,
        0.1,
        2,
        2,
        0.5,
        0.5,
    ]
    assert people(CameraId("south"), 50) == 0.2


def test_what_is_not_measured_says_how_to(bare: Path) -> None:
    done = edgeray("simulate", bare / "app", "--cluster", bare / "lab.yaml", state=bare, code=1)
    assert "nothing is measured yet" in done.stderr and "edgeray profile" in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--rounds", 3), "--rounds: not for jobs that watch cameras"),
        (("--items", 3, "--link", "a-b=1Mbps@3s"), "--items, --link: not for jobs that watch cameras"),
        (("--policy", "joint"), "is for streams, not for cameras"),
        (("--seconds", 4), "more seconds than it takes to warm up"),
        ((FIG32,), "a job that watches cameras alone"),
    ],
)
def test_options_of_other_kinds_are_refused(folder: Path, args: tuple[object, ...], told: str) -> None:
    asked = ("simulate", folder / "app", "--cluster", folder / "lab.yaml", *args)
    assert told in edgeray(*asked, state=folder, code=2).stderr


def test_people_are_for_cameras_only(tmp_path: Path) -> None:
    asked = ("simulate", FIG32, "--cluster", CLUSTER, "--people", "people.csv", "--seconds", 5)
    assert "--people: for jobs that watch cameras" in edgeray(*asked, state=tmp_path, code=2).stderr
