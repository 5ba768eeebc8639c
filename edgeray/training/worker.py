"""The client's side of Algorithm 5: the layers up to the cut, on the client's own data.

Source: Zhang 2024, thesis, ch. 4, Alg. 5. A client that has the whole model trains by itself: federated averaging.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from edgeray.errors import FlowError, one_line
from edgeray.training.channel import Channel
from edgeray.training.compress import compressed, restored
from edgeray.training.cut import Split, send_back
from edgeray.training.draws import Draws, batch_seed
from edgeray.training.messages import Backward, Finished, Forward, Loss, RoundStart
from edgeray.training.optimizers import Optimizer
from edgeray.training.weights import load_weights, weights_of

PROGRESS_S = 1.0
"""So often a client with the whole model says that it goes on: a word takes either end some .3 ms (`message_costs`)."""


class TrainingData(Protocol):
    """A client's own data. samples: how many. labels: of all of them, in the order that batches are drawn from. waited_s:
    seconds so far in which `batches` had nothing to do but wait for data."""

    @property
    def samples(self) -> int: ...

    @property
    def labels(self) -> Tensor: ...

    @property
    def waited_s(self) -> float: ...

    def batches(self, round_number: int, epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
        """Inputs and labels, batch by batch, in an order that depends on nothing but the arguments."""
        ...


class Worker:
    """A client. cut_model: the model cut at an index; only its head is used.

    It keeps nothing that the server could not give it again: a worker that was killed is replaced by a new one.
    """

    def __init__(
        self,
        client: str,
        data: TrainingData,
        cut_model: Callable[[int], Split],
        channel: Channel,
        *,
        loss: Loss,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.client = client
        self._data = data
        self._cut_model = cut_model
        self._channel = channel
        self._sending = _Sending(channel)
        self._loss = loss
        self._clock = clock
        self._cut: int | None = None
        self._head: nn.Module = nn.Identity()
        self._whole = False
        self._optimizer: Optimizer | None = None
        self._told_labels = False
        self._told_s = clock()
        self._compute_s = 0.0
        self._waiting_s = 0.0
        self._loss_sum = 0.0
        self._seen = 0

    def run(self) -> None:
        """Train until the server says that it is over; the head then has the trained weights.

        Raises FlowError when the server is gone or says something else than is due.
        """
        try:
            while True:
                kind, value = self._channel.receive(None)
                if kind == "round":
                    self._train(value)
                elif kind == "end":
                    load_weights([self._head], value)
                    return
                else:
                    raise FlowError(f"the server said {kind!r}, expected a round or the end")
        finally:
            self._channel.close()
            self._sending.end()

    @property
    def head(self) -> nn.Module:
        """The layers up to the cut of the last round."""
        return self._head

    def _train(self, start: RoundStart) -> None:
        self._compute_s = self._waiting_s = self._loss_sum = 0.0
        self._seen = 0
        with self._computing():
            optimizer = self._prepare(start)
        if start.settings.labels_once and not self._whole and not self._told_labels:
            self._channel.send("labels", self._data.labels)
            self._told_labels = True
        for epoch in range(start.settings.epochs):
            for batch, (inputs, labels) in enumerate(self._batches(start.number, epoch)):
                optimizer.clear_gradients()
                if self._whole:
                    self._whole_batch(start, epoch, batch, inputs, labels)
                else:
                    self._split_batch(start, epoch, batch, inputs, labels)
                with self._computing():
                    optimizer.step()
                if self._whole:
                    self._tell_progress()
        self._finish(start, optimizer)

    def _tell_progress(self) -> None:
        """A word for the server, which else hears nothing of a whole model before the round's end."""
        now_s = self._clock()
        if now_s - self._told_s >= PROGRESS_S:
            self._told_s = now_s
            self._channel.send("progress", None)

    def _prepare(self, start: RoundStart) -> Optimizer:
        if start.cut != self._cut:
            split = self._cut_model(start.cut)
            self._cut, self._head, self._whole = start.cut, split.head, split.tail is None
            self._optimizer = None
        load_weights([self._head], start.weights)
        if self._optimizer is None or start.optimizer is not None or not start.settings.keep_optimizer:
            self._optimizer = Optimizer([self._head], start.settings, start.optimizer)
        return self._optimizer

    def _batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        batches = iter(self._data.batches(round_number, epoch))
        while True:
            before_s = self._data.waited_s
            with self._computing():
                found = next(batches, None)
            waited_s = self._data.waited_s - before_s
            self._compute_s -= waited_s
            self._waiting_s += waited_s
            if found is None:
                return
            yield found

    def _forward(
        self, start: RoundStart, epoch: int, batch: int, piece: int, inputs: Tensor
    ) -> tuple[tuple[Tensor, ...], Draws]:
        draws = Draws(batch_seed(start.settings.seed, start.number, epoch, self.client, batch, piece))
        with draws.drawing(), self._computing():
            outputs = self._head(inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,), draws

    def _whole_batch(self, start: RoundStart, epoch: int, batch: int, inputs: Tensor, labels: Tensor) -> None:
        (logits,), _ = self._forward(start, epoch, batch, 0, inputs)
        with self._computing():
            loss = self._loss(logits, labels)
            torch.autograd.backward(loss)
            self._loss_sum += float(loss.detach()) * len(labels)
            self._seen += len(labels)

    def _split_batch(self, start: RoundStart, epoch: int, batch: int, inputs: Tensor, labels: Tensor) -> None:
        """All pieces forward, each sent while the next one is computed, then backward as their gradients come."""
        pieces = max(1, min(start.settings.micro_batches, len(labels)))
        under_way: deque[tuple[Tensor, ...]] = deque()
        for piece, some in enumerate(inputs.tensor_split(pieces)):
            outputs, draws = self._forward(start, epoch, batch, piece, some)
            under_way.append(outputs)
            with self._computing():
                activations = tuple(
                    compressed(one.detach().contiguous(), start.settings.compress) for one in outputs
                )
            message = Forward(
                epoch=epoch,
                batch=batch,
                activations=activations,
                differentiable=tuple(one.requires_grad for one in outputs),
                labels=None if piece or start.settings.labels_once else labels,
                draws=draws.state if draws.drawn else None,
                piece=piece,
                pieces=pieces,
            )
            if pieces > 1:
                self._sending.send("forward", message)
            else:
                with self._waiting():  # there is nothing else to do
                    self._channel.send("forward", message)
        while under_way:
            with self._waiting():
                gradients = self._gradients()
            with self._computing():
                outputs = under_way.popleft()
                send_back(
                    outputs, [None if gradient is None else restored(gradient) for gradient in gradients]
                )

    def _gradients(self) -> Any:
        try:
            kind, value = self._channel.receive(None)
        except FlowError:
            self._sending.check()
            raise
        if kind != "backward" or not isinstance(value, Backward):
            raise FlowError(f"the server said {kind!r}, expected gradients")
        return value.gradients

    def _finish(self, start: RoundStart, optimizer: Optimizer) -> None:
        with self._computing():
            weights = weights_of([self._head])
            state = optimizer.state() if start.settings.keep_optimizer else None
        finished = Finished(
            weights=weights,
            optimizer=state,
            samples=self._data.samples,
            loss_sum=self._loss_sum,
            seen=self._seen,
            compute_s=self._compute_s,
            waiting_s=self._waiting_s,
        )
        self._channel.send("finished", finished)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        began_s = self._clock()
        yield
        self._compute_s += self._clock() - began_s

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began_s = self._clock()
        yield
        self._waiting_s += self._clock() - began_s


class _Sending:
    """Sends pieces in a thread of its own, in order. It holds those of one batch at most: a worker goes on to the next
    when all have been answered."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._thread = ThreadPoolExecutor(1, "sending")  # starts with the first piece
        self._error: BaseException | None = None

    def send(self, kind: str, value: Any) -> None:
        self._thread.submit(self._channel.send, kind, value).add_done_callback(self._sent)

    def check(self) -> None:
        """Raises FlowError when something could not be sent."""
        if self._error is not None:
            raise FlowError(f"a piece of a batch was not sent: {one_line(self._error)}") from self._error

    def end(self) -> None:
        """The channel is closed: forget what was not sent."""
        self._thread.shutdown(cancel_futures=True)

    def _sent(self, sent: Future[None]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None and self._error is None:
            self._error = error
            self._channel.close()  # wakes the worker, which waits for the answer
