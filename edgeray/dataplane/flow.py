"""One DAG edge between two devices: a bounded, ordered, authenticated stream of items over one TCP port.

A ZeroMQ PAIR over TCP and CURVE. Items go one way; the receiver grants room by telling how much it took
(credit), because ZeroMQ's high-water marks count neither bytes nor what lies in the kernel's buffers. So
no more than max_items items, and no more than max_bytes plus one item, are ever between send() and
receive(), all buffers of both machines included. And the receiver's socket is always read, so that a slow
consumer does not look like a dead peer to TCP.

With answers=True at both ends the receiver also tells of each item when it has been worked on.

Items carry the numbers 0, 1, 2, ...; anything else is an error, on both sides.
"""

from __future__ import annotations

from edgeray.dataplane.messages import Answer, EndOfStream, Item
from edgeray.dataplane.receiver import FlowReceiver
from edgeray.dataplane.sender import FlowSender

__all__ = ["Answer", "EndOfStream", "FlowReceiver", "FlowSender", "Item"]
