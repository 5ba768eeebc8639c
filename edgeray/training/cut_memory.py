"""What the process of a client holds for each cut, reckoned as far as it is known, so that what cannot fit is not run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from torch import nn

from edgeray.profiler.measure import peak_memory_bytes, reset_peak_memory
from edgeray.training.cut import Cut
from edgeray.training.settings import Settings
from edgeray.training.weights import tensor_bytes

ROOM = 0.9
"""So much of a device's memory may be used: the rest is for what nobody reckons with."""
SPARE = 1.1
"""So many times what is reckoned may be held: runs of one cut differ by a tenth."""
LINES_BYTES = 48e6
"""Of the lines to the server and their threads, most of it heaps of their own: what real clients held beyond the rest."""
MESSAGE_COPIES = 2
"""Of what crosses a cut, beside the tensors themselves: in frames, and encrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWeights:
    """Of the layers up to a cut. state_bytes: what travels. trained_bytes: of weights that get gradients."""

    state_bytes: int
    trained_bytes: int

    @staticmethod
    def of(model: nn.Module, cut: Cut) -> HeadWeights:
        state = {id(value): value for value in cut.trace.state(model, cut.position).values()}.values()
        return HeadWeights(
            state_bytes=tensor_bytes(state),
            trained_bytes=tensor_bytes(value for value in state if value.requires_grad),
        )

    def in_steps_bytes(self, settings: Settings) -> int:
        """Held while steps are tried out, where nothing comes and nothing is sent: with gradients and optimizer."""
        return self.state_bytes + (1 + optimizer_tensors(settings)) * self.trained_bytes

    def in_a_round_bytes(self, settings: Settings) -> int:
        """Held by a client: also the weights that came for the round, and a copy that goes back, of what the optimizer
        keeps as well, where it lives on from round to round."""
        kept = optimizer_tensors(settings) * self.trained_bytes if settings.keep_optimizer else 0
        return self.in_steps_bytes(settings) + 2 * (self.state_bytes + kept)


class ClientMemory:
    """Bytes by cut. saved_bytes: of activations, for a whole batch, 0 where they are not known. working_bytes: what
    computing takes beside what is saved, for the deepest cut that was run."""

    def __init__(
        self, model: nn.Module, cuts: Sequence[Cut], settings: Settings, *, batch_in_examples: float
    ) -> None:
        """To be made where a client would begin to train. batch_in_examples: how often the example goes into a batch."""
        self.base_bytes = process_bytes()
        self.saved_bytes = [0.0] * len(cuts)
        self.working_bytes = 0.0
        self.weights = [HeadWeights.of(model, cut) for cut in cuts]
        self._crossing_bytes = [cut.output_bytes * batch_in_examples for cut in cuts]
        self._settings = settings
        self._measured: int | None = None  # the cut that working_bytes were measured for

    def need_bytes(self, index: int) -> float:
        """Of the process of a client that trains the layers up to a cut."""
        held_bytes = self.weights[index].in_a_round_bytes(self._settings)
        crossing_bytes = MESSAGE_COPIES * self._crossing_bytes[index]
        spared_bytes = SPARE * (held_bytes + crossing_bytes + self._computing_bytes(index))
        return self.base_bytes + LINES_BYTES + spared_bytes

    def steps_bytes(self, index: int) -> float:
        """Of a process that tries steps with the layers up to a cut, and has no lines."""
        held_bytes = self.weights[index].in_steps_bytes(self._settings)
        return self.base_bytes + SPARE * (held_bytes + self._computing_bytes(index))

    def settle_working(self, index: int, peak_bytes: int | None) -> None:
        """By the peak of steps with the layers up to a cut; None: the kernel did not tell."""
        if peak_bytes is not None:
            known_bytes = self.base_bytes + self.weights[index].in_steps_bytes(self._settings)
            self.working_bytes = max(0.0, peak_bytes - known_bytes - self.saved_bytes[index])
            self._measured = index

    def _computing_bytes(self, index: int) -> float:
        """What is saved, and what computing takes beside.

        The more is saved the more the allocator finds room in what was freed: the latter grew with the square root of
        the former, in ResNet-50, MobileNetV2 and VGG16 cut at many places.
        """
        saved_bytes = self.saved_bytes[index]
        if self._measured is None or not self.saved_bytes[self._measured]:
            return saved_bytes + self.working_bytes
        return saved_bytes + self.working_bytes * math.sqrt(saved_bytes / self.saved_bytes[self._measured])


class PeakMemory:
    """The most memory that this process holds (RSS) from now on."""

    def __init__(self) -> None:
        self._since_now = reset_peak_memory()

    def bytes(self) -> int | None:
        """None where the kernel does not tell."""
        return peak_memory_bytes() if self._since_now else None


def optimizer_tensors(settings: Settings) -> int:
    """How many numbers the optimizer keeps for each weight."""
    if settings.optimizer == "adam":
        return 2
    return 1 if settings.momentum else 0


def process_bytes() -> int:
    """Memory of this process now (RSS)."""
    return int(psutil.Process().memory_info().rss)
