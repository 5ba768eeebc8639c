"""plan: what a policy decides on jobs and a cluster file, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edgeray.cli.console import bps_text, bytes_text, print_json, stdout
from edgeray.cli.jobs import Json, PolicyName
from edgeray.errors import BadInputError


def add_commands(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    job_files: Annotated[
        list[Path], typer.Argument(metavar="JOB...", help="Job files or folders, in order of arrival.")
    ],
    policy: PolicyName = "joint",
    cluster: Annotated[
        Path | None, typer.Option(help="Cluster file; else that of the cluster that is up.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide where tasks run, which way flows go and how fast, without running anything.

    Exits with 1 when a job cannot be placed.
    """
    from edgeray.planning import decide, decision_json
    from edgeray.profiler import ProfileStore
    from edgeray.spec import load_app, load_cluster
    from edgeray.testbed import require_current

    loaded = load_cluster(cluster if cluster is not None else Path(require_current().cluster_file))
    try:
        decision, workloads = decide([load_app(path) for path in job_files], loaded, policy, ProfileStore())
    except ValueError as error:
        raise BadInputError(f"--policy {policy}: {error}") from error
    answer = decision_json(policy, decision, workloads)
    if as_json:
        print_json(answer)
    else:
        _print_plan(answer)
    if not answer["feasible"]:
        raise typer.Exit(1)


def _print_plan(answer: dict[str, Any]) -> None:
    for job in answer["jobs"]:
        table = Table(
            title=f"{job['name']} by {answer['policy']}: {job['throughput_per_s']:.4g} items/s, "
            f"bound by {job['bottleneck']}",
            title_justify="left",
        )
        for column in ("device", "tasks"):
            table.add_column(column)
        for device in sorted(set(job["placement"].values())):
            table.add_row(device, ", ".join(t for t, d in job["placement"].items() if d == device))
        stdout.print(table)
        flows = Table("flow", "route", "rate", "per item")
        for flow in job["flows"]:
            flows.add_row(
                f"{flow['from']} → {flow['to']}",
                " → ".join(flow["route"]),
                bps_text(flow["rate_bps"]),
                bytes_text(flow["item_bytes"]),
            )
        if job["flows"]:
            stdout.print(flows)
    for reason in answer["reasons"]:
        stdout.print(f"cannot be placed: {reason}", markup=False)
