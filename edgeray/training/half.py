"""The server's layers for one client: forward and backward over the batch that the client sent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeray.training.compress import compressed, restored
from edgeray.training.cut import send_back
from edgeray.training.draws import Draws
from edgeray.training.messages import Backward, Forward, Loss
from edgeray.training.optimizers import Optimizer
from edgeray.training.saved import SavedActivations
from edgeray.training.settings import Settings
from edgeray.training.weights import tensor_bytes


class Batch:
    """A client's batch on the server: what came, and the labels and random numbers for it."""

    def __init__(self, sent: Forward, labels: Tensor, draws: Draws) -> None:
        self.sent = sent
        self.labels = labels
        self.draws = draws


class Half:
    """Layers after the cut, as one stage or as several that follow each other, with their own optimizer.

    A batch takes every stage forward in order, then every stage backward in reverse order; stages may be run one
    by one, with those of other clients in between. loss_sum, samples: over the batches so far.
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
        self._batch: Batch | None = None
        self._inputs: list[tuple[Tensor, ...]] = []  # of the stages that went forward
        self._outputs: list[tuple[Tensor, ...]] = []
        self._gradients: tuple[Tensor | None, ...] = ()

    def begin(self, batch: Batch) -> None:
        """Take a batch whose forward is next."""
        self._batch = batch
        activations = [restored(one).detach() for one in batch.sent.activations]
        self._inputs = [_leaves(activations, batch.sent.differentiable)]
        self._outputs = []
        self.optimizer.clear_gradients()

    def forward(self) -> bool:
        """Run the next stage forward; True: it was the last, backward is next."""
        batch = self._the_batch()
        stage = self.stages[len(self._outputs)]
        last = len(self._outputs) + 1 == len(self.stages)
        with self._saved.counting(self.stages):
            with batch.draws.drawing():
                outputs = stage(*self._inputs[-1])
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            if last:
                loss = self._loss(outputs[0], batch.labels)
                outputs = (loss,)
                self.loss_sum += float(loss.detach()) * len(batch.labels)
                self.samples += len(batch.labels)
        self._outputs.append(outputs)
        if last:
            self._gradients = (torch.ones_like(outputs[0]),)
        else:
            wants = [output.requires_grad for output in outputs]
            self._inputs.append(_leaves([output.detach() for output in outputs], wants))
        return last

    def backward(self) -> bool:
        """Run the next stage backward; True: it was the first, the weights are updated and answer() is there."""
        outputs = self._outputs.pop()
        inputs = self._inputs.pop()
        send_back(outputs, self._gradients)
        self._gradients = tuple(leaf.grad for leaf in inputs)
        if not self._outputs:
            self.optimizer.step()
        return not self._outputs

    def answer(self) -> Backward:
        """The gradients for the client."""
        how = self._settings.compress
        gradients = tuple(
            one if one is None else compressed(one.contiguous(), how) for one in self._gradients
        )
        self._batch, self._gradients = None, ()
        return Backward(gradients=gradients)

    def size_bytes(self) -> int:
        """Weights, buffers and optimizer state."""
        weights = [value for stage in self.stages for value in stage.state_dict().values()]
        return tensor_bytes(weights) + self.optimizer.size_bytes()

    def _the_batch(self) -> Batch:
        assert self._batch is not None, "a batch goes forward after it began"
        return self._batch


def _leaves(tensors: Sequence[Tensor], wants: Sequence[bool]) -> tuple[Tensor, ...]:
    return tuple(tensor.requires_grad_(want) for tensor, want in zip(tensors, wants, strict=True))
