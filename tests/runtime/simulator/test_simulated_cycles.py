"""Cycles of batch training in one process: what is dealt, and that training is what plain torch makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from edgeray.errors import BadInputError
from edgeray.simulator.cycles import Cycle, train_cycles
from edgeray.training.batches.deal import deal
from edgeray.training.build import build_model
from edgeray.training.data import batch_of, batch_order
from edgeray.training.recipe import Recipe

SAMPLES, BATCH = 60, 7


def points(subset: Literal["train", "test"]) -> TensorDataset:
    """Three classes of points around three centres, some of them across."""
    generator = torch.Generator().manual_seed(1 if subset == "train" else 2)
    labels = torch.randint(3, (SAMPLES,), generator=generator)
    centres = 2 * torch.eye(3, 4)
    return TensorDataset(centres[labels] + torch.randn(SAMPLES, 4, generator=generator), labels)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.0), nn.ReLU(), nn.Linear(6, 3))


RECIPE = Recipe(
    model=f"{__name__}:small",
    dataset=f"{__name__}:points",
    clients=(),
    samples=1,
    test_samples=SAMPLES,
    batch_size=BATCH,
    learning_rate=0.2,
    seed=5,
)


def run(batches: Mapping[str, int], *, iterations: int = 2, cycles: int = 3, **changes: Any) -> list[Cycle]:
    return list(train_cycles(replace(RECIPE, **changes), batches, iterations=iterations, cycles=cycles))


def by_hand(batches: Mapping[str, int], *, iterations: int, cycles: int, momentum: float) -> Iterator[Cycle]:
    """The same with nothing of EdgeRay's but who gets which samples, in which order. Momentum lives on."""
    train, test = points("train"), points("test")
    average = build_model(RECIPE)
    learners = {name: build_model(RECIPE) for name in batches}
    sgd = {name: torch.optim.SGD(learners[name].parameters(), lr=0.2, momentum=momentum) for name in batches}
    pool = np.sort(np.random.default_rng(RECIPE.seed).choice(SAMPLES, sum(batches.values()), replace=False))
    for number in range(1, cycles + 1):
        loss_sum = seen = 0.0
        for name, indices in deal(pool, batches, seed=RECIPE.seed, number=number).items():
            learners[name].load_state_dict(average.state_dict())
            for epoch in range(iterations):
                for chosen in batch_order(
                    indices, BATCH, seed=RECIPE.seed, round_number=number, epoch=epoch, device=name
                ):
                    inputs, labels = batch_of(train, chosen)
                    sgd[name].zero_grad()
                    loss: Tensor = nn.functional.cross_entropy(learners[name](inputs), labels)
                    loss.backward()  # type: ignore[no-untyped-call]
                    sgd[name].step()
                    loss_sum, seen = loss_sum + float(loss.detach()) * len(labels), seen + len(labels)
        with torch.no_grad():
            for key, value in average.state_dict().items():
                value.copy_(sum(batches[n] * learners[n].state_dict()[key] for n in batches) / len(pool))
            inputs, labels = test.tensors
            accuracy = float((average(inputs).argmax(dim=1) == labels).float().mean())
        yield Cycle(number=number, loss=loss_sum / seen, accuracy=accuracy)


@pytest.mark.parametrize("batches", [{"a": 60}, {"a": 40, "b": 20}, {"a": 9, "b": 23, "c": 14}])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_is_what_torch_makes_of_the_same_samples(batches: dict[str, int], momentum: float) -> None:
    """A cycle's loss tells of the weights that the cycles before left."""
    found = run(batches, momentum=momentum, keep_optimizer=momentum > 0)
    expected = list(by_hand(batches, iterations=2, cycles=3, momentum=momentum))
    assert [cycle.number for cycle in found] == [1, 2, 3]
    assert [cycle.loss for cycle in found] == pytest.approx([cycle.loss for cycle in expected], rel=1e-4)
    assert [cycle.accuracy for cycle in found] == pytest.approx(
        [cycle.accuracy for cycle in expected], abs=1 / SAMPLES
    )
    assert found[-1].loss < found[0].loss


def test_momentum_starts_afresh_where_it_is_not_kept() -> None:
    kept = run({"a": 30, "b": 30}, momentum=0.9, keep_optimizer=True)
    afresh = run({"a": 30, "b": 30}, momentum=0.9)
    assert kept[0] == afresh[0] and kept[1].loss != afresh[1].loss


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    batches = {"a": 25, "b": 15}
    assert run(batches) == run(batches)
    assert run(batches)[0].loss != run(batches, seed=6)[0].loss


def test_a_learner_without_samples_takes_no_part() -> None:
    assert run({"a": 25, "idle": 0, "b": 15}) == run({"a": 25, "b": 15})


def test_without_test_samples_there_is_no_accuracy() -> None:
    assert [cycle.accuracy for cycle in run({"a": 20}, test_samples=0)] == [None, None, None]


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    spare=st.integers(0, 3),
    seed=st.integers(0, 99),
    number=st.integers(1, 99),
)
def test_every_sample_is_dealt_to_one_learner_at_most(
    sizes: list[int], spare: int, seed: int, number: int
) -> None:
    pool = np.arange(100, 100 + 3 * (sum(sizes) + spare), 3)[: sum(sizes) + spare]
    batches = {f"l{n}": size for n, size in enumerate(sizes)}
    dealt = deal(pool, batches, seed=seed, number=number)
    assert {name: len(indices) for name, indices in dealt.items()} == batches
    together = np.concatenate(list(dealt.values()))
    assert len(set(together.tolist())) == len(together) and np.isin(together, pool).all()


def test_each_cycle_deals_the_same_samples_out_anew() -> None:
    pool, batches = np.arange(40), {"a": 25, "b": 15}
    first, second = (deal(pool, batches, seed=3, number=number) for number in (1, 2))
    assert first["a"].tolist() != second["a"].tolist()
    for dealt in (first, second):
        assert sorted(np.concatenate(list(dealt.values())).tolist()) == pool.tolist()


@pytest.mark.parametrize(
    ("batches", "iterations", "cycles", "said"),
    [
        ({"a": 40, "b": 21}, 1, 1, "points has 60 samples to train on, not 61"),
        ({}, 1, 1, "one at least together"),
        ({"a": 0}, 1, 1, "one at least together"),
        ({"a": 5, "b": -1}, 1, 1, "0 samples or more"),
        ({"a": 5}, 0, 1, "iterations 0"),
        ({"a": 5}, 1, 0, "cycles 0"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is(
    batches: dict[str, int], iterations: int, cycles: int, said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        train_cycles(RECIPE, batches, iterations=iterations, cycles=cycles)
