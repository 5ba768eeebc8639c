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
from edgeray.telemetry.records import Comparison, OnceComparison
from edgeray.telemetry.records import as_json as to_json

POLICIES = {"stream": "lr,br,tp,otfs,otfa,joint", "once": "heft,cpop,peft,portfolio"}
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
            f"{POLICIES['stream']} for streams, {POLICIES['once']} for one-shot jobs."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="How long to measure under each policy; one-shot jobs run to their end.")
    ] = 30.0,
    interval: Annotated[float, typer.Option(help="Seconds between the arrivals of several jobs.")] = 2.0,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Devices, separated by commas: each job arrives once for each, with its sources there."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("reports/compare"),
    as_json: Json = False,
) -> None:
    """Run the same jobs under several policies and report what was planned and what was measured.

    Of one-shot jobs (mode: once) the makespan is measured, one job at a time.
    """
    from edgeray.cli import comparing
    from edgeray.planning import chosen_policy, mode_of_all
    from edgeray.spec import check_runnable, load_app

    if seconds <= 0 or interval < 0:
        raise BadInputError("--seconds must be above 0 and --interval not below 0")
    loaded = [load_app(path) for path in apps]
    for app in loaded:
        check_runnable(app)
    if len({app.folder for app in loaded}) > 1:
        raise BadInputError(
            "the job files of one comparison must lie in one folder: it travels with the jobs"
        )
    mode = mode_of_all(loaded)
    chosen = [chosen_policy(name, mode) for name in distinct_names(policies or POLICIES[mode])]
    be_on_head()
    arrivals = comparing.arrivals(loaded, sources.split(",") if sources else None)
    if mode == "once":
        _report_once(comparing.compare_once(arrivals, chosen), out, as_json)
    else:
        _report(comparing.compare(arrivals, chosen, seconds=seconds, interval_s=interval), out, as_json)


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
