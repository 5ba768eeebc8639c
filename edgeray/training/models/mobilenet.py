"""MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen 2018, "Inverted residuals and linear bottlenecks"."""

from __future__ import annotations

from torch import Tensor, nn

from edgeray.training.models.stem import Stem, check_stem

# (expansion, output channels, repeats, stride of the first): Table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LAST = 1280


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1; a skip where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [] if expansion == 1 else [_convolution(inputs, hidden, kernel_size=1)]
        self.conv = nn.Sequential(
            *expand,
            _convolution(hidden, hidden, kernel_size=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, kernel_size=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.skip else y


class MobileNetV2(nn.Module):
    """images (n, channels, height, width), logits (n, classes). width: factor on all channels, in steps of 8."""

    def __init__(self, *, classes: int, channels: int, stem: Stem, width: float) -> None:
        super().__init__()
        check_stem(stem)
        inputs = _rounded(32 * width)
        features: list[nn.Module] = [
            _convolution(channels, inputs, kernel_size=3, stride=2 if stem == "imagenet" else 1)
        ]
        for number, (expansion, filters, repeats, first_stride) in enumerate(STAGES):
            outputs = _rounded(filters * width)
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 and (stem == "imagenet" or number != 1) else 1
                features.append(InvertedResidual(inputs, outputs, expansion=expansion, stride=stride))
                inputs = outputs
        last = max(_LAST, _rounded(_LAST * width))
        features.append(_convolution(inputs, last, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def mobilenet_v2(
    classes: int = 1000, channels: int = 3, stem: Stem = "imagenet", width: float = 1.0
) -> MobileNetV2:
    """MobileNetV2: 3,504,872 parameters for ImageNet. The cifar stem leaves the first two strides out."""
    return MobileNetV2(classes=classes, channels=channels, stem=stem, width=width)


def _convolution(
    inputs: int, outputs: int, *, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = (kernel_size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, not below 8, nor more than a tenth below what is asked: as the authors' code."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _initialise(module: nn.Module) -> None:
    """He et al. 2015; small numbers in the last layer, as published weights were trained."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)
