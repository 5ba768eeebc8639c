"""Jobs that decide while they run, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from edgeray.cli.console import bps_text, seconds_text, stdout
from edgeray.web.numbers import figures, percent

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView


def online_line(view: JobView) -> str:
    """How far it has come, in one line."""
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


def online_table(view: JobView) -> Table:
    """A row a helper, or a user."""
    told: Mapping[str, Any] = view.online or {}
    if view.mode == "offload":
        return _table("helper", told.get("helpers", {}), _HELPERS)
    return _table("user", told.get("users", {}), _USERS)


def online_cells(view: JobView) -> tuple[str, ...]:
    """done, measured, planned, p50 of `edgeray jobs`."""
    told: Mapping[str, Any] = view.online or {}
    if view.mode == "offload":
        items = told.get("items", 0)
        met = told.get("met", 0) / items if items else None
        return f"{items} items", f"{percent(met)} met", "-", seconds_text(view.latency_p50_s)
    energy = f"{figures(told.get('energy_per_user_frame_j'))} J, {percent(told.get('drop_rate'))} dropped"
    return f"{told.get('frames', 0)} frames", energy, "-", "-"


def print_online_plan(job: dict[str, Any], policy: str) -> None:
    """Where its tasks are, and what its flows get; the rest is decided while it runs."""
    table = Table(title=f"{job['name']}: {policy} decides while it runs", title_justify="left")
    for column in ("task", "device", "way to the server", "guaranteed", "at most"):
        table.add_column(column)
    flows = {flow["from"]: flow for flow in job["flows"]}
    for task, device in job["placement"].items():
        flow = flows.get(task) if task not in ("dispatch", "server") else None
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
