"""Models and data for tests of profiling: what has BatchNorm, two tensors across a cut, dropout, or no cut at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeray.training.data import Images, Subset
from edgeray.training.models.resnet import ResNet
from edgeray.training.recipe import Recipe


def noise(subset: Subset, side: int = 28, samples: int = 24) -> Images:
    rng = np.random.default_rng(1 if subset == "train" else 2)
    pixels = rng.integers(0, 255, (samples, side, side)).astype(np.uint8)
    return Images(pixels, rng.integers(0, 10, samples), mean=0.5, deviation=0.3)


def residual(width: int = 4) -> nn.Module:
    return ResNet((1, 1), classes=10, channels=1, stem="cifar", width=width)


def with_dropout() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 8), nn.Dropout(0.5), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 10)
    )


def one_layer() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def broad(layers: int = 6, width: int = 3000) -> nn.Module:
    """Weights of 36 MB a layer, and hardly any activations."""
    inner = [nn.Linear(width, width) for _ in range(layers)]
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), *inner, nn.Linear(width, 10))


class Scaled(nn.Module):
    """What no state_dict holds: a buffer that is not persistent, a tensor among the attributes, one in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(784, 6), nn.Linear(6, 10)
        self.register_buffer("scale", torch.linspace(1, 2, 6), persistent=False)
        self.shift = torch.linspace(3, 4, 6)
        self.parts = [torch.full((6,), 0.5)]

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x.flatten(1)) * self.scale + self.shift + self.parts[0]
        logits: Tensor = self.last(torch.relu(y) * torch.arange(6, device=x.device))
        return logits


class Tied(nn.Module):
    """One weight in two layers, both before the only cut."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.first = nn.Flatten(), nn.Linear(784, 6)
        self.one, self.other, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 10)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.other(self.one(self.first(self.flatten(x)))))
        return logits


class Peeking(nn.Module):
    """Looks at its weights while it is made: that cannot be done without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(784, 6), nn.Linear(6, 10)
        self.factor = 1.0 / (1.0 + float(self.first.weight.detach().abs().max()) * 0)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(x.flatten(1)) * self.factor)
        return logits


class Drawing(nn.Module):
    """Draws numbers, which no state_dict holds, on a device that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(784, 6)
        self.factors = torch.randn(6, device="cpu")
        self.last = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(x.flatten(1)) * self.factors)
        return logits


class Doubling(nn.Module):
    """Control flow that depends on data: torch.export cannot trace it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


def untraceable() -> nn.Module:
    layers = (nn.Linear(784, 6), Doubling(), nn.ReLU(), nn.Linear(6, 2000), nn.ReLU(), nn.Linear(2000, 10))
    return nn.Sequential(nn.Flatten(), *layers)


def fails() -> nn.Module:
    raise RuntimeError("no such weights")


def no_model() -> int:
    return 3


def tiny(_subset: Subset) -> list[int]:
    return [1]


def squared(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits - nn.functional.one_hot(labels, 10)).square().mean()


def recipe(model: str, **changes: Any) -> Recipe:
    """model: a name in here, or of the models that come with EdgeRay."""
    module = "edgeray.training.models" if model == "lenet" else __name__
    given: dict[str, Any] = {
        "model": f"{module}:{model}",
        "dataset": f"{__name__}:noise",
        "clients": ("a",),
        "samples": 16,
        "test_samples": 0,
        "batch_size": 8,
        "seed": 3,
    }
    return Recipe(**{**given, **changes})
