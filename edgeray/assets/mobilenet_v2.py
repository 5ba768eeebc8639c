"""MobileNetV2 as an ONNX graph, built from a PyTorch checkpoint's tensors."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from edgeray.assets.tensorflow_graph import Array
from edgeray.assets.tensorflow_to_onnx import serialize
from edgeray.training.models.mobilenet import STAGES

_BATCH_NORM_EPSILON = 1e-5  # PyTorch's default, with which the weights were trained


def features_model(checkpoint: bytes) -> bytes:
    """Build the network up to its pooled 1280 features and serialize it.

    Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", Table 2.
    checkpoint: a state dict with torchvision's older names (features.N.conv.M), read with weights_only=True.
    Batch norms are folded into their convolutions. Raises KeyError when a tensor is missing.
    """
    state = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    builder = _Builder({name: tensor.numpy() for name, tensor in state.items()})
    data = builder.convolution("images", "features.0.0", "features.0.1", stride=2)
    channels, layer = 32, 1
    for expansion, width, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            out = builder.bottleneck(
                data, f"features.{layer}.conv", channels * expansion, expansion > 1, stride
            )
            data = builder.add("Add", [data, out]) if stride == 1 and channels == width else out
            channels, layer = width, layer + 1
    data = builder.convolution(data, f"features.{layer}.0", f"features.{layer}.1")
    builder.add("ReduceMean", [data], "features", axes=[2, 3], keepdims=0)
    body = helper.make_graph(
        builder.nodes,
        "mobilenet_v2",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "height", "width"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1280])],
        builder.constants,
    )
    return serialize(body)


class _Builder:
    def __init__(self, state: Mapping[str, Array]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._state = state
        self._six = [self._constant("zero", np.float32(0)), self._constant("six", np.float32(6))]

    def add(self, op: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def convolution(
        self, data: str, weights: str, norm: str, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> str:
        """A convolution with its batch norm folded in, then ReLU6 unless linear."""
        kernel, bias = self._folded(weights, norm)
        size = kernel.shape[-1]
        inputs = [data, self._constant(f"{weights}.kernel", kernel), self._constant(f"{weights}.bias", bias)]
        out = self.add("Conv", inputs, strides=[stride, stride], pads=[size // 2] * 4, group=groups)
        return out if linear else self.add("Clip", [out, *self._six])

    def bottleneck(self, data: str, name: str, hidden: int, expand: bool, stride: int) -> str:
        """Expand (1x1), depthwise (3x3), project (1x1, linear); the first block has nothing to expand."""
        at = 0
        if expand:
            data = self.convolution(data, f"{name}.0", f"{name}.1")
            at = 3
        data = self.convolution(data, f"{name}.{at}", f"{name}.{at + 1}", stride=stride, groups=hidden)
        return self.convolution(data, f"{name}.{at + 3}", f"{name}.{at + 4}", linear=True)

    def _folded(self, weights: str, norm: str) -> tuple[Array, Array]:
        """Kernel and bias that do the convolution and its batch norm in one."""
        state = self._state
        deviation = np.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
        scale = state[f"{norm}.weight"] / deviation
        kernel = state[f"{weights}.weight"] * scale.reshape(-1, 1, 1, 1)
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        return kernel.astype(np.float32), bias.astype(np.float32)

    def _constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
