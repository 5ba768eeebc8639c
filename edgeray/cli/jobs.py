"""profile, submit, jobs, logs, stop, schema: applications and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgeray.cli.console import bytes_text, print_json, say, seconds_text, stderr, stdout
from edgeray.cli.enter import be_on_head
from edgeray.cli.online import online_cells, online_line, online_table, replica_tables, replicas_note
from edgeray.cli.training import TrainingWatch, cuts_json, cuts_table, planned, remedy, summary_lines
from edgeray.errors import BadInputError, EdgeRayError
from edgeray.loading import read_job_files
from edgeray.telemetry.rounds import write_rounds
from edgeray.web.numbers import finite
from policies.model import TRAINS

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
        "Split training: vanilla-fl, adaptive-fl, edgesplit-fix, edgesplit-alternating, edgesplit, "
        "edgesplit-overlap. Cameras (kind: streams): nmno, wmno, nmwo, jstsh, load-aware, exact-latency, exact-fps. "
        "Kind offload: round-robin, p2c, jsq, sed, greedy, toof, ecolog, hybrid. Kind frames: lfos, efos, djos-slides, "
        "djos, jos. Kind batch-training: eta, mel, mel-polynomial, mel-exact. Kind fog-training: local, federated, "
        "theorem-3, network-aware, network-aware-estimated, network-aware-sqrt, network-aware-sqrt-exact. Any: "
        "module:Class. Without one: joint for streams, portfolio for one-shot jobs, edgesplit-overlap for split "
        "training, load-aware for cameras, hybrid for offload, djos for frames, mel-exact for batch training, "
        "network-aware for fog training.",
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
    """Measure each task of an application on each type of device; instant when it was measured before.

    Of split training each place where the model can be cut is measured: the layers before it and the rest. Of cameras
    each step of each camera's stream, a frame; identify is a person.
    """
    files = read_job_files([app])
    be_on_head()
    client, [loaded] = files.opened()
    with stderr.status("profiling on one device of each type", spinner="dots"):
        began = time.monotonic()
        by_type = client.call("profile", client.package(loaded), again=again, timeout_s=1800.0)
    say(f"profile of {loaded.job.id}: {time.monotonic() - began:.1f} s")
    if files.mode in TRAINS:
        _print_cuts(loaded.job.id, by_type, as_json)
    elif as_json:
        rows = {kind: {t: asdict(m) for t, m in found.items()} for kind, found in by_type.items()}
        print_json({"app": loaded.job.id, "types": rows})
    else:
        measured = list(next(iter(by_type.values())))
        tasks = measured if files.mode == "cameras" else [task.id for task in loaded.job.tasks]
        stdout.print(profile_table(loaded.job.id, tasks, by_type))


def _print_cuts(app: str, by_type: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"app": app, "types": cuts_json(by_type)})
        return
    for kind, found in sorted(by_type.items()):
        stdout.print(cuts_table(app, kind, found))


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
        typer.Option(
            help="Folder for what a one-shot job's sinks return, or for a trained model and its rounds; "
            "results/JOB unless you say."
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help="Training: go on after this job's last checkpoint; split training does so bit for bit.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an application: profile it if needed, place it, enforce it, follow it to its end.

    What the sinks of a one-shot job return is fetched when it is done, as is a trained model with its rounds.
    Ctrl-C stops the job. Without --detach a job ends by itself 30 s after its submitter is gone.
    """
    if seconds is not None and seconds <= 0:
        raise BadInputError(f"--seconds {seconds}: expected a number above 0")
    if seconds is not None and detach:
        raise BadInputError(
            "--seconds with --detach: nobody would be there to stop the job\n"
            "  remedy:   leave one of them out; `edgeray stop JOB` ends a detached job"
        )
    files = read_job_files([app], resume=resume)
    be_on_head()
    from edgeray.client import LEASE_S, results_folder
    from edgeray.planning import chosen_policy

    chosen = chosen_policy(policy, files.mode)
    client, [loaded] = files.opened()
    job = client.submit(loaded, chosen, lease_s=None if detach else LEASE_S)
    say(f"submitted {job}")
    if detach:
        if as_json:
            print_json({"job": job})
        else:
            stdout.print(job)
        return
    training = loaded.job.training
    watch = TrainingWatch(client.call, training.rounds, say) if training else None
    view = _follow(client, job, seconds, watch.line if watch else progress_line)
    folder = out or results_folder(job)
    outputs = client.fetch(job, folder) if view.mode in ("once", *TRAINS) and view.phase == "done" else ()
    if watch is not None:
        _report_training(view, folder, outputs, watch, as_json)
    else:
        _report_end(view, folder, outputs, as_json)
    if view.phase == "failed":
        tells = f"`edgeray logs {job}` tells more"
        advice = tells if watch is None else remedy(str(app), job, watch.rounds, resume)
        raise EdgeRayError(f"{job} failed: {view.detail}\n  remedy:   {advice}")
    if watch is not None and view.phase == "stopped":
        say(remedy(str(app), job, watch.rounds, resume))
    if view.phase == "stopped" and seconds is None:
        raise typer.Exit(1)


