"""What two ends of a flow say to each other, and the socket they say it through.

A message is a header, then for an item the codec's frames, the first one joined to the header.
    sender:   HELLO  version, window of items, window of bytes
              ITEM   number, created_s, sent_s
              ITEMS  number of the first, then for each item its entry and its only frame
              END    count of items
    receiver: TAKEN  items and bytes that receive() returned so far; told every quarter window
              ENDED  the end was received, with the right count
              DONE   number, seconds of work, seconds ago: an item has been worked on (flows with answers)
              BROKEN text: why the receiver gave up
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import zmq

from edgeray.dataplane.codec import FLOW_HEADER_BYTES
from edgeray.dataplane.peer import set_peer_timeout
from edgeray.dataplane.security import gatekeeper

# magic, message, number of further frames, item number or count, created_s or bytes, sent_s
HEADER = struct.Struct("<BBHqdd")
assert HEADER.size == FLOW_HEADER_BYTES
MAGIC = 0xED
VERSION = 1
HELLO, ITEM, ITEMS, END, TAKEN, ENDED, BROKEN, DONE = range(1, 9)

ENTRY = struct.Struct("<Idd")  # bytes of the frame, created_s, sent_s
BYTES_ENTRY = struct.Struct("<Iddc")  # the same and the first byte of the frame, for small bytes

TICK_S = 0.05  # how soon a blocked call sees stop, close() and the loss of its peer
_HANDSHAKE_S = 10.0

if zmq.zmq_version_info() < (4, 3) or not zmq.has("curve"):  # pragma: no cover
    raise ImportError(f"EdgeRay needs libzmq 4.3 with CURVE, found {zmq.zmq_version()}")


class Item(NamedTuple):
    """One item as received. Times are time.time() of the devices that set them.

    A NamedTuple because one is made for every item, in a third of a frozen dataclass's time.
    """

    number: int
    value: Any
    created_s: float
    sent_s: float
    payload_bytes: int


class Answer(NamedTuple):
    """An item has been worked on, for busy_s, and that was held_s before it was told."""

    number: int
    busy_s: float
    held_s: float


class EndOfStream(NamedTuple):
    """The clean end, after this many items."""

    items: int


def message(kind: int, *, number: int = 0, first: float = 0.0, second: float = 0.0) -> bytes:
    """A message without frames."""
    return HEADER.pack(MAGIC, kind, 0, number, first, second)


def flow_socket(peer_timeout_s: float) -> zmq.Socket[bytes]:
    """An unconnected socket of a flow, in the process's own context.

    Unbounded, as the window bounds it; PAIR, as room is granted on the way back and one peer is all.
    It never blocks in send: without a peer it raises zmq.Again.
    """
    socket = gatekeeper().context.socket(zmq.PAIR)
    socket.linger = 0
    socket.set_hwm(0)
    socket.sndtimeo = 0
    socket.setsockopt(zmq.HANDSHAKE_IVL, int(_HANDSHAKE_S * 1000))
    set_peer_timeout(socket, peer_timeout_s)
    return socket
