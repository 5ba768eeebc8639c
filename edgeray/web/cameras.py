"""A comparison of jobs that watch cameras: as a table for the terminal, as sentences, and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry.camera_records import CamerasComparison, CamerasRun
from edgeray.telemetry.records import as_json
from edgeray.web.numbers import duration, figures, finite, percent, policy_label, quotient
from edgeray.web.page import environment
from edgeray.web.report import REPORT_NAME
from edgeray.web.summary import TELLABLE, listed

BASELINES = ("nmno", "wmno", "nmwo")
PAPER_GAIN = (0.14, 0.36)
"""What JSTSH (WMWO) gains in throughput over the baselines in Zhang 2024, sec. 5.5.3."""
PREDICTED_WITHIN = 0.15


def render_cameras_table(comparison: CamerasComparison) -> Table:
    """One row a policy: frames a second of a camera, measured and planned, the slowest one's; and latency."""
    table = Table(
        title=escape(
            f"{comparison.app} on {comparison.cluster}: frames/s a camera, {comparison.seconds:g} s each"
        ),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("policy", min_width=6)
    for heading in ("measured", "planned", "off", "slowest", "latency", "without queues", "planning"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = _ranked(comparison)[:1]
    for run in comparison.runs:
        if run.failure is not None:
            table.add_row(escape(policy_label(run.policy)), "[red]failed[/red]")
            continue
        table.add_row(
            escape(policy_label(run.policy)),
            figures(run.fps_mean),
            figures(run.planned_fps),
            percent(run.off_plan),
            figures(run.fps_least),
            duration(run.latency_s),
            duration(run.planned_latency_s),
            duration(run.planning_s),
            style="bold green" if run in best else None,
        )
    return table


def cameras_sentences(comparison: CamerasComparison) -> list[str]:
    """The summary, most important first; it claims no more than one run can show."""
    ranked = _ranked(comparison)
    if not ranked:
        return ["No policy got the cameras watched.", *_failures(comparison)]
    return [*_leaders(ranked), *_over_baselines(comparison), *_against_plan(ranked), *_failures(comparison)]


def write_cameras_report(comparison: CamerasComparison, folder: Path) -> Path:
    """Write the page and comparison.json into folder, made if need be, and return the path of its HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(finite(as_json(comparison)), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    most = max((run.fps_mean or 0.0 for run in comparison.runs), default=0.0)
    page = (
        environment()
        .get_template("cameras.html.j2")
        .render(
            comparison=comparison,
            sentences=cameras_sentences(comparison),
            best=_ranked(comparison)[:1],
            fill=lambda run: f"{100 * (run.fps_mean or 0.0) / most:.0f}" if most else "0",
        )
    )
    path = folder / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _ranked(comparison: CamerasComparison) -> list[CamerasRun]:
    """The runs that have numbers, the fastest first."""
    measured = [run for run in comparison.runs if run.fps_mean is not None]
    return sorted(measured, key=lambda run: -(run.fps_mean or 0.0))


def _leaders(ranked: list[CamerasRun]) -> Iterator[str]:
    for name, value in (
        ("has most frames a second of a camera on average", _mean),
        ("treats its slowest camera best", _least),
    ):
        top = max(ranked, key=value)
        peers = [run for run in ranked if value(run) >= value(top) * (1 - TELLABLE)]
        names = listed([policy_label(run.policy) for run in peers])
        if len(peers) > 1:
            yield f"{names} are within {percent(TELLABLE)} in what {name}: {figures(value(top))} frames/s."
        else:
            yield f"{names} {name}: {figures(value(top))} frames/s."


def _mean(run: CamerasRun) -> float:
    return run.fps_mean or 0.0


def _least(run: CamerasRun) -> float:
    return run.fps_least or 0.0


def _over_baselines(comparison: CamerasComparison) -> Iterator[str]:
    """Ours and JSTSH over each baseline, beside the paper's figures."""
    by_policy = {run.policy: run for run in comparison.runs if run.fps_mean is not None}
    for name in ("jstsh", "load-aware"):
        run = by_policy.get(name)
        others = [by_policy[base] for base in BASELINES if base in by_policy]
        if run is None or not others:
            continue
        gains = [
            f"{(quotient(_mean(run), _mean(other)) or 0) - 1:+.0%} over {policy_label(other.policy)}"
            for other in others
        ]
        beside = f" (the paper: {PAPER_GAIN[0]:.0%} to {PAPER_GAIN[1]:.0%})" if name == "jstsh" else ""
        yield f"{policy_label(name)}'s mean throughput is {listed(gains)}{beside}."


def _against_plan(ranked: list[CamerasRun]) -> Iterator[str]:
    off = [
        f"{policy_label(run.policy)} ({run.off_plan:+.0%})"
        for run in ranked
        if run.off_plan is not None and abs(run.off_plan) > PREDICTED_WITHIN
    ]
    if off:
        yield f"Measured throughput is more than {percent(PREDICTED_WITHIN)} off its prediction for {listed(off)}."
    else:
        worst = max((abs(run.off_plan) for run in ranked if run.off_plan is not None), default=0.0)
        yield f"Measured throughput meets its prediction within {percent(worst)} for every policy that ran."


def _failures(comparison: CamerasComparison) -> Iterator[str]:
    for run in comparison.runs:
        if run.failure is not None:
            yield f"{policy_label(run.policy)}: {run.job} did not run: {run.failure}"
