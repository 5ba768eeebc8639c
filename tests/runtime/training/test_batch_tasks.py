"""A job of batch training over real flows: the files that it leaves, and going on after another job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeray.errors import StageError
from edgeray.node.loop import LoopContext, LoopStage
from edgeray.results import INDEX
from edgeray.training.batches import tasks
from edgeray.training.recipe import Recipe
from policies.model import Cycle, Rounds, TaskId
from tests.runtime.training.task_cases import Net, client_of, model_of, recipe_of, records

AB = ("a", "b")
CYCLE = {"cycle_s": 60.0, "margin": 0.1, "send": True}


def rounds_of(recipe: Recipe) -> Rounds:
    clients = [client_of(device) for device in recipe.clients]
    each: dict[TaskId, float] = dict.fromkeys(clients, 0.4)
    cycle = Cycle(
        iterations=1,
        samples=dict.fromkeys(clients, 1),
        predicted_s=each,
        C2=each,
        C1=dict.fromkeys(clients, 0.001),
        C0=dict.fromkeys(clients, 0.1),
    )
    return Rounds(
        cuts=dict.fromkeys(clients, 0),
        micro_batches=1,
        round_s=60.0,
        predicted_s=1.0,
        bound_s=None,
        cycle=cycle,
    )


class Batches(Net):
    """As Net, with the tasks of batch training in place of those of split training."""

    def serve(self, recipe: Recipe, *, job: str = "job", resume: str | None = None) -> LoopStage:
        def call(context: LoopContext) -> None:
            context.policy = "mel-exact"
            tasks.Serve(recipe=recipe.as_args(), cycle=CYCLE, resume=resume)(context)

        return self._start(TaskId("server"), call, recipe, rounds_of(recipe), self.folder / job)

    def learn(self, device: str, recipe: Recipe) -> LoopStage:
        def call(context: LoopContext) -> None:
            tasks.Learn(recipe=recipe.as_args())(context)

        return self._start(client_of(device), call, recipe, rounds_of(recipe), self.folder / device)

    def run(self, recipe: Recipe, **options: Any) -> None:
        stages = [self.serve(recipe, **options), *(self.learn(device, recipe) for device in recipe.clients)]
        for stage in stages:
            stage.wait()


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Callable[..., Batches]]:
    made: list[Batches] = []

    def make() -> Batches:
        made.append(Batches(tmp_path, AB))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_job_leaves_its_cycles_and_its_model(net: Callable[..., Batches], tmp_path: Path) -> None:
    recipe = recipe_of(*AB, samples=60, rounds=2)
    net().run(recipe)
    told = records(tmp_path)
    assert [each["number"] for each in told] == [1, 2]
    for each in told:
        assert each["iterations"] >= 1 and each["samples"] == 60 and each["accuracy"] is not None
        assert set(each["predicted_s"]) == {client_of(device) for device in AB}
    index = json.loads((tmp_path / "job" / "results" / INDEX).read_text())
    assert {row["part"] for row in index} == {"model", "rounds"}
    assert all(torch.isfinite(value).all() for value in model_of(tmp_path).values())


def test_a_job_goes_on_after_another_one(net: Callable[..., Batches], tmp_path: Path) -> None:
    recipe = recipe_of(*AB, samples=60, rounds=1)
    net().run(recipe, job="first")
    net().run(replace(recipe, rounds=2), job="second", resume="first")
    assert [each["number"] for each in records(tmp_path, "second")] == [2]


def test_a_job_does_not_go_on_after_one_with_other_samples(
    net: Callable[..., Batches], tmp_path: Path
) -> None:
    recipe = recipe_of(*AB, samples=60, rounds=1)
    net().run(recipe, job="first")
    stage = net().serve(replace(recipe, samples=50, rounds=2), job="second", resume="first")
    with pytest.raises(StageError, match="the run began with samples 60"):
        stage.wait()


def test_a_plan_without_cycles(net: Callable[..., Batches]) -> None:
    recipe = recipe_of(*AB, samples=60)
    one = net()

    def call(context: LoopContext) -> None:
        tasks.Serve(recipe=recipe.as_args(), cycle=CYCLE)(context)

    rounds = replace(rounds_of(recipe), cycle=None)
    stage = one._start(TaskId("server"), call, recipe, rounds, one.folder / "job")
    with pytest.raises(StageError, match="says nothing of cycles"):
        stage.wait()


def test_more_samples_than_the_data_set_has(net: Callable[..., Batches]) -> None:
    stage = net().serve(recipe_of(*AB, samples=91))
    with pytest.raises(StageError, match="90 samples to train on, not 91"):
        stage.wait()
