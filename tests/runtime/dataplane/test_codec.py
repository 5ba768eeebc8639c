"""Values survive the way through frames, and large buffers are not copied on it."""

from __future__ import annotations

import pickle
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeray.dataplane import codec
from edgeray.dataplane.codec import OUT_OF_BAND_BYTES, decode, encode, wire_bytes
from edgeray.errors import FlowError

LARGE = OUT_OF_BAND_BYTES
Point = namedtuple("Point", "x y")


@dataclass
class Detection:
    label: str
    box: tuple[float, ...]
    crop: np.ndarray


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and, for arrays, dtype and shape."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


sizes = st.sampled_from([0, 1, 100, LARGE - 1, LARGE, LARGE + 1])
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    sizes.map(lambda n: b"\x07" * n),
    sizes.map(lambda n: bytearray(b"\x08" * n)),
    hnp.arrays(
        dtype=st.sampled_from([np.uint8, np.float32, np.int64, np.bool_]),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    ),
    sizes.map(lambda n: np.arange(n, dtype=np.float32)),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
        st.tuples(inner, inner),
    ),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_nested_values_come_back_as_they_were(value: Any) -> None:
    assert same(decode([bytes(frame) if at == 0 else frame for at, frame in enumerate(encode(value))]), value)


def test_objects_come_back_as_they_were() -> None:
    detection = Detection("person", (1.0, 2.0, 3.0, 4.0), np.arange(LARGE, dtype=np.uint8).reshape(2, -1))
    found = decode(encode([detection, Point(1, 2)]))
    assert found[1] == Point(1, 2)
    assert type(found[1]) is Point
    assert found[0].label == detection.label
    assert same(found[0].crop, detection.crop)


def test_large_buffers_are_the_values_own_memory() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    jpeg = b"j" * LARGE
    raw = bytearray(LARGE)
    frames = encode({"image": image, "nested": [(jpeg, raw)], "id": 7})
    assert len(frames) == 4
    assert len(frames[0]) < 1000
    assert any(frame is jpeg for frame in frames)
    assert any(frame is raw for frame in frames)
    assert any(np.shares_memory(np.frombuffer(frame, np.uint8), image) for frame in frames[1:])


@pytest.mark.parametrize("value", [b"x" * LARGE, bytearray(LARGE)])
def test_a_large_top_level_buffer_is_its_own_frame(value: bytes | bytearray) -> None:
    frames = encode(value)
    assert frames[1] is value
    assert same(decode(frames), value)


def test_one_large_buffer_met_twice_travels_once_and_stays_one() -> None:
    jpeg = b"j" * LARGE
    frames = encode([jpeg, jpeg, {"again": jpeg}])
    assert len(frames) == 2
    found = decode(frames)
    assert found[0] is found[1] is found[2]["again"]


def test_small_values_take_one_frame() -> None:
    for value in (b"x" * 1000, {"a": [1, 2.0, None]}, np.zeros(10), "text"):
        assert len(encode(value)) == 1


@pytest.mark.parametrize("count", [10, LARGE])
@pytest.mark.parametrize("writable", [True, False])
def test_arrays_stay_writable_or_read_only(count: int, writable: bool) -> None:
    array = np.zeros(count, np.uint8)
    array.flags.writeable = writable
    frames = encode(array)
    received = [frames[0], *(bytearray(frame) for frame in frames[1:])]  # a message's memory is writable
    assert decode(received).flags.writeable == writable


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(40_000, dtype=np.float32).reshape(200, 200)),
        np.arange(160_000, dtype=np.uint8).reshape(400, 400)[::2, ::2],
        np.zeros((0, 5)),
        np.array(["a", "bb"]),
        np.array([{"any": "object"}, None], dtype=object),
    ],
    ids=["fortran", "strided", "empty", "strings", "objects"],
)
def test_unusual_arrays(array: np.ndarray) -> None:
    found = decode(encode(array))
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert (found == array).all()


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"?"],
        [b"p"],
        [b"pnot a pickle"],
        [b"B"],
        [b"x\x05"],
        [b"x\x01\x00" + pickle.dumps(1)[:-1]],
        [encode(np.zeros(LARGE))[0]],
        [b"p" + b"cnowhere.to\nbe_found\n."],
    ],
)
def test_what_encode_did_not_make_is_a_flow_error(frames: list[bytes]) -> None:
    with pytest.raises(FlowError):
        decode(frames)


def test_what_cannot_be_pickled_raises() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        encode(lambda: None)


def test_bytes_on_the_wire() -> None:
    frames = encode(np.zeros(6_000_000, np.uint8))
    plain, encrypted = wire_bytes(frames, encrypted=False), wire_bytes(frames)
    assert plain == pytest.approx(6_000_000 * 1514 / 1448, rel=1e-4)
    # Two frames, each one command name, nonce, MAC and flags longer (RFC 26): at least one byte each.
    assert 0 < encrypted - plain < 100
    small = wire_bytes(encode(b"x" * 100), encrypted=False)
    header, kind, zmtp = codec.FLOW_HEADER_BYTES, 1, 2
    segment, acknowledgement = 66, 33  # the headers of one, and half of the next
    assert small == 100 + header + kind + zmtp + segment + acknowledgement
