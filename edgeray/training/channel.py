"""What a worker and the server talk through, and a pair of ends within one process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

from torch import Tensor

from edgeray.errors import FlowError


class Channel(Protocol):
    """One end of a two-way line between a client and the server. Messages arrive whole and in order.

    One thread may send while another receives. What was sent is not written to afterwards by either end.
    """

    def send(self, kind: str, value: Any) -> None:
        """Raises FlowError when the peer is gone or this end is closed."""
        ...

    def receive(self, timeout_s: float | None) -> tuple[str, Any]:
        """The next message. Raises FlowError when nothing comes in time (None: wait for ever), when the peer is
        gone and all that it sent has been received, and when this end is closed, also while it waits."""
        ...

    def close(self) -> None:
        """Close this end; the peer still receives what was sent. Again: no effect."""
        ...


class _Closed:
    """The last thing in a queue."""


class LocalChannel:
    """One end within a process. Values are handed over, not copied."""

    def __init__(self, incoming: queue.Queue[Any], outgoing: queue.Queue[Any]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = threading.Event()
        self.peer: LocalChannel | None = None

    def send(self, kind: str, value: Any) -> None:
        if self._closed.is_set():
            raise FlowError("the channel is closed")
        if self.peer is None or self.peer._closed.is_set():
            raise FlowError("the peer closed the channel")
        self._outgoing.put((kind, value))

    def receive(self, timeout_s: float | None) -> tuple[str, Any]:
        try:
            message = self._incoming.get(timeout=timeout_s)
        except queue.Empty:
            raise FlowError(f"nothing came within {timeout_s} s") from None
        if self._closed.is_set() or message is _Closed:
            self._incoming.put(_Closed)  # whoever asks again is told again
            raise FlowError("the channel is closed")
        kind, value = message
        return kind, value

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._incoming.put(_Closed)
            self._outgoing.put(_Closed)


def local_pair() -> tuple[LocalChannel, LocalChannel]:
    """Two ends that are each other's peer, for tests and for training within one process."""
    up: queue.Queue[Any] = queue.Queue()
    down: queue.Queue[Any] = queue.Queue()
    client, server = LocalChannel(down, up), LocalChannel(up, down)
    client.peer, server.peer = server, client
    return client, server


class Metered:
    """A channel that counts the payload: bytes of the tensors that were sent and received through this end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.sent_bytes = 0
        self.received_bytes = 0

    def send(self, kind: str, value: Any) -> None:
        self._channel.send(kind, value)
        self.sent_bytes += payload_bytes(value)

    def receive(self, timeout_s: float | None) -> tuple[str, Any]:
        kind, value = self._channel.receive(timeout_s)
        self.received_bytes += payload_bytes(value)
        return kind, value

    def close(self) -> None:
        self._channel.close()


def payload_bytes(value: Any) -> int:
    """Bytes of all tensors in a value: in itself, in mappings, tuples, lists and dataclasses, however deep."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(payload_bytes(one) for one in value.values())
    if isinstance(value, tuple | list):
        return sum(payload_bytes(one) for one in value)
    if is_dataclass(value):
        return sum(payload_bytes(getattr(value, field.name)) for field in fields(value))
    return 0
