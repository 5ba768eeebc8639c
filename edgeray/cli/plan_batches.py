"""plan, of batch training: how many samples each learner gets in the first cycle, and how often it goes through them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from edgeray.cli.console import bps_text, print_json, seconds_text, stderr, stdout
from edgeray.errors import BadInputError


def plan_batches(job_files: list[Path], policy: str | None, cluster: Path | None, as_json: bool) -> None:
    """Plan the one job. Exits with 1 when there is no plan."""
    from edgeray.planning import chosen_policy, workload_of
    from edgeray.planning_batches import batch_plan_json
    from edgeray.profiler import ProfileStore
    from edgeray.spec import load_batches, load_cluster
    from edgeray.spec.batch_app import batch_app
    from edgeray.testbed import require_current

    if len(job_files) > 1:
        raise BadInputError(
            f"{len(job_files)} jobs, of which one is batch training\n"
            "  expected: such a job alone\n  remedy:   a call for each"
        )
    job = load_batches(job_files[0])
    chosen = chosen_policy(policy, "batches")
    with stderr.status("reading"):
        loaded = load_cluster(cluster if cluster is not None else Path(require_current().cluster_file))
        workload = workload_of(batch_app(job, loaded), loaded, ProfileStore())
        answer = batch_plan_json(chosen, workload, loaded.network)
    if as_json:
        print_json(answer)
    elif answer["feasible"]:
        _print(answer)
    else:
        for reason in answer["reasons"]:
            stdout.print(f"{job.name} cannot be trained by {chosen}: {reason}", markup=False, highlight=False)
    if not answer["feasible"]:
        raise typer.Exit(1)


def _print(answer: dict[str, Any]) -> None:
    table = Table(
        title=f"{escape(answer['name'])} by {answer['policy']}: {answer['tau']} iterations on {sum(answer['batches']):,} "
        f"samples in a cycle of {seconds_text(answer['cycle_s'])}; the shortest that holds one: "
        f"{seconds_text(answer['shortest_cycle_s'])}",
        title_justify="left",
    )
    table.add_column("learner")
    table.add_column("type")
    for heading in ("samples", "predicted", "an iteration", "sending them", "the model, both ways", "rate"):
        table.add_column(heading, justify="right")
    for row in answer["learners"]:
        table.add_row(
            escape(row["device"]),
            escape(row["type"]),
            f"{row['samples']:,}",
            seconds_text(row["predicted_s"]),
            seconds_text(row["C2"] * row["samples"]),
            seconds_text(row["C1"] * row["samples"]),
            seconds_text(row["C0"]),
            bps_text(row["rate_bps"]),
        )
    stdout.print(table)
