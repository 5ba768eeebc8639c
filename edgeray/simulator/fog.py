"""Fog training in one process, with real training: what each device processes follows a plan of data movement.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
sec. III-B, eqs. 3, 4 and 6.
Left open there, and so an argument here (the recipe's): the size of a batch. Eq. 3 is one step an interval along the
gradient of all its points, which is a batch as large as any interval; smaller ones make several steps of the same points.
What comes from others is processed with what is kept, in random order. Where the intervals are no whole number of
aggregation periods, the last period is shorter. A device that processed nothing in a period has weight 0 in it, and
goes on from the average as all do; where nobody did, the weights stay.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeray.errors import BadInputError
from edgeray.simulator.cycles import train_once
from edgeray.simulator.fog_points import Moved, at_one_device, carry_out, collect, points_of, whole_plan
from edgeray.training.aggregate import federated_average
from edgeray.training.build import build_model, dataset_of, loss_of, settings_of
from edgeray.training.data import Indices, batch_of, batch_order, labels_of, partition_by_class
from edgeray.training.device_data import DeviceData
from edgeray.training.evaluate import accuracy_of
from edgeray.training.messages import Finished, RoundStart
from edgeray.training.optimizers import OptimizerState
from edgeray.training.recipe import Recipe
from edgeray.training.shares import evaluation_set
from edgeray.training.weights import load_weights, weights_of
from policies.movement.instance import Floats, Ints, MovementInstance, MovementPlan
from policies.movement.registry import MOVEMENT_POLICIES

CENTRALIZED, LOCAL = "centralized", "local"
FOG_POLICIES = (CENTRALIZED, *MOVEMENT_POLICIES)
"""All points processed at one device, and the policies of data movement. By local, models are never averaged."""
_EVALUATED = 1000
"""Samples of the test set that go through the model at a time."""
_FEW = 8
"""Batches of so many samples, or fewer, are faster without oneDNN: it takes longer to prepare than to compute."""

Weights = Mapping[str, Tensor]
Progress = Callable[[int, int], None]
"""Is told how many points are processed, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """accuracy: after so many intervals, that of the aggregated model; where models are never averaged, the mean of
    theirs, weighted by points; None: not tried, or nothing was processed. loss: mean over a device's points of each
    aggregation period, by the weights at the time, shape (periods, n); NaN without points. points: processed, (T, n).
    weights: the last aggregated model's, or each device's. steps: of all devices."""

    accuracy: tuple[tuple[int, float | None], ...]
    loss: Floats
    points: Ints
    weights: tuple[Weights, ...]
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FogRun:
    """A policy's plan in whole points, with its costs (None: centralized), and what was learnt. collected: points."""

    policy: str
    plan: MovementPlan | None
    collected: int
    trained: Trained

    @property
    def accuracy(self) -> float | None:
        return self.trained.accuracy[-1][1]

    @property
    def processed(self) -> int:
        return int(self.trained.points.sum())


