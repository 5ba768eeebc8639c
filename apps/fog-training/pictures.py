"""A model of one's own for images that devices collect: enough computing a point that it matters where that is done."""

from __future__ import annotations

from torch import nn


def convolutions(width: int = 32, classes: int = 10, side: int = 28) -> nn.Module:
    """Grey images (n, 1, side, side) in, logits (n, classes) out: four convolutions, the later two twice as wide."""
    last = 2 * width * (side // 4) ** 2
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(last, classes),
    )
