"""What a worker and the server say to each other.

    server: round     RoundStart: train these layers from these weights
    client: labels    Tensor: all its labels, before its first batch, if labels are sent once
            forward   Forward: a batch, or a piece of it, went through the client's layers
    server: backward  Backward: the gradients for it; those of a batch's pieces in the order of the pieces
    client: progress  None: one more batch is done, where the client has the whole model
            finished  Finished: the round's weights
    server: end       the trained weights of the client's layers

The weights that come out of a round go down with the next "round", or with "end".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from edgeray.training.compress import Quantized
from edgeray.training.optimizers import OptimizerState
from edgeray.training.settings import Settings

Loss = Callable[[Tensor, Tensor], Tensor]
"""The mean loss of a batch from its logits and labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStart:
    """weights: of the layers up to the cut. optimizer: its state for them; None: start afresh, or go on with what
    the client has from the round before."""

    number: int
    cut: int
    settings: Settings
    weights: Mapping[str, Tensor]
    optimizer: OptimizerState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """differentiable: which activations want a gradient. labels: of the whole batch, with its first piece. draws: the
    state of the generator, if the client's layers drew from it. piece: which of the batch's pieces, of nearly equal
    size (`torch.tensor_split`); a batch's pieces are sent in order."""

    epoch: int
    batch: int
    activations: tuple[Tensor | Quantized, ...]
    differentiable: tuple[bool, ...]
    labels: Tensor | None
    draws: Tensor | None
    piece: int = 0
    pieces: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backward:
    """Gradients by activation; None: it has none."""

    gradients: tuple[Tensor | Quantized | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """samples: of the client's data, each once. loss_sum, seen: where the client has the whole model, the sum of the
    losses and of how many samples, over all epochs. compute_s, waiting_s: of the client in this round, see
    records.ClientRound."""

    weights: Mapping[str, Tensor]
    optimizer: OptimizerState | None
    samples: int
    loss_sum: float
    seen: int
    compute_s: float
    waiting_s: float
