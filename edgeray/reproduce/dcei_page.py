"""The folder that `reproduce dcei` leaves: rows as CSV, figures, and a page that judges every claim."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from edgeray import __version__
from edgeray.reproduce import dcei
from edgeray.reproduce.dcei import POLICIES
from edgeray.reproduce.dcei_claims import BASELINES, MODELS, DceiTable, Model, judge_dcei
from edgeray.reproduce.dcei_rows import DceiRow
from edgeray.reproduce.rules import Claim, Verdict, band, number
from edgeray.streams.feed import WINDOW
from edgeray.web.numbers import percent, policy_label, times
from edgeray.web.page import environment, picture
from edgeray.web.theme import Theme, new_figure

PAGE_NAME = "index.html"
_MARKERS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure of the thesis. source: of our rows' figures; latency: it draws that, and not throughput."""

    figure: str
    source: str
    title: str
    axis: str
    latency: bool = False


_MINUTES, _MBPS = "minutes after 12:00", "mean bandwidth of a link, Mbps"
DRAWINGS = (
    Drawing(figure="5.5", source="devices", title="Fig. 5.5: throughput against devices", axis="devices"),
    Drawing(figure="5.7", source="workload", title="Fig. 5.7: throughput over the workload", axis=_MINUTES),
    Drawing(
        figure="5.8",
        source="workload",
        title="Fig. 5.8: latency over the workload",
        axis=_MINUTES,
        latency=True,
    ),
    Drawing(figure="5.9", source="bandwidth", title="Fig. 5.9: throughput against bandwidth", axis=_MBPS),
    Drawing(
        figure="5.10",
        source="bandwidth",
        title="Fig. 5.10: latency against bandwidth",
        axis=_MBPS,
        latency=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DceiFindings:
    """All that a run tells. claims: by the name of the model that they are judged by."""

    rows: tuple[DceiRow, ...]
    seeds: int
    quick: bool
    claims: dict[str, list[Claim]]

    @property
    def table(self) -> DceiTable:
        return DceiTable(self.rows)

    def as_json(self) -> dict[str, Any]:
        return {
            "edgeray": __version__,
            "quick": self.quick,
            "seeds": self.seeds,
            "claims": {name: [claim.as_json() for claim in found] for name, found in self.claims.items()},
            "summary": summary(self),
            "figures": self.figures_json(),
        }

    def figures_json(self) -> dict[str, Any]:
        """Means over the seeds, by figure, model and policy: [x, mean] pairs."""
        table = self.table
        return {
            drawing.figure: {
                model.name: {
                    policy: [
                        [x, value.mean]
                        for x in table.places(drawing.source)
                        if (value := table.value(drawing.source, x, policy, _column(drawing, model)))
                    ]
                    for policy in POLICIES
                }
                for model in MODELS
            }
            for drawing in DRAWINGS
        }


def find_dcei(rows: Sequence[DceiRow], *, seeds: int, quick: bool) -> DceiFindings:
    """Judge the rows."""
    table = DceiTable(rows)
    claims = {model.name: judge_dcei(table, model) for model in MODELS}
    return DceiFindings(rows=tuple(rows), seeds=seeds, quick=quick, claims=claims)


def summary(findings: DceiFindings) -> list[str]:
    """What came out, in a few sentences."""
    said = []
    for model in MODELS:
        found = findings.claims[model.name]
        counts = Counter(claim.verdict for claim in found)
        said.append(
            f"{model.title}: of {len(found)} claims {counts[Verdict.REPRODUCED]} are reproduced, "
            f"{counts[Verdict.NOT_REPRODUCED]} not reproduced, {counts[Verdict.REFUTED]} refuted."
        )
        for claim in found:
            if claim.key.startswith("gain-"):
                said.append(f"Paper: {claim.said} Ours: {claim.ours} – {claim.verdict.value}.")
    said += _of_load_aware(findings.table) + _of_once(findings.table)
    return said


def _of_load_aware(table: DceiTable) -> list[str]:
    """What mapping by load gains: it is for the slowest stream."""
    gains = [
        (other, table.ratio("devices", table.places("devices"), "load-aware", other, "least_fps"))
        for other in (*BASELINES, "jstsh")
    ]
    told = [f"{times(gain.mean)} {policy_label(other)}'s" for other, gain in gains if gain is not None]
    return [f"The slowest stream's simulated rate under load-aware is {', '.join(told)}."] if told else []


def _of_once(table: DceiTable) -> list[str]:
    """How much of the gain is left where only new people are re-identified."""
    found = [
        (other, table.ratio("once", table.places("once"), "jstsh", other, "published_fps"))
        for other in BASELINES
    ]
    told = [f"{percent(gain.mean - 1)} over {policy_label(o)}" for o, gain in found if gain is not None]
    if not told:
        return []
    return [f"Where a person is re-identified when first seen only, jstsh gains by 1 / L: {', '.join(told)}."]


def write_dcei(findings: DceiFindings, folder: Path) -> Path:
    """Write all files into folder, made if need be, and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_rows(findings.rows, folder / "rows.csv")
    table = findings.table
    shown = []
    for drawing in DRAWINGS:
        if not table.places(drawing.source):
            continue
        pictures = [
            {
                "title": model.title,
                "picture": picture(
                    partial(draw, table, drawing, model),
                    folder / f"figure-{drawing.figure}-{model.name}.png",
                    f"{drawing.title}. {model.title}; the numbers are in rows.csv.",
                ),
                "claims": [c for c in findings.claims[model.name] if c.figure == drawing.figure],
            }
            for model in MODELS
        ]
        shown.append({"name": f"figure-{drawing.figure}", "title": drawing.title, "pictures": pictures})
    page = environment().get_template("dcei.html.j2").render(_view(findings, shown))
    path = folder / PAGE_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _view(findings: DceiFindings, shown: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": __version__,
        "quick": findings.quick,
        "seeds": findings.seeds,
        "summary": summary(findings),
        "shown": shown,
        "number": number,
        "band": band,
        "order": ", ".join(kind.upper() for kind in dcei.ORDER),
        "mbps": dcei.DEFAULT_MBPS,
        "nx": dcei.MEASURED_S["nx"],
        "tx2": dcei.MEASURED_S["tx2"],
        "frame": dcei.FRAME_BYTES,
        "crop": dcei.CROP_BYTES,
        "least": dcei.LEAST_PEOPLE,
        "most": dcei.MOST_PEOPLE,
        "window": WINDOW,
        "fps": dcei.CAMERA_FPS,
    }


def _column(drawing: Drawing, model: Model) -> str:
    return model.latency_s if drawing.latency else model.fps


def draw(table: DceiTable, drawing: Drawing, model: Model, theme: Theme) -> Figure:
    """A line a policy: means over the seeds, with their confidence bands."""
    figure = new_figure(8.2, 4.0, theme)
    axes = figure.add_axes((0.09, 0.13, 0.88, 0.74), facecolor=theme.surface)
    for position, policy in enumerate(POLICIES):
        told = [
            (x, value)
            for x in table.places(drawing.source)
            if (value := table.value(drawing.source, x, policy, _column(drawing, model))) is not None
        ]
        xs, colour = [x for x, _ in told], theme.series[position]
        axes.plot(
            xs, [value.mean for _, value in told], color=colour, marker=_MARKERS[position], markersize=5,
            linewidth=1.8, label=policy_label(policy), zorder=3,
        )  # fmt: skip
        if told and all(value.known for _, value in told):
            axes.fill_between(
                xs, [max(value.low, 0.0) for _, value in told], [value.high for _, value in told],
                color=colour, alpha=0.16, linewidth=0, zorder=2,
            )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel(drawing.axis, color=theme.muted, fontsize=9)
    what = "latency, s, mean of all streams" if drawing.latency else "frames/s, mean of all streams"
    axes.set_ylabel(what, color=theme.muted, fontsize=9)
    axes.grid(color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=theme.muted, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=5,
        frameon=False,
        fontsize=9,
        labelcolor=theme.text,
    )
    return figure


def _write_rows(rows: Sequence[DceiRow], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(DceiRow)]
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    path.write_text(text.getvalue(), encoding="utf-8")
