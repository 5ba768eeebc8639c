"""Comparisons of cameras, and of jobs that decide while they run: told as a table, as sentences and as a page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgeray.node.measure import SinkWindow
from edgeray.scheduler.views import JobView, StreamView
from edgeray.telemetry.camera_records import CamerasComparison, CamerasRun, cameras_run
from edgeray.telemetry.online_records import OnlineComparison, OnlineRun, online_run
from edgeray.web.cameras import cameras_sentences, render_cameras_table, write_cameras_report
from edgeray.web.online import online_sentences, render_online_table, write_online_report

ABOUT: dict[str, Any] = {
    "cluster": "lab",
    "network": {},
    "seconds": 30.0,
    "started_at": "2026-01-01T00:00:00+00:00",
    "edgeray": "0.1.0",
    "emulation": "namespaces",
}


def job_view(policy: str, **changes: Any) -> JobView:
    values: dict[str, Any] = {
        **{
            "job": f"j-{policy}",
            "app": "<j>",
            "policy": policy,
            "phase": "running",
            "detail": "",
            "reasons": (),
        },
        **{"plan": {"bottleneck": "device hub"}, "submitted_s": 1.0, "started_s": 2.0, "ended_s": None},
        **{"waited_s": 0.0, "items": 5, "dropped": 0, "rate_per_s": 1.0},
        **{"latency_p50_s": 0.1, "latency_p95_s": 0.2},
    }
    return JobView(**{**values, **changes})


def text_of(table: Any) -> str:
    console = Console(width=200, record=True)
    console.print(table)
    return console.export_text()


# Cameras


def stream(camera: str, planned: float, dropped: int = 0, asked: int = 0) -> StreamView:
    return StreamView(
        camera=camera, device="n1", detect_on="n1", identify_on="hub", frames=100, dropped=dropped, fps=1.0,
        planned_fps=planned, planned_latency_s=0.05, latency_p50_s=0.2, latency_p95_s=0.4, people=2.0, asked=asked,
        moving=False,
    )  # fmt: skip


def window(items: int, rate: float | None) -> SinkWindow:
    return SinkWindow(items=items, rate_per_s=rate, latency_p50_s=0.3, latency_p95_s=0.5, latency_p99_s=0.6)


def watched(policy: str, gate: int, yard: int) -> CamerasRun:
    """Frames that were done in 10 s; 2 a second were planned of each camera."""
    view = job_view(policy, mode="cameras", streams=(stream("gate", 2.0, 7, 9), stream("yard", 2.0, 1, 4)))
    windows = {"gate": window(gate, None), "yard": window(yard, None)}
    return cameras_run(
        view,
        windows,
        {"gate": 5},
        {"gate": 3, "yard": 4},
        measured_s=10.0,
        planning_s=0.002,
        cpu={"hub": 0.5},
    )


def test_what_cameras_did_is_counted_over_the_measured_time() -> None:
    run = watched("jstsh", 30, 14)
    assert (run.fps_mean, run.fps_least, run.planned_fps) == (2.2, 1.4, 2.0)
    assert run.off_plan == pytest.approx(0.1)
    assert run.latency_s == 0.3
    assert [(row.dropped, row.asked) for row in run.streams] == [(2, 6), (1, 0)]


def test_a_camera_that_did_nothing_has_rate_0_and_a_job_that_did_not_run_has_no_numbers() -> None:
    view = job_view("nmno", mode="cameras", streams=(stream("gate", 2.0),))
    idle = cameras_run(view, {}, {}, {}, measured_s=10.0, planning_s=0.0, cpu={})
    assert (idle.fps_mean, idle.latency_s) == (0.0, None)
    failed = cameras_run(
        replace(view, phase="failed", detail="no memory"), {}, {}, {}, measured_s=0.0, planning_s=0.0, cpu={}
    )
    assert (failed.fps_mean, failed.failure) == (None, "no memory")


def cameras(*runs: CamerasRun) -> CamerasComparison:
    return CamerasComparison(app="<j>", runs=runs, notes=("a <note>",), **ABOUT)


def test_gains_over_the_baselines_stand_beside_the_papers(tmp_path: Path) -> None:
    told = cameras(
        watched("nmno", 10, 10),
        watched("wmno", 20, 20),
        watched("jstsh", 24, 16),
        watched("load-aware", 30, 30),
    )
    sentences = " ".join(cameras_sentences(told))
    assert (
        "jstsh's mean throughput is +100% over nmno and +0% over wmno (the paper: 14% to 36%)"
        in sentences.replace(" %", "%")
    )
    assert "nmno (-50%)" in sentences
    assert "load-aware" in text_of(render_cameras_table(told))
    path = write_cameras_report(told, tmp_path / "out")
    page = path.read_text()
    assert "a &lt;note&gt;" in page and "&lt;j&gt;" in page and "<j>" not in page
    kept = json.loads((path.parent / "comparison.json").read_text())
    assert [run["policy"] for run in kept["runs"]] == ["nmno", "wmno", "jstsh", "load-aware"]


# Jobs that decide while they run


def offloaded(policy: str, met: int, items: int = 100) -> OnlineRun:
    def told(items: int, met: int) -> dict[str, Any]:
        return {
            "policy": policy, "items": items, "met": met, "late": items - met, "refused": 0, "failed": 0, "lost": 0,
            "delivered": met, "regret_proxy": 0.1 * items, "decision_us_p50": 50.0,
            "helpers": {"n1": {"sent": items, "met": met, "late": items - met, "failed": 0, "lost": 0, "queue": 2,
                               "probability": 0.75, "away": False}},
        }  # fmt: skip

    view = job_view(policy, mode="offload")
    return online_run(view, told(10, 10), told(10 + items, 10 + met), measured_s=30.0, cpu={"n1": 0.9})


def test_deadlines_are_counted_from_when_measuring_began() -> None:
    run = offloaded("toof", 80)
    assert run.figures["met_rate"] == 0.8
    assert (run.figures["items"], run.figures["late"]) == (100, 20)
    assert run.figures["regret_proxy"] == pytest.approx(10.0)
    assert run.parts["n1"] == {
        "sent": 100, "met": 80, "late": 20, "failed": 0, "lost": 0, "queue": 2, "probability": 0.75, "away": False,
    }  # fmt: skip


def framed(policy: str, energy_j: float, infeasible: tuple[str, ...] = ()) -> OnlineRun:
    def told(frames: int, energy_j: float) -> dict[str, Any]:
        return {
            "policy": policy, "frames": frames, "arrived": 10 * frames, "sent": 6 * frames, "local": 3 * frames,
            "dropped": frames, "drop_rate": 0.1, "energy_j": energy_j, "energy_per_user_frame_j": 0.0,
            "meter": "declared power", "infeasible": list(infeasible),
            "users": {name: {"queue": 3.5, "arrived": 5 * frames, "sent": 3 * frames, "local": frames, "dropped": 1,
                             "energy_j": energy_j / 2, "slots": 2 * frames, "away": False} for name in ("u", "v")},
        }  # fmt: skip

    return online_run(
        job_view(policy, mode="frames"), told(0, 0.0), told(50, energy_j), measured_s=100.0, cpu={}
    )


def test_energy_is_a_users_and_a_frames() -> None:
    run = framed("djos", 200.0)
    assert run.figures["energy_per_user_frame_j"] == pytest.approx(2.0)
    assert run.figures["drop_rate"] == pytest.approx(0.1)
    assert run.figures["queue_most"] == 3.5


def online(kind: str, *runs: OnlineRun) -> OnlineComparison:
    return OnlineComparison(app="<j>", kind=kind, runs=runs, notes=("a <note>",), **ABOUT)


def test_a_job_that_never_said_a_word_did_not_run() -> None:
    run = online_run(
        job_view("toof", mode="offload", phase="failed", detail="no way"), None, None, measured_s=0.0, cpu={}
    )
    assert (run.failure, dict(run.figures)) == ("no way", {})
    told = online("offload", run, offloaded("hybrid", 90))
    assert "did not run: no way" in " ".join(online_sentences(told))
    assert "failed" in text_of(render_online_table(told))
    assert online_sentences(online("offload", run))[0] == "No policy got the job to run."


def test_the_most_deadlines_and_the_least_energy_are_named(tmp_path: Path) -> None:
    told = online("offload", offloaded("round-robin", 60), offloaded("hybrid", 91), offloaded("toof", 90))
    [first, *_] = online_sentences(told)
    assert first.startswith("hybrid and ") or "hybrid" in first
    assert "round-robin" not in first
    page = write_online_report(told, tmp_path / "a").read_text()
    assert "a &lt;note&gt;" in page and "<j>" not in page and "helper" in page
    energy = online("frames", framed("lfos", 400.0), framed("djos", 200.0, infeasible=("u",)))
    sentences = online_sentences(energy)
    assert "2 J a user and frame" in sentences[0].replace("2.00", "2") and "djos" in sentences[0].lower()
    assert any("2" in s and "times as much" in s and "lfos" in s.lower() for s in sentences)
    assert any("cannot be held for u" in s for s in sentences)
    page = write_online_report(energy, tmp_path / "b").read_text()
    assert "declared power" in page and "virtual queue" in page
    assert "lfos" in text_of(render_online_table(energy)).lower()
