"""LeNet-5: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition"."""

from __future__ import annotations

from torch import nn


def lenet(classes: int = 10, channels: int = 1) -> nn.Sequential:
    """LeNet-5 for images (n, channels, 28, 28); logits (n, classes). 61,706 parameters as it is.

    Departures, as is common: max-pooling, ReLU, every map of the second convolution sees all of the first.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )
