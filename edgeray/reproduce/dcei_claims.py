"""The claims of Zhang 2024, ch. 5.5, as rules over our rows: each by the published latencies, and by simulation.

Words without numbers in the thesis mean here: the least gain that it claims, 1.14 times, for much better and for a
noticeable change; consistent is within a tenth; similar is within a quarter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeray.reproduce.dcei import BUSY_FROM_S, BUSY_UNTIL_S, LASTS_S
from edgeray.reproduce.dcei_rows import BIN_S, DceiRow
from edgeray.reproduce.rules import (
    ALL,
    MOST,
    Check,
    Claim,
    Unit,
    Verdict,
    at_least,
    at_most,
    counted,
    flat,
    judge,
    within,
)
from edgeray.reproduce.table import Estimate, estimate, estimate_ratio
from edgeray.web.numbers import policy_label

LOCAL, OFFLOADING = ("nmno", "wmno"), ("nmwo", "jstsh")
BASELINES = ("nmno", "wmno", "nmwo")
GAIN, STEADY, SIMILAR = 1.14, 1.1, 1.25
SIDE_BY_SIDE = (("nmwo", "nmno"), ("jstsh", "wmno"))
"""With offloading, and the same without."""
QUEUES = "Every policy but load-aware ignores that streams on one device wait for each other; JSTSH crowds fast devices."


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A way to tell throughput and latency. fps, latency_s: columns of the rows."""

    name: str
    title: str
    fps: str
    latency_s: str


MODELS = (
    Model(
        name="published",
        title="By the published latencies (throughput is 1 / L)",
        fps="published_fps",
        latency_s="published_latency_s",
    ),
    Model(name="simulated", title="Simulated frame by frame", fps="sustained_fps", latency_s="latency_s"),
)


class DceiTable:
    """The rows by figure, place and policy."""

    def __init__(self, rows: Iterable[DceiRow]) -> None:
        self._rows: dict[tuple[str, float, str], dict[int, DceiRow]] = {}
        for row in rows:
            self._rows.setdefault((row.figure, row.x, row.policy), {})[row.seed] = row

    def places(self, figure: str) -> list[float]:
        return sorted({x for name, x, _ in self._rows if name == figure})

    def by_seed(self, figure: str, places: Sequence[float], policy: str, column: str) -> dict[int, float]:
        """The mean over the places, by seed; of the seeds that have them all."""
        rows = [self._rows.get((figure, x, policy), {}) for x in places]
        seeds = sorted(set.intersection(*(set(each) for each in rows))) if rows else []
        return {seed: sum(getattr(each[seed], column) for each in rows) / len(rows) for seed in seeds}

    def value(self, figure: str, x: float, policy: str, column: str) -> Estimate | None:
        found = self.by_seed(figure, [x], policy, column)
        return estimate(list(found.values())) if found else None

    def ratio(
        self, figure: str, places: Sequence[float], policy: str, other: str, column: str
    ) -> Estimate | None:
        """One policy's over another's, seed by seed."""
        return _quotient(
            self.by_seed(figure, places, policy, column), self.by_seed(figure, places, other, column)
        )

    def growth(
        self, figure: str, first: Sequence[float], last: Sequence[float], policy: str, column: str
    ) -> Estimate | None:
        """A policy's at some places over its own at others, seed by seed."""
        return _quotient(
            self.by_seed(figure, last, policy, column), self.by_seed(figure, first, policy, column)
        )


def _quotient(parts: dict[int, float], wholes: dict[int, float]) -> Estimate | None:
    seeds = [seed for seed in parts if seed in wholes]
    return estimate_ratio([parts[s] for s in seeds], [wholes[s] for s in seeds]) if seeds else None


def judge_dcei(table: DceiTable, model: Model) -> list[Claim]:
    """Every claim that the table has data for."""
    found = [
        *_by_devices(table, model),
        *_over_time(table, model),
        *_by_bandwidth(table, model),
    ]
    return [claim for claim in found if claim is not None]


def _by_devices(table: DceiTable, model: Model) -> list[Claim | None]:
    name, places, fps = "devices", table.places("devices"), model.fps

    def over(policy: str, others: Sequence[str], threshold: float, against: float) -> tuple[Check, ...]:
        return flat(
            at_least(
                f"over {policy_label(other)}, {x:g} devices",
                table.ratio(name, [x], policy, other, fps),
                threshold,
                against,
            )
            for x in places
            for other in others
        )

    beyond = [x for x in places if x > 5]
    return [
        _claim(
            model, "best", "5.5", "WMWO (jstsh) has the highest throughput for every number of devices.",
            "its throughput is no less than the baseline's", "ratio", over("jstsh", BASELINES, 1.0, 1.0), ALL,
        ),
        _claim(
            model, "gain", "5.5", "WMWO's throughput is 14 to 36 % above the baselines'.",
            "its throughput is 1.14 times the baseline's or more", "gain",
            over("jstsh", BASELINES, GAIN, 1.0), MOST,
        ),
        _claim(
            model, "nmno-flat", "5.5", "NMNO's throughput stays the same beyond five devices, for five streams.",
            "within a tenth of that with five devices", "ratio",
            flat(
                within(f"{x:g} devices", table.growth(name, [5.0], [x], "nmno", fps), 1 / STEADY, STEADY)
                for x in beyond
            ), ALL,
        ),
        _claim(
            model, "wmno-over-nmno", "5.5", "WMNO's throughput is slightly higher than NMNO's.",
            "no less than NMNO's", "ratio", over("wmno", ["nmno"], 1.0, 1.0), MOST,
        ),
        _claim(
            model, "nmwo-over-wmno", "5.5", "NMWO's throughput is higher than WMNO's.",
            "no less than WMNO's", "ratio", over("nmwo", ["wmno"], 1.0, 1.0), MOST,
        ),
    ]  # fmt: skip


