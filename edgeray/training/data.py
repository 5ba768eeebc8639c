"""Data to train on: labelled images, who has which of them, and in what order batches are made."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from edgeray.assets import asset
from edgeray.errors import BadInputError

Indices = npt.NDArray[np.int64]
Subset = Literal["train", "test"]
Sample = tuple[Tensor, Tensor]


class Images(Dataset[Sample]):
    """Labelled grey images. pixels: uint8, shape (n, side, side); labels: int64, shape (n,).

    A sample is an image in [0, 1], less the mean of the training images and over their deviation, shape (1, side, side),
    and its label. Kept as bytes until they are asked for. padded_to: images get this side, zeros around.
    """

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        *,
        mean: float,
        deviation: float,
        padded_to: int | None = None,
    ) -> None:
        side = pixels.shape[-1]
        margin = ((padded_to or side) - side) / 2
        if margin < 0 or margin != int(margin):
            raise BadInputError(
                f"images of {side} pixels cannot be padded to {padded_to}\n"
                f"  expected: {side}, {side + 2}, {side + 4} and so on"
            )
        around = ((0, 0), (int(margin), int(margin)), (int(margin), int(margin)))
        self._pixels = torch.from_numpy(np.pad(pixels, around))
        self.labels = labels
        self._targets = torch.from_numpy(labels)
        self._mean, self._deviation = mean, deviation

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        images, labels = self.batch(np.array([index]))
        return images[0], labels[0]

    def batch(self, indices: Indices) -> Sample:
        """Images (len(indices), 1, side, side) and labels (len(indices),)."""
        chosen = torch.from_numpy(indices)
        images = self._pixels[chosen].unsqueeze(1).float() / 255
        return (images - self._mean) / self._deviation, self._targets[chosen]

    def packed(self, indices: Indices) -> Pack:
        """These samples, as they are kept: a byte a pixel."""
        chosen = torch.from_numpy(indices)
        return Pack(
            inputs=self._pixels[chosen].unsqueeze(1),
            labels=self._targets[chosen],
            mean=self._mean,
            deviation=self._deviation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Samples on their way to who does not have the data set. inputs: as `Images` keeps them where mean and deviation are
    given; else as they go into the model, shape (samples, ...)."""

    inputs: Tensor
    labels: Tensor
    mean: float | None = None
    deviation: float | None = None

    def batch(self, positions: Indices) -> Sample:
        """The samples at these positions of the pack, as `Images.batch` gives them."""
        chosen = torch.from_numpy(positions)
        inputs = self.inputs[chosen]
        if self.mean is not None and self.deviation is not None:
            inputs = (inputs.float() / 255 - self.mean) / self.deviation
        return inputs, self.labels[chosen]


def packed_samples(dataset: Any, indices: Indices) -> Pack:
    """The samples with these indices, to be sent. dataset: any torch Dataset of (input, label)."""
    if isinstance(dataset, Images):
        return dataset.packed(indices)
    inputs, labels = batch_of(dataset, indices)
    return Pack(inputs=inputs, labels=labels)


def fashion_mnist(subset: Subset, padded_to: int | None = None) -> Images:
    """Clothes in ten classes, 28 x 28: 60,000 to train on, 10,000 to test. padded_to: 32, for models of that size.

    Source: Xiao, Rasul, Vollgraf 2017. Raises MissingAssetError, which names the command that gets it.
    """
    pixels = _idx(f"fashion-mnist-{subset}-images.gz", 16).reshape(-1, 28, 28)
    labels = _idx(f"fashion-mnist-{subset}-labels.gz", 8).astype(np.int64)
    return Images(pixels, labels, mean=0.2860, deviation=0.3530, padded_to=padded_to)


