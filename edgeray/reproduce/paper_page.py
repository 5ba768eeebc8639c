"""The folder that `reproduce` leaves for toof, djos, mel and fog: rows as CSV, figures, and a page with judged claims."""

from __future__ import annotations

import csv
import io
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure

from edgeray import __version__
from edgeray.reproduce.rules import Check, Claim, Unit, Verdict, band, counted, judge, number
from edgeray.reproduce.running import _ignore_interrupt
from edgeray.reproduce.table import Estimate
from edgeray.web.numbers import policy_label
from edgeray.web.page import environment, picture
from edgeray.web.theme import Theme, new_figure

PAGE_NAME = "index.html"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One policy's. points: (x, mean with its band)."""

    label: str
    points: tuple[tuple[float, Estimate], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure. name: of its file. axis, what: of its x and y. figure: whose claims stand below it."""

    name: str
    figure: str
    title: str
    axis: str
    what: str
    lines: tuple[Line, ...]
    from_zero: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFindings:
    """All that a run tells. rows: dataclasses of one kind. aims: of our own. notes: how it was done."""

    title: str
    source: str
    seeds: int
    quick: bool
    rows: tuple[Any, ...]
    claims: tuple[Claim, ...]
    aims: tuple[Claim, ...]
    drawings: tuple[Drawing, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "edgeray": __version__,
            "quick": self.quick,
            "seeds": self.seeds,
            "claims": [claim.as_json() for claim in self.claims],
            "ours": [claim.as_json() for claim in self.aims],
            "summary": self.summary(),
            "figures": {
                drawing.name: {
                    line.label: [[x, value.mean] for x, value in line.points] for line in drawing.lines
                }
                for drawing in self.drawings
            },
        }

    def summary(self) -> list[str]:
        """What came out, in a few sentences."""
        counts = Counter(claim.verdict for claim in self.claims)
        said = [
            f"Of {len(self.claims)} claims {counts[Verdict.REPRODUCED]} are reproduced, "
            f"{counts[Verdict.NOT_REPRODUCED]} not reproduced, {counts[Verdict.REFUTED]} refuted."
        ]
        if self.aims:
            held = sum(aim.verdict is Verdict.HELD for aim in self.aims)
            said.append(f"Of {len(self.aims)} aims of our own {held} are held.")
        return said


def judged(
    key: str,
    figure: str,
    said: str,
    rule: str,
    unit: Unit,
    checks: Sequence[Check],
    share: float,
    *,
    aim: bool = False,
) -> Claim | None:
    """The claim, or our aim, with its verdict; None where no row tells of it."""
    if not checks:
        return None
    verdict = judge(checks, share)
    if aim:
        verdict = Verdict.HELD if verdict is Verdict.REPRODUCED else Verdict.MISSED
    return Claim(
        key=key,
        figure=figure,
        said=said,
        rule=f"{rule}; {'at every point' if share == 1 else 'at two of three points or more'}",
        unit=unit,
        verdict=verdict,
        checks=tuple(checks),
        why=counted(checks),
    )


def in_processes(
    compute: Callable[[Asked], Answer],
    wanted: Sequence[Asked],
    processes: int,
    progress: Callable[[int, int], None],
) -> list[Answer]:
    """compute of each, in order. progress: is told how many are done, and of how many."""
    progress(0, len(wanted))
    found: list[Answer] = []
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)
    try:
        for done, each in enumerate(pool.map(compute, wanted), start=1):
            found.append(each)
            progress(done, len(wanted))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    return found


def write_paper(findings: PaperFindings, folder: Path) -> Path:
    """Write all files into folder, made if need be, and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(findings.rows, folder / "rows.csv")
    shown, told = [], set()
    for drawing in findings.drawings:
        claims = [] if drawing.figure in told else [c for c in findings.claims if c.figure == drawing.figure]
        told.add(drawing.figure)
        drawn = picture(
            partial(draw, drawing),
            folder / f"figure-{drawing.name}.png",
            f"{drawing.title}; the numbers are in rows.csv.",
        )
        shown.append({"name": drawing.name, "title": drawing.title, "picture": drawn, "claims": claims})
    others = [claim for claim in findings.claims if claim.figure not in told]
    view = {
        "version": __version__,
        "findings": findings,
        "summary": findings.summary(),
        "shown": shown,
        "others": others,
        "number": number,
        "band": band,
    }
    path = folder / PAGE_NAME
    path.write_text(environment().get_template("paper.html.j2").render(view), encoding="utf-8")
    return path


def write_rows(rows: Sequence[Any], path: Path) -> None:
    """A line a row; a field that is a tuple is left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [each.name for each in fields(rows[0]) if not isinstance(getattr(rows[0], each.name), tuple)]
    writer.writerow(names)
    writer.writerows([asdict(row)[name] for name in names] for row in rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def draw(drawing: Drawing, theme: Theme) -> Figure:
    """A line a policy: means over the seeds, with their confidence bands."""
    figure = new_figure(8.2, 4.0, theme)
    axes = figure.add_axes((0.09, 0.13, 0.88, 0.74), facecolor=theme.surface)
    for position, line in enumerate(drawing.lines):
        xs, colour = [x for x, _ in line.points], theme.series[position % len(theme.series)]
        marker = _MARKERS[position % len(_MARKERS)] if len(xs) <= 10 else None
        axes.plot(
            xs, [value.mean for _, value in line.points], color=colour, marker=marker, markersize=5,
            linewidth=1.8, label=policy_label(line.label), zorder=3,
        )  # fmt: skip
        if xs and all(value.known for _, value in line.points):
            axes.fill_between(
                xs, [value.low for _, value in line.points], [value.high for _, value in line.points],
                color=colour, alpha=0.16, linewidth=0, zorder=2,
            )  # fmt: skip
    if drawing.from_zero:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(drawing.axis, color=theme.muted, fontsize=9)
    axes.set_ylabel(drawing.what, color=theme.muted, fontsize=9)
    axes.grid(color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=theme.muted, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=6,
        frameon=False,
        fontsize=9,
        labelcolor=theme.text,
    )
    return figure
