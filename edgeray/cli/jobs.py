"""profile, submit, jobs, logs, stop, schema: applications and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from edgeray.cli.console import bytes_text, print_json, say, seconds_text, stderr, stdout
from edgeray.cli.enter import be_on_head
from edgeray.errors import BadInputError, EdgeRayError

if TYPE_CHECKING:
    from edgeray.results import Output
    from edgeray.scheduler.views import JobView

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]
AppPath = Annotated[Path, typer.Argument(help="Folder with a job.yaml, or a job file.")]
PolicyName = Annotated[
    str | None,
    typer.Option(
        "--policy",
        "-p",
        help="Streams: lr, br, tp, otfs, otfa, joint, joint-floor. One-shot jobs: heft, cpop, peft, portfolio. "
        "Either: module:Class. Without one: joint for streams, portfolio for one-shot jobs.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    for command in (profile, submit, stop, logs, schema):
        app.command()(command)
    app.command(name="jobs")(list_jobs)


def profile(
    app: AppPath,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew, say because the input changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure each task of an application on each type of device; instant when it was measured before."""
    from edgeray.spec import check_runnable, load_app

    loaded = load_app(app)
    check_runnable(loaded)
    be_on_head()
    from edgeray.client import Client

    client = Client(loaded.folder)
    with stderr.status("profiling on one device of each type", spinner="dots"):
        began = time.monotonic()
        by_type = client.call("profile", client.package(loaded), again=again, timeout_s=1800.0)
    say(f"profile of {loaded.job.id}: {time.monotonic() - began:.1f} s")
    if as_json:
        rows = {kind: {t: asdict(m) for t, m in found.items()} for kind, found in by_type.items()}
        print_json({"app": loaded.job.id, "types": rows})
    else:
        stdout.print(profile_table(loaded.job.id, [t.id for t in loaded.job.tasks], by_type))


def profile_table(app: str, tasks: list[Any], by_type: dict[str, Any]) -> Table:
    """One row a task; per device type the mean, and p95, of its seconds per item."""
    table = Table(title=f"profile of {app}: per item, mean (p95)", title_justify="left")
    table.add_column("task")
    for kind in sorted(by_type):
        table.add_column(kind, justify="right")
    table.add_column("output", justify="right")
    table.add_column("to send", justify="right")
    table.add_column("memory", justify="right")
    for task in tasks:
        found = [by_type[kind].get(task) for kind in sorted(by_type)]
        known = [m for m in found if m is not None]
        table.add_row(
            task,
            *(f"{seconds_text(m.seconds_mean)} ({seconds_text(m.seconds_p95)})" if m else "-" for m in found),
            bytes_text(max((m.output_bytes for m in known), default=None)),
            seconds_text(max((m.transfer_seconds for m in known), default=None)),
            bytes_text(max((m.memory_bytes for m in known), default=None)),
        )
    return table


