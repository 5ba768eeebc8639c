"""plan, of jobs that are numbers only: streams, batch-training, fog-training, frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from edgeray.cli.console import print_json, stdout
from edgeray.errors import BadInputError

BY_ITEM = {
    "streams": ("stream", {"x": "detector on", "y": "re-identification on"}),
    "batch-training": ("learner", {"batches": "samples"}),
    "frames": (
        "user",
        {"slots": "slots", "sent": "sent", "local": "computed", "dropped": "dropped", "energy": "energy"},
    ),
}
"""What a row is of, and its columns, by kind."""
MOST_MOVEMENTS = 30
"""Of data that moves between devices, so many are shown."""


def plan_declared(job_files: list[Path], policy: str | None, as_json: bool) -> None:
    """Plan the one job. Exits with 1 when there is no plan."""
    from edgeray.planning_declared import decide_declared
    from edgeray.spec.declared_numbers import load_declared

    if len(job_files) > 1:
        raise BadInputError(
            f"{len(job_files)} jobs, of which one is declared numbers\n"
            "  expected: such a job alone\n  remedy:   a call for each"
        )
    job = load_declared(job_files[0])
    answer = decide_declared(job, policy)
    if as_json:
        print_json(answer)
    else:
        _print(job.kind, job.name, answer)
    if not answer.get("feasible", True):
        raise typer.Exit(1)


def _print(kind: str, name: str, answer: dict[str, Any]) -> None:
    summary = ", ".join(f"{key} {value:.4g}" for key, value in answer.items() if type(value) in (int, float))
    stdout.print(f"{name} by {answer['policy']}: {summary or 'no plan'}", markup=False, highlight=False)
    if kind == "fog-training":
        _print_movements(answer["movements"])
        return
    item, columns = BY_ITEM[kind]
    rows = [answer[key] for key in columns if key in answer]
    if rows:
        table = Table(item, *columns.values())
        for number, values in enumerate(zip(*rows, strict=True)):
            table.add_row(str(number), *(f"{value:g}" for value in values))
        stdout.print(table)
    for reason in answer.get("reasons", ()):
        stdout.print(f"cannot be had: {reason}", markup=False, highlight=False)


def _print_movements(movements: list[dict[str, Any]]) -> None:
    """What goes from one device to another; the rest is kept or discarded."""
    if not movements:
        return
    table = Table("interval", "from", "to", "points")
    for each in movements[:MOST_MOVEMENTS]:
        table.add_row(str(each["t"]), str(each["from"]), str(each["to"]), f"{each['amount']:g}")
    stdout.print(table)
    if len(movements) > MOST_MOVEMENTS:
        rest = len(movements) - MOST_MOVEMENTS
        stdout.print(f"and {rest} more; --json prints all", markup=False, highlight=False)
