"""The whole line on a real testbed: jobs run as planned, and faults are named and cleaned up after."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from testbed_session import REPO, Session, session_on, until

pytestmark = pytest.mark.testbed


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with session_on("cluster/testbed/three.yaml") as session:
        shutil.copytree(REPO / "apps" / "synthetic", session.root / "app")
        job = (session.root / "app" / "job.yaml").read_text()
        (session.root / "app" / "endless.yaml").write_text(
            job.replace("items: 500", "items: 1000000").replace("name: synthetic", "name: endless")
        )
        (session.root / "app" / "short.yaml").write_text(
            job.replace("items: 500", "items: 60").replace("name: synthetic", "name: short")
        )
        yield session


def submit_endless(session: Session, policy: str) -> str:
    job = session.run("submit", session.root / "app" / "endless.yaml", "--policy", policy, "--detach").strip()
    until(lambda: session.job(job)["items"] > 5, f"{job} delivers items")
    return job


def test_every_item_arrives_once_and_the_result_is_named(session: Session) -> None:
    view = session.json("submit", session.root / "app" / "short.yaml", "--policy", "otfa")
    assert view["phase"] == "done"
    assert view["items"] == 60
    [(device, files)] = view["results"].items()
    [(path, size)] = files.items()
    assert device == view["plan"]["placement"]["d"]
    assert Path(path).stat().st_size == size > 0


def test_a_route_of_two_hops_is_taken_at_its_rate(session: Session) -> None:
    job = submit_endless(session, "detour_policy:Detour")
    flow = session.job(job)["plan"]["flows"][0]
    assert flow["route"] == ["e4", "e2", "e1"]

    def sent(device: str, peer: str) -> float:
        sample = session.devices()[device]["sample"]
        return next(
            link["wire_bytes"] * 8 / sample["window_s"] for link in sample["links"] if link["peer"] == peer
        )

    until(lambda: sent("e2", "e1") > 0.8 * flow["rate_bps"], "the middle device forwards the flow")
    assert sent("e4", "e1") < 0.2 * flow["rate_bps"]
    assert sent("e2", "e1") < 1.2 * flow["rate_bps"]
    told = session.run("stop", job)
    assert "stopped" in told
    assert session.job(job)["phase"] == "stopped"


def test_a_task_that_raises_ends_the_job_by_name(session: Session) -> None:
    folder = session.root / "broken"
    folder.mkdir()
    (folder / "code.py").write_text(
        "def source():\n    yield from range(1000)\n\n\n"
        "def fail(x):\n    if x == 40:\n        raise ValueError('forty')\n    return x\n"
    )
    (folder / "job.yaml").write_text(
        "kind: dataflow\nname: broken\ntasks:\n  s: {device: e4, run: 'code:source', items_per_s: 50}\n"
        "  f: {inputs: {s: 1kB}, run: 'code:fail', work: 1MFLOP, memory: 1MB}\n"
    )
    # A module named code shadows Python's own: the app's folder goes first.
    process = session.start("submit", folder, "--policy", "otfa")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "task f raised ValueError on item 40: forty" in err
    assert "edgeray logs" in err


def test_a_task_that_takes_too_much_memory_is_told_so(session: Session) -> None:
    folder = session.root / "greedy"
    folder.mkdir()
    (folder / "hoard.py").write_text(
        "def source():\n    yield from range(1000)\n\n\n"
        "class Hoard:\n    def __init__(self):\n        self.kept = bytearray(b'x' * 1_500_000_000)\n\n"
        "    def __call__(self, x):\n        return x\n"
    )
    (folder / "job.yaml").write_text(
        "kind: dataflow\nname: greedy\ntasks:\n"
        "  s: {device: e4, run: 'hoard:source', work: 1FLOP, memory: 1MB}\n"
        "  h: {inputs: {s: 1kB}, run: 'hoard:Hoard', work: 1FLOP, memory: 1MB, device: e4}\n"
    )
    process = session.start("submit", folder, "--policy", "otfa")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "memory limit of e4 was reached" in err


def test_a_killed_stage_ends_its_job_by_name(session: Session) -> None:
    job = submit_endless(session, "otfa")
    device = session.job(job)["plan"]["placement"]["source"]
    pid = until(
        lambda: [s["pid"] for s in session.devices()[device]["sample"]["stages"] if s["job"] == job],
        "its pid",
    )[0]
    os.kill(pid, signal.SIGKILL)
    view = until(lambda: (v := session.job(job))["phase"] == "failed" and v, "the job has failed")
    assert "died" in view["detail"]
    assert device in view["detail"]
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")


def test_a_killed_node_ends_its_jobs_and_comes_back(session: Session) -> None:
    job = submit_endless(session, "otfa")
    [node] = session.processes("ray::NodeActor", "e4")
    node.kill()
    view = until(lambda: (v := session.job(job))["phase"] == "failed" and v, "the job has failed")
    assert "e4" in view["detail"]
    until(lambda: session.devices()["e4"]["joined"], "e4 is back")
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")


def test_a_killed_submitter_ends_its_job_after_its_lease(session: Session) -> None:
    process = session.start("submit", session.root / "app" / "endless.yaml", "--policy", "otfa")
    job = until(
        lambda: [v["job"] for v in session.json("jobs")["jobs"] if v["phase"] == "running"], "the job runs"
    )[0]
    process.kill()
    process.communicate(timeout=10)
    view = until(lambda: (v := session.job(job))["phase"] == "stopped" and v, "the job has ended", 90)
    assert "submitter has not been heard of" in view["detail"]


def test_a_killed_scheduler_comes_back_and_names_what_it_lost(session: Session) -> None:
    job = submit_endless(session, "otfa")
    [scheduler] = session.processes("ray::SchedulerActor")
    scheduler.kill()

    def back() -> bool:
        process = session.start("devices", "--json")
        out, _ = process.communicate(timeout=120)
        return process.returncode == 0 and all(d["joined"] for d in json.loads(out)["devices"])

    until(back, "the scheduler is back with all devices", 90)
    view = session.job(job)
    assert view["phase"] == "failed"
    assert "scheduler was killed" in view["detail"]
    until(lambda: not session.processes("ray::StageHost"), "no stage is left")
    assert session.json("submit", session.root / "app" / "short.yaml", "--policy", "otfa")["items"] == 60


def test_a_killed_raylet_ends_its_jobs_and_down_cleans_up(session: Session) -> None:
    """Last: what is left is a cluster with a hole; the fixture takes it down and finds nothing."""
    job = submit_endless(session, "otfa")
    [raylet] = [
        p
        for p in psutil.process_iter()
        if p.name() == "raylet" and _environment(p).get("EDGERAY_DEVICE_FILE", "").startswith(str(session.root))
        and _environment(p)["EDGERAY_DEVICE"] == "e4"
    ]  # fmt: skip
    raylet.kill()
    view = until(lambda: (v := session.job(job))["phase"] == "failed" and v, "the job has failed")
    assert "e4" in view["detail"]
    assert not session.devices()["e4"]["joined"]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
