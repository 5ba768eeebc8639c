"""What a recipe names, made: the model, its cuts, the data, the loss.

A client builds the model without its weights: they get memory that nobody has written to, which the kernel counts to
a process only page by page as it is written. So a device holds the layers up to its cut and no more, and gets their
weights from the server.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.export._trace  # torch imports it at the first export: here a stage does before its CPU limit holds
from torch import Tensor, nn

from edgeray.errors import BadInputError, CannotCutError, EdgeRayError, one_line
from edgeray.training.cut import Cut, Split
from edgeray.training.cutting import candidate_cuts, self_test, split
from edgeray.training.data import Subset, batch_of
from edgeray.training.messages import Loss
from edgeray.training.recipe import Recipe
from edgeray.training.settings import Settings

log = logging.getLogger(__name__)

EXAMPLE_SAMPLES = 4
"""So many samples show where a model can be cut. The same on all devices: cuts are found on each."""
_REAL = "_edgeray_real"


def build_model(recipe: Recipe) -> nn.Module:
    """The model with its first weights, drawn from the recipe's seed: the same in any process.

    Raises BadInputError where the factory is not there, fails, or gives something else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return _made(recipe)


def light_model(recipe: Recipe) -> nn.Module:
    """The model with weights whose values mean nothing, and that take no memory until they are written.

    What a state_dict does not hold (buffers that are not persistent, tensors among a module's attributes) has its
    values. Where the factory can make the model without memory it does, else the device holds all of it for a moment.
    """
    try:
        light = _hollow(_without_memory(recipe))
    except Exception as error:  # somebody's factory, which looks at values that are not there
        log.info("%s is built with its weights first: %s", recipe.model, one_line(error))
        light = _hollow(build_model(recipe))
    light.__dict__[_REAL] = partial(build_model, recipe)
    return light


def dataset_of(recipe: Recipe, subset: Subset) -> Any:
    """The recipe's data set to train on or to test on. Raises BadInputError, MissingAssetError among them."""
    dataset = _called(recipe.dataset, subset, **recipe.dataset_args)
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__") or len(dataset) < 2:
        raise BadInputError(
            f"data set {recipe.dataset} gave {type(dataset).__name__}\n"
            "  expected: a torch Dataset of two samples or more, each (input, label)"
        )
    return dataset


def loss_of(recipe: Recipe) -> Loss:
    """The recipe's loss, cross-entropy by default."""
    if recipe.loss is None:
        return nn.functional.cross_entropy
    loss: Loss = named(recipe.loss)
    return loss


def settings_of(recipe: Recipe) -> Settings:
    return Settings(
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        epochs=recipe.epochs,
        seed=recipe.seed,
        keep_optimizer=recipe.keep_optimizer,
        compress=recipe.compress,
    )


def example_of(recipe: Recipe, dataset: Any) -> Tensor:
    """A few inputs on which the model's cuts are found: the first of the training set, on every device."""
    inputs, _ = batch_of(dataset, np.arange(min(EXAMPLE_SAMPLES, len(dataset)), dtype=np.int64))
    return inputs


class Cutter:
    """Cuts a model at an index, and says where it can be cut. cuts: all candidates, the last is the whole model.

    Of a model with weights each cut is tried the first time it is asked for: a step in two parts has to equal one in
    a whole, bit for bit; the parts share the model's weights. Of a light model each call gives a head with memory of
    its own, so that what an earlier one held is free again; whoever has the weights tries the cut.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        """Raises CannotCutError where there is no cut but the whole model."""
        self.model, self.cuts = _model_and_cuts(model, example)
        self._example = example
        self._tested: set[int] = set()

    @property
    def light(self) -> bool:
        return _REAL in self.model.__dict__

    def __call__(self, index: int) -> Split:
        """Raises CannotCutError where the cut model would train in another way."""
        if not 0 <= index < len(self.cuts):
            raise BadInputError(f"there is no cut {index}\n  expected: 0 to {len(self.cuts) - 1}")
        cut = self.cuts[index]
        parts = split(self.model, cut)
        if self.light:
            return Split(head=deepcopy(parts.head), tail=parts.tail)
        if index not in self._tested:
            self_test(self.model, cut, self._example)
            self._tested.add(index)
        return parts


def cutter(model: nn.Module, example: Tensor) -> Cutter:
    """Cuts a model that build_model or light_model made, at the same indices."""
    return Cutter(model, example)


def fill(state: Mapping[str, Tensor]) -> None:
    """Give a light model's tensors values to compute with, about as weights are drawn (He et al. 2015)."""
    with torch.no_grad():
        for name, value in state.items():
            if not value.is_floating_point():
                value.zero_()
            elif value.dim() > 1:
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
            elif isinstance(value, nn.Parameter) and not name.endswith("weight"):
                value.zero_()
            else:
                value.fill_(1)


def compute_on(cpus: float) -> None:
    """Let torch compute with as many threads as the device has cores: under a limit below that they only wait."""
    torch.set_num_threads(max(1, round(cpus)))


def named(name: str) -> Any:
    """What "module:name" names. Raises BadInputError."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever importing somebody's module raises
        raise BadInputError(
            f"{name} cannot be imported: {one_line(error)}\n  expected: module:name, in the job's folder"
        ) from error
    return found


def _called(name: str, *args: Any, **keywords: Any) -> Any:
    factory = named(name)
    try:
        return factory(*args, **keywords)
    except EdgeRayError:
        raise
    except Exception as error:  # somebody's code
        raise BadInputError(f"{name} fails with {type(error).__name__}: {error}") from error


def _made(recipe: Recipe) -> nn.Module:
    model = _called(recipe.model, **recipe.model_args)
    if not isinstance(model, nn.Module):
        raise BadInputError(f"{recipe.model} gave {type(model).__name__}\n  expected: a torch nn.Module")
    return model


def _without_memory(recipe: Recipe) -> nn.Module:
    """Raises ValueError where the factory drew numbers all the same: other ones than for the model with weights."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        drawn = torch.get_rng_state()
        model = _made(recipe)
        if not torch.equal(torch.get_rng_state(), drawn):
            raise ValueError("its factory draws random numbers on a device that it names")
    return model


def _model_and_cuts(model: nn.Module, example: Tensor) -> tuple[nn.Module, tuple[Cut, ...]]:
    """The model, and where it can be cut; a light one whose cuts are found by running it is built with weights."""
    real: Callable[[], nn.Module] | None = model.__dict__.get(_REAL)
    if real is None:
        return model, candidate_cuts(model, example)
    try:
        return model, candidate_cuts(model, example, run=False)
    except CannotCutError as error:
        log.info("%s is built with its weights: %s", type(model).__name__, one_line(error))
        built = real()
        return built, candidate_cuts(built, example)


def _hollow(model: nn.Module) -> nn.Module:
    """The model itself, its weights and persistent buffers in memory that nobody has written to.

    Raises ValueError where anything else has no memory.
    """
    fresh: dict[int, Tensor] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                if id(parameter) not in fresh:
                    empty = torch.empty_like(parameter, device="cpu")
                    fresh[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
                setattr(module, name, fresh[id(parameter)])
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and name not in module._non_persistent_buffers_set:
                if id(buffer) not in fresh:
                    fresh[id(buffer)] = torch.empty_like(buffer, device="cpu")
                setattr(module, name, fresh[id(buffer)])
    for module in model.modules():
        for value in _tensors([module.__dict__]):
            if value.is_meta:
                raise ValueError(f"{type(module).__name__} keeps a tensor that its state_dict does not hold")
    return model


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors in containers, modules left out."""
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict | list | tuple):
            yield from _tensors(value)
