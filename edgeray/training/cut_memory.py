"""What a client's process holds for a cut: reckoned before anything runs, so that what cannot fit is not tried."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
from torch import Tensor, nn

from edgeray.profiler.measure import peak_memory_bytes, reset_peak_memory
from edgeray.training.cut import Cut
from edgeray.training.settings import Settings
from edgeray.training.weights import tensor_bytes

ROOM = 0.9
"""So much of a device's memory may be used: the rest is for what nobody reckons with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWeights:
    """Of the layers up to a cut. state_bytes: what travels. trained_bytes: of weights that get gradients.
    largest_bytes: of the largest tensor."""

    state_bytes: int
    trained_bytes: int
    largest_bytes: int

    @staticmethod
    def of(model: nn.Module, cut: Cut) -> HeadWeights:
        state = _distinct(cut.trace.state(model, cut.position))
        return HeadWeights(
            state_bytes=tensor_bytes(state),
            trained_bytes=tensor_bytes(value for value in state if value.requires_grad),
            largest_bytes=max((tensor_bytes([value]) for value in state), default=0),
        )

    def trained_bytes_here(self, settings: Settings) -> int:
        """Held while steps are tried out: nothing came, and nothing is sent."""
        return self.state_bytes + (1 + optimizer_tensors(settings)) * self.trained_bytes

    def held_bytes(self, settings: Settings) -> float:
        """Held in a round: the weights, those that came for the round, a copy that goes back, gradients, and what the
        optimizer keeps, with a copy of it where it lives on from round to round."""
        kept = optimizer_tensors(settings) * (2 if settings.keep_optimizer else 1)
        return 3.0 * self.state_bytes + (1 + kept) * self.trained_bytes


def optimizer_tensors(settings: Settings) -> int:
    """How many numbers the optimizer keeps for each weight."""
    if settings.optimizer == "adam":
        return 2
    return 1 if settings.momentum else 0


def process_bytes() -> int:
    """Memory of this process now (RSS)."""
    return int(psutil.Process().memory_info().rss)


class PeakMemory:
    """The most memory that this process holds (RSS) from now on."""

    def __init__(self) -> None:
        self._since_now = reset_peak_memory()

    def bytes(self) -> int | None:
        """None where the kernel does not tell."""
        return peak_memory_bytes() if self._since_now else None


def _distinct(state: dict[str, Tensor]) -> list[Tensor]:
    return list({id(value): value for value in state.values()}.values())
