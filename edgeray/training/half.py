"""The server's layers for one client: forward and backward over the batches that the client sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgeray.training.compress import compressed, restored
from edgeray.training.cut import send_back
from edgeray.training.draws import Draws
from edgeray.training.messages import Backward, Forward, Loss
from edgeray.training.optimizers import Optimizer
from edgeray.training.saved import SavedActivations
from edgeray.training.settings import Settings
from edgeray.training.weights import held_by, tensor_bytes


@dataclass(slots=True, eq=False)
class Piece:
    """A piece of a client's batch on the server; all of it, where batches are not cut.

    sent: what came. labels, draws: for it. share: of the batch's samples. The rest is how far it has got: inputs and
    outputs of the stages that went forward, and the gradients of the outputs of the next one to go backward.
    """

    sent: Forward
    labels: Tensor
    draws: Draws
    share: float = 1.0
    inputs: list[tuple[Tensor, ...]] = field(default_factory=list)
    outputs: list[tuple[Tensor, ...]] = field(default_factory=list)
    gradients: tuple[Tensor | None, ...] = ()

    @property
    def last(self) -> bool:
        """Is the batch complete with it?"""
        return self.sent.piece + 1 == self.sent.pieces


class Half:
    """Layers after the cut, as one stage or as several that follow each other, with their own optimizer.

    A piece takes every stage forward in order, then every stage backward in reverse order; stages may be run one
    by one, with those of other pieces and clients in between. A batch's pieces go forward, and go backward, in order;
    their gradients add up, and the weights are updated behind the last. loss_sum, samples: over the pieces so far.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        optimizer: Optimizer,
        *,
        loss: Loss,
        settings: Settings,
        saved: SavedActivations,
    ) -> None:
        self.stages = tuple(stages)
        self.optimizer = optimizer
        self.loss_sum = 0.0
        self.samples = 0
        self._loss = loss
        self._settings = settings
        self._saved = saved
        optimizer.clear_gradients()

    def forward(self, piece: Piece) -> bool:
        """Run the next stage forward; True: it was the last, backward is next."""
        if not piece.inputs:
            activations = [restored(one).detach() for one in piece.sent.activations]
            piece.inputs.append(_leaves(activations, piece.sent.differentiable))
        stage = self.stages[len(piece.outputs)]
        last = len(piece.outputs) + 1 == len(self.stages)
        with self._saved.counting(self.stages):
            with piece.draws.drawing():
                outputs = stage(*piece.inputs[-1])
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            if last:
                loss = self._loss(outputs[0], piece.labels)
                outputs = (loss,)
                self.loss_sum += float(loss.detach()) * len(piece.labels)
                self.samples += len(piece.labels)
        piece.outputs.append(outputs)
        if last:
            # The shares of a batch's pieces add up to one, so their gradients to that of the batch's mean loss.
            piece.gradients = (torch.full_like(outputs[0], piece.share),)
        else:
            wants = [output.requires_grad for output in outputs]
            piece.inputs.append(_leaves([output.detach() for output in outputs], wants))
        return last

    def backward(self, piece: Piece) -> bool:
        """Run the next stage backward; True: it was the first, and the answer is there. Behind a batch's last piece
        the weights are updated."""
        outputs = piece.outputs.pop()
        inputs = piece.inputs.pop()
        send_back(outputs, piece.gradients)
        piece.gradients = tuple(leaf.grad for leaf in inputs)
        through = not piece.outputs
        if through and piece.last:
            self.optimizer.step()
            self.optimizer.clear_gradients()
        return through

    def answer(self, piece: Piece) -> Backward:
        """The gradients for the client."""
        how = self._settings.compress
        return Backward(
            gradients=tuple(
                one if one is None else compressed(one.contiguous(), how) for one in piece.gradients
            )
        )

    def size_bytes(self) -> int:
        """Weights, buffers and optimizer state."""
        weights = [value for stage in self.stages for value in held_by(stage).values()]
        return tensor_bytes(weights) + self.optimizer.size_bytes()


def _leaves(tensors: Sequence[Tensor], wants: Sequence[bool]) -> tuple[Tensor, ...]:
    return tuple(tensor.requires_grad_(want) for tensor, want in zip(tensors, wants, strict=True))
