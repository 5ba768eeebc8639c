"""What is computed of network-aware learning's Table III and Figs. 5, 7 and 8: settings, rows, and what they tell.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. V: n = 10, T = 100, c ~ U(0, 1), c_link ~ U(0, 1/n), D ~ U(0, 60,000 / (n T)). It does not say how large f is, nor
whether costs are drawn anew in each interval: here both, and two kinds of errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from edgeray.reproduce.paper_run import SeedTable
from edgeray.reproduce.table import Estimate
from policies.movement.instance import MovementInstance
from policies.movement.registry import MOVEMENT_POLICIES
from policies.movement.setting import Topology, random_setting

TABLE, NODES, CONNECTIVITY, TOPOLOGY = "III", "5", "7", "8"
SETTINGS = {1.0: "A", 2.0: "B", 3.0: "C", 4.0: "D"}
"""Of Table III, by place on its axis. A: nothing moves. B: planned with what is known. C: with estimates. D: and with
capacities."""
SETTING_POLICIES = {
    "A": "local",
    "B": "network-aware",
    "C": "network-aware-estimated",
    "D": "network-aware-estimated",
}
PUBLISHED = {"A": 0.48, "B": 0.26, "C": 0.23, "D": 0.24}
"""Unit costs."""
COSTS = ("once", "anew")
"""Drawn once for all intervals, or anew in each."""
LINEAR, SQRT = "network-aware", "network-aware-sqrt"
F = {LINEAR: 1.0, SQRT: 30.0}
"""With linear errors no point costs more to process than 1; of errors 1 / sqrt(G), see the notes of the page."""
TABLE_TIMES = 10
"""As many draws of Table III as of the figures: where costs are drawn once, ten of them are an instance's only ones."""
N, QUICK_N = (5, 10, 20, 30, 40, 50), (5, 20, 50)
RHO, QUICK_RHO = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0), (0.1, 0.2, 0.6, 1.0)
TOPOLOGIES: dict[float, Topology] = {1.0: "small-world", 2.0: "hierarchy", 3.0: "full"}

VARIANTS = tuple((costs, policy) for costs in COSTS for policy in (LINEAR, SQRT))
DRAWN = {"once": "drawn once", "anew": "drawn anew"}
ERRORS = {LINEAR: "linear", SQRT: "1/sqrt"}
PARTS = {
    "unit": "unit cost",
    "process": "processing",
    "transfer": "transfer",
    "discard": "discarding",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FogTrial:
    """figure: TABLE, or a figure's number; x: its place there."""

    figure: str
    costs: str
    policy: str
    x: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FogRow:
    """points: collected. process, transfer, discard, unit: cost a collected point. sent, processed: parts of them."""

    figure: str
    costs: str
    policy: str
    x: float
    seed: int
    points: float
    process: float
    transfer: float
    discard: float
    unit: float
    sent: float
    processed: float


def fog_trials(seeds: int, *, quick: bool) -> list[FogTrial]:
    """The long ones first."""
    nodes, rho = (QUICK_N, QUICK_RHO) if quick else (N, RHO)
    varied = {NODES: tuple(reversed(nodes)), CONNECTIVITY: rho, TOPOLOGY: tuple(TOPOLOGIES)}
    places = [(figure, policy, x) for figure, xs in varied.items() for x in xs for policy in (SQRT, LINEAR)]
    places += [(TABLE, SETTING_POLICIES[name], x) for x, name in SETTINGS.items()]
    return [
        FogTrial(figure=figure, costs=costs, policy=policy, x=float(x), seed=seed)
        for figure, policy, x in places
        for costs in COSTS
        for seed in range(seeds * (TABLE_TIMES if figure == TABLE else 1))
    ]


def compute(trial: FogTrial) -> FogRow:
    plan = MOVEMENT_POLICIES[trial.policy](instance_of(trial))
    points = float(plan.kept.sum() + plan.sent.sum() + plan.discarded.sum())
    return FogRow(
        figure=trial.figure,
        costs=trial.costs,
        policy=trial.policy,
        x=trial.x,
        seed=trial.seed,
        points=points,
        process=plan.process / points,
        transfer=plan.transfer / points,
        discard=plan.discard / points,
        unit=plan.unit,
        sent=float(plan.sent.sum()) / points,
        processed=float(plan.processed.sum()) / points,
    )


def instance_of(trial: FogTrial) -> MovementInstance:
    """The same seed gives every policy the same data and costs."""
    rng = np.random.default_rng(trial.seed)
    steady, f = trial.costs == "once", F.get(trial.policy, F[LINEAR])
    if trial.figure == NODES:
        return random_setting(rng, devices=int(trial.x), steady=steady, f=f)
    if trial.figure == CONNECTIVITY:
        return random_setting(rng, topology="random", rho=trial.x, steady=steady, f=f)
    if trial.figure == TOPOLOGY:
        return random_setting(rng, topology=TOPOLOGIES[trial.x], steady=steady, f=f)
    return random_setting(rng, steady=steady, f=f, capacities=SETTINGS[trial.x] == "D")


def name_of(variant: tuple[str, str]) -> str:
    costs, policy = variant
    return f"{DRAWN[costs]}, {ERRORS[policy]}"


class FogTable(SeedTable[tuple[str, str, str, float], FogRow]):
    """The rows by figure, how costs are drawn, policy and place."""

    def __init__(self, rows: Iterable[FogRow]) -> None:
        super().__init__(rows, lambda row: (row.figure, row.costs, row.policy, row.x))

    def places(self, figure: str) -> list[float]:
        return sorted({x for name, _, _, x in self.keys() if name == figure})

    def value(self, figure: str, costs: str, policy: str, x: float, column: str) -> Estimate | None:
        return self.told([(figure, costs, policy, x)], attrgetter(column))

    def change(
        self, figure: str, costs: str, policy: str, first: float, last: float, column: str
    ) -> Estimate | None:
        """What a column is more at the last place than at the first, seed by seed."""
        tell = attrgetter(column)
        return self.told(
            [(figure, costs, policy, last), (figure, costs, policy, first)], lambda a, b: tell(a) - tell(b)
        )

    def growth(self, figure: str, costs: str, policy: str, first: float, last: float) -> Estimate | None:
        """The unit cost at the last place over that at the first."""
        return self.quotient(
            (figure, costs, policy, last), (figure, costs, policy, first), attrgetter("unit")
        )

    def setting(self, costs: str, name: str, column: str = "unit") -> Estimate | None:
        """Of Table III."""
        return self.told([_setting(costs, name)], attrgetter(column))

    def settings(self, costs: str, name: str, other: str) -> Estimate | None:
        """One setting's unit cost over another's."""
        return self.quotient(_setting(costs, name), _setting(costs, other), attrgetter("unit"))

    def share(self, costs: str, name: str, column: str) -> Estimate | None:
        """A part of a setting's cost."""
        tell = attrgetter(column)
        return self.told([_setting(costs, name)], lambda row: tell(row) / row.unit)


def _setting(costs: str, name: str) -> tuple[str, str, str, float]:
    x = next(x for x, known in SETTINGS.items() if known == name)
    return (TABLE, costs, SETTING_POLICIES[name], x)
