"""The data plane: bounded, ordered, authenticated flows between stages, apart from Ray's object store.

codec.py     values to frames and back (pickle protocol 5, large buffers out of band)
security.py  keys, and the gate that lets only the named peer in
flow.py      FlowSender and FlowReceiver: one DAG edge between two devices, one TCP port
wake.py      gets a thread that waits for a flow to look up
peer.py      what happens to the connection under a flow, from libzmq's socket monitor
"""

from edgeray.dataplane.codec import decode, encode, wire_bytes
from edgeray.dataplane.flow import Answer, EndOfStream, FlowReceiver, FlowSender, Item
from edgeray.dataplane.security import FlowSecurity, new_flow_security

__all__ = [
    "Answer",
    "EndOfStream",
    "FlowReceiver",
    "FlowSecurity",
    "FlowSender",
    "Item",
    "decode",
    "encode",
    "new_flow_security",
    "wire_bytes",
]
