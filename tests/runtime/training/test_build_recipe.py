"""What a recipe names: models with and without their weights have the same cuts, and train alike."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from edgeray.errors import BadInputError, CannotCutError
from edgeray.training.build import (
    Cutter,
    build_model,
    cutter,
    dataset_of,
    example_of,
    light_model,
    loss_of,
)
from edgeray.training.recipe import Recipe
from edgeray.training.weights import load_weights, weights_of
from tests.runtime.training.profile_models import recipe, squared

NAMES = ("lenet", "residual", "with_dropout", "Scaled", "Tied", "Peeking", "Drawing", "untraceable")


def both(given: Recipe) -> tuple[Cutter, Cutter]:
    example = example_of(given, dataset_of(given, "train"))
    return cutter(light_model(given), example), cutter(build_model(given), example)


@pytest.mark.parametrize("name", NAMES)
def test_a_light_model_has_the_real_ones_cuts_and_computes_as_it_does(name: str) -> None:
    given = recipe(name)
    light, real = both(given)
    assert light.cuts == real.cuts
    assert light.light == (name != "untraceable")
    inputs = example_of(given, dataset_of(given, "test"))
    for cut in light.cuts:
        expected, head = real(cut.index).head, light(cut.index).head
        load_weights([head], weights_of([expected]))
        with torch.random.fork_rng():
            found = head(inputs)
        with torch.random.fork_rng():
            wanted = expected(inputs)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True)), cut.name


def test_heads_of_a_light_model_have_memory_of_their_own() -> None:
    light, _ = both(recipe("lenet"))
    first, again = light(1).head, light(1).head
    torch.nn.init.ones_(next(first.parameters()))
    torch.nn.init.zeros_(next(again.parameters()))
    assert float(next(first.parameters()).detach().min()) == 1.0
    assert light(1).tail is not None
    assert light(len(light.cuts) - 1).tail is None


MEMORY = """
import psutil, torch
from tests.runtime.training.profile_models import recipe
from edgeray.training.build import *
from edgeray.training.weights import load_weights
torch.set_num_threads(1)
given = recipe("broad")
small = cutter(light_model(recipe("lenet")), example_of(given, dataset_of(given, "train")))
def held(): return psutil.Process().memory_info().rss / 1e6
before = held()
light = cutter(light_model(given), example_of(given, dataset_of(given, "train")))
made = held()
head = light(2).head
load_weights([head], {name: torch.ones_like(value) for name, value in head.state_dict().items()})
print(made - before, held() - before, sum(v.numel() * 4 for v in light.model.parameters()) / 1e6)
"""


def test_a_device_holds_the_layers_up_to_its_cut_and_no_more() -> None:
    out = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout
    light_mb, head_mb, whole_mb = (float(word) for word in out.split())
    assert whole_mb > 220
    assert light_mb < 30
    assert 80 < head_mb < 140  # two layers of 36 MB and the first, 9 MB


def test_the_first_weights_are_the_seeds_and_no_random_numbers_are_used_up() -> None:
    state = torch.get_rng_state()
    one, same, other = (
        build_model(given).state_dict()
        for given in (recipe("residual"), recipe("residual"), recipe("residual", seed=4))
    )
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])
    light_model(recipe("residual"))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_cut_is_tried_before_it_is_used() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), _RandomFactor(), torch.nn.Linear(4, 2))
    cut_model = cutter(model, torch.randn(4, 4))
    with pytest.raises(CannotCutError, match="behind 0: the output differs"):
        cut_model(0)
    with pytest.raises(BadInputError, match="there is no cut 2\n  expected: 0 to 1"):
        cut_model(2)


class _RandomFactor(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import random

        return x * random.random()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "tests.nowhere:net"}, r"tests\.nowhere:net cannot be imported"),
        ({"model": "edgeray.training.models:alexnet"}, r"alexnet cannot be imported: AttributeError"),
        (
            {"model": "tests.runtime.training.profile_models:fails"},
            "fails with RuntimeError: no such weights",
        ),
        (
            {"model": "tests.runtime.training.profile_models:no_model"},
            "gave int\n  expected: a torch nn.Module",
        ),
        ({"model_args": {"colour": "red"}}, "fails with TypeError: .*colour"),
    ],
)
def test_a_model_that_cannot_be_made_says_why(changes: dict[str, Any], why: str) -> None:
    for make in (build_model, light_model):
        with pytest.raises(BadInputError, match=why):
            make(replace(recipe("lenet"), **changes))


def test_data_and_loss_are_what_the_recipe_names() -> None:
    with pytest.raises(
        BadInputError, match="profile_models:tiny gave list\n  expected: a torch Dataset of two"
    ):
        dataset_of(recipe("lenet", dataset="tests.runtime.training.profile_models:tiny"), "train")
    assert len(dataset_of(recipe("lenet", dataset_args={"samples": 9}), "test")) == 9
    assert loss_of(recipe("lenet")) is torch.nn.functional.cross_entropy
    named = recipe("lenet", loss="tests.runtime.training.profile_models:squared")
    assert loss_of(named) is squared