def _over_time(table: DceiTable, model: Model) -> list[Claim | None]:
    name, places = "workload", table.places("workload")
    # Whole pieces of time in which the workload does not change.
    half = BIN_S / 2 / 60
    quiet = [x for x in places if x - half >= BUSY_UNTIL_S / 60 + 1 and x + half <= BUSY_FROM_S / 60 - 1]
    busy = [x for x in places if x + half <= BUSY_UNTIL_S / 60 - 1 or x - half >= BUSY_FROM_S / 60 + 1]
    if not (quiet and busy) or places[-1] > LASTS_S / 60:
        return []

    def changes(policies: Sequence[str]) -> list[tuple[str, Estimate | None]]:
        return [(policy_label(each), table.growth(name, quiet, busy, each, model.fps)) for each in policies]

    def beside(where: Sequence[float]) -> list[tuple[str, Estimate | None]]:
        return [
            (f"{policy_label(a)} over {policy_label(b)}", table.ratio(name, where, a, b, model.latency_s))
            for a, b in SIDE_BY_SIDE
        ]

    return [
        _claim(
            model, "local-fluctuates", "5.7",
            "The throughput of NMNO and WMNO degrades apparently when the workload is high.",
            "busy over quiet, 1 / 1.14 or less", "ratio",
            flat(at_most(label, value, 1 / GAIN, 1.0) for label, value in changes(LOCAL)), ALL,
        ),
        _claim(
            model, "offloading-flat", "5.7", "With offloading there is no noticeable change over the workload.",
            "busy over quiet, within a tenth", "ratio",
            flat(within(label, value, 1 / STEADY, STEADY) for label, value in changes(OFFLOADING)), ALL,
        ),
        _claim(
            model, "quiet-alike", "5.8",
            "While the workload is low, the latency with offloading is similar to that without.",
            "within a quarter of it", "ratio",
            flat(within(label, value, 1 / SIMILAR, SIMILAR) for label, value in beside(quiet)), ALL,
        ),
        _claim(
            model, "busy-superior", "5.8", "While the workload is high, offloading has apparently lower latency.",
            "1 / 1.14 of that without, or less", "ratio",
            flat(at_most(label, value, 1 / GAIN, 1.0) for label, value in beside(busy)), ALL,
        ),
    ]  # fmt: skip


def _by_bandwidth(table: DceiTable, model: Model) -> list[Claim | None]:
    name, places = "bandwidth", table.places("bandwidth")
    if len(places) < 2:
        return []
    first, last = [places[0]], [places[-1]]

    def grows(policies: Sequence[str], column: str) -> list[tuple[str, Estimate | None]]:
        return [
            (
                f"{policy_label(each)}, {first[0]:g} to {last[0]:g} Mbps",
                table.growth(name, first, last, each, column),
            )
            for each in policies
        ]

    def beside(where: Sequence[float]) -> list[tuple[str, Estimate | None]]:
        return [
            (
                f"{policy_label(a)} over {policy_label(b)}, {x:g} Mbps",
                table.ratio(name, [x], a, b, model.fps),
            )
            for x in where
            for a, b in SIDE_BY_SIDE
        ]

    thin = [x for x in places if x <= 10]
    return [
        _claim(
            model, "local-steady", "5.9", "Without offloading the throughput is the same at every bandwidth.",
            "within a tenth", "ratio",
            flat(within(label, value, 1 / STEADY, STEADY) for label, value in grows(LOCAL, model.fps)), ALL,
        ),
        _claim(
            model, "offloading-grows", "5.9", "With offloading the throughput falls with the bandwidth.",
            "with the widest links 1.14 times that with the thinnest, or more", "ratio",
            flat(at_least(label, value, GAIN, 1.0) for label, value in grows(OFFLOADING, model.fps)), ALL,
        ),
        _claim(
            model, "wide-better", "5.9", "At 30 Mbps offloading has much better throughput than local processing.",
            "1.14 times it or more", "ratio",
            flat(at_least(label, value, GAIN, 1.0) for label, value in beside(last)), ALL,
        ),
        _claim(
            model, "thin-alike", "5.9", "At 5 and 10 Mbps offloading is similar to local processing.",
            "within a quarter of it", "ratio",
            flat(within(label, value, 1 / SIMILAR, SIMILAR) for label, value in beside(thin)), ALL,
        ),
        _claim(
            model, "latency-falls", "5.10", "The latency with offloading is highly affected by the transmission.",
            "with the widest links 1 / 1.14 of that with the thinnest, or less", "ratio",
            flat(at_most(label, value, 1 / GAIN, 1.0) for label, value in grows(OFFLOADING, model.latency_s)),
            ALL,
        ),
    ]  # fmt: skip


def _claim(
    model: Model,
    key: str,
    figure: str,
    said: str,
    rule: str,
    unit: Unit,
    checks: tuple[Check, ...],
    share: float,
) -> Claim | None:
    if not checks:
        return None
    verdict = judge(checks, share)
    crowded = model.name == "simulated" and key in ("best", "gain") and verdict is not Verdict.REPRODUCED
    return Claim(
        key=f"{key}-{model.name}",
        figure=figure,
        said=said,
        rule=f"{rule}; {'at every point' if share == ALL else 'at two of three points or more'}",
        unit=unit,
        verdict=verdict,
        checks=checks,
        why=f"{counted(checks)} {QUEUES if crowded else ''}".strip(),
    )
