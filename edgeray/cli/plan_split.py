"""plan, of split training: where each device's part of the model ends, at what rate it sends, how long a round takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from edgeray.cli.console import bps_text, bytes_text, print_json, seconds_text, stderr, stdout
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.spec import SplitJob
    from policies.partition.instance import SplitInstance, SplitPlan

MOST_ROWS = 40
"""Of more devices the first are shown."""
WIDEST = 200
"""Columns of a table at most."""


def plan_split(job_files: list[Path], policy: str | None, cluster: Path | None, as_json: bool) -> None:
    """Plan the one job of split training. Exits with 1 when there is no plan."""
    from edgeray.spec.split_training import load_split_training

    if len(job_files) > 1:
        raise BadInputError(
            f"{len(job_files)} jobs, of which one is split training\n"
            "  expected: a job of split training alone, since it has all its devices to itself\n"
            "  remedy:   a call for each"
        )
    job = load_split_training(job_files[0])
    if job.declared is not None:
        _plan_declared(job.name, job.declared, policy, as_json)
    else:
        _plan_measured(job, policy, cluster, as_json)


def _plan_declared(name: str, declared: SplitInstance, policy: str | None, as_json: bool) -> None:
    from edgeray.planning_split import chosen_split_policy, decide_split, split_plan_json
    from policies.partition.instance import NoSplit

    decided = decide_split(chosen_split_policy(policy), declared)
    if as_json:
        print_json(split_plan_json(decided))
    elif isinstance(decided, NoSplit):
        _print_refusal(name, decided.policy, decided.reasons)
    else:
        _print_plan(name, declared, decided)
    if isinstance(decided, NoSplit):
        raise typer.Exit(1)


def _plan_measured(job: SplitJob, policy: str | None, cluster: Path | None, as_json: bool) -> None:
    from edgeray.planning import chosen_policy, decide, workload_of
    from edgeray.planning_split import training_plan_json
    from edgeray.profiler import ProfileStore
    from edgeray.spec import load_cluster, training_app
    from edgeray.testbed import require_current

    with stderr.status("reading") as status:
        loaded = load_cluster(cluster if cluster is not None else Path(require_current().cluster_file))
        app = training_app(job, loaded)
        chosen = chosen_policy(policy, app.job.mode)
        workload = workload_of(app, loaded, ProfileStore())
        status.update(f"{chosen} plans {len(app.job.tasks) - 1} clients and a server")
        decision = decide(chosen, [workload], loaded.network)
        answer = training_plan_json(chosen, decision, workload, loaded.network)
    if as_json:
        print_json(answer)
    elif answer["feasible"]:
        print_training_plan(answer)
    else:
        _print_refusal(job.name, chosen, answer["reasons"])
    if not answer["feasible"]:
        raise typer.Exit(1)


def print_training_plan(answer: dict[str, Any]) -> None:
    """The plan of a job with a model, as `training_plan_json` tells it."""
    split, guaranteed = answer["micro_batches"], any("ceiling_bps" in row for row in answer["devices"])
    stdout.print(
        f"{answer['name']} by {answer['policy']}: {_rounds(answer)}\n"
        f"server {answer['server']['device']} ({answer['server']['type']}) computes "
        f"{seconds_text(answer['server']['computing_s'])} of it"
        + (f"; each batch in {split} pieces, so that sending and computing overlap" if split > 1 else ""),
        markup=False,
        highlight=False,
    )
    stdout.print(_devices_table(answer["devices"], "at least" if guaranteed else "rate"))


def _devices_table(rows: Sequence[dict[str, Any]], rate: str) -> Table:
    """One row a client; seconds and bytes are those of a round."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    headings = (
        "device",
        "type",
        "cut: layer",
        "layers",
        "computing",
        "server",
        "up",
        "down",
        "weights",
        rate,
    )
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if column > 2 else "left")
    for row in rows[:MOST_ROWS]:
        table.add_row(
            escape(row["device"]),
            escape(row["type"]),
            f"{row['cut']}: {escape(row['layer'])}",
            f"{row['layers']} of {row['layers_total']}",
            seconds_text(row["computing_s"]),
            seconds_text(row["server_s"]),
            bytes_text(row["up_bytes"]),
            bytes_text(row["down_bytes"]),
            bytes_text(row["weights_bytes"]),
            bps_text(row["rate_bps"]),
        )
    if len(rows) > MOST_ROWS:
        table.add_row(f"{len(rows) - MOST_ROWS} more")
    # As wide as it is: on a narrow terminal long lines go on below, where cells would be cut short.
    table.width = Measurement.get(stdout, stdout.options.update(width=WIDEST), table).maximum
    return table


def _rounds(answer: dict[str, Any]) -> str:
    predicted_s, bound_s = answer["predicted_s"], answer.get("bound_s")
    told = f"a round takes {seconds_text(predicted_s)} (without queues {seconds_text(answer['round_s'])})"
    if bound_s is None or bound_s <= 0:
        return told
    return f"{told}, {predicted_s / bound_s:.2f} times the bound: no round takes less than {seconds_text(bound_s)}"


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


def _print_refusal(name: str, policy: str, reasons: Sequence[str]) -> None:
    for reason in reasons:
        stdout.print(f"{name} cannot be trained by {policy}: {reason}", markup=False, highlight=False)
