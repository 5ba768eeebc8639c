"""The folder that reproduce leaves: CSV, PNG, and a page that judges every claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgeray import __version__
from edgeray.reproduce.claims import judge_all
from edgeray.reproduce.experiments import ARRIVALS_PER_S, DEVICES, HOLD_S, JOBS, Experiment
from edgeray.reproduce.ours import COLUMNS, Specified, beside_specification, judge_aims
from edgeray.reproduce.plots import draw_experiment
from edgeray.reproduce.rows import Row
from edgeray.reproduce.rules import Claim, Verdict, band, number
from edgeray.reproduce.table import Table
from edgeray.reproduce.tables import write_experiment, write_rows, write_specified
from edgeray.web.page import environment, picture

PAGE_NAME = "index.html"
TABLE = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that a run tells. quick: fewer points and one seed."""

    table: Table
    rows: tuple[Row, ...]
    seeds: int
    quick: bool
    claims: tuple[Claim, ...]
    aims: tuple[Claim, ...]
    specified: tuple[Specified, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "edgeray": __version__,
            "quick": self.quick,
            "seeds": self.seeds,
            "experiments": sorted(self.table.experiments),
            "claims": [claim.as_json() for claim in self.claims],
            "ours": [claim.as_json() for claim in self.aims],
            "table": [one.as_json() for one in self.specified],
        }


def find(rows: Sequence[Row], experiments: dict[str, Experiment], *, seeds: int, quick: bool) -> Findings:
    """Judge the rows."""
    table = Table(rows, experiments)
    return Findings(
        table=table,
        rows=tuple(rows),
        seeds=seeds,
        quick=quick,
        claims=tuple(judge_all(table)),
        aims=tuple(judge_aims(table)),
        specified=tuple(beside_specification(table)),
    )


def write_findings(findings: Findings, folder: Path) -> Path:
    """Write all files into folder, made if need be, and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(findings.rows, folder / "rows.csv")
    shown = []
    for name, experiment in findings.table.experiments.items():
        if name == TABLE:
            write_experiment(findings.table, experiment, folder / "table.csv")
            write_specified(findings.specified, folder / "specification.csv")
            continue
        write_experiment(findings.table, experiment, folder / f"figure-{name}.csv")
        drawn = picture(
            partial(draw_experiment, findings.table, experiment),
            folder / f"figure-{name}.png",
            f"{experiment.title}; the numbers are in figure-{name}.csv.",
        )
        claims = [claim for claim in findings.claims if claim.figure.split(", ")[-1] == name]
        shown.append({"experiment": experiment, "picture": drawn, "claims": claims})
    page = environment().get_template("reproduce.html.j2").render(_view(findings, shown))
    path = folder / PAGE_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _view(findings: Findings, shown: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": __version__,
        "quick": findings.quick,
        "seeds": findings.seeds,
        "summary": summary(findings),
        "shown": shown,
        "aims": findings.aims,
        "lines": _lines(findings.specified),
        "columns": COLUMNS,
        "number": number,
        "band": band,
        "jobs": JOBS,
        "devices": DEVICES,
        "arrivals_per_s": ARRIVALS_PER_S,
        "hold_s": HOLD_S,
    }


def summary(findings: Findings) -> list[str]:
    """What came out, in a few sentences."""
    said = []
    if findings.claims:
        counts = Counter(claim.verdict for claim in findings.claims)
        said.append(
            f"Of {len(findings.claims)} claims of the paper {counts[Verdict.REPRODUCED]} are reproduced, "
            f"{counts[Verdict.NOT_REPRODUCED]} not reproduced, {counts[Verdict.REFUTED]} refuted."
        )
    for claim in findings.claims:
        if claim.key.startswith("gain-"):
            said.append(f"Paper: {claim.said} Ours: {claim.ours} – {claim.verdict.value}.")
    if findings.aims:
        held = sum(aim.verdict is Verdict.HELD for aim in findings.aims)
        said.append(f"Of {len(findings.aims)} aims of our own {held} are held.")
    return said or ["The chosen figures hold no data to judge a claim by."]


def _lines(specified: Sequence[Specified]) -> list[tuple[str, dict[str, Specified]]]:
    """The table's lines: a label, and the numbers by policy."""
    lines: dict[str, dict[str, Specified]] = {}
    for one in specified:
        lines.setdefault(f"{one.devices} devices, {one.mbps:g} Mbps", {})[one.policy] = one
    return list(lines.items())
