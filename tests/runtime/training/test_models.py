"""The models that come with EdgeRay: as large as published, or as they say themselves, and of the right shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from edgeray.errors import BadInputError
from edgeray.reproduce.mel_rows import MODEL_BITS, MODEL_FLOP
from edgeray.training.models import MODELS, cnn, lenet, mlp, mobilenet_v2, resnet50, vgg16
from edgeray.training.models.resnet import ResNet

PUBLISHED = {
    "lenet": 61_706,
    "mlp": 280_440 + 494,
    "cnn": 21_840,
    "vgg16": 138_357_544,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "mobilenet_v2": 3_504_872,
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_has_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        model = MODELS[name]()
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("factory", "side", "features"),
    [(vgg16, 224, (512, 7, 7)), (resnet50, 224, (2048, 7, 7)), (mobilenet_v2, 224, (1280, 7, 7))],
)  # fmt: skip
def test_a_stem_brings_imagenet_down_to_seven_pixels(
    factory: object, side: int, features: tuple[int, ...]
) -> None:
    assert shape_before_the_pool(factory, side, channels=3, stem="imagenet") == (2, *features)


@pytest.mark.parametrize(
    ("factory", "features"),
    [(vgg16, (512, 1, 1)), (resnet50, (2048, 4, 4)), (mobilenet_v2, (1280, 4, 4))],
)
def test_a_stem_leaves_pixels_of_small_images(factory: object, features: tuple[int, ...]) -> None:
    assert shape_before_the_pool(factory, 32, channels=1, stem="cifar") == (2, *features)


def shape_before_the_pool(factory: object, side: int, *, channels: int, stem: str) -> tuple[int, ...]:
    seen: list[tuple[int, ...]] = []
    with torch.device("meta"):
        model = factory(7, channels=channels, stem=stem)  # type: ignore[operator]
        model.pool.register_forward_pre_hook(lambda _module, given: seen.append(tuple(given[0].shape)))
        assert model(torch.empty(2, channels, side, side)).shape == (2, 7)
    return seen[0]


@pytest.mark.parametrize("factory", [lenet, mlp, cnn])
def test_small_models_take_channels_and_classes(factory: Callable[..., torch.nn.Module]) -> None:
    with torch.device("meta"):
        assert factory(47, channels=3)(torch.empty(2, 3, 28, 28)).shape == (2, 47)


def test_the_perceptron_is_the_one_of_mel() -> None:
    """Its weights are 8,974,080 bits; four operations for each weight and bias are those of a sample (sec. V-A)."""
    with torch.device("meta"):
        weights, biases = ([p.numel() for p in mlp().parameters() if p.dim() == n] for n in (2, 1))
    assert 32 * sum(weights) == MODEL_BITS
    assert 4 * sum(weights + biases) == MODEL_FLOP
    assert biases == [300, 124, 60, 10]


def test_a_narrow_mobilenet_keeps_multiples_of_eight() -> None:
    with torch.device("meta"):
        model = mobilenet_v2(10, 1, "cifar", width=0.35)
    widths = {m.out_channels for m in model.modules() if isinstance(m, torch.nn.Conv2d)}
    assert sorted(width % 8 for width in widths) == [0] * len(widths)
    assert min(widths) == 8


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(BadInputError, match=r"imagenet .*or cifar"):
        ResNet((1,), classes=10, stem="mnist")  # type: ignore[arg-type]
