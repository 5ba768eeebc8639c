"""plan, of split training: where each device's part of the model ends, at what rate it sends, how long a round takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from edgeray.cli.console import bps_text, bytes_text, print_json, seconds_text, stdout
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from policies.partition.instance import NoSplit, SplitInstance, SplitPlan

MOST_ROWS = 40
"""Of more devices the first are shown."""


def plan_split(job_files: list[Path], policy: str | None, as_json: bool) -> None:
    """Plan the one job of split training. Exits with 1 when there is no plan."""
    from edgeray.planning_split import chosen_split_policy, decide_split, split_plan_json
    from edgeray.spec.split_training import load_split_training
    from policies.partition.instance import NoSplit

    if len(job_files) > 1:
        raise BadInputError(
            f"{len(job_files)} jobs, of which one is split training\n"
            "  expected: a job of split training alone, since it has all its devices to itself\n"
            "  remedy:   a call for each"
        )
    job = load_split_training(job_files[0])
    decided = decide_split(chosen_split_policy(policy), job.declared)
    if as_json:
        print_json(split_plan_json(decided))
    elif isinstance(decided, NoSplit):
        _print_refusal(job.name, decided)
    else:
        _print_plan(job.name, job.declared, decided)
    if isinstance(decided, NoSplit):
        raise typer.Exit(1)


def _print_plan(name: str, instance: SplitInstance, plan: SplitPlan) -> None:
    table = Table(title=f"{name} by {plan.policy}: {_round(plan)}", title_justify="left")
    headings = (
        "device",
        "cut",
        "layers",
        "computing",
        "to send",
        "at least" if plan.work_conserving else "rate",
    )
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if column else "left")
    rows = zip(instance.devices, plan.cuts, plan.rates_bps, strict=True)
    for row, (device, cut, rate_bps) in enumerate(rows):
        if row == MOST_ROWS:
            table.add_row(f"{len(plan.cuts) - MOST_ROWS} more")
            break
        table.add_row(
            device,
            str(cut),
            f"{instance.layers[cut]} of {instance.layers[-1]}",
            seconds_text(float(instance.A_s[row, cut])),
            bytes_text(float(instance.C_bits[row, cut]) / 8),
            bps_text(rate_bps),
        )
    stdout.print(table)


def _round(plan: SplitPlan) -> str:
    told = f"a round takes {seconds_text(plan.round_s)}"
    return told if plan.bound_s is None else f"{told}, no round takes less than {seconds_text(plan.bound_s)}"


def _print_refusal(name: str, refused: NoSplit) -> None:
    for reason in refused.reasons:
        stdout.print(f"{name} cannot be trained by {refused.policy}: {reason}", markup=False, highlight=False)
