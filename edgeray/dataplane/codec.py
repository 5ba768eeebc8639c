"""Values to frames and back: pickle protocol 5 (PEP 574), large buffers out of band.

Frame 0 is one kind byte and the small part of the value; every further frame is one large buffer, the
value's own memory and not a copy of it. numpy arrays get there by PEP 574. Plain bytes and bytearrays do
not (pickle copies them), so the pickler below takes the large ones out by their persistent id; they come
back as what they were. Buffers under OUT_OF_BAND_BYTES stay in frame 0: a copy is cheaper than a frame.

Arrays come back writable if they were writable and read-only if they were read-only. They lie on the
received message's memory, which nobody else holds.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Sequence
from typing import Any

from edgeray.errors import FlowError

Frame = bytes | bytearray | memoryview

OUT_OF_BAND_BYTES = 32 * 1024

SMALL_BYTES = b"b"  # the value is bytes and follows
_SMALL_BYTES_CODE = SMALL_BYTES[0]
_LARGE_BYTES = b"B"  # the value is bytes and is frame 1
_LARGE_BYTEARRAY = b"A"
_PICKLE = b"p"  # pickle; its protocol 5 buffers are the further frames
_EXTRACTED = b"x"  # the same, and large bytes and bytearrays were taken out (counts lead)
_EXTRACTED_COUNT = struct.Struct("<H")

# What one TCP segment carries of a 1500-byte MTU with timestamps, and what it takes on the wire.
_SEGMENT_PAYLOAD_BYTES = 1448
_SEGMENT_HEADER_BYTES = 66  # Ethernet 14, IPv4 20, TCP with timestamps 32
FLOW_HEADER_BYTES = 28  # messages.py asserts that this is its header's size
_CURVE_MESSAGE_BYTES = 33  # "\x07MESSAGE", nonce, MAC, flags


class _Pickler(pickle.Pickler):
    """Protocol 5; large buffers, bytes and bytearrays are set aside instead of written.

    taken holds what persistent ids name: the n-th one, as n for bytes and ~n for a bytearray.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5, buffer_callback=self._set_aside)
        self.buffers: list[Frame] = []
        self.taken: list[bytes | bytearray] = []
        self._index: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        kind = type(obj)
        if (kind is bytes or kind is bytearray) and len(obj) >= OUT_OF_BAND_BYTES:
            # One object met twice travels once. taken keeps it alive, so its id stays its own.
            at = self._index.setdefault(id(obj), len(self.taken))
            if at == len(self.taken):
                self.taken.append(obj)
            return at if kind is bytes else ~at
        return None

    def _set_aside(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_BYTES:
            return True  # in band
        self.buffers.append(raw)
        return False


class _Unpickler(pickle.Unpickler):
    """The other half of _Pickler's persistent ids."""

    def __init__(self, file: io.BytesIO, taken: Sequence[Any], buffers: Sequence[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._taken = taken
        self._made: dict[int, bytes | bytearray] = {}

    def persistent_load(self, pid: int) -> bytes | bytearray:
        if pid not in self._made:
            self._made[pid] = bytes(self._taken[pid]) if pid >= 0 else bytearray(self._taken[~pid])
        return self._made[pid]


def encode(value: Any) -> list[Frame]:
    """The frames of a value.

    The large ones are the value's own memory: do not write to it until the frames are sent. Raises
    whatever pickle raises for a value that cannot be pickled.
    """
    kind = type(value)
    if kind is bytes:
        if len(value) < OUT_OF_BAND_BYTES:
            return [SMALL_BYTES + value]
        return [_LARGE_BYTES, value]
    if kind is bytearray and len(value) >= OUT_OF_BAND_BYTES:
        return [_LARGE_BYTEARRAY, value]
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    if pickler.taken:
        head = _EXTRACTED + _EXTRACTED_COUNT.pack(len(pickler.taken)) + file.getvalue()
        return [head, *pickler.taken, *pickler.buffers]
    return [_PICKLE + file.getvalue(), *pickler.buffers]


def decode(frames: Sequence[Frame], offset: int = 0) -> Any:
    """The value of encode's frames; frame 0 begins at offset. Unpickles: only for frames of an
    authenticated peer. Raises FlowError for anything that encode did not make.
    """
    head = frames[0]
    body = offset + 1
    kind = head[offset:body]
    if kind == SMALL_BYTES:
        return bytes(head[body:])
    try:
        if kind == _PICKLE:
            return pickle.loads(memoryview(head)[body:], buffers=frames[1:])
        if kind == _LARGE_BYTES:
            return bytes(frames[1])
        if kind == _LARGE_BYTEARRAY:
            return bytearray(frames[1])
        if kind == _EXTRACTED:
            (count,) = _EXTRACTED_COUNT.unpack_from(head, body)
            file = io.BytesIO(memoryview(head)[body + _EXTRACTED_COUNT.size :])
            return _Unpickler(file, frames[1 : 1 + count], frames[1 + count :]).load()
    except Exception as error:  # unpickling runs the classes' own code: it can raise anything
        raise FlowError(f"an item cannot be decoded: {type(error).__name__}: {error}") from error
    raise FlowError(f"an item of unknown kind {bytes(kind)!r}: not written by this version of EdgeRay")


def decode_only(message: bytes, start: int, end: int) -> Any:
    """decode for a frame without further ones that lies between start and end of a message."""
    if message[start] == _SMALL_BYTES_CODE:
        return message[start + 1 : end]
    return decode((message[start:end],))


def wire_bytes(frames: Sequence[Frame], *, encrypted: bool = True) -> int:
    """Bytes that one item of these frames takes on the wire: ZMTP, CURVE, and TCP/IP over Ethernet.

    Exact for ZMTP 3.1 framing. An item that comes alone has its own last segment, and every other item is
    answered with a credit, whose acknowledgement goes this way too; items in bursts take a little less.
    """
    total = FLOW_HEADER_BYTES
    for frame in frames:
        size = memoryview(frame).nbytes + (_CURVE_MESSAGE_BYTES if encrypted else 0)
        total += size + (2 if size < 256 else 9)
    segments = -(-total // _SEGMENT_PAYLOAD_BYTES)
    return total + segments * _SEGMENT_HEADER_BYTES + _SEGMENT_HEADER_BYTES // 2
