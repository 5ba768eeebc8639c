"""The perceptron that MEL trains: Mohammad, Sorour 2019, "Adaptive Task Allocation for Mobile Edge Learning", sec. V."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

HIDDEN = (300, 124, 60)
"""Neurons of each hidden layer."""


def mlp(classes: int = 10, channels: int = 1) -> nn.Sequential:
    """784-300-124-60-10 for images (n, channels, 28, 28); logits (n, classes). 280,440 weights and 494 biases as it is.

    The paper says no more of it: ReLU is ours.
    """
    widths = (channels * 28 * 28, *HIDDEN)
    hidden = [
        layer for inputs, outputs in pairwise(widths) for layer in (nn.Linear(inputs, outputs), nn.ReLU())
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], classes))
