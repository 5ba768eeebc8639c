"""Residual networks of bottlenecks: He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition"."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edgeray.training.models.stem import Stem, check_stem

_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a skip. Departure: the stride is in the 3x3, as in all later versions."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        skip = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(y + skip)
        return out


class ResNet(nn.Module):
    """A residual network. blocks: how many bottlenecks each stage has; width: channels of the first stage.

    images (n, channels, height, width), logits (n, classes). The imagenet stem halves the image twice before the
    first stage; the cifar one leaves it as it is.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        classes: int,
        channels: int = 3,
        stem: Stem = "imagenet",
        width: int = 64,
    ) -> None:
        super().__init__()
        check_stem(stem)
        large = stem == "imagenet"
        self.conv1 = nn.Conv2d(
            channels, width, kernel_size=7 if large else 3, stride=2 if large else 1, padding=3 if large else 1,
            bias=False,
        )  # fmt: skip
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if large else nn.Identity()
        inputs, stages = width, []
        for stage, count in enumerate(blocks):
            stages.append(_stage(inputs, width << stage, count, stride=1 if stage == 0 else 2))
            inputs = (width << stage) * _EXPANSION
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        logits: Tensor = self.fc(self.pool(self.stages(x)).flatten(1))
        return logits


def resnet50(classes: int = 1000, channels: int = 3, stem: Stem = "imagenet") -> ResNet:
    """ResNet-50: 25,557,032 parameters for ImageNet."""
    return ResNet((3, 4, 6, 3), classes=classes, channels=channels, stem=stem)


def resnet101(classes: int = 1000, channels: int = 3, stem: Stem = "imagenet") -> ResNet:
    """ResNet-101: 44,549,160 parameters for ImageNet."""
    return ResNet((3, 4, 23, 3), classes=classes, channels=channels, stem=stem)


def _stage(inputs: int, width: int, count: int, *, stride: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * _EXPANSION, width, 1) for _ in range(count - 1)))


def _initialise(module: nn.Module) -> None:
    """He et al. 2015."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
