"""How good a model is on a test set."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def accuracy_of(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float | None:
    """The fraction of samples whose largest logit is their label's; None: no samples. The model is back in training
    mode afterwards."""
    right = samples = 0
    model.eval()
    try:
        with torch.no_grad():
            for inputs, labels in batches:
                right += int((model(inputs).argmax(dim=1) == labels).sum())
                samples += len(labels)
    finally:
        model.train()
    return right / samples if samples else None
