"""What the rules for the thesis' claims share: its policies, thresholds, and how a claim is put together."""

from __future__ import annotations

from edgeray.reproduce.experiments import Cell
from edgeray.reproduce.rules import ALL, Check, Claim, Unit, Verdict, counted, judge
from edgeray.reproduce.table import Table

WHOLE = ("lr", "br")
SPLIT = ("tp", "otfs", "otfa")
THESIS = (*WHOLE, *SPLIT)
LEAST_GAIN = 1.43
SIMILAR = 1.25
FEW_JOBS = 30


def paper_claim(
    key: str,
    figure: str,
    said: str,
    rule: str,
    unit: Unit,
    checks: tuple[Check, ...],
    share: float,
    otherwise: str = "",
) -> Claim | None:
    """otherwise: what explains it where the claim is not reproduced."""
    if not checks:
        return None
    verdict = judge(checks, share)
    reason = "" if verdict is Verdict.REPRODUCED else otherwise
    return Claim(
        key=key,
        figure=figure,
        said=said,
        rule=f"{rule}; {'at every point' if share == ALL else 'at two of three points or more'}",
        unit=unit,
        verdict=verdict,
        checks=checks,
        why=f"{counted(checks)} {reason}".strip(),
    )


def ends(table: Table, name: str, least: float) -> list[tuple[tuple[float, Cell], tuple[float, Cell]]]:
    """The first point from x = least on, and the last one, where they differ."""
    points = [(x, cell) for x, cell in table.points(name) if x >= least]
    return [(points[0], points[-1])] if len(points) > 1 else []
