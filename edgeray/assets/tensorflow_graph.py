"""Read TensorFlow graphs without TensorFlow: frozen GraphDefs and TensorFlow.js graph models."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DTYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation. inputs name their producers; value is set on constants that a converter can use."""

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    value: Array | None = None


Graph = Mapping[str, Node]


def read_graph_def(data: bytes) -> Graph:
    """Parse a serialized GraphDef (tensorflow/core/framework/graph.proto, field 1 holds the nodes).

    Raises ValueError where the bytes are no protobuf.
    """
    nodes = [_node(value) for number, value in _fields(memoryview(data)) if number == 1]
    return {node.name: node for node in nodes}


def read_tfjs(model_json: bytes, weights: bytes) -> Graph:
    """Parse a TensorFlow.js graph model: its topology as JSON, its weights as one binary.

    float16-quantized weights come back as float32. Raises ValueError on a quantization it does not know.
    """
    model = json.loads(model_json)
    values = _tfjs_weights(model["weightsManifest"], weights)
    graph = {}
    for raw in model["modelTopology"]["node"]:
        attributes = {key: _tfjs_attribute(value) for key, value in raw.get("attr", {}).items()}
        graph[raw["name"]] = Node(
            name=raw["name"],
            op=raw["op"],
            inputs=_clean(raw.get("input", ())),
            attributes=attributes,
            value=values.get(raw["name"]),
        )
    return graph


def _clean(inputs: Sequence[str]) -> tuple[str, ...]:
    """Drop control inputs (^x) and the output number 0 (x:0)."""
    return tuple(name.removesuffix(":0") for name in inputs if not name.startswith("^"))


# The protobuf wire format: https://protobuf.dev/programming-guides/encoding/


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value): an int for varints, a memoryview for the rest."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            length, at = _varint(data, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"protobuf wire type {wire_type} at byte {at}: not a GraphDef")
        yield number, data[at : at + length]
        at += length


def _node(data: memoryview) -> Node:
    name = op = ""
    inputs: list[str] = []
    attributes: dict[str, Any] = {}
    for number, value in _fields(data):
        if number == 1:
            name = bytes(value).decode()
        elif number == 2:
            op = bytes(value).decode()
        elif number == 3:
            inputs.append(bytes(value).decode())
        elif number == 5:
            entry = dict(_fields(value))
            attributes[bytes(entry[1]).decode()] = _attribute(entry.get(2, memoryview(b"")))
    value = attributes.pop("value", None)
    return Node(name=name, op=op, inputs=_clean(inputs), attributes=attributes, value=value)


def _attribute(data: memoryview) -> Any:
    """An AttrValue: bytes, int, float, bool, a list of ints, or a tensor; None for other kinds."""
    for number, value in _fields(data):
        if number == 1:
            return _ints(value)
        if number == 2:
            return bytes(value)
        if number == 4:
            return struct.unpack("<f", value)[0]
        if number in (3, 5, 6):
            return value
        if number == 8:
            return _tensor(value)
    return None


def _ints(data: memoryview) -> list[int]:
    """The ints of an AttrValue.ListValue (field 3, packed or not)."""
    found: list[int] = []
    for number, value in _fields(data):
        if number != 3:
            continue
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            item, at = _varint(value, at)
            found.append(item)
    return found


def _tensor(data: memoryview) -> Array | None:
    """A TensorProto of numbers: raw content, or one repeated value; None for strings."""
    dtype: np.dtype[Any] | None = None
    shape: list[int] = []
    content = b""
    for number, value in _fields(data):
        if number == 1:
            dtype = _DTYPES.get(value)
        elif number == 2:
            shape = [_dimension(size) for key, size in _fields(value) if key == 2]
        elif number in (4, 5) and not isinstance(value, int):
            content += bytes(value)
        elif number in (7, 10) and dtype is not None:
            content += np.asarray(_packed(value), dtype).tobytes()
    if dtype is None:
        return None
    flat = np.frombuffer(content, dtype)
    count = int(np.prod(shape))
    if flat.size < count:  # TensorFlow repeats the last value to fill the shape
        last = flat[-1] if flat.size else dtype.type(0)
        flat = np.concatenate([flat, np.full(count - flat.size, last, dtype)])
    return flat.reshape(shape)


def _dimension(data: memoryview) -> int:
    return int(dict(_fields(data)).get(1, 0))


def _packed(value: Any) -> list[int]:
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        item, at = _varint(value, at)
        found.append(item - (1 << 64) if item >> 63 else item)
    return found


def _tfjs_weights(manifest: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, Array]:
    values: dict[str, Array] = {}
    at = 0
    for spec in (spec for group in manifest for spec in group["weights"]):
        stored = spec.get("quantization", {}).get("dtype", spec["dtype"])
        if stored not in ("float16", "float32", "int32", "bool"):
            raise ValueError(
                f"weight {spec['name']}: stored as {stored}; known: float16, float32, int32, bool"
            )
        dtype = np.dtype(stored)
        count = int(np.prod(spec["shape"]))
        value = np.frombuffer(data, dtype, count, at).reshape(spec["shape"])
        values[spec["name"]] = value.astype(np.float32) if stored == "float16" else value
        at += count * dtype.itemsize
    if at != len(data):
        raise ValueError(f"the weights hold {len(data)} bytes, the manifest asks for {at}")
    return values


def _tfjs_attribute(raw: Mapping[str, Any]) -> Any:
    if "s" in raw:
        return base64.b64decode(raw["s"])
    if "i" in raw:
        return int(raw["i"])
    if "list" in raw:
        entries = raw["list"]
        if "s" in entries:
            return [base64.b64decode(text) for text in entries["s"]]
        return [int(item) for item in entries.get("i", ())]
    return raw.get("b", raw.get("f"))
