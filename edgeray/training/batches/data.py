"""The learner's side: samples that it was dealt for a cycle, and the channel over which that is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeray.errors import FlowError
from edgeray.training.channel import Channel
from edgeray.training.data import Pack, batch_order, packed_samples
from edgeray.training.messages import Dealt


class DealtData:
    """TrainingData that changes from cycle to cycle. dataset: gives the learner's own copy of the data set, where it is
    only told which samples it gets; asked for once."""

    waited_s = 0.0

    def __init__(self, dataset: Callable[[], Any], *, batch_size: int, seed: int, learner: str) -> None:
        self._make = dataset
        self._dataset: Any = None
        self._batch_size = batch_size
        self._seed = seed
        self._learner = learner
        self._pack = Pack(inputs=torch.empty(0), labels=torch.empty(0, dtype=torch.int64))

    def deal(self, dealt: Dealt) -> None:
        """These are the samples of the cycle that is to begin."""
        if dealt.pack is not None:
            self._pack = dealt.pack
            return
        if self._dataset is None:
            self._dataset = self._make()
        self._pack = packed_samples(self._dataset, dealt.indices.numpy())

    @property
    def samples(self) -> int:
        return len(self._pack.labels)

    @property
    def labels(self) -> Tensor:
        return self._pack.labels

    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        positions = np.arange(self.samples, dtype=np.int64)
        order = batch_order(
            positions,
            self._batch_size,
            seed=self._seed,
            round_number=round_number,
            epoch=epoch,
            device=self._learner,
        )
        for chosen in order:
            yield self._pack.batch(chosen)


class DealingChannel:
    """A learner's channel that takes out what it is dealt, and hands all else on."""

    def __init__(self, channel: Channel, data: DealtData) -> None:
        self._channel = channel
        self._data = data

    def send(self, kind: str, value: Any) -> None:
        self._channel.send(kind, value)

    def receive(self, timeout_s: float | None) -> tuple[str, Any]:
        while True:
            kind, value = self._channel.receive(timeout_s)
            if kind != "dealt":
                return kind, value
            if not isinstance(value, Dealt):
                raise FlowError(f"the server dealt out a {type(value).__name__}")
            self._data.deal(value)

    def close(self) -> None:
        self._channel.close()
