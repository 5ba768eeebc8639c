"""What is computed of network-aware learning's Table III and Figs. 5 to 8: settings, rows, and what they tell.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. V: n = 10, T = 100, c ~ U(0, 1), c_link ~ U(0, 1/n), D ~ U(0, 60,000 / (n T)). It does not say how large f is, nor
whether costs are drawn anew in each interval: here both, and two kinds of errors. Rows of training are of
`fog_training`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from edgeray.reproduce.paper_run import SeedTable
from edgeray.reproduce.table import Estimate
from policies.movement.instance import MovementInstance, MovementPlan
from policies.movement.registry import MOVEMENT_POLICIES
from policies.movement.setting import Topology, random_setting

TABLE, NODES, PERIOD, CONNECTIVITY, TOPOLOGY = "III", "5", "6", "7", "8"
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
TAU, QUICK_TAU = (2, 5, 10, 20, 50), (5, 20, 50)
"""So that there is a whole number of periods in T = 100."""
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
    """figure: TABLE, or a figure's number; x: its place there. model: that is trained; "": costs only. passes: how often
    the intervals come again before training ends. batch: points of a step."""

    figure: str
    costs: str
    policy: str
    x: float
    seed: int
    model: str = ""
    passes: int = 1
    batch: int = 1

    @property
    def devices(self) -> int:
        return int(self.x) if self.figure == NODES else 10

    @property
    def tau(self) -> int:
        return int(self.x) if self.figure == PERIOD else 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FogRow:
    """points: collected. process, transfer, discard, unit: cost a collected point. sent, processed: parts of them. model:
    that was trained, to this accuracy; "": none was. losses: of each aggregation period, the mean of devices' training
    losses, and their deviation."""

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
    model: str = ""
    accuracy: float | None = None
    losses: tuple[tuple[float, float], ...] = ()


def fog_trials(seeds: int, *, quick: bool) -> list[FogTrial]:
    """Of costs. The long ones first."""
    varied = {figure: tuple(reversed(xs)) for figure, xs in places_of(quick=quick).items()}
    places = [(figure, policy, x) for figure, xs in varied.items() for x in xs for policy in (SQRT, LINEAR)]
    places += [(TABLE, SETTING_POLICIES[name], x) for x, name in SETTINGS.items()]
    return [
        FogTrial(figure=figure, costs=costs, policy=policy, x=float(x), seed=seed)
        for figure, policy, x in places
        for costs in COSTS
        for seed in range(seeds * (TABLE_TIMES if figure == TABLE else 1))
    ]


def places_of(*, quick: bool) -> dict[str, tuple[float, ...]]:
    """The places of each figure."""
    nodes, tau, rho = (QUICK_N, QUICK_TAU, QUICK_RHO) if quick else (N, TAU, RHO)
    return {NODES: nodes, PERIOD: tau, CONNECTIVITY: rho, TOPOLOGY: tuple(TOPOLOGIES)}


def compute(trial: FogTrial) -> FogRow:
    """A row of costs."""
    return row_of(trial, MOVEMENT_POLICIES[trial.policy](instance_of(trial)))


def row_of(trial: FogTrial, plan: MovementPlan) -> FogRow:
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
        model=trial.model,
    )


def instance_of(trial: FogTrial, points: float = 60_000) -> MovementInstance:
    """The same seed gives every policy the same data and costs. points: twice as many as are collected on average."""
    figure = trial.figure
    topology: Topology = TOPOLOGIES[trial.x] if figure == TOPOLOGY else "full"
    instance = random_setting(
        np.random.default_rng(trial.seed),
        devices=trial.devices,
        points=points,
        f=F.get(trial.policy, F[LINEAR]),
        topology="random" if figure == CONNECTIVITY else topology,
        rho=trial.x if figure == CONNECTIVITY else 1.0,
        capacities=figure == TABLE and SETTINGS[trial.x] == "D",
        steady=trial.costs == "once",
    )
    if figure != PERIOD:
        return instance
    since = np.arange(len(instance.D)) % trial.tau + 1
    return replace(instance, f=instance.f / np.sqrt(since)[:, None])


def name_of(variant: tuple[str, str]) -> str:
    costs, policy = variant
    return f"{DRAWN[costs]}, {ERRORS[policy]}"


class FogTable(SeedTable[tuple[str, str, str, float], FogRow]):
    """Rows of costs by figure, how costs are drawn, policy and place. trained: of training, the same for each model."""

    def __init__(self, rows: Iterable[FogRow]) -> None:
        told = list(rows)
        super().__init__((row for row in told if not row.model), _key)
        self.trained: dict[str, SeedTable[tuple[str, str, str, float], FogRow]] = {
            model: SeedTable((row for row in told if row.model == model), _key)
            for model in sorted({row.model for row in told} - {""})
        }

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

    def accuracy(self, model: str, figure: str, costs: str, policy: str, x: float) -> Estimate | None:
        trained = self.trained.get(model)
        return trained.told([(figure, costs, policy, x)], _accuracy) if trained else None

    def gained(
        self, model: str, to: tuple[str, str, str, float], than: tuple[str, str, str, float]
    ) -> Estimate | None:
        """How much more accurate one is than another, seed by seed. to, than: figure, costs, policy, place."""
        trained = self.trained.get(model)
        return trained.told([to, than], lambda a, b: _accuracy(a) - _accuracy(b)) if trained else None

    def setting(self, costs: str, name: str, column: str = "unit") -> Estimate | None:
        """Of Table III."""
        return self.told([setting_key(costs, name)], attrgetter(column))

    def settings(self, costs: str, name: str, other: str) -> Estimate | None:
        """One setting's unit cost over another's."""
        return self.quotient(setting_key(costs, name), setting_key(costs, other), attrgetter("unit"))

    def share(self, costs: str, name: str, column: str) -> Estimate | None:
        """A part of a setting's cost."""
        tell = attrgetter(column)
        return self.told([setting_key(costs, name)], lambda row: tell(row) / row.unit)


def setting_key(costs: str, name: str) -> tuple[str, str, str, float]:
    """Of Table III, in a FogTable."""
    x = next(x for x, known in SETTINGS.items() if known == name)
    return (TABLE, costs, SETTING_POLICIES[name], x)


def _key(row: FogRow) -> tuple[str, str, str, float]:
    return (row.figure, row.costs, row.policy, row.x)


def _accuracy(row: FogRow) -> float:
    return float("nan") if row.accuracy is None else row.accuracy
