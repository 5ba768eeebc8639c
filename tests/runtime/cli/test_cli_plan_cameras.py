"""`edgeray plan` of cameras from measurements that are made up here and stored; and job files of cameras on their way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import ROOT, edgeray

from edgeray.client import fingerprint
from edgeray.errors import BadInputError, SpecError
from edgeray.loading import read_job_files
from edgeray.profiler import ProfileStore
from edgeray.profiler.measure import TaskMeasurement
from edgeray.spec import load_cluster, load_on
from policies.model import TaskId
from policies.registry import CAMERA_POLICIES
from policies.streams.reading import step

JOB = """
kind: streams
name: doors
cameras:
  north: {device: n1, source: vtest.avi, fps: 10}
  south: {device: p1, source: vtest.avi, fps: 10}
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
"""How many times as long a frame takes."""
SECONDS = {"camera": 0.001, "encode": 0.001, "decode": 0.001, "detect": 0.02, "identify": 0.04}
BYTES = {"encode": 20_000.0, "detect": 5_000.0}

Plan = Callable[..., dict[str, Any]]


def rows(kind: str) -> dict[TaskId, TaskMeasurement]:
    found = {}
    for camera in ("north", "south"):
        for name, took_s in SECONDS.items():
            seconds = took_s * SLOWER[kind]
            found[step(name, camera)] = TaskMeasurement(
                task=step(name, camera),
                seconds_mean=seconds,
                seconds_median=seconds,
                seconds_p95=seconds,
                output_bytes=BYTES.get(name, 0.0),
                transfer_seconds=0.0,
                memory_bytes=1e8,
                items=20,
            )
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERAY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "job.yaml").write_text(JOB)
    (tmp_path / "lab.yaml").write_text(LAB)
    return tmp_path


@pytest.fixture
def measured(folder: Path) -> None:
    cluster = load_cluster(folder / "lab.yaml")
    name = fingerprint(load_on(folder / "app", cluster))
    for device in cluster.network.devices.values():
        if device.type in SLOWER:
            ProfileStore().put(name, device, rows(device.type))


@pytest.fixture
def plan(folder: Path) -> Plan:
    def planned(*args: object) -> dict[str, Any]:
        done = edgeray(
            "plan", folder / "app", "--cluster", folder / "lab.yaml", *args, "--json", state=folder
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return planned


@pytest.mark.parametrize("name", CAMERA_POLICIES)
def test_json_of_each_policy(plan: Plan, measured: None, name: str) -> None:
    told = plan("--policy", name)
    assert (told["policy"], told["feasible"], told["reasons"]) == (name, True, [])
    [job] = told["jobs"]
    assert (job["name"], job["mode"]) == ("doors", "cameras")
    assert job["placement"] == {f"edge-{device}": device for device in ("box", "n1", "p1")}
    streams = job["mapped"]["streams"]
    assert {camera: row["device"] for camera, row in streams.items()} == {"north": "n1", "south": "p1"}
    for row in streams.values():
        assert {row["detect_on"], row["identify_on"]} <= {"box", "n1", "p1"}
        assert 0 < row["items_per_s"] <= 10 and row["latency_s"] > 0
    mean = sum(row["items_per_s"] for row in streams.values()) / 2
    assert job["throughput_per_s"] == pytest.approx(mean)
    assert len(job["flows"]) == 6 and all(flow["rate_bps"] > 0 for flow in job["flows"])


def test_a_pi_is_relieved(plan: Plan, measured: None) -> None:
    told = plan()
    assert told["policy"] == "load-aware"
    [job] = told["jobs"]
    assert job["mapped"]["streams"]["south"]["detect_on"] == "box", (
        "a frame takes the Pi 0.4 s, the box 0.02 s"
    )


def test_a_person_sees_a_table(folder: Path, measured: None) -> None:
    shown = edgeray("plan", folder / "app", "--cluster", folder / "lab.yaml", state=folder).stdout
    assert "doors by load-aware" in shown and "frames/s a camera on average" in shown
    assert [line.split("│")[1].strip() for line in shown.splitlines() if "│" in line] == ["north", "south"]


def test_what_was_not_measured_cannot_be_planned(folder: Path) -> None:
    done = edgeray("plan", folder / "app", "--cluster", folder / "lab.yaml", state=folder, code=1)
    assert "nothing is measured yet of how long its cameras' frames take" in done.stderr
    assert f"edgeray profile {folder / 'app'}" in done.stderr and "declare" not in done.stderr


def test_policies_of_other_jobs_are_refused(folder: Path) -> None:
    where = ("plan", folder / "app", "--cluster", folder / "lab.yaml")
    done = edgeray(*where, "--policy", "joint", state=folder, code=2)
    assert "'joint' is for streams, not for cameras (kind: streams); expected one of nmno" in done.stderr
    done = edgeray(*where, "apps/synthetic", state=folder, code=2)
    assert "job.yaml watches cameras (kind: streams) and" in done.stderr


def test_cameras_are_checked_before_the_cluster_is_asked(folder: Path) -> None:
    files = read_job_files([folder / "app"])
    assert (files.mode, files.folder, files.resume) == ("cameras", folder / "app", None)
    with pytest.raises(BadInputError, match=r"watches cameras \(kind: streams\) and .*synthetic has tasks"):
        read_job_files([folder / "app", ROOT / "apps" / "synthetic"])
    with pytest.raises(BadInputError, match="does not train a model"):
        read_job_files([folder / "app"], resume="reid-1")
    (folder / "app" / "job.yaml").write_text(JOB.replace("vtest.avi", "vtset.avi"))
    with pytest.raises(SpecError, match=r"did you mean 'vtest\.avi'"):
        read_job_files([folder / "app"])


def test_declared_numbers_cannot_run(folder: Path) -> None:
    (folder / "app" / "job.yaml").write_text("kind: streams\ndeclared: {PS: [1]}\n")
    done = edgeray("submit", folder / "app", state=folder, code=2)
    assert "planned, but not run" in done.stderr


def test_options_of_other_jobs_are_refused(folder: Path) -> None:
    done = edgeray("compare", folder / "app", "--sources", "n1", state=folder, code=2)
    assert "--sources n1: cameras stay where they are" in done.stderr
    done = edgeray("compare", folder / "app", "--rounds", 3, state=folder, code=2)
    assert "only training" in done.stderr
    done = edgeray("compare", folder / "app", "--policies", "jstsh,edgesplit", state=folder, code=2)
    assert "'edgesplit' is for split training" in done.stderr