class Learning:
    """What is learnt, loaded once for many runs. recipe: of its clients, which are the devices, only classes_per_client
    needs to know; of its samples, epochs and rounds nothing is used. data: training and test set, if at hand.

    Raises BadInputError where the model or the data cannot be had, MissingAssetError among them.
    """

    def __init__(self, recipe: Recipe, data: tuple[Any, Any] | None = None) -> None:
        self.recipe = recipe
        self.loss = loss_of(recipe)
        self.model = build_model(recipe)
        self.first = weights_of([self.model])
        self._data = data
        self.train = dataset_of(recipe, "train") if data is None else data[0]

    @cached_property
    def test(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Batches to try a model on."""
        if not self.recipe.test_samples:
            return ()
        dataset = dataset_of(self.recipe, "test") if self._data is None else self._data[1]
        chosen = evaluation_set(self.recipe, len(dataset))
        starts = range(0, len(chosen), _EVALUATED)
        return tuple(batch_of(dataset, chosen[start : start + _EVALUATED]) for start in starts)

    def collect(self, counts: Ints) -> Moved:
        """The samples that devices collect, drawn by the recipe's seed. counts: shape (T, n)."""
        rng = np.random.default_rng([self.recipe.seed, 1])
        pools: Sequence[Indices] = [np.arange(len(self.train), dtype=np.int64)]
        if self.recipe.classes_per_client is not None:
            names = self.recipe.clients
            shares = partition_by_class(labels_of(self.train), names, self.recipe.classes_per_client, rng)
            pools = [shares[name] for name in names]
        return collect(counts, pools, rng)

    def accuracy(self, weights: Weights) -> float | None:
        load_weights([self.model], weights)
        return accuracy_of(self.model, self.test)


def run_policy(
    learning: Learning,
    instance: MovementInstance,
    policy: str,
    *,
    tau: int,
    collected: Moved | None = None,
    progress: Progress = lambda done, total: None,
) -> FogRun:
    """Plan by a policy, move the points, and train on them. instance: in whole points (`whole_instance`).

    collected: the samples that devices collect; None: as the recipe's seed draws them, the same for every policy.
    Raises BadInputError for a policy that there is not, or has no plan here, and as `train` does.
    """
    counts = instance.D.astype(np.int64)
    points = learning.collect(counts) if collected is None else collected
    plan = None if policy == CENTRALIZED else planned(instance, policy)
    moved = at_one_device(points) if plan is None else carry_out(plan, points)
    averaging = policy != LOCAL  # else there are as many models to try as devices: at the end only
    trained = train(learning, moved, tau=tau, averaging=averaging, each=averaging, progress=progress)
    return FogRun(policy=policy, plan=plan, collected=int(counts.sum()), trained=trained)


def planned(instance: MovementInstance, policy: str) -> MovementPlan:
    """A policy's plan in whole points. Raises BadInputError for a policy of another name, or without a plan."""
    if policy not in MOVEMENT_POLICIES:
        raise BadInputError(
            f"there is no policy '{policy}' of data movement\n  expected: one of {', '.join(FOG_POLICIES)}\n"
            "  remedy:   correct --policies"
        )
    try:
        return whole_plan(instance, MOVEMENT_POLICIES[policy](instance))
    except ValueError as error:
        raise BadInputError(f"{policy} has no plan: {error}") from error


def train(
    learning: Learning,
    moved: Moved,
    *,
    tau: int,
    averaging: bool = True,
    each: bool = True,
    progress: Progress = lambda done, total: None,
) -> Trained:
    """Devices' local updates (eq. 3) on their samples by interval, averaged every tau intervals (eq. 4).

    each: try the model after each aggregation, not after the last only. Raises BadInputError for a tau below 1.
    """
    if tau < 1:
        raise BadInputError(f"tau is {tau}\n  expected: 1 interval or more\n  remedy:   --set tau=10")
    periods = _Periods(learning, moved, averaging=averaging, progress=progress)
    accuracy: list[tuple[int, float | None]] = []
    losses = []
    with _small(learning.recipe.batch_size):
        for number, start in enumerate(range(0, len(moved), tau), start=1):
            end = min(start + tau, len(moved))
            losses.append(periods.run(number, start, end))
            if each or end == len(moved):
                accuracy.append((end, periods.accuracy(start, end)))
    return Trained(
        accuracy=tuple(accuracy),
        loss=np.stack(losses),
        points=periods.points,
        weights=tuple(periods.weights[: 1 if averaging else None]),
        steps=int((-(-periods.points // learning.recipe.batch_size)).sum()),
    )


class _Periods:
    """Aggregation periods one after the other. weights: of each device; after averaging the same for all."""

    def __init__(self, learning: Learning, moved: Moved, *, averaging: bool, progress: Progress) -> None:
        self.points = points_of(moved)
        n = self.points.shape[1]
        self.weights: list[Weights] = [learning.first] * n
        self._optimizers: list[OptimizerState | None] = [None] * n
        self._learning, self._moved = learning, moved
        self._averaging, self._progress = averaging, progress
        self._done = 0

    def run(self, number: int, start: int, end: int) -> Floats:
        """Intervals start to end (which is not one of them): updates of all devices, and the average. Mean losses come
        back, shape (n,)."""
        held = self.points[start:end].sum(axis=0)
        losses = np.full(len(held), np.nan)

        def parts() -> Iterator[tuple[Weights, int]]:
            for i in np.flatnonzero(held).tolist():
                with torch.enable_grad():  # which averaging, that takes one at a time, has not
                    found = self._updates(number, i, start, end)
                losses[i] = found.loss_sum / found.seen
                yield found.weights, found.samples

        if not self._averaging:
            for i, (weights, _) in zip(np.flatnonzero(held).tolist(), parts(), strict=True):
                self.weights[i] = weights
        elif held.any():
            self.weights = [federated_average(parts())] * len(held)
        return losses

    def accuracy(self, start: int, end: int) -> float | None:
        """Of the average; else of each that processed something since start, weighted by points."""
        if self._averaging:
            return self._learning.accuracy(self.weights[0])
        held = self.points[start:end].sum(axis=0)
        told = [(self._learning.accuracy(self.weights[i]), int(held[i])) for i in np.flatnonzero(held)]
        known = [(value, count) for value, count in told if value is not None]
        return sum(value * count for value, count in known) / sum(c for _, c in known) if known else None

    def _updates(self, number: int, device: int, start: int, end: int) -> Finished:
        learning = self._learning
        data = _Intervals(learning, [row[device] for row in self._moved[start:end]], device)
        told = RoundStart(
            number=number,
            cut=0,
            settings=replace(settings_of(learning.recipe), epochs=end - start),
            weights=self.weights[device],
            optimizer=self._optimizers[device],
        )
        found = train_once(str(device), learning.model, data, told, learning.loss)
        if learning.recipe.keep_optimizer:
            self._optimizers[device] = found.optimizer
        self._done += found.seen
        self._progress(self._done, int(self.points.sum()))
        return found


class _Intervals(DeviceData):
    """What a device processes in a period: its epochs are the intervals, each of other samples."""

    def __init__(self, learning: Learning, intervals: Sequence[Indices], device: int) -> None:
        recipe, samples = learning.recipe, np.concatenate(intervals)
        super().__init__(
            learning.train, samples, batch_size=recipe.batch_size, seed=recipe.seed, device=str(device)
        )
        self._intervals = intervals

    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = batch_order(
            self._intervals[epoch],
            self._batch_size,
            seed=self._seed,
            round_number=round_number,
            epoch=epoch,
            device=self._device,
        )
        for chosen in order:
            yield batch_of(self._dataset, chosen)


@contextmanager
def _small(batch_size: int) -> Iterator[None]:
    """One thread, of which small models make the most, and no oneDNN for batches of few samples."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if batch_size > _FEW:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN")  # which nobody asked for
            with torch.backends.mkldnn.flags(enabled=False):
                yield
    finally:
        torch.set_num_threads(threads)
