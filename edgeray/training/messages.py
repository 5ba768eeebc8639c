"""What a worker and the server say to each other.

    server: round     RoundStart: train these layers from these weights
    client: labels    Tensor: all its labels, before its first batch, if labels are sent once
            forward   Forward: a batch, or a piece of it, went through the client's layers
    server: backward  Backward: the gradients for it; those of a batch's pieces in the order of the pieces
    client: progress  None: it goes on, where the client has the whole model; once in a while
            finished  Finished: the round's weights
    server: end       the trained weights of the client's layers

Batch training has a word before each round, fog training some in each of its intervals:

    server: dealt     Dealt: the samples of the round
    server: interval  Interval: what becomes of the points that are collected now
    client: hello     None: it has the weights of the round, and waits for its first interval
            interval-done  IntervalDone: what became of them, and what that took
    client: hello     None, to another client: the line is open
            points    Points, to another client: to be processed there
            got       int, back: points of this number have come

The weights that come out of a round go down with the next "round", or with "end".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from edgeray.training.compress import Quantized
from edgeray.training.data import Pack
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Samples of a data set, by their indices in it, shape (samples,), int64; with them themselves, where the client does
    not have the data set: see data.Pack."""

    indices: Tensor
    pack: Pack | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """number: from 0, counted over all rounds. keep: of what is collected in it, the part that is processed here;
    send: by client, the part that is sent there; the rest is discarded."""

    number: int
    keep: float
    send: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalDone:
    """What a client did in an interval, in points. collected: in this one. kept: processed where they were collected,
    also those of before that nobody else took. sent, transfer_s: by client, those that it has acknowledged since the
    interval before, and the seconds from sending them until then. arrived: from others, and processed. process_s:
    seconds of processing kept and arrived ones. Over a whole run collected = kept + discarded + sum of sent."""

    number: int
    collected: int
    kept: int
    discarded: int
    arrived: int
    process_s: float
    sent: Mapping[str, int]
    transfer_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Labelled samples. number: no two of a sender have the same. interval: in which they were collected; none of them at
    all in the last one: the sender sends no more."""

    number: int
    interval: int
    pack: Pack