def mnist_5k(subset: Subset, padded_to: int | None = None) -> Images:
    """Handwritten digits, 28 x 28: 500 of each, of which every fifth is for testing.

    Raises MissingAssetError, which names the command that gets it.
    """
    with gzip.open(asset("mnist-5k.csv.gz"), "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    chosen = (np.arange(len(rows)) % 5 == 4) == (subset == "test")
    pixels, labels = rows[chosen, :-1].reshape(-1, 28, 28), rows[chosen, -1].astype(np.int64)
    return Images(pixels, labels, mean=0.1307, deviation=0.3081, padded_to=padded_to)


def labels_of(dataset: Any) -> Indices:
    """The label of each sample: dataset.labels or .targets if it has them, else out of every sample."""
    for name in ("labels", "targets"):
        if hasattr(dataset, name):
            return np.asarray(getattr(dataset, name), dtype=np.int64)
    return np.array([int(dataset[index][1]) for index in range(len(dataset))], dtype=np.int64)


def batch_of(dataset: Any, indices: Indices) -> Sample:
    """The samples with these indices, as one batch: inputs and labels. dataset: any torch Dataset of such pairs."""
    if isinstance(dataset, Images):
        return dataset.batch(indices)
    inputs, labels = default_collate([dataset[int(index)] for index in indices])
    return inputs, labels


def partition_iid(
    labels: Sequence[int] | Indices, devices: Sequence[str], rng: np.random.Generator
) -> dict[str, Indices]:
    """Deal all samples out at random, each to one device, as evenly as can be. Sorted indices by device."""
    _check_devices(len(labels), devices)
    shares = np.array_split(rng.permutation(len(labels)), len(devices))
    return {device: np.sort(share) for device, share in zip(devices, shares, strict=True)}


def partition_by_class(
    labels: Sequence[int] | Indices, devices: Sequence[str], classes_each: int, rng: np.random.Generator
) -> dict[str, Indices]:
    """Each device has samples of so many random classes only. Sorted indices by device.

    A class is shared out evenly, at random, among those that have it. Zhang 2024, sec. 4.5.1, has 5 of 10 classes a
    device and leaves open what becomes of a class that nobody drew. Here each device takes the classes that fewest
    others have, at random among equals: with len(devices) x classes_each classes or fewer, every sample is used once.
    Raises BadInputError where there are too few classes, or samples of one for all that have it.
    """
    given = np.asarray(labels, dtype=np.int64)
    _check_devices(len(given), devices)
    classes, sizes = np.unique(given, return_counts=True)
    if not 1 <= classes_each <= len(classes):
        raise BadInputError(
            f"{classes_each} classes a device cannot be had\n  expected: 1 to {len(classes)}, the classes there are"
        )
    owners: list[list[str]] = [[] for _ in classes]
    for device in devices:
        had = np.array([len(owning) for owning in owners])
        for chosen in np.lexsort((rng.random(len(classes)), had))[:classes_each]:
            owners[chosen].append(device)
    shares: dict[str, list[Indices]] = {device: [] for device in devices}
    for label, size, owning in zip(classes, sizes, owners, strict=True):
        if size < len(owning):
            raise BadInputError(
                f"class {label} has {size} samples for {len(owning)} devices\n  expected: one for each at least"
            )
        samples = rng.permutation(np.flatnonzero(given == label))
        for device, share in zip(owning, np.array_split(samples, max(1, len(owning))), strict=False):
            shares[device].append(share)
    return {device: np.sort(np.concatenate(parts)) for device, parts in shares.items()}


def batch_order(
    indices: Indices, batch_size: int, *, seed: int, round_number: int, epoch: int, device: str
) -> list[Indices]:
    """A device's samples in batches, shuffled; the last batch may be smaller. The same in any process."""
    named = int.from_bytes(hashlib.blake2b(device.encode(), digest_size=8).digest(), "big")
    shuffled = np.random.default_rng([seed, round_number, epoch, named]).permutation(indices)
    return [shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size)]


def _check_devices(samples: int, devices: Sequence[str]) -> None:
    if not 1 <= len(devices) <= samples or len({*devices}) < len(devices):
        raise BadInputError(
            f"{samples} samples for {len(devices)} devices\n"
            "  expected: devices with names of their own, one sample for each at least"
        )


def _idx(name: str, header_bytes: int) -> npt.NDArray[np.uint8]:
    """The numbers of an IDX file, behind its header."""
    with gzip.open(asset(name)) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header_bytes)
