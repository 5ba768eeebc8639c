"""Weights and buffers in and out of modules, by their names in the whole model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from edgeray.errors import FlowError


def weights_of(modules: Iterable[nn.Module]) -> dict[str, Tensor]:
    """A copy of the modules' weights and buffers."""
    with torch.no_grad():
        return {name: value.clone() for module in modules for name, value in held_by(module).items()}


def load_weights(modules: Iterable[nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Set the modules' weights; weights may name more than theirs. Raises FlowError when one is missing or of
    another shape."""
    for module in modules:
        own = held_by(module)
        wrong = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
        if wrong:
            raise FlowError(f"{len(wrong)} weights are missing or of another shape, {wrong[0]} is the first")
        module.load_state_dict({name: weights[name] for name in own})


def part_of(weights: Mapping[str, Tensor], modules: Iterable[nn.Module]) -> dict[str, Tensor]:
    """Those of the weights that the modules have."""
    return {name: weights[name] for module in modules for name in held_by(module)}


def held_by(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers themselves. Without a view of each, which is dear while many threads take turns."""
    return module.state_dict(keep_vars=True)


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
