"""compare and demo: several policies on the same jobs, side by side, measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgeray.cli.cluster import bring_up
from edgeray.cli.console import print_json, say, stdout
from edgeray.cli.enter import INSIDE, be_on_head
from edgeray.errors import BadInputError
from edgeray.loading import read_job_files
from edgeray.telemetry.camera_records import CamerasComparison
from edgeray.telemetry.online_records import OnlineComparison
from edgeray.telemetry.records import Comparison, OnceComparison
from edgeray.telemetry.records import as_json as to_json
from edgeray.telemetry.training_records import TrainingComparison
from policies.model import ONLINE, TRAINS, Mode

POLICIES: dict[Mode, str] = {
    "stream": "lr,br,tp,otfs,otfa,joint",
    "once": "heft,cpop,peft,portfolio",
    "loop": "vanilla-fl,adaptive-fl,edgesplit-fix,edgesplit,edgesplit-overlap",
    "batches": "eta,mel,mel-exact",
    "fog": "local,federated,network-aware,network-aware-sqrt",
    "cameras": "nmno,wmno,nmwo,jstsh,load-aware",
    "offload": "round-robin,p2c,jsq,toof,hybrid",
    "frames": "lfos,efos,djos-slides,djos",
}
"""Compared by default, by the jobs' mode."""

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]


def add_commands(app: typer.Typer) -> None:
    app.command()(compare)
    app.command()(demo)


