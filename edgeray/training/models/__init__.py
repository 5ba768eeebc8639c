"""The models that come with EdgeRay. A user's own is any function that returns an `nn.Module` of one tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from edgeray.training.models.cnn import cnn
from edgeray.training.models.lenet import lenet
from edgeray.training.models.mlp import mlp
from edgeray.training.models.mobilenet import mobilenet_v2
from edgeray.training.models.resnet import resnet50, resnet101
from edgeray.training.models.vgg import vgg16

__all__ = ["MODELS", "cnn", "lenet", "mlp", "mobilenet_v2", "resnet50", "resnet101", "vgg16"]

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "lenet": lenet,
    "mlp": mlp,
    "cnn": cnn,
    "vgg16": vgg16,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "mobilenet_v2": mobilenet_v2,
}
