"""The converters: what the ONNX models compute is what the networks they were made from compute."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from edgeray.assets import asset
from edgeray.assets.tensorflow_graph import Node, read_graph_def, read_tfjs
from edgeray.assets.tensorflow_to_onnx import translate


def run(model: bytes, images: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})  # type: ignore[no-any-return]


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field, as TensorFlow would write it."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def test_a_graph_def_is_read_field_by_field() -> None:
    floats = np.array([1.5, -2.0], "<f4").tobytes()
    shape = field(2, field(2, field(1, 2)) + field(2, field(1, 1)))
    tensor = field(8, field(1, 1) + shape + field(4, floats))
    strides = field(1, field(3, bytes([1, 2, 2, 1])))
    entries = {b"value": tensor, b"strides": strides, b"padding": field(2, b"SAME")}
    attributes = b"".join(field(5, field(1, key) + field(2, value)) for key, value in entries.items())
    node = field(1, b"conv") + field(2, b"Conv2D") + field(3, b"x:0") + field(3, b"^later") + attributes
    (read,) = read_graph_def(field(1, node)).values()
    assert (read.name, read.op, read.inputs) == ("conv", "Conv2D", ("x",))
    assert read.attributes == {"strides": [1, 2, 2, 1], "padding": b"SAME"}
    assert read.value is not None
    assert read.value.tolist() == [[1.5], [-2.0]]


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(ValueError, match="not a GraphDef"):
        read_graph_def(b"\x0f\x00\x00")


def test_weights_that_do_not_fit_their_manifest_are_refused() -> None:
    weight = b'{"name": "w", "shape": [2], "dtype": "float32"}'
    manifest = b'{"modelTopology": {"node": []}, "weightsManifest": [{"weights": [' + weight + b"]}]}"
    with pytest.raises(ValueError, match="the weights hold 12 bytes, the manifest asks for 8"):
        read_tfjs(manifest, bytes(12))


def constant(name: str, value: Any) -> Node:
    return Node(name=name, op="Const", value=np.asarray(value))


def graph_of(*nodes: Node) -> dict[str, Node]:
    return {node.name: node for node in (Node(name="x", op="Placeholder"), *nodes)}


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("depthwise", [False, True])
def test_strided_same_convolutions_pad_as_tensorflow_does(size: int, depthwise: bool) -> None:
    """TensorFlow pads an even size by one less before than after; a symmetric pad would shift every box."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(3, 3, 3, 1 if depthwise else 4)).astype(np.float32)
    attributes = {"padding": b"SAME", "strides": [1, 2, 2, 1]}
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    graph = graph_of(constant("k", kernel), Node(name="c", op=op, inputs=("x", "k"), attributes=attributes))
    images = rng.normal(size=(1, 3, size, size)).astype(np.float32)
    (found,) = run(translate(graph, source="x", size=(size, size), outputs={"out": "c"}), images)
    total = max((-(-size // 2) - 1) * 2 + 3 - size, 0)
    before = total // 2
    padded = functional.pad(torch.from_numpy(images), (before, total - before, before, total - before))
    weights = torch.from_numpy(kernel)
    weights = weights.permute(2, 3, 0, 1) if depthwise else weights.permute(3, 2, 0, 1)
    expected = functional.conv2d(padded, weights, stride=2, groups=3 if depthwise else 1)
    np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_resizing_samples_the_plain_grid() -> None:
    graph = graph_of(
        constant("size", np.array([4, 4], np.int32)),
        Node(name="r", op="ResizeBilinear", inputs=("x", "size"), attributes={"align_corners": False}),
    )
    images = np.array([[0, 2], [4, 6]], np.float32).reshape(1, 1, 2, 2).repeat(3, axis=1)
    (found,) = run(translate(graph, source="x", size=(2, 2), outputs={"out": "r"}), images)
    expected = [[0, 1, 2, 2], [2, 3, 4, 4], [4, 5, 6, 6], [4, 5, 6, 6]]
    np.testing.assert_allclose(found[0, :, :, 0], expected, atol=1e-6)


def test_an_unknown_operation_is_named() -> None:
    graph = graph_of(Node(name="n", op="Einsum", inputs=("x",)))
    with pytest.raises(ValueError, match=r"cannot translate Einsum \(n\)"):
        translate(graph, source="x", size=(2, 2), outputs={"out": "n"})


def test_mobilenet_computes_what_torch_computes_from_the_checkpoint() -> None:
    """The same weights through torch's own convolutions and batch norms, which nothing folds."""
    data = asset("mobilenetv2-bottleneck.pt").read_bytes()
    state = torch.load(io.BytesIO(data), weights_only=True)

    def layer(x: Any, weights: str, norm: str, stride: int = 1, groups: int = 1, linear: bool = False) -> Any:
        kernel = state[f"{weights}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        means = (state[f"{norm}.running_mean"], state[f"{norm}.running_var"])
        x = functional.batch_norm(x, *means, state[f"{norm}.weight"], state[f"{norm}.bias"])
        return x if linear else functional.relu6(x)

    images = np.random.default_rng(5).normal(size=(2, 3, 128, 64)).astype(np.float32)
    x = layer(torch.from_numpy(images), "features.0.0", "features.0.1", stride=2)
    halving = (2, 4, 7, 14)  # the blocks that halve the resolution
    for block in range(1, 18):
        name, y, at = f"features.{block}.conv", x, 0
        if block > 1:
            y, at = layer(y, f"{name}.0", f"{name}.1"), 3
        stride = 2 if block in halving else 1
        y = layer(y, f"{name}.{at}", f"{name}.{at + 1}", stride=stride, groups=y.shape[1])
        y = layer(y, f"{name}.{at + 3}", f"{name}.{at + 4}", linear=True)
        x = x + y if x.shape == y.shape else y
    expected = layer(x, "features.18.0", "features.18.1").mean(dim=(2, 3))
    (found,) = run(asset("mobilenetv2-features.onnx").read_bytes(), images)
    assert found.shape == (2, 1280)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-4)
