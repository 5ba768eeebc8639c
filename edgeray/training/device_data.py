"""A device's share of a dataset, as the worker takes it, and the same order of batches for the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeray.training.data import Indices, batch_of, batch_order, labels_of
from edgeray.training.round import BatchOrder


class DeviceData:
    """TrainingData of one device. indices: of its samples in the dataset."""

    waited_s = 0.0

    def __init__(self, dataset: Any, indices: Indices, *, batch_size: int, seed: int, device: str) -> None:
        self._dataset = dataset
        self._indices = indices
        self._batch_size = batch_size
        self._seed = seed
        self._device = device

    @property
    def samples(self) -> int:
        return len(self._indices)

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(labels_of(self._dataset)[self._indices])

    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = batch_order(
            self._indices,
            self._batch_size,
            seed=self._seed,
            round_number=round_number,
            epoch=epoch,
            device=self._device,
        )
        for chosen in order:
            yield batch_of(self._dataset, chosen)


def order_on_server(*, batch_size: int, seed: int) -> BatchOrder:
    """The positions, among a device's own samples, of each batch of its DeviceData: for labels that are sent once."""

    def order(client: str, samples: int, round_number: int, epoch: int) -> list[Tensor]:
        positions = np.arange(samples, dtype=np.int64)
        batches = batch_order(
            positions, batch_size, seed=seed, round_number=round_number, epoch=epoch, device=client
        )
        return [torch.from_numpy(batch) for batch in batches]

    return order
