"""A comparison of one-shot jobs: as a table for the terminal, as sentences, and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry.records import OnceComparison, OncePolicyRun, as_json
from edgeray.web.numbers import duration, finite, percent, policy_label, quotient
from edgeray.web.page import environment
from edgeray.web.report import REPORT_NAME
from edgeray.web.summary import PLAN_TOLERANCE, TELLABLE, listed


def render_once_table(comparison: OnceComparison) -> Table:
    """One row a policy: mean makespan measured and planned, how far off the plan, and above the lower bound."""
    table = Table(
        title=escape(f"{comparison.app} on {comparison.cluster}: mean makespan of a job"),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("policy", min_width=6)
    for heading in ("measured", "plan", "off", "bound", "above", "planning", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = _ranked(comparison)[:1]
    for run in comparison.runs:
        failed = sum(job.failure is not None for job in run.jobs)
        table.add_row(
            escape(policy_label(run.policy)),
            duration(run.makespan_mean_s),
            duration(run.planned_mean_s),
            percent(off_plan(run)),
            duration(run.bound_mean_s),
            percent(above_bound(run)),
            duration(run.planning_s),
            f"[red]{failed}/{len(run.jobs)}[/red]" if failed else "0",
            style="bold green" if run in best else None,
        )
    return table


def off_plan(run: OncePolicyRun) -> float | None:
    """Measured over planned mean makespan, less 1."""
    return _less_one(quotient(run.makespan_mean_s, run.planned_mean_s))


def above_bound(run: OncePolicyRun) -> float | None:
    """Measured mean makespan over the mean of the lower bounds, less 1."""
    return _less_one(quotient(run.makespan_mean_s, run.bound_mean_s))


def _less_one(ratio: float | None) -> float | None:
    return None if ratio is None else ratio - 1


def once_sentences(comparison: OnceComparison) -> list[str]:
    """The summary, most important first; it claims no more than one run can show."""
    ranked = _ranked(comparison)
    if not ranked:
        return ["No policy got all jobs done.", *_failures(comparison)]
    return [_leader(ranked), *_against_plan(ranked), *_failures(comparison)]


def _ranked(comparison: OnceComparison) -> list[OncePolicyRun]:
    """The policies under which all jobs were done, the soonest first."""
    done = [run for run in comparison.runs if run.makespan_mean_s is not None]
    return sorted(done, key=lambda run: run.makespan_mean_s or 0.0)


def _leader(ranked: list[OncePolicyRun]) -> str:
    top = ranked[0]
    soonest_s = top.makespan_mean_s or 0.0
    peers = [run for run in ranked if (run.makespan_mean_s or 0.0) <= soonest_s * (1 + TELLABLE)]
    names = listed([policy_label(run.policy) for run in peers])
    text = f"{names} finished soonest, in {duration(soonest_s)}"
    if len(peers) > 1:
        text = f"{names} finish together, in {duration(soonest_s)}: one run does not tell {percent(TELLABLE)} apart"
    above = above_bound(top)
    return (
        f"{text}."
        if above is None
        else f"{text}; that is {percent(above)} above the lower bound on any schedule."
    )


def _against_plan(ranked: list[OncePolicyRun]) -> Iterator[str]:
    errors = [(run, error) for run in ranked if (error := off_plan(run)) is not None]
    off = [
        f"{policy_label(run.policy)} ({error * 100:+.0f} %)"
        for run, error in errors
        if abs(error) > PLAN_TOLERANCE
    ]
    if off:
        yield f"The measured makespan is more than {percent(PLAN_TOLERANCE)} off its plan for {listed(off)}."
    elif errors:
        worst = max(0.001, *(abs(error) for _, error in errors))
        yield f"The measured makespan meets its plan within {percent(worst)} for every policy that ran."


def _failures(comparison: OnceComparison) -> Iterator[str]:
    for run in comparison.runs:
        for job in run.jobs:
            if job.failure is not None:
                yield f"{policy_label(run.policy)}: {job.job} failed: {job.failure}"


def write_once_report(comparison: OnceComparison, folder: Path) -> Path:
    """Write the page and comparison.json into folder, made if need be, and return the path of its HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(finite(as_json(comparison)), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    longest_s = max((run.makespan_mean_s or 0.0 for run in comparison.runs), default=0.0)
    page = (
        environment()
        .get_template("once.html.j2")
        .render(
            comparison=comparison,
            sentences=once_sentences(comparison),
            best=_ranked(comparison)[:1],
            off_plan=off_plan,
            above_bound=above_bound,
            fill=lambda run: f"{100 * (run.makespan_mean_s or 0.0) / longest_s:.0f}" if longest_s else "0",
        )
    )
    path = folder / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path
