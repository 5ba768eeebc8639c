"""A small data set that is easily learnt, and models so small that one can follow them by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from edgeray.training.recipe import Recipe

SAMPLES = {"train": 4000, "test": 200}


class Blobs(Dataset[tuple[Tensor, Tensor]]):
    """Points around one of three corners, with their corner as label."""

    def __init__(self, subset: str, samples: int | None = None) -> None:
        rng = np.random.default_rng(len(subset))
        self.labels = rng.integers(0, 3, samples or SAMPLES[subset])
        around = rng.normal(0, 0.3, (len(self.labels), 3)) + np.eye(3)[self.labels]
        self._inputs = torch.from_numpy(around.astype(np.float32))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._inputs[index], torch.tensor(self.labels[index])


class Numbers(Dataset[tuple[Tensor, Tensor]]):
    """Four points (x, y) of a line through the origin that fits none of them."""

    given = ((1.0, 2.0), (1.0, 4.0), (1.0, 1.0), (2.0, 1.0))

    def __init__(self, subset: str) -> None:
        self.subset = subset

    def __len__(self) -> int:
        return len(self.given)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.given[index]
        return torch.tensor([x]), torch.tensor([y])


def slope() -> nn.Module:
    """y = w x, from w = 0."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return ((outputs - labels) ** 2).mean()


def linear() -> nn.Module:
    return nn.Linear(3, 3)


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 3))


def blobs_recipe(devices: int, **changed: Any) -> Recipe:
    told: dict[str, Any] = {
        "model": "fog_blobs:linear",
        "dataset": "fog_blobs:Blobs",
        "clients": tuple(f"d{i}" for i in range(devices)),
        "samples": 0,
        "test_samples": 100,
        "batch_size": 4,
        "learning_rate": 0.1,
        "seed": 3,
    }
    return Recipe(**{**told, **changed})
