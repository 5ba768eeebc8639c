"""What we hold our own policies to, and the table of our own specification (specs/ents.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgeray.reproduce.experiments import BOUND, MBPS, Cell
from edgeray.reproduce.rules import Check, Claim, Unit, Verdict, at_least, counted, flat
from edgeray.reproduce.table import MEAN, Table
from edgeray.web.numbers import policy_label

GEOMETRIC = "geometric_mean_per_s"
AIMED_AT = tuple((devices, mbps * MBPS) for devices in (30, 70) for mbps in (1, 10))
"""Devices and bits/s for which the aims are stated."""

COLUMNS = ("lr", "br", "tp", "otfa", "joint", "joint-floor", BOUND)
SPECIFIED: dict[tuple[int, int], tuple[float, ...]] = {
    # (devices, Mbps): mean items/s a job, in the order of COLUMNS.
    (10, 1): (0.073, 0.070, 0.072, 0.070, 0.083, 0.096, 0.102),
    (30, 1): (0.038, 0.028, 0.126, 0.100, 0.203, 0.220, 0.241),
    (70, 1): (0.040, 0.035, 0.206, 0.203, 0.451, 0.466, 0.570),
    (30, 10): (0.066, 0.059, 0.142, 0.141, 0.210, 0.223, 0.241),
    (70, 10): (0.078, 0.083, 0.230, 0.230, 0.531, 0.547, 0.585),
}

Way = Literal["all at once", "one by one"]
_NAMES: dict[Way, Sequence[str]] = {"all at once": ("table",), "one by one": ("a", "b")}


def judge_aims(table: Table) -> list[Claim]:
    """Our own aims, for jobs that come all at once and one by one; without those that have no data."""
    found: list[Claim | None] = []
    for way in _NAMES:
        found += [floor_near_bound(table, way), joint_mean(table, way), joint_geometric_mean(table, way)]
    return [claim for claim in found if claim is not None]


def floor_near_bound(table: Table, way: Way) -> Claim | None:
    checks = flat(
        at_least(_place(cell), table.ratio(cell, "joint-floor", [BOUND]), 0.8) for cell in _cells(table, way)
    )
    said = f"joint-floor reaches 0.8 of the upper bound, jobs {way}."
    return _aim(f"floor-{_slug(way)}", said, "its mean over the bound", "ratio", checks)


def joint_mean(table: Table, way: Way) -> Claim | None:
    cells = _cells(table, way)
    checks = flat(at_least(_place(cell), table.ratio(cell, "joint", ["otfa"]), 1.4) for cell in cells)
    said = f"joint's mean is 1.4 times OTFA's, jobs {way}."
    limits = _headroom(table, checks, cells, MEAN)
    return _aim(f"joint-mean-{_slug(way)}", said, "its mean over OTFA's", "ratio", checks, limits)


def joint_geometric_mean(table: Table, way: Way) -> Claim | None:
    cells = _cells(table, way)
    checks = flat(
        at_least(_place(cell), table.ratio(cell, "joint", ["otfa"], GEOMETRIC), 2.0) for cell in cells
    )
    said = f"joint's geometric mean is twice OTFA's, jobs {way}."
    limits = _headroom(table, checks, cells, GEOMETRIC)
    return _aim(
        f"joint-geometric-{_slug(way)}", said, "its geometric mean over OTFA's", "ratio", checks, limits
    )


def _headroom(table: Table, checks: Sequence[Check], cells: Sequence[Cell], column: str) -> str:
    """How much better than OTFA a policy could be at all where the aim is missed. The bound of the mean bounds a
    geometric mean, too."""
    missed = {check.label for check in checks if not check.holds}
    found = [(_place(cell), table.headroom(cell, "otfa", column)) for cell in cells if _place(cell) in missed]
    told = [f"{most.mean:.2f} times OTFA's at {place}" for place, most in found if most is not None]
    return f" The upper bound of any policy is {', '.join(told)}." if told else ""


def _cells(table: Table, way: Way) -> list[Cell]:
    found = [cell for name in _NAMES[way] for _, cell in table.points(name)]
    return [cell for cell in found if (cell.devices, cell.mean_bps) in AIMED_AT]


def _place(cell: Cell) -> str:
    return f"{cell.devices} devices, {cell.mean_bps / MBPS:g} Mbps"


def _slug(way: Way) -> str:
    return way.replace(" ", "-")


def _aim(
    key: str, said: str, rule: str, unit: Unit, checks: tuple[Check, ...], limits: str = ""
) -> Claim | None:
    if not checks:
        return None
    return Claim(
        key=key,
        figure="ours",
        said=said,
        rule=f"{rule}; at every point",
        unit=unit,
        verdict=Verdict.HELD if all(check.holds for check in checks) else Verdict.MISSED,
        checks=checks,
        why=counted(checks) + limits,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Specified:
    """One number of the specification beside ours. inside: whether it lies within our confidence band; None
    where one seed tells no band."""

    devices: int
    mbps: float
    policy: str
    specified: float
    ours: float
    ratio: float
    inside: bool | None

    @property
    def label(self) -> str:
        return policy_label(self.policy)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def beside_specification(table: Table) -> list[Specified]:
    """All numbers of the specification's table that we have one for."""
    rows = []
    for _, cell in table.points("table"):
        mbps = cell.mean_bps / MBPS
        for policy, number in zip(COLUMNS, SPECIFIED[cell.devices, round(mbps)], strict=True):
            value = table.value(cell.bound() if policy == BOUND else cell, policy, MEAN)
            if value is None:
                continue
            rows.append(
                Specified(
                    devices=cell.devices,
                    mbps=mbps,
                    policy=policy,
                    specified=number,
                    ours=value.mean,
                    ratio=value.mean / number,
                    inside=value.low <= number <= value.high if value.known else None,
                )
            )
    return rows
