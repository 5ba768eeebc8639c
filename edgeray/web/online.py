"""A comparison of jobs that decide while they run: as a table for the terminal, as sentences, and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry.online_records import OnlineComparison, OnlineRun
from edgeray.telemetry.records import as_json
from edgeray.web.numbers import figures, finite, percent, policy_label, quotient
from edgeray.web.page import environment
from edgeray.web.report import REPORT_NAME
from edgeray.web.summary import TELLABLE, listed

Column = tuple[str, str, Callable[[Any], str]]


def _count(value: Any) -> str:
    return "–" if value is None else f"{value:,.0f}"


_RUNS: dict[str, tuple[Column, ...]] = {
    "offload": (
        ("met", "met_rate", percent),
        ("items", "items", _count),
        ("late", "late", _count),
        ("refused", "refused", _count),
        ("failed", "failed", _count),
        ("lost", "lost", _count),
        ("regret proxy", "regret_proxy", figures),
        ("µs a decision", "decision_us_p50", figures),
    ),
    "frames": (
        ("J a user and frame", "energy_per_user_frame_j", figures),
        ("dropped", "drop_rate", percent),
        ("frames", "frames", _count),
        ("packets", "arrived", _count),
        ("sent", "sent", _count),
        ("local", "local", _count),
        ("longest queue", "queue_most", figures),
    ),
}
_PARTS: dict[str, tuple[Column, ...]] = {
    "offload": (
        ("sent", "sent", _count),
        ("met", "met", _count),
        ("late", "late", _count),
        ("failed", "failed", _count),
        ("lost", "lost", _count),
        ("probability", "probability", percent),
    ),
    "frames": (
        ("arrived", "arrived", _count),
        ("sent", "sent", _count),
        ("local", "local", _count),
        ("dropped", "dropped", _count),
        ("slots", "slots", _count),
        ("J", "energy_j", figures),
        ("virtual queue", "queue", figures),
    ),
}
_WHAT = {"offload": "items that met their deadline", "frames": "energy and drops"}


def render_online_table(comparison: OnlineComparison) -> Table:
    """One row a policy."""
    title = (
        f"{comparison.app} on {comparison.cluster}: {_WHAT[comparison.kind]}, {comparison.seconds:g} s each"
    )
    table = Table(
        title=escape(title),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("policy", min_width=6)
    for heading, _, _ in _RUNS[comparison.kind]:
        table.add_column(heading, justify="right", no_wrap=True)
    best = ranked(comparison)[:1]
    for run in comparison.runs:
        if run.failure is not None:
            table.add_row(escape(policy_label(run.policy)), "[red]failed[/red]")
            continue
        cells = [show(run.figures.get(key)) for _, key, show in _RUNS[comparison.kind]]
        table.add_row(escape(policy_label(run.policy)), *cells, style="bold green" if run in best else None)
    return table


def online_sentences(comparison: OnlineComparison) -> list[str]:
    """The summary, most important first; it claims no more than one run can show."""
    order = ranked(comparison)
    told = list(_leaders(comparison, order)) if order else ["No policy got the job to run."]
    for run in comparison.runs:
        if run.failure is not None:
            told.append(f"{policy_label(run.policy)}: {run.job} did not run: {run.failure}")
        if run.figures.get("infeasible"):
            names = listed(run.figures["infeasible"])
            told.append(f"Under {policy_label(run.policy)} the allowed drop rate cannot be held for {names}.")
    return told


def write_online_report(comparison: OnlineComparison, folder: Path) -> Path:
    """Write the page and comparison.json into folder, made if need be, and return the path of its HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(finite(as_json(comparison)), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(document + "\n", encoding="utf-8")
    page = (
        environment()
        .get_template("online.html.j2")
        .render(
            comparison=comparison,
            sentences=online_sentences(comparison),
            best=ranked(comparison)[:1],
            columns=_RUNS[comparison.kind],
            part_columns=_PARTS[comparison.kind],
            part="helper" if comparison.kind == "offload" else "user",
        )
    )
    path = folder / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path


def ranked(comparison: OnlineComparison) -> list[OnlineRun]:
    """The runs that have numbers, the best first: most deadlines met, or least energy."""
    key, sign = ("met_rate", -1) if comparison.kind == "offload" else ("energy_per_user_frame_j", 1)
    measured = [run for run in comparison.runs if run.figures.get(key) is not None]
    return sorted(measured, key=lambda run: sign * run.figures[key])


def _leaders(comparison: OnlineComparison, order: list[OnlineRun]) -> Iterator[str]:
    key = "met_rate" if comparison.kind == "offload" else "energy_per_user_frame_j"
    top = order[0].figures[key]
    peers = [run for run in order if abs(run.figures[key] - top) <= TELLABLE * abs(top)]
    names = listed([policy_label(run.policy) for run in peers])
    if comparison.kind == "offload":
        verb = "meet" if len(peers) > 1 else "meets"
        within = f", within {percent(TELLABLE)} of each other" if len(peers) > 1 else ""
        yield f"{names} {verb} most deadlines: {percent(top)} of the items{within}."
        return
    verb = "take" if len(peers) > 1 else "takes"
    yield f"{names} {verb} least energy: {figures(top)} J a user and frame."
    for run in order[1:]:
        more = quotient(run.figures[key], top)
        if run not in peers and more is not None:
            yield f"{policy_label(run.policy)} takes {figures(more)} times as much."
    yield (
        "Drop rates: "
        + listed([f"{policy_label(run.policy)} {percent(run.figures['drop_rate'])}" for run in order])
        + "."
    )
