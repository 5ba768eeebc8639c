"""Jobs that decide while they run, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeray.cli.console import bps_text, seconds_text, stdout
from edgeray.web.numbers import duration, figures, percent

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView


def online_line(view: JobView) -> str:
    """How far it has come, in one line; while it runs, also what the learner holds, in a second."""
    line, learner = _progress_line(view), learner_line(view)
    return f"{line}\n  {learner}" if learner is not None and view.phase == "running" else line


def learner_line(view: JobView) -> str | None:
    """What the learner holds of it, in one line; None while that is not known."""
    held = view.learner
    if held is None:
        return None
    age = f"{duration(held['age_s'])} ago" + (", and it does not answer now" if held["away"] else "")
    if view.mode != "offload":
        return f"learner: its newest state is of {age}"
    parts = [f"learner: {held['items']} items, {percent(held['happy'])} happy"]
    if held["regret_proxy"] is not None:
        parts.append(f"regret {figures(held['regret_proxy'])} by its own estimates")
    estimates = {name: arm["estimate"] for name, arm in held["arms"].items() if arm["estimate"] is not None}
    if estimates:
        best = max(estimates, key=lambda name: estimates[name])
        parts.append(f"expects most of {best} ({percent(estimates[best])})")
    return f"{', '.join(parts)}; the newest of {age}"


def _progress_line(view: JobView) -> str:
    """What its server counts."""
    told: Mapping[str, Any] = view.online or {}
    if view.mode == "offload":
        items = told.get("items", 0)
        met = told.get("met", 0) / items if items else None
        lost = told.get("late", 0) + told.get("failed", 0) + told.get("lost", 0)
        refused = f", {told['refused']} refused" if told.get("refused") else ""
        return f"{items} items, {percent(met)} met their deadline, {lost} late or failed{refused}"
    return (
        f"{told.get('frames', 0)} frames, {told.get('arrived', 0)} packets, {percent(told.get('drop_rate'))} dropped, "
        f"{figures(told.get('energy_per_user_frame_j'))} J a user and frame"
    )


def online_table(view: JobView) -> RenderableType:
    """A row a helper, or a user; below it what the learner holds, in one line."""
    told: Mapping[str, Any] = view.online or {}
    if view.mode == "offload":
        table = _table("helper", told.get("helpers", {}), _HELPERS)
    else:
        table = _table("user", told.get("users", {}), _USERS)
    line = learner_line(view)
    return table if line is None else Group(table, Text(line))


def replicas_note(view: JobView) -> str:
    """How tasks with replicas fare, to go behind a line; "" where there are none."""
    parts = (
        f"; {task} by {told['policy']}: {percent(told['met'] / told['items'])} in time"
        for task, told in (view.replicas or {}).items()
        if told["items"]
    )
    return "".join(parts)


def replica_tables(view: JobView) -> list[Table]:
    """Of each task with replicas a table, with a row a replica."""
    return [_table(task, told["helpers"], _REPLICAS) for task, told in (view.replicas or {}).items()]


def online_cells(view: JobView) -> tuple[str, ...]:
    """done, measured, planned, p50 of `edgeray jobs`."""
    told: Mapping[str, Any] = view.online or {}
    if view.mode == "offload":
        items = told.get("items", 0)
        met = told.get("met", 0) / items if items else None
        return f"{items} items", f"{percent(met)} met", "-", seconds_text(view.latency_p50_s)
    energy = f"{figures(told.get('energy_per_user_frame_j'))} J, {percent(told.get('drop_rate'))} dropped"
    return f"{told.get('frames', 0)} frames", energy, "-", "-"


SERVERS = ("dispatch", "server")
"""Tasks that decide, in jobs that do so while they run."""


def print_online_plan(job: dict[str, Any], policy: str) -> None:
    """Where its tasks are, and what its flows get; the rest is decided while it runs."""
    table = Table(title=f"{job['name']}: {policy} decides while it runs", title_justify="left")
    for column in ("task", "device", "way to the server", "guaranteed", "at most"):
        table.add_column(column)
    flows = {flow["from"]: flow for flow in job["flows"] if flow["to"] in SERVERS}
    for task, device in job["placement"].items():
        flow = flows.get(task)
        route = " → ".join(flow["route"]) if flow else "-"
        rates = (bps_text(flow["rate_bps"]), bps_text(flow["ceil_bps"])) if flow else ("-", "-")
        table.add_row(task, device, route, *rates)
    stdout.print(table)


_HELPERS = {
    "sent": "sent",
    "met": "met",
    "late": "late",
    "failed": "failed",
    "lost": "lost",
    "queue": "queue",
    "probability": "p(met)",
}
_REPLICAS = {key: text for key, text in _HELPERS.items() if key not in ("failed", "lost")}
_USERS = {
    "arrived": "packets",
    "sent": "sent",
    "local": "local",
    "dropped": "dropped",
    "slots": "slots",
    "energy_j": "J",
    "queue": "virtual queue",
}


def _table(first: str, rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    table = Table(first)
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        away = " (away)" if row.get("away") else ""
        table.add_row(f"{name}{away}", *(_cell(row.get(key)) for key in columns))
    return table


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, int) else figures(value)
