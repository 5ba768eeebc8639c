"""A small convolutional network for the experiments of network-aware learning: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020,
"Network-Aware Optimization of Distributed Learning for Fog Computing", sec. V-A."""

from __future__ import annotations

from torch import nn


def cnn(classes: int = 10, channels: int = 1) -> nn.Sequential:
    """Two 5x5 convolutions with max-pooling, then two dense layers, for images (n, channels, 28, 28); logits (n,
    classes). 21,840 parameters as it is.

    The paper trains "a convolutional neural network" and says nothing of its layers; these are ours, small enough for
    the Raspberry Pis of its testbed. No dropout, so that a step depends on nothing but weights and data.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 10, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 20, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(20 * 4 * 4, 50),
        nn.ReLU(),
        nn.Linear(50, classes),
    )