def _follow(client: Any, job: str, seconds: float | None, line: Callable[[JobView], str]) -> JobView:
    """Show a line of progress until the job ends; stop it after seconds of running, or on Ctrl-C."""

    def show(view: JobView) -> None:
        live.update(Text(line(view)))

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
    """What a stream or a one-shot job does, in one line."""
    if view.phase != "running":
        return f"{view.job} {view.phase}: {'; '.join(view.reasons) or view.detail}"
    plan = view.plan or {}
    if view.mode == "once":
        elapsed_s = time.time() - (view.started_s or time.time())
        return (
            f"{view.job} running: {view.tasks_done} of {view.tasks_total} tasks done, "
            f"{elapsed_s:.0f} s of {seconds_text(plan.get('makespan_s'))} planned"
        )
    if view.online is not None:
        return f"{view.job} running: {online_line(view)}"
    dropped = f", {view.dropped} dropped" if view.dropped else ""
    if view.mode == "cameras":
        return (
            f"{view.job} running: {view.items} frames, {view.rate_per_s:.2f}/s a camera "
            f"(planned {plan.get('throughput_per_s', 0.0):.2f}/s), "
            f"latency p50 {seconds_text(view.latency_p50_s)}{dropped}"
        )
    return (
        f"{view.job} running: {view.items} items, {view.rate_per_s:.2f}/s "
        f"(planned {plan.get('throughput_per_s', 0.0):.2f}/s), "
        f"latency p50 {seconds_text(view.latency_p50_s)}{dropped}{replicas_note(view)}"
    )


def end_line(view: JobView) -> str:
    """What became of a stream or a one-shot job, in one line."""
    if view.mode != "once":
        if view.online is not None:
            return f"{view.job} {view.phase}: {online_line(view)}. {view.detail}"
        counted = "frames" if view.mode == "cameras" else "items"
        return f"{view.job} {view.phase}: {view.items} {counted}. {view.detail}"
    if view.phase != "done":
        return f"{view.job} {view.phase}: {view.tasks_done} of {view.tasks_total} tasks done. {view.detail}"
    plan = view.plan or {}
    return (
        f"{view.job} done: makespan {seconds_text(view.makespan_s)} measured, "
        f"{seconds_text(plan.get('makespan_s'))} planned, no schedule under {seconds_text(plan.get('bound_s'))}"
    )


def _report_end(view: JobView, folder: Path, outputs: Sequence[Output], as_json: bool) -> None:
    if as_json:
        told = asdict(view)
        if view.mode == "once":
            told["outputs"] = _outputs_json(outputs, folder)
        print_json(told)
        return
    stdout.print(end_line(view), markup=False, highlight=False)
    if view.online is not None:
        stdout.print(online_table(view))
    for table in replica_tables(view):
        stdout.print(table)
    if view.streams:
        stdout.print(streams_table(view))
        say(f"who went where: edgeray query {view.job}")
    _print_outputs(outputs, folder)
    for device, files in sorted(view.results.items() if view.mode == "stream" else ()):
        for path, size_bytes in files.items():
            line = f"  {device}: {path} ({bytes_text(size_bytes)})"
            stdout.print(line, markup=False, highlight=False)


def _report_training(
    view: JobView, folder: Path, outputs: Sequence[Output], watch: TrainingWatch, as_json: bool
) -> None:
    """A job that was not done keeps the rounds that were finished."""
    kept = write_rounds(watch.rounds, folder) if watch.rounds and view.phase != "done" else None
    if as_json:
        told = {**asdict(view), "rounds": list(watch.rounds), "outputs": _outputs_json(outputs, folder)}
        print_json(finite(told))
        return
    for line in summary_lines(view, watch.rounds, watch.rounds_asked):
        stdout.print(line, markup=False, highlight=False)
    _print_outputs([replace(output, task=str(output.part)) for output in outputs], folder)
    if kept is not None:
        stdout.print(f"  rounds: {kept}", markup=False, highlight=False)


def _outputs_json(outputs: Sequence[Output], folder: Path) -> list[dict[str, Any]]:
    return [{**asdict(output), "path": str(folder / output.file)} for output in outputs]


def _print_outputs(outputs: Sequence[Output], folder: Path) -> None:
    for output in outputs:
        size = bytes_text(output.size_bytes)
        stdout.print(f"  {output.task}: {folder / output.file} ({size})", markup=False, highlight=False)


def streams_table(view: JobView) -> Table:
    """One row a camera: where its people are found and known again, and how fast."""
    table = Table("camera", "on", "detected on", "identified on")
    for heading in ("frames", "dropped", "frames/s", "planned", "p50", "people asked"):
        table.add_column(heading, justify="right")
    for row in view.streams:
        table.add_row(
            row.camera,
            row.device,
            row.detect_on or "-",
            row.identify_on or "-",
            str(row.frames),
            str(row.dropped),
            f"{row.fps:.2f}",
            "-" if row.planned_fps is None else f"{row.planned_fps:.2f}",
            seconds_text(row.latency_p50_s),
            str(row.asked),
        )
    return table


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
    """Streams by items/s, one-shot jobs by tasks done and makespan, training by rounds; each beside what was planned."""
    table = Table("job", "app", "policy", "state", "done", "measured", "planned", "p50", "detail")
    for v in views:
        detail = "; ".join(v.reasons) or v.detail
        table.add_row(
            v.job,
            v.app,
            v.policy,
            v.phase,
            *_CELLS[v.mode](v),
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


def _loop_cells(view: JobView) -> tuple[str, ...]:
    called = "cycle" if view.mode == "batches" else "round"
    return (
        f"{view.rounds_done} of {view.rounds_total} {called}s",
        f"{seconds_text(view.round_s)} a {called}" if view.round_s is not None else "-",
        seconds_text(planned(view.plan, "predicted_s")),
        "-",
    )


def _camera_cells(view: JobView) -> tuple[str, ...]:
    planned_per_s = f"{view.plan['throughput_per_s']:.2f}/s a camera" if view.plan else "-"
    measured = f"{view.rate_per_s:.2f}/s a camera"
    return f"{view.items} frames", measured, planned_per_s, seconds_text(view.latency_p50_s)


_CELLS = {
    "stream": _stream_cells,
    "once": _once_cells,
    **dict.fromkeys(TRAINS, _loop_cells),
    "cameras": _camera_cells,
    "offload": online_cells,
    "frames": online_cells,
}


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
