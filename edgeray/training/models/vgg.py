"""VGG: Simonyan, Zisserman 2015, "Very deep convolutional networks for large-scale image recognition"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from edgeray.training.models.stem import Stem, check_stem

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each ending in a pool that halves the image. stages: channels of each convolution.

    images (n, channels, height, width), logits (n, classes). The imagenet stem ends in three linear layers with
    dropout; the cifar one in a single linear layer. No batch norm, as published.
    """

    def __init__(
        self, stages: Sequence[Sequence[int]], *, classes: int, channels: int = 3, stem: Stem = "imagenet"
    ) -> None:
        super().__init__()
        check_stem(stem)
        self.features = nn.Sequential(*_layers(stages, channels))
        last = stages[-1][-1]
        if stem == "imagenet":
            self.pool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                nn.Linear(last * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, classes),
            )
        else:
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Linear(last, classes))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def vgg16(classes: int = 1000, channels: int = 3, stem: Stem = "imagenet") -> VGG:
    """VGG16 (configuration D): 138,357,544 parameters for ImageNet. Images of 32 pixels and more."""
    return VGG(_VGG16, classes=classes, channels=channels, stem=stem)


def _layers(stages: Sequence[Sequence[int]], channels: int) -> Iterator[nn.Module]:
    for stage in stages:
        for width in stage:
            yield nn.Conv2d(channels, width, kernel_size=3, padding=1)
            yield nn.ReLU()
            channels = width
        yield nn.MaxPool2d(2)


def _initialise(module: nn.Module) -> None:
    """He et al. 2015: without it sixteen layers do not start to learn."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        assert module.bias is not None
        nn.init.zeros_(module.bias)
