"""A model, a data set and a loss of one's own, for own.yaml: three spirals in the plane. They need no download."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset


class Block(nn.Module):
    """Two layers beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


def network(width: int = 64, blocks: int = 4, arms: int = 3) -> nn.Module:
    """Points (n, 2) in, logits (n, arms) out."""
    stem = nn.Sequential(nn.Linear(2, width), nn.ReLU())
    return nn.Sequential(stem, *(Block(width) for _ in range(blocks)), nn.Linear(width, arms))


def spirals(subset: str, samples: int = 8000, arms: int = 3, noise: float = 0.15) -> TensorDataset:
    """Points on spirals, and which arm each is on: the same on every device, others to test than to train."""
    draw = torch.Generator().manual_seed(1 if subset == "test" else 0)
    labels = torch.arange(samples) % arms
    radius = torch.rand(samples, generator=draw)
    angle = 5 * radius + labels * (2 * math.pi / arms) + noise * torch.randn(samples, generator=draw)
    return TensorDataset(torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1), labels)


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy that does not ask for certainty; the mean of the batch."""
    return nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)
