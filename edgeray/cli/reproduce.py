"""reproduce: the published experiments, run again in the simulator, and their claims judged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeray.cli.console import print_json, say, stderr, stdout
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.reproduce.page import Findings

ALL = "a,b,c,d,e,f,table"
SEEDS = 3


def add_commands(app: typer.Typer) -> None:
    app.command()(reproduce)


def reproduce(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few points and one seed: under a minute, for a first look.")
    ] = False,
    only: Annotated[str, typer.Option(help="Which figures, separated by commas.")] = ALL,
    seeds: Annotated[
        int | None, typer.Option(help=f"How many random networks for each point; {SEEDS}, or 1 with --quick.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="How many processes; as many as there are cores.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Start over instead of going on.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for rows, figures and the page.")] = Path(
        "reports/reproduce"
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")
    ] = False,
) -> None:
    """Redraw Fig. 3.11 a-f of the ENTS thesis by simulation, and judge each of its claims.

    Rows are stored as they are computed: stop it with Ctrl-C and the same command goes on from there. Rows of
    another version of EdgeRay are computed again; rows of other code of the same version are not, but for --again.
    """
    from edgeray.reproduce.experiments import POLICIES, experiments, trials

    count = seeds if seeds is not None else 1 if quick else SEEDS
    processes = jobs if jobs is not None else len(os.sched_getaffinity(0))
    if count < 1 or processes < 1:
        raise BadInputError(f"--seeds {count} --jobs {processes}: expected 1 or more")
    known = experiments(quick=quick)
    names = [name.strip() for name in only.split(",") if name.strip()]
    if not names or any(name not in known for name in names):
        raise BadInputError(f"--only {only}: expected some of {ALL}, separated by commas")
    if out.exists() and not out.is_dir():
        raise BadInputError(f"--out {out}: expected a folder, found a file")
    from edgeray.reproduce.page import find, write_findings
    from edgeray.reproduce.running import collect
    from edgeray.reproduce.store import Store

    chosen = {name: known[name] for name in known if name in names}
    wanted = trials(tuple(chosen.values()), range(count), POLICIES)
    store = Store(out, again=again)
    try:
        with _Bar() as bar:
            rows = collect(wanted, store, processes, bar.show)
    except KeyboardInterrupt:
        say(f"stopped; the {len(store.rows)} rows in {out} are kept, and the same command goes on from there")
        raise
    findings = find(rows, chosen, seeds=count, quick=quick)
    path = write_findings(findings, out)
    if as_json:
        print_json(findings.as_json())
    else:
        _print(findings)
    say(f"page: {path}")


def _print(findings: Findings) -> None:
    from rich.table import Table

    from edgeray.reproduce.page import summary

    shown = Table("figure", "claim", "verdict", "our numbers", box=None, padding=(0, 2, 0, 0))
    for claim in (*findings.claims, *findings.aims):
        shown.add_row(claim.figure, claim.said, claim.verdict.value, claim.ours)
    stdout.print(shown)
    for sentence in summary(findings):
        stdout.print(sentence, markup=False, highlight=False)


class _Bar:
    """A progress bar of rows on stderr; on no terminal a line each tenth of the way."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("rows"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=stderr,
            transient=True,
        )
        self._bar = self._progress.add_task("rows", total=None)
        self._told = -1

    def __enter__(self) -> _Bar:
        if stderr.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *ended: object) -> None:
        if stderr.is_terminal:
            self._progress.stop()

    def show(self, done: int, total: int) -> None:
        self._progress.update(self._bar, completed=done, total=total)
        tenth = 10 * done // max(1, total)
        if not stderr.is_terminal and tenth > self._told:
            self._told = tenth
            say(f"{done} of {total} rows")
