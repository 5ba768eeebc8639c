"""Translate TensorFlow inference graphs of convolutional networks to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeray.assets.tensorflow_graph import Array, Graph, Node

OPSET = 17
IR_VERSION = 8  # what onnxruntime 1.19 still reads

_NHWC_TO_NCHW_AXIS = (0, 2, 3, 1)


def translate(graph: Graph, *, source: str, size: tuple[int, int], outputs: Mapping[str, str]) -> bytes:
    """Translate the part of graph between source and outputs to a serialized ONNX model.

    source: the node that becomes the input "images", float32 (1, 3, height, width), size = (height, width).
    outputs: TensorFlow name by ONNX output name; 4-d outputs come back as NHWC, as TensorFlow has them.
    TensorFlow's NHWC activations become NCHW throughout, since that is what ONNX's Conv takes.
    Raises ValueError on an operation that it does not know.
    """
    writer = _Writer(graph, source)
    for name, node in outputs.items():
        writer.add("Transpose", [writer.tensor(node)], name, perm=[0, 2, 3, 1])
    body = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None, None]) for name in outputs],
        writer.constants,
    )
    return serialize(body)


def serialize(body: Any) -> bytes:
    """Wrap an ONNX graph as a checked model and serialize it."""
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edgeray")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


class _Writer:
    """Walks a graph from its outputs to its source and writes each node once."""

    def __init__(self, graph: Graph, source: str) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._graph = graph
        self._tensors: dict[str, str] = {source: "images"}

    def tensor(self, name: str) -> str:
        """Name of the ONNX tensor that holds TensorFlow's node; writes what it needs first.

        The walk keeps its own stack: these graphs are deeper than Python's recursion limit.
        """
        pending = [name]
        while pending:
            node = self._graph[pending[-1]]
            missing = [i for i in node.inputs if i not in self._tensors and self.value(i) is None]
            if node.name in self._tensors or not missing:
                pending.pop()
                if node.name not in self._tensors:
                    self._tensors[node.name] = self._write(node)
            else:
                pending += missing
        return self._tensors[name]

    def value(self, name: str) -> Array | None:
        """The constant that node holds, seen through Identity, or None."""
        node = self._graph[name]
        while node.op == "Identity":
            node = self._graph[node.inputs[0]]
        return node.value

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def _write(self, node: Node) -> str:
        translator = _TRANSLATORS.get(node.op)
        if translator is None:
            known = ", ".join(sorted(_TRANSLATORS))
            raise ValueError(f"cannot translate {node.op} ({node.name}); known operations: {known}")
        return translator(self, node)

    def operand(self, name: str) -> str:
        """An input of an elementwise operation: a tensor, or a constant broadcast over NCHW."""
        value = self.value(name)
        if value is None:
            return self.tensor(name)
        value = value.astype(np.float32)
        if value.ndim == 1:
            value = value.reshape(-1, 1, 1)
        elif value.ndim == 4:
            value = value.transpose(0, 3, 1, 2)
        return self.constant(value)

    def need(self, node: Node, index: int) -> Array:
        """The constant at one input of node. Raises ValueError when it is computed."""
        value = self.value(node.inputs[index])
        if value is None:
            raise ValueError(f"{node.op} {node.name}: input {node.inputs[index]} must be a constant")
        return value


def _elementwise(op: str) -> Callable[[_Writer, Node], str]:
    def write(writer: _Writer, node: Node) -> str:
        return writer.add(op, [writer.operand(name) for name in node.inputs], node.name)

    return write


def _relu6(writer: _Writer, node: Node) -> str:
    low, high = (writer.constant(np.array(bound, np.float32)) for bound in (0, 6))
    return writer.add("Clip", [writer.tensor(node.inputs[0]), low, high], node.name)


def _convolution(writer: _Writer, node: Node) -> str:
    """Conv2D and DepthwiseConv2dNative, plain or fused with a bias and an activation."""
    kernel = writer.need(node, 1)
    if "Depthwise" in node.op:  # (height, width, channels, multiplier) -> one group a channel
        height, width, channels, multiplier = kernel.shape
        weights, groups = kernel.reshape(height, width, 1, channels * multiplier), channels
    else:
        weights, groups = kernel, 1
    inputs = [writer.tensor(node.inputs[0]), writer.constant(weights.transpose(3, 2, 0, 1))]
    fused = [bytes(step).decode() for step in node.attributes.get("fused_ops") or ()]
    if fused and fused[0] == "BiasAdd":
        inputs.append(writer.constant(writer.need(node, 2)))
    if fused not in ([], ["BiasAdd"], ["BiasAdd", "Relu"]):
        raise ValueError(f"{node.op} {node.name}: fused with {fused}; known: BiasAdd, then Relu")
    activated = fused[-1:] == ["Relu"]
    output = f"{node.name}/convolution" if activated else node.name
    writer.add(
        "Conv",
        inputs,
        output,
        auto_pad="SAME_UPPER" if node.attributes["padding"] == b"SAME" else "VALID",
        strides=node.attributes["strides"][1:3],
        dilations=(node.attributes.get("dilations") or [1, 1, 1, 1])[1:3],
        group=groups,
    )
    return writer.add("Relu", [output], node.name) if activated else output


def _batch_norm(writer: _Writer, node: Node) -> str:
    parameters = [writer.constant(writer.need(node, index)) for index in range(1, 5)]
    inputs = [writer.tensor(node.inputs[0]), *parameters]
    return writer.add("BatchNormalization", inputs, node.name, epsilon=node.attributes["epsilon"])


def _mean(writer: _Writer, node: Node) -> str:
    axes = [_NHWC_TO_NCHW_AXIS[int(axis)] for axis in writer.need(node, 1).ravel()]
    keep = int(bool(node.attributes.get("keep_dims")))
    return writer.add("ReduceMean", [writer.tensor(node.inputs[0])], node.name, axes=axes, keepdims=keep)


def _concat(writer: _Writer, node: Node) -> str:
    axis = _NHWC_TO_NCHW_AXIS[int(writer.need(node, len(node.inputs) - 1).item())]
    return writer.add("Concat", [writer.tensor(name) for name in node.inputs[:-1]], node.name, axis=axis)


def _resize(writer: _Writer, node: Node) -> str:
    """ResizeBilinear with neither align_corners nor half_pixel_centers: ONNX calls that asymmetric."""
    if node.attributes.get("align_corners") or node.attributes.get("half_pixel_centers"):
        raise ValueError(f"ResizeBilinear {node.name}: only the plain sampling grid is known")
    data = writer.tensor(node.inputs[0])
    shape = writer.add("Shape", [data], f"{node.name}/shape", end=2)
    target = writer.constant(writer.need(node, 1).astype(np.int64))
    sizes = writer.add("Concat", [shape, target], f"{node.name}/sizes", axis=0)
    return writer.add(
        "Resize",
        [data, "", "", sizes],
        node.name,
        mode="linear",
        coordinate_transformation_mode="asymmetric",
    )


def _identity(writer: _Writer, node: Node) -> str:
    return writer.tensor(node.inputs[0])


_TRANSLATORS: Mapping[str, Callable[[_Writer, Node], str]] = {
    "Add": _elementwise("Add"),
    "AddV2": _elementwise("Add"),
    "BiasAdd": _elementwise("Add"),
    "ConcatV2": _concat,
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _convolution,
    "FusedBatchNorm": _batch_norm,
    "FusedDepthwiseConv2dNative": _convolution,
    "Identity": _identity,
    "Mean": _mean,
    "Mul": _elementwise("Mul"),
    "Relu": _elementwise("Relu"),
    "Relu6": _relu6,
    "ResizeBilinear": _resize,
    "Sigmoid": _elementwise("Sigmoid"),
    "Sub": _elementwise("Sub"),
    "_FusedConv2D": _convolution,
}
