"""simulate, of items that go to helpers: dispatchers side by side, in the paper's model or with queues."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from edgeray import __version__
from edgeray.cli.console import print_json, say, stderr, stdout
from edgeray.errors import BadInputError
from edgeray.simulator.offload import (
    BIT_POLICIES,
    QUEUE_POLICIES,
    OffloadRun,
    PaperOffload,
    check_policy,
    simulate_bits,
)
from edgeray.simulator.offload_queues import simulate_queues
from edgeray.simulator.settings import settings_of

ITEMS = 10_000
CURVES = "curves.csv"


def simulate_offload(
    settings: Mapping[str, Any],
    *,
    policies: Sequence[str] | None,
    items: int | None,
    seed: int,
    as_json: bool,
    out: Path | None,
) -> list[OffloadRun]:
    """Simulate items under each dispatcher (None: all) and print a table, or one JSON object.

    settings: of PaperOffload by name. out: a folder for curves.csv, regret and reward against items. Raises
    BadInputError for settings and policies that there are not.
    """
    asked = settings_of(PaperOffload, settings)
    count = ITEMS if items is None else items
    if count < 1:
        raise BadInputError(f"--items {count}: expected 1 or more")
    known = BIT_POLICIES if asked.model == "bits" else QUEUE_POLICIES
    names = list(known) if policies is None else list(policies)
    for name in names:
        check_policy(name, known)
    one = simulate_bits if asked.model == "bits" else simulate_queues
    with progress_bar() as bar:
        runs = [one(asked, name, count, seed) for name in bar.track(names, description="simulating")]
    if out is not None:
        say(f"curves: {_write_curves(runs, out)}")
    if as_json:
        print_json(
            {
                "edgeray": __version__,
                "settings": asdict(asked),
                "items": count,
                "seed": seed,
                "runs": [run.as_json() for run in runs],
            }
        )
    else:
        _print(runs, asked, count, seed)
    return runs


def progress_bar() -> Progress:
    """On stderr, and gone when it is done; none where that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )


def side_by_side(title: str, headings: Sequence[str]) -> Table:
    """An empty table with a line a policy."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("policy")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _print(runs: Sequence[OffloadRun], settings: PaperOffload, items: int, seed: int) -> None:
    queues = settings.model == "queues"
    what = f"helpers with queues, {settings.situation}" if queues else "the paper's model"
    headings = ["regret", "reward", "met", *(["late", "failed", "refused"] if queues else [])]
    table = side_by_side(f"{what}: {items} items, {settings.helpers} helpers, seed {seed}", headings)
    for run in runs:
        counts = [str(run.late), str(run.failed), str(run.refused)] if queues else []
        table.add_row(
            escape(run.policy), f"{run.regret:.4f}", f"{run.reward:.4f}", f"{100 * run.met:.1f} %", *counts
        )
    stdout.print(table)


def _write_curves(runs: Sequence[OffloadRun], folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"--out {folder}: expected a folder, found a file")
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["policy", "items", "regret", "reward"])
    writer.writerows([run.policy, *point] for run in runs for point in run.curve)
    path = folder / CURVES
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