def compare(
    apps: Annotated[
        list[Path], typer.Argument(metavar="APP...", help="Folders with a job.yaml, or job files.")
    ],
    policies: Annotated[
        str | None,
        typer.Option(
            help="Which, by name, separated by commas. Default: "
            f"{POLICIES['stream']} for streams, {POLICIES['once']} for one-shot jobs, "
            f"{POLICIES['loop']} for split training, {POLICIES['batches']} for batch training, {POLICIES['fog']} for "
            f"fog training, {POLICIES['cameras']} for cameras (kind: streams), "
            f"{POLICIES['offload']} for kind: offload, {POLICIES['frames']} for kind: frames."
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            help="How long to measure under each policy; one-shot jobs and training run to their end."
        ),
    ] = 30.0,
    interval: Annotated[float, typer.Option(help="Streams: seconds between the arrivals of several.")] = 2.0,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Devices, separated by commas: each job arrives once for each, with its sources there."
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(help="Training: so many rounds, cycles or aggregations, whatever the jobs say."),
    ] = None,
    cycle: Annotated[
        str | None,
        typer.Option(help="Batch training: how long a cycle is, such as 12s, whatever the jobs say."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("reports/compare"),
    as_json: Json = False,
) -> None:
    """Run the same jobs under several policies and report what was planned and what was measured.

    Of one-shot jobs (mode: once) the makespan is measured, one job at a time. Of training (kinds split-training,
    batch-training and fog-training) each round of each job, one job at a time; Ctrl-C keeps what was measured so far.
    """
    from edgeray.cli import comparing
    from edgeray.planning import chosen_policy

    if seconds <= 0 or interval < 0:
        raise BadInputError("--seconds must be above 0 and --interval not below 0")
    files = read_job_files(apps)
    _check_options(files.mode, sources, rounds, cycle)
    chosen = [chosen_policy(name, files.mode) for name in distinct_names(policies or POLICIES[files.mode])]
    be_on_head()
    _, loaded = files.opened()
    if files.mode in TRAINS:
        from edgeray.cli.comparing_training import compare_training, with_cycle, with_rounds

        jobs = loaded if rounds is None else [with_rounds(app, rounds) for app in loaded]
        trained = compare_training(
            jobs if cycle is None else [with_cycle(app, cycle) for app in jobs], chosen
        )
        _report_training(trained, out, as_json)
        if len(trained.runs) < len(chosen):
            raise typer.Exit(130)
        return
    if files.mode == "cameras":
        from edgeray.cli.comparing_cameras import compare_cameras

        watched = compare_cameras(loaded, chosen, seconds=seconds)
        _report_cameras(watched, out, as_json)
        if len(watched.runs) < len(chosen) * len(loaded):
            raise typer.Exit(130)
        return
    if files.mode in ONLINE:
        from edgeray.cli.comparing_online import compare_online

        decided = compare_online(loaded, chosen, seconds=seconds)
        _report_online(decided, out, as_json)
        if len(decided.runs) < len(chosen) * len(loaded):
            raise typer.Exit(130)
        return
    arrivals = comparing.arrivals(loaded, sources.split(",") if sources else None)
    if files.mode == "once":
        _report_once(comparing.compare_once(arrivals, chosen), out, as_json)
    else:
        _report(comparing.compare(arrivals, chosen, seconds=seconds, interval_s=interval), out, as_json)


def _check_options(mode: Mode, sources: str | None, rounds: int | None, cycle: str | None) -> None:
    if cycle is not None and mode != "batches":
        raise BadInputError(f"--cycle {cycle}: only batch training (kind: batch-training) goes in cycles")
    if rounds is not None and mode not in TRAINS:
        raise BadInputError(
            f"--rounds {rounds}: only training (kind: split-training and others) goes in rounds"
        )
    if rounds is not None and rounds < 1:
        raise BadInputError(f"--rounds {rounds}: expected 1 or more")
    if sources is not None and mode in TRAINS:
        raise BadInputError(
            f"--sources {sources}: training has no sources\n"
            "  remedy:   name the devices that train, and the `server`, in the job file"
        )
    if sources is not None and mode in ONLINE:
        raise BadInputError(
            f"--sources {sources}: its sources stay where they are\n  remedy:   name their devices in the job file"
        )
    if sources is not None and mode == "cameras":
        raise BadInputError(
            f"--sources {sources}: cameras stay where they are\n  remedy:   name their devices in the job file"
        )


def distinct_names(policies: str) -> list[str]:
    """The names in --policies. Raises BadInputError when there is none, or one comes twice."""
    names = [name.strip() for name in policies.split(",") if name.strip()]
    if not names or len(set(names)) != len(names):
        raise BadInputError(f"--policies {policies}: expected distinct names separated by commas")
    return names


def _report(comparison: Comparison, out: Path, as_json: bool) -> None:
    """Write the report, and print the comparison as a table or as JSON."""
    from edgeray.web.report import write_report
    from edgeray.web.table import render_table

    path = write_report(comparison, out)
    if as_json:
        print_json(to_json(comparison))
    else:
        stdout.print(render_table(comparison))
    say(f"report: {path}")


def _report_once(comparison: OnceComparison, out: Path, as_json: bool) -> None:
    from edgeray.web.once import render_once_table, write_once_report

    path = write_once_report(comparison, out)
    if as_json:
        print_json(to_json(comparison))
    else:
        stdout.print(render_once_table(comparison))
    say(f"report: {path}")


def _report_training(comparison: TrainingComparison, out: Path, as_json: bool) -> None:
    from edgeray.web.numbers import finite
    from edgeray.web.training import write_training_report
    from edgeray.web.training_summary import failure_lines, render_training_table

    path = write_training_report(comparison, out)
    if as_json:
        print_json(finite(to_json(comparison)))
    else:
        stdout.print(render_training_table(comparison))
        for line in failure_lines(comparison):
            stdout.print(line, markup=False, highlight=False)
    say(f"report: {path}")


def _report_cameras(comparison: CamerasComparison, out: Path, as_json: bool) -> None:
    from edgeray.web.cameras import render_cameras_table, write_cameras_report
    from edgeray.web.numbers import finite

    path = write_cameras_report(comparison, out)
    if as_json:
        print_json(finite(to_json(comparison)))
    else:
        stdout.print(render_cameras_table(comparison))
    say(f"report: {path}")


def _report_online(comparison: OnlineComparison, out: Path, as_json: bool) -> None:
    from edgeray.web.numbers import finite
    from edgeray.web.online import render_online_table, write_online_report

    path = write_online_report(comparison, out)
    if as_json:
        print_json(finite(to_json(comparison)))
    else:
        stdout.print(render_online_table(comparison))
    say(f"report: {path}")


def demo(
    cluster: Annotated[Path, typer.Option(help="Cluster file.")] = Path("cluster/testbed/five.yaml"),
    app: Annotated[Path, typer.Option(help="Folder with a job.yaml, or a job file.")] = Path(
        "apps/attributes"
    ),
    policies: Annotated[
        str | None, typer.Option(help="Which, by name, separated by commas; else as compare does.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to measure under each policy.")] = 15.0,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("reports/demo"),
) -> None:
    """Up, profile, compare, report, down: the main job on real input, in one go."""
    from edgeray import testbed
    from edgeray.cli.enter import run_on_head

    began = time.monotonic()
    for path in (cluster, app):
        if not path.exists():
            raise BadInputError(
                f"{path}: not here\n  remedy:   run it in EdgeRay's own folder, or name the file"
            )
    if testbed.current() is not None:
        raise BadInputError("a cluster is up already\n  remedy:   edgeray down, then edgeray demo")
    try:
        bring_up(cluster)
        say(f"up after {time.monotonic() - began:.0f} s; profiling")
        steps: Sequence[list[str]] = (
            ["profile", str(app)],
            ["compare", str(app), "--seconds", str(seconds), "--out", str(out), *_chosen(policies)],
        )
        for step in steps:
            code = run_on_head(["env", f"{INSIDE}=1", _python(), "-m", "edgeray.cli.main", *step])
            if code:
                raise typer.Exit(code)
    finally:
        testbed.down(progress=say)
    say(f"the whole demo took {time.monotonic() - began:.0f} s; open {out / 'report.html'}")


def _chosen(policies: str | None) -> list[str]:
    return [] if policies is None else ["--policies", policies]


def _python() -> str:
    import sys

    return sys.executable
