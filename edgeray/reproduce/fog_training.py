"""Network-aware learning's models really trained: what is run for Tables II and III and Figs. 4 to 8, and rows of it.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. V. MNIST is not here. Handwritten digits are what it has, so training is on 5,000 of them (mnist-5k) rather than on
60,000 pictures of clothes (Fashion-MNIST): 4,000 to collect, all of them in a run on average, about as many as the costs
of its Table III are of (2,078 at 0.48 a point), and 1,000 to test.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from edgeray.reproduce.fog_rows import (
    COSTS,
    LINEAR,
    SETTING_POLICIES,
    SETTINGS,
    TABLE,
    FogRow,
    FogTrial,
    instance_of,
    places_of,
    row_of,
)
from edgeray.simulator.fog import CENTRALIZED, Learning, Trained, planned, train
from edgeray.simulator.fog_points import at_one_device, carry_out, whole_instance
from edgeray.training.build import named
from edgeray.training.recipe import Recipe
from policies.movement.instance import Floats

SCHEMES, SAME, LITERAL = "II", "II, the same points", "II, a step an interval"
"""Table II as the paper has it; each scheme once over the same points, averaged as often; and with one step an interval
as eq. 3 says."""
FEDERATED = "federated"
SCHEME_POLICIES = {1.0: CENTRALIZED, 2.0: FEDERATED, 3.0: LINEAR}
"""By place on an axis."""
MODELS = ("mlp", "cnn")
MODEL = "cnn"
"""Of Table III and the figures, as in the paper."""
ANEW = "anew"
"""How costs are drawn where they are drawn in one way only: c_i(t) and c_ij(t) are said to be drawn for each t."""
POINTS = 8_000
"""D ~ U(0, points / (n T)): as many on average as the data set has to train on."""
RATE = 0.01
PASSES, QUICK_PASSES = 5, 2
"""Of the intervals, in Table II: until all have converged, or nearly."""
WHOLE = 10**6
"""A batch as large as any interval."""


def training_trials(seeds: int, *, quick: bool) -> list[FogTrial]:
    """As many seeds for Table III as for costs, half as many for what else is trained; with quick a quarter for all. The
    long ones first."""
    some = max(1, seeds // 4) if quick else seeds
    few = some if quick else max(1, seeds // 2)
    passes = QUICK_PASSES if quick else PASSES
    schemes = [(model, x, seed) for model in MODELS for x in SCHEME_POLICIES for seed in range(few)]
    varied = [(figure, x) for figure, places in places_of(quick=quick).items() for x in places]
    return [
        *(_scheme(SCHEMES, model, x, seed, passes=passes) for model, x, seed in schemes),
        *(_trial(figure, LINEAR, x, seed) for figure, x in varied for seed in range(few)),
        *(
            _trial(TABLE, SETTING_POLICIES[name], x, seed, costs=costs)
            for x, name in SETTINGS.items()
            for costs in COSTS
            for seed in range(some)
        ),
        *(_scheme(SAME, model, x, seed) for model, x, seed in schemes),
        *(_scheme(LITERAL, model, x, seed, batch=WHOLE) for model, x, seed in schemes),
    ]


def _scheme(figure: str, model: str, x: float, seed: int, *, passes: int = 1, batch: int = 1) -> FogTrial:
    return _trial(figure, SCHEME_POLICIES[x], x, seed, model, passes=passes, batch=batch)


def _trial(
    figure: str,
    policy: str,
    x: float,
    seed: int,
    model: str = MODEL,
    *,
    costs: str = ANEW,
    passes: int = 1,
    batch: int = 1,
) -> FogTrial:
    return FogTrial(
        figure=figure, costs=costs, policy=policy, x=float(x), seed=seed, model=model, passes=passes, batch=batch
    )  # fmt: skip


def compute_trained(trial: FogTrial) -> FogRow:
    """Plan, move, train, and try the last model. Table III's A moves nothing, and is averaged as all are."""
    learning = _learning(trial.model, trial.batch, trial.seed)
    instance = whole_instance(instance_of(trial, POINTS))
    once = len(instance.D)
    collected = learning.collect(np.tile(instance.D.astype(np.int64), (trial.passes, 1)))
    if trial.policy == CENTRALIZED:
        trained = train(learning, at_one_device(collected), tau=trial.tau, each=False)
        return _learnt(_without_costs(trial, len(np.concatenate(sum(collected[:once], ())))), trained)
    plan = planned(instance, trial.policy)
    passes = [carry_out(plan, collected[start : start + once]) for start in range(0, len(collected), once)]
    tau = 1 if trial.figure == SCHEMES and trial.policy == FEDERATED else trial.tau
    trained = train(learning, tuple(row for moved in passes for row in moved), tau=tau, each=False)
    return _learnt(row_of(trial, plan), trained)


def _learnt(row: FogRow, trained: Trained) -> FogRow:
    return replace(
        row, accuracy=trained.accuracy[-1][1], losses=tuple(_spread(each) for each in trained.loss)
    )


def _spread(losses: Floats) -> tuple[float, float]:
    """Mean and deviation over the devices that processed anything; NaN where none did."""
    known = losses[~np.isnan(losses)]
    return (float(known.mean()), float(known.std())) if len(known) else (float("nan"), float("nan"))


def _without_costs(trial: FogTrial, points: int) -> FogRow:
    """The paper says nothing of what centralized learning costs."""
    none = float("nan")
    return FogRow(
        figure=trial.figure,
        costs=trial.costs,
        policy=trial.policy,
        x=trial.x,
        seed=trial.seed,
        points=points,
        process=none,
        transfer=none,
        discard=none,
        unit=none,
        sent=none,
        processed=1.0,
        model=trial.model,
    )


@lru_cache(maxsize=4)
def _learning(model: str, batch: int, seed: int) -> Learning:
    recipe = Recipe(
        model=f"edgeray.training.models:{model}",
        dataset=_DATASET,
        clients=("d1",),  # who collects what is drawn from one pool, so names do not matter
        samples=0,
        test_samples=1000,
        batch_size=batch,
        learning_rate=RATE,
        seed=seed,
    )
    return Learning(recipe, _data())


_DATASET = "edgeray.training.data:mnist_5k"


@lru_cache(maxsize=1)
def _data() -> tuple[Any, Any]:
    data = named(_DATASET)
    return data("train"), data("test")
