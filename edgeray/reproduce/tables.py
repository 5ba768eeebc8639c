"""The numbers as CSV: every row, and what each figure is drawn from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgeray.reproduce.experiments import BOUND, POLICIES, Experiment
from edgeray.reproduce.ours import Specified
from edgeray.reproduce.rows import Row
from edgeray.reproduce.table import Table

RATES = ("mean_per_s", "geometric_mean_per_s", "minimum_per_s", "placed")
WAITING = ("total_waiting_s", "waiting_s", "planning_s", "placed")


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """All raw rows, in one order; planning_s, the one measured column, is the last."""
    ordered = [row.as_dict() for row in sorted(rows, key=lambda row: row.trial)]
    names = [name for name in ordered[0] if name != "planning_s"] if ordered else []
    _write(path, [*names, "planning_s"], ([row[name] for name in [*names, "planning_s"]] for row in ordered))


def write_experiment(table: Table, experiment: Experiment, path: Path) -> None:
    """Means over the seeds and their confidence bands, which stay empty for one seed."""
    columns = WAITING if experiment.waiting else RATES
    header = [experiment.axis, "devices", "mean_bps", "jobs", "policy"]
    header += [f"{column}{part}" for column in columns for part in ("", "_low", "_high")]
    body = []
    for x, cell in table.points(experiment.name):
        for policy in POLICIES if experiment.waiting else (*POLICIES, BOUND):
            at = cell.bound() if policy == BOUND else cell
            told = [table.value(at, policy, column) for column in columns]
            if any(told):
                numbers = [n for value in told for n in _three(value)]
                body.append([x, cell.devices, cell.mean_bps, cell.jobs, policy, *numbers])
    _write(path, header, body)


def write_specified(specified: Sequence[Specified], path: Path) -> None:
    """Our numbers beside those of the specification."""
    names = [field.name for field in fields(Specified)]
    _write(path, names, ([getattr(one, name) for name in names] for one in specified))


def _three(value: Any) -> list[float | None]:
    if value is None:
        return [None, None, None]
    return [value.mean, value.low, value.high] if value.known else [value.mean, None, None]


def _write(path: Path, header: Sequence[str], body: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(body)
    path.write_text(text.getvalue(), encoding="utf-8")
