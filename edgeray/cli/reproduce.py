"""reproduce: the published experiments, run again in the simulator, and their claims judged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeray.cli.console import print_json, say, stderr, stdout
from edgeray.errors import BadInputError

if TYPE_CHECKING:
    from edgeray.reproduce.page import Findings
    from edgeray.reproduce.paper_run import Paper
    from edgeray.reproduce.rules import Claim

ALL = "a,b,c,d,e,f,table"
SEEDS = 3
NAMES = ("ents", "dcei", "toof", "djos", "mel", "fog")


def add_commands(app: typer.Typer) -> None:
    app.command()(reproduce)


def reproduce(
    what: Annotated[
        str,
        typer.Argument(
            help="ents: Fig. 3.11 a-f. dcei: Figs. 5.5 and 5.7 to 5.10, cameras. toof: items to helpers, Figs. 2 and 3. "
            "djos: frames with deadlines. mel: batches of learners, Figs. 1 and 2. fog: data moved between "
            "them, Tables II and III and Figs. 4 to 8."
        ),
    ] = "ents",
    quick: Annotated[
        bool, typer.Option("--quick", help="Few points and seeds: under a minute, for a first look.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(help=f"Which figures of ents, separated by commas; {ALL} without it.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help=f"How many draws for each point. ents: {SEEDS}; dcei and toof: 20; djos: 5; mel: 50, for feasibility, "
            "3 of them trained; fog: 10, half of them trained. Fewer with --quick."
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="How many processes; as many as there are cores.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Start over instead of going on.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for rows, figures and the page: reports/reproduce, or reports/ and the name."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")
    ] = False,
) -> None:
    """Redraw the papers' figures by simulation, and judge each of their claims: of ents (placement), dcei (cameras),
    toof (which helper gets an item), djos (frames with deadlines), mel (how many samples each learner gets) or fog
    (training data kept, sent or discarded).

    Rows of ents are stored as they are computed: stop it with Ctrl-C and the same command goes on from there. Rows of
    another version of EdgeRay are computed again; rows of other code of the same version are not, but for --again.
    """
    if what not in NAMES:
        raise BadInputError(f"{what}: expected {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    if any(number is not None and number < 1 for number in (seeds, jobs)):
        raise BadInputError(f"--seeds {seeds} --jobs {jobs}: expected 1 or more")
    folder = out if out is not None else Path("reports") / ("reproduce" if what == "ents" else what)
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"--out {folder}: expected a folder, found a file")
    processes = jobs if jobs is not None else len(os.sched_getaffinity(0))
    if what == "ents":
        _ents(
            ALL if only is None else only, seeds, processes, folder, quick=quick, again=again, as_json=as_json
        )
    elif only is not None or again:
        raise BadInputError(
            f"--only and --again: for ents\n  remedy:   leave them out; {what} is computed as a whole"
        )
    elif what == "dcei":
        _dcei(seeds, processes, folder, quick=quick, as_json=as_json)
    else:
        _paper(what, seeds, processes, folder, quick=quick, as_json=as_json)


def _ents(
    only: str, seeds: int | None, processes: int, out: Path, *, quick: bool, again: bool, as_json: bool
) -> None:
    from edgeray.reproduce.experiments import POLICIES, experiments, trials

    count = seeds if seeds is not None else 1 if quick else SEEDS
    known = experiments(quick=quick)
    names = [name.strip() for name in only.split(",") if name.strip()]
    if not names or any(name not in known for name in names):
        raise BadInputError(f"--only {only}: expected some of {ALL}, separated by commas")
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


def _dcei(seeds: int | None, processes: int, out: Path, *, quick: bool, as_json: bool) -> None:
    from edgeray.reproduce.dcei import QUICK_SEEDS, SEEDS, points
    from edgeray.reproduce.dcei_claims import MODELS
    from edgeray.reproduce.dcei_page import find_dcei, summary, write_dcei
    from edgeray.reproduce.dcei_rows import collect, trials

    count = seeds if seeds is not None else QUICK_SEEDS if quick else SEEDS
    with _Bar() as bar:
        rows = collect(trials(points(quick=quick), range(count)), processes, bar.show)
    findings = find_dcei(rows, seeds=count, quick=quick)
    path = write_dcei(findings, out)
    if as_json:
        print_json(findings.as_json())
    else:
        for model in MODELS:
            stdout.print(f"{model.title}:", markup=False, highlight=False)
            _print_claims(findings.claims[model.name])
        for sentence in summary(findings):
            stdout.print(sentence, markup=False, highlight=False)
    say(f"page: {path}")


def _paper(what: str, seeds: int | None, processes: int, out: Path, *, quick: bool, as_json: bool) -> None:
    """toof, djos, mel or fog."""
    from edgeray.reproduce.paper_page import write_paper

    paper = _paper_named(what)
    with _Bar() as bar:
        findings = paper.run(seeds, processes, bar.show, quick=quick)
    path = write_paper(findings, out)
    if as_json:
        print_json(findings.as_json())
    else:
        _print_claims([*findings.claims, *findings.aims])
        for sentence in findings.summary():
            stdout.print(sentence, markup=False, highlight=False)
    say(f"page: {path}")


def _paper_named(what: str) -> Paper[Any, Any, Any]:
    from edgeray.reproduce.djos import DJOS
    from edgeray.reproduce.fog import FOG
    from edgeray.reproduce.mel import MEL
    from edgeray.reproduce.toof import TOOF

    papers: dict[str, Paper[Any, Any, Any]] = {"toof": TOOF, "djos": DJOS, "mel": MEL, "fog": FOG}
    return papers[what]


def _print(findings: Findings) -> None:
    from edgeray.reproduce.page import summary

    _print_claims([*findings.claims, *findings.aims])
    for sentence in summary(findings):
        stdout.print(sentence, markup=False, highlight=False)


def _print_claims(claims: Sequence[Claim]) -> None:
    from rich.table import Table

    shown = Table("figure", "claim", "verdict", "our numbers", box=None, padding=(0, 2, 0, 0))
    for claim in claims:
        shown.add_row(claim.figure, claim.said, claim.verdict.value, claim.ours)
    stdout.print(shown)


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
