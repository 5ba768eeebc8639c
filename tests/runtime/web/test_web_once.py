"""A comparison of one-shot jobs: what the table, the sentences and the page say of it."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from web_examples import NETWORK

from edgeray.scheduler.views import JobView
from edgeray.telemetry.records import OnceComparison, OncePolicyRun, as_json
from edgeray.telemetry.runs import once_policy_run, once_run
from edgeray.web.once import once_sentences, render_once_table, write_once_report


def view(policy: str, makespan_s: float | None, planned_s: float = 10.0, **changes: Any) -> JobView:
    """A job that has ended; without a makespan it failed."""
    plan = {
        "makespan_s": planned_s,
        "bound_s": 8.0,
        "tasks": [{"task": "a", "device": "e1", "start_s": 0.0, "end_s": 4.0}],
        "flows": [
            {"from": "a", "to": "<b>", "route": ["e1", "e2"], "start_s": 4.0, "end_s": 5.0, "rate_bps": 1e6}
        ],
    }
    values: dict[str, Any] = {
        "job": f"poster-{policy}",
        "app": "poster",
        "policy": policy,
        "phase": "failed" if makespan_s is None else "done",
        "detail": "device e2 was lost" if makespan_s is None else "",
        "reasons": (),
        "plan": plan,
        "submitted_s": 0.0,
        "started_s": 1.0,
        "ended_s": 20.0,
        "waited_s": 0.0,
        "items": 0,
        "dropped": 0,
        "rate_per_s": 0.0,
        "latency_p50_s": None,
        "latency_p95_s": None,
        "mode": "once",
        "tasks_done": 2,
        "tasks_total": 2,
        "makespan_s": makespan_s,
    }
    return JobView(**{**values, **changes})


def run_of(policy: str, *makespans_s: float | None, planned_s: float = 10.0) -> OncePolicyRun:
    jobs = [once_run(view(policy, makespan_s, planned_s)) for makespan_s in makespans_s]
    return once_policy_run(policy, jobs, planning_s=0.02)


def comparison_of(*runs: OncePolicyRun) -> OnceComparison:
    return OnceComparison(
        app="poster",
        cluster="three",
        network=NETWORK,
        started_at="2026-01-02T03:04:05Z",
        edgeray="0.1.0",
        emulation="namespaces",
        runs=runs,
        notes=("once each",),
    )


def table(comparison: OnceComparison) -> str:
    console = Console(file=StringIO(), width=80)
    console.print(render_once_table(comparison))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_makespans_are_measured_and_means_over_all_jobs() -> None:
    run = run_of("heft", 9.0, 11.0)
    assert (run.makespan_mean_s, run.planned_mean_s, run.bound_mean_s) == (10, 10, 8)
    broken = run_of("heft", 9.0, None)
    assert broken.makespan_mean_s is None, "the mean of those that were done would flatter"
    assert broken.jobs[1].failure == "device e2 was lost"


def test_a_job_without_a_measurement_counts_as_failed() -> None:
    stopped = once_run(view("heft", None, phase="stopped", detail="stopped by its user"))
    assert stopped.makespan_s is None and stopped.failure == "stopped by its user"
    lost = once_run(view("heft", None, phase="done", detail=""))
    assert lost.makespan_s is None and lost.failure == "its makespan was not measured"


def test_the_soonest_leads_and_is_held_against_the_bound_and_the_plans() -> None:
    first, second = once_sentences(comparison_of(run_of("heft", 14.0), run_of("portfolio", 10.0)))
    assert (
        first == "portfolio finished soonest, in 10.0 s; that is 25 % above the lower bound on any schedule."
    )
    assert second == "The measured makespan is more than 10 % off its plan for HEFT (+40 %)."


def test_what_one_run_cannot_tell_apart_is_said_to_be_together() -> None:
    first, second = once_sentences(comparison_of(run_of("heft", 10.1), run_of("portfolio", 10.0)))
    assert first.startswith("portfolio and HEFT finish together, in 10.0 s")
    assert "meets its plan within 1 %" in second


def test_failures_are_named() -> None:
    told = once_sentences(comparison_of(run_of("heft", None), run_of("peft", None)))
    assert told[0] == "No policy got all jobs done."
    assert told[1] == "HEFT: poster-heft failed: device e2 was lost"


def test_table_fits_a_terminal() -> None:
    text = table(comparison_of(run_of("heft", 14.0), run_of("cpop", None), run_of("portfolio", 10.0)))
    assert max(map(len, text.splitlines())) <= 80
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "14.0 s" in rows["HEFT"] and "40 %" in rows["HEFT"] and "75 %" in rows["HEFT"]
    assert "1/1" in rows["CPoP"]


@pytest.mark.parametrize("runs", [(), (run_of("heft", None),), (run_of("heft", 9.0), run_of("peft", 9.5))])
def test_page_stands_alone_and_escapes_names(runs: tuple[OncePolicyRun, ...], tmp_path: Path) -> None:
    comparison = comparison_of(*runs)
    page = write_once_report(comparison, tmp_path).read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "poster on three" in page
    assert json.loads((tmp_path / "comparison.json").read_text()) == json.loads(
        json.dumps(as_json(comparison))
    )
    if runs:
        assert "a → &lt;b&gt;" in page and "e1 → e2" in page
