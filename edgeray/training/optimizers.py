"""Optimizers by name, and their state by the names of the weights, so that a model's cut can move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from edgeray.errors import BadInputError
from edgeray.training.settings import Settings
from edgeray.training.weights import tensor_bytes

OptimizerState = Mapping[str, Mapping[str, Tensor]]
"""By the weight's name in the whole model: momentum_buffer, exp_avg, step and the like."""


class Optimizer:
    """An optimizer of the weights of some modules. Without weights that are trained it does nothing.

    Each weight is updated by itself, so the two halves of a cut model step as the whole would.
    """

    def __init__(
        self, modules: Iterable[nn.Module], settings: Settings, state: OptimizerState | None
    ) -> None:
        self._weights = {
            name: weight
            for module in modules
            for name, weight in module.named_parameters()
            if weight.requires_grad
        }
        self._optimizer = _made(list(self._weights.values()), settings) if self._weights else None
        if state is not None:
            self.load(state)

    def load(self, state: OptimizerState) -> None:
        """Go on from this state; weights that it does not name start afresh."""
        if self._optimizer is not None:
            for name, weight in self._weights.items():
                self._optimizer.state[weight] = {
                    key: value.clone() for key, value in state.get(name, {}).items()
                }

    def state(self) -> dict[str, dict[str, Tensor]]:
        """A copy of the state."""
        if self._optimizer is None:
            return {}
        return {
            name: {
                key: value.clone()
                for key, value in self._optimizer.state[weight].items()
                if isinstance(value, Tensor)
            }
            for name, weight in self._weights.items()
        }

    def size_bytes(self) -> int:
        """Bytes of the state."""
        held = self._optimizer.state.values() if self._optimizer is not None else ()
        return tensor_bytes(value for state in held for value in state.values() if isinstance(value, Tensor))

    def clear_gradients(self) -> None:
        self.set_gradients({})

    def gradients(self) -> dict[str, Tensor]:
        """The gradients so far, by weight; not a copy."""
        return {name: weight.grad for name, weight in self._weights.items() if weight.grad is not None}

    def set_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        """Go on from these gradients; weights that are not named have none."""
        for name, weight in self._weights.items():
            weight.grad = gradients.get(name)

    def step(self) -> None:
        """Update the weights by their gradients."""
        if self._optimizer is not None:
            self._optimizer.step()


def _made(weights: list[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
    raise BadInputError(
        f"there is no optimizer {settings.optimizer!r}\n  expected: sgd or adam\n  remedy:   name one of them"
    )
