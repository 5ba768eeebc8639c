"""plan: what a policy decides on jobs and a cluster file, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from edgeray.cli.console import bps_text, bytes_text, print_json, seconds_text, stderr, stdout
from edgeray.cli.gantt import gantt
from edgeray.cli.jobs import Json, PolicyName
from edgeray.cli.online import print_online_plan
from edgeray.cli.plan_batches import plan_batches
from edgeray.cli.plan_declared import plan_declared
from edgeray.cli.plan_split import plan_split
from policies.model import ONLINE

MOST_ROWS = 30
"""Of a timetable; of a longer one the first and the last are shown."""


def add_commands(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    job_files: Annotated[
        list[Path], typer.Argument(metavar="JOB...", help="Job files or folders, in order of arrival.")
    ],
    policy: PolicyName = None,
    cluster: Annotated[
        Path | None, typer.Option(help="Cluster file; else that of the cluster that is up.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide where tasks run, which way flows go and how fast, without running anything.

    Of one-shot jobs (mode: once) it decides when each task and each transfer begins, too. Exits with 1 when a
    job cannot be placed. Of split training (kind: split-training) it decides each device's cut and rate, and tells
    how long a round takes and that no round can be shorter than so much; what a job declares needs no cluster file.
    Of cameras (kind: streams) it decides where each one's people are found and re-identified, and tells the frames a
    second that each can have. Of batch training (kind: batch-training) it decides how many samples each learner gets in
    the first cycle, and how often it goes through them. Jobs of kind fog-training, offload and frames decide while they
    run: planned are their places and flows. Declared numbers of kind streams, batch-training, fog-training and frames
    can be planned, too.
    """
    from edgeray.planning import chosen_policy, decide, decision_json, mode_of_all, workloads_of
    from edgeray.profiler import ProfileStore
    from edgeray.spec import is_batches, load_cluster, load_on
    from edgeray.spec.declared_numbers import declared_kind
    from edgeray.spec.split_training import is_split_training
    from edgeray.testbed import require_current

    if any(declared_kind(path) for path in job_files):
        plan_declared(job_files, policy, as_json)
        return
    if any(is_batches(path) for path in job_files):
        plan_batches(job_files, policy, cluster, as_json)
        return
    if any(is_split_training(path) for path in job_files):
        plan_split(job_files, policy, cluster, as_json)
        return
    with stderr.status("reading") as status:
        loaded = load_cluster(cluster if cluster is not None else Path(require_current().cluster_file))
        apps = [load_on(path, loaded) for path in job_files]
        chosen = chosen_policy(policy, mode_of_all(apps))
        workloads = workloads_of(apps, loaded, ProfileStore())
        tasks = sum(len(app.job.tasks) for app in apps)
        status.update(f"{chosen} plans {tasks:,} tasks on {len(loaded.network.devices):,} devices")
        answer = decision_json(chosen, decide(chosen, workloads, loaded.network), workloads)
    if as_json:
        print_json(answer)
    else:
        _print_plan(answer)
    if not answer["feasible"]:
        raise typer.Exit(1)


def _print_plan(answer: dict[str, Any]) -> None:
    for job in answer["jobs"]:
        if job.get("mode") == "once":
            print_timetable(job, answer["policy"])
        elif job.get("mode") == "cameras":
            _print_mapping(job, answer["policy"])
        elif job.get("mode") in ("fog", *ONLINE):
            print_online_plan(job, answer["policy"])
        else:
            _print_stream(job, answer["policy"])
    for reason in answer["reasons"]:
        stdout.print(f"cannot be placed: {reason}", markup=False)


def _print_stream(job: dict[str, Any], policy: str) -> None:
    table = Table(
        title=f"{job['name']} by {policy}: {job['throughput_per_s']:.4g} items/s, bound by {job['bottleneck']}",
        title_justify="left",
    )
    for column in ("device", "tasks"):
        table.add_column(column)
    for device in sorted(set(job["placement"].values())):
        here = (task for task, where in job["placement"].items() if where == device)
        table.add_row(device, ", ".join(f"{task}{_part(job, task)}" for task in here))
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


def _part(job: dict[str, Any], task: str) -> str:
    """Of a replica, the part of the items that it is planned to take."""
    parts = [shares[task] for shares in job.get("shares", {}).values() if task in shares]
    return f" ({parts[0]:.0%} of items)" if parts else ""


def _print_mapping(job: dict[str, Any], policy: str) -> None:
    """Of a job that watches cameras: where each one's people are found and known again, and how fast that goes."""
    mapped = job["mapped"]
    table = Table(
        title=f"{job['name']} by {policy}: {job['throughput_per_s']:.4g} frames/s a camera on average, bound by "
        f"{job['bottleneck']}; at one rate for all {mapped['common_fps']:.4g} frames/s",
        title_justify="left",
    )
    for column in (
        "camera",
        "on",
        "detector on",
        "re-identification on",
        "frames/s",
        "latency without queues",
    ):
        table.add_column(column)
    for camera, row in mapped["streams"].items():
        where = (row["device"], row["detect_on"], row["identify_on"])
        table.add_row(camera, *where, f"{row['items_per_s']:.4g}", seconds_text(row["latency_s"]))
    stdout.print(table)


def print_timetable(job: dict[str, Any], policy: str) -> None:
    """A one-shot job's plan (as plan_json tells it): how long it takes, what happens when, and a chart of it."""
    stdout.print(
        f"{job['name']} by {policy}: {len(job['tasks'])} tasks, {len(job['flows'])} transfers between devices\n"
        f"makespan {seconds_text(job['makespan_s'])}, {_against_bound(job)}; "
        f"{seconds_text(job['contention_free_s'])} if transfers never waited for each other",
        markup=False,
        highlight=False,
    )
    headings = ("start", "end", "task or transfer", "where", "how much")
    table = Table(*headings[: 5 if job["flows"] else 4])
    for cells in _timetable_rows(job):
        table.add_row(*cells[: len(table.columns)])
    stdout.print(table)
    stdout.print(gantt(job, stdout.width), no_wrap=True)


def _timetable_rows(job: dict[str, Any]) -> list[tuple[str, ...]]:
    """Tasks and transfers by their starts; of many the first, how many more, and the last."""
    events = [(row["start_s"], row["end_s"], row["task"], row["device"], "") for row in job["tasks"]]
    for row in job["flows"]:
        load = f"{bytes_text(row['item_bytes'])} at {bps_text(row['rate_bps'])}"
        what, where = f"{row['from']} → {row['to']}", " → ".join(row["route"])
        events.append((row["start_s"], row["end_s"], what, where, load))
    events.sort(key=lambda event: event[:2])
    rows: list[tuple[str, ...]] = [
        (seconds_text(start_s), seconds_text(end_s), escape(what), escape(where), load)
        for start_s, end_s, what, where, load in events
    ]
    half = MOST_ROWS // 2
    if len(rows) > MOST_ROWS:
        rows[half:-half] = [("…", "…", f"{len(rows) - 2 * half} more", "", "")]
    return rows


def _against_bound(job: dict[str, Any]) -> str:
    """How far above the lower bound the makespan is."""
    if job["bound_s"] <= 0:
        return "no bound"
    above = job["makespan_s"] / job["bound_s"] - 1
    if above < 5e-4:
        return f"which equals the bound of {seconds_text(job['bound_s'])}: no schedule is shorter"
    return f"{above:.1%} above the bound of {seconds_text(job['bound_s'])}: no schedule is shorter than that"
