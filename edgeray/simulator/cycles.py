"""Batch training in one process: the global cycles of MEL, really trained, without a cluster and without its seconds.

A cycle: d samples are dealt out anew at random, each learner starts from the averaged weights and makes tau local
iterations on its batch, and the weights are averaged by samples. A local iteration is a pass over the learner's batch in
mini-batches. The paper leaves that open; were it one gradient step of the whole batch, 96.67 % after 4 cycles of some
iterations would be had after a few dozen steps in all, which is too few.

Source: Mohammad, Sorour 2019, "Adaptive Task Allocation for Mobile Edge Learning", sec. II.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeray.errors import BadInputError
from edgeray.training.aggregate import State, federated_average
from edgeray.training.batches.deal import chosen_samples, deal
from edgeray.training.build import build_model, dataset_of, loss_of, settings_of
from edgeray.training.channel import local_pair
from edgeray.training.cut import whole_model
from edgeray.training.data import Indices, batch_of
from edgeray.training.device_data import DeviceData
from edgeray.training.evaluate import accuracy_of
from edgeray.training.messages import Finished, Loss, RoundStart
from edgeray.training.optimizers import OptimizerState
from edgeray.training.recipe import Recipe
from edgeray.training.shares import evaluation_set
from edgeray.training.weights import load_weights, weights_of
from edgeray.training.worker import Worker

_EVALUATED = 1000
"""Samples of the test set that go through the model at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """number: from 1. loss: mean over all samples and iterations, of the weights at the time. accuracy: of the averaged
    weights, on the test set; None where the recipe has no test samples."""

    number: int
    loss: float
    accuracy: float | None


def train_cycles(
    recipe: Recipe, batches: Mapping[str, int], *, iterations: int, cycles: int
) -> Iterator[Cycle]:
    """Train, and say after each cycle what came of it. The same recipe and batches give the same weights.

    recipe: what is trained, how, and by which seed; of its clients, samples, epochs and rounds nothing is used. batches:
    samples by learner, whose sum is d: so many of the training set, by seed, are the orchestrator's. A learner without
    samples takes no part. iterations: tau.
    Raises BadInputError where there is nothing to train on, or the data set has fewer samples.
    """
    _check(batches, iterations, cycles)
    dataset = dataset_of(recipe, "train")
    pool = chosen_samples(recipe, sum(batches.values()), len(dataset))
    return _cycles(recipe, dataset, pool, batches, iterations, cycles)


def _cycles(
    recipe: Recipe, dataset: Any, pool: Indices, batches: Mapping[str, int], iterations: int, cycles: int
) -> Iterator[Cycle]:
    learning = _Learning(recipe, dataset, iterations)
    tested = _tested(recipe)
    for number in range(1, cycles + 1):
        loss = learning.cycle(number, deal(pool, batches, seed=recipe.seed, number=number))
        yield Cycle(number=number, loss=loss, accuracy=accuracy_of(learning.model, tested))


class _Learning:
    """The averaged model, and what learners keep between cycles."""

    def __init__(self, recipe: Recipe, dataset: Any, iterations: int) -> None:
        self.model = build_model(recipe)
        self._recipe = recipe
        self._dataset = dataset
        self._settings = replace(settings_of(recipe), epochs=iterations)
        self._loss = loss_of(recipe)
        self._optimizers: dict[str, OptimizerState] = {}

    def cycle(self, number: int, dealt: Mapping[str, Indices]) -> float:
        """All learners, one after the other, then the average. The mean loss comes back."""
        weights = weights_of([self.model])
        sums: list[tuple[float, int]] = []

        def parts() -> Iterator[tuple[State, int]]:
            for learner, indices in dealt.items():
                if len(indices):
                    with (
                        torch.enable_grad()
                    ):  # averaging, which takes one learner's weights at a time, has none
                        found = self._trained(number, learner, indices, weights)
                    sums.append((found.loss_sum, found.seen))
                    yield found.weights, found.samples

        load_weights([self.model], federated_average(parts()))
        return sum(loss for loss, _ in sums) / sum(seen for _, seen in sums)

    def _trained(
        self, number: int, learner: str, indices: Indices, weights: Mapping[str, Tensor]
    ) -> Finished:
        data = DeviceData(
            self._dataset, indices, batch_size=self._recipe.batch_size, seed=self._recipe.seed, device=learner
        )
        start = RoundStart(
            number=number,
            cut=0,
            settings=self._settings,
            weights=weights,
            optimizer=self._optimizers.get(learner),
        )
        found = train_once(learner, self.model, data, start, self._loss)
        if found.optimizer is not None:
            self._optimizers[learner] = found.optimizer
        return found


def train_once(learner: str, model: nn.Module, data: DeviceData, start: RoundStart, loss: Loss) -> Finished:
    """What a worker that has the whole model makes of one round. model: gets the weights of start, as they were before.

    The worker is the one of the cluster. All that it is told is in its channel before it runs, so it needs no thread.
    """
    there, here = local_pair()
    here.send("round", start)
    here.send("end", start.weights)
    Worker(learner, data, lambda _: whole_model(model), there, loss=loss).run()
    while True:
        kind, value = here.receive(0)
        if kind == "finished":
            assert isinstance(value, Finished)
            return value


class _Tested:
    """The test samples of a recipe, batch by batch, as often as asked for."""

    def __init__(self, dataset: Any, chosen: Indices) -> None:
        self._dataset, self._chosen = dataset, chosen

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self._chosen), _EVALUATED):
            yield batch_of(self._dataset, self._chosen[start : start + _EVALUATED])


def _tested(recipe: Recipe) -> _Tested:
    if recipe.test_samples == 0:
        return _Tested(None, np.zeros(0, dtype=np.int64))
    dataset = dataset_of(recipe, "test")
    return _Tested(dataset, evaluation_set(recipe, len(dataset)))


def _check(batches: Mapping[str, int], iterations: int, cycles: int) -> None:
    if any(count < 0 for count in batches.values()) or sum(batches.values()) < 1:
        raise BadInputError(
            f"batches {dict(batches)}\n  expected: 0 samples or more for each learner, and one at least together\n"
            "  remedy:   take them from a plan that fits its cycle"
        )
    for name, count in (("iterations", iterations), ("cycles", cycles)):
        if count < 1:
            raise BadInputError(
                f"{name} {count}\n  expected: 1 or more\n  remedy:   take a longer cycle, or more of them"
            )