def submit(
    app: AppPath,
    policy: PolicyName = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return as soon as it is submitted.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Stop the job after so many seconds of running.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for what a one-shot job's sinks return; results/JOB unless you say."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an application: profile it if needed, place it, enforce it, follow it to its end.

    What the sinks of a one-shot job return is fetched when it is done.
    Ctrl-C stops the job. Without --detach a job ends by itself 30 s after its submitter is gone.
    """
    from edgeray.spec import check_runnable, load_app

    loaded = load_app(app)
    check_runnable(loaded)
    if seconds is not None and seconds <= 0:
        raise BadInputError(f"--seconds {seconds}: expected a number above 0")
    be_on_head()
    from edgeray.client import LEASE_S, Client, results_folder
    from edgeray.planning import chosen_policy

    chosen = chosen_policy(policy, loaded.job.mode)
    client = Client(loaded.folder)
    job = client.submit(loaded, chosen, lease_s=None if detach else LEASE_S)
    say(f"submitted {job}")
    if detach:
        if as_json:
            print_json({"job": job})
        else:
            stdout.print(job)
        return
    view = _follow(client, job, seconds)
    folder = out or results_folder(job)
    outputs = client.fetch(job, folder) if view.mode == "once" and view.phase == "done" else ()
    _report_end(view, folder, outputs, as_json, stopped_on_time=seconds is not None)


def _follow(client: Any, job: str, seconds: float | None) -> JobView:
    """Show a line of progress until the job ends; stop it after seconds of running, or on Ctrl-C."""

    def show(view: JobView) -> None:
        live.update(progress_line(view))

    def seen(view: JobView) -> bool:
        show(view)
        return seconds is not None and view.started_s is not None and time.time() - view.started_s >= seconds

    with Live(console=stderr, refresh_per_second=4, transient=not stderr.is_terminal) as live:
        try:
            view = client.watch(job, seen=seen)
            if not view.ended:
                client.call("stop", job, f"ran for {seconds:g} s")
                view = client.watch(job, seen=show)
        except KeyboardInterrupt:
            client.call("stop", job, "interrupted by its user")
            view = client.watch(job, seen=show)
    return view  # type: ignore[no-any-return]


def progress_line(view: JobView) -> str:
    """What a job does, in one line."""
    if view.phase != "running":
        return f"{view.job} {view.phase}: {'; '.join(view.reasons) or view.detail}"
    plan = view.plan or {}
    if view.mode == "once":
        elapsed_s = time.time() - (view.started_s or time.time())
        return (
            f"{view.job} running: {view.tasks_done} of {view.tasks_total} tasks done, "
            f"{elapsed_s:.0f} s of {seconds_text(plan.get('makespan_s'))} planned"
        )
    dropped = f", {view.dropped} dropped" if view.dropped else ""
    return (
        f"{view.job} running: {view.items} items, {view.rate_per_s:.2f}/s "
        f"(planned {plan.get('throughput_per_s', 0.0):.2f}/s), "
        f"latency p50 {seconds_text(view.latency_p50_s)}{dropped}"
    )


def end_line(view: JobView) -> str:
    """What became of a job, in one line."""
    if view.mode != "once":
        return f"{view.job} {view.phase}: {view.items} items. {view.detail}"
    if view.phase != "done":
        return f"{view.job} {view.phase}: {view.tasks_done} of {view.tasks_total} tasks done. {view.detail}"
    plan = view.plan or {}
    return (
        f"{view.job} done: makespan {seconds_text(view.makespan_s)} measured, "
        f"{seconds_text(plan.get('makespan_s'))} planned, no schedule under {seconds_text(plan.get('bound_s'))}"
    )


def _report_end(
    view: JobView, folder: Path, outputs: Sequence[Output], as_json: bool, *, stopped_on_time: bool
) -> None:
    if as_json:
        told = asdict(view)
        if view.mode == "once":
            told["outputs"] = [{**asdict(o), "path": str(folder / o.file)} for o in outputs]
        print_json(told)
    else:
        stdout.print(end_line(view), markup=False, highlight=False)
        for output in outputs:
            size = bytes_text(output.size_bytes)
            stdout.print(f"  {output.task}: {folder / output.file} ({size})", markup=False, highlight=False)
        for device, files in sorted(view.results.items() if view.mode == "stream" else ()):
            for path, size_bytes in files.items():
                line = f"  {device}: {path} ({bytes_text(size_bytes)})"
                stdout.print(line, markup=False, highlight=False)
    if view.phase == "failed":
        raise EdgeRayError(
            f"{view.job} failed: {view.detail}\n  remedy:   `edgeray logs {view.job}` tells more"
        )
    if view.phase == "stopped" and not stopped_on_time:
        raise typer.Exit(1)


def list_jobs(as_json: Json = False) -> None:
    """All jobs of the cluster."""
    be_on_head()
    from edgeray.client import Client

    views = Client().call("jobs")
    if as_json:
        print_json({"jobs": [asdict(view) for view in views]})
        return
    stdout.print(jobs_table(views))


def jobs_table(views: Sequence[JobView]) -> Table:
    """Streams by items/s, one-shot jobs by tasks done and makespan; each beside what was planned."""
    table = Table("job", "app", "policy", "state", "done", "measured", "planned", "p50", "detail")
    for v in views:
        detail = "; ".join(v.reasons) or v.detail
        table.add_row(
            v.job,
            v.app,
            v.policy,
            v.phase,
            *(_once_cells(v) if v.mode == "once" else _stream_cells(v)),
            detail,
        )
    return table


def _stream_cells(view: JobView) -> tuple[str, ...]:
    planned = f"{view.plan['throughput_per_s']:.2f}/s" if view.plan else "-"
    return f"{view.items} items", f"{view.rate_per_s:.2f}/s", planned, seconds_text(view.latency_p50_s)


def _once_cells(view: JobView) -> tuple[str, ...]:
    planned_s = view.plan.get("makespan_s") if view.plan else None
    return (
        f"{view.tasks_done} of {view.tasks_total} tasks",
        seconds_text(view.makespan_s),
        seconds_text(planned_s),
        "-",
    )


def logs(
    job: Annotated[str, typer.Argument(help="Job id, as `edgeray jobs` shows it.")], as_json: Json = False
) -> None:
    """A job's story, and what its stages printed."""
    be_on_head()
    from edgeray.client import Client

    told = Client().call("logs", job)
    if as_json:
        print_json(told)
        return
    for row in told["story"]:
        at = time.strftime("%H:%M:%S", time.localtime(row["at_s"]))
        stdout.print(f"{at} {row['phase']}: {row['detail']}", markup=False, highlight=False)
    for device, text in sorted(told["stages"].items()):
        stdout.print(f"--- {device}", markup=False)
        stdout.print(text.rstrip(), markup=False, highlight=False)


def stop(job: Annotated[str, typer.Argument(help="Job id, as `edgeray jobs` shows it.")]) -> None:
    """End a job: its stages close, its flows' classes and routes go."""
    be_on_head()
    from edgeray.client import Client

    client = Client()
    client.call("stop", job)
    view = client.watch(job, seen=lambda v: None)
    stdout.print(f"{view.job} {view.phase}: {view.detail}", markup=False, highlight=False)


def schema(which: Annotated[str, typer.Argument(help="job or cluster")] = "job") -> None:
    """The JSON Schema of job files or cluster files, for editors and checkers."""
    from edgeray.spec import json_schema

    if which not in ("job", "cluster"):
        raise BadInputError(f"schema {which}: expected job or cluster")
    print_json(json_schema(which))
