"""Keys of a flow, and the gate that lets only the named peer in (CURVE and ZAP, ZeroMQ RFC 26 and 27)."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from dataclasses import dataclass, field, replace

import zmq
from zmq.utils import z85

_log = logging.getLogger(__name__)

_MAX_SOCKETS = 16_384  # libzmq's own limit is 1023, and each end of a flow takes three, with its monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSecurity:
    """The CURVE keys of one flow, Z85 text. The receiver is the server, the sender the client.

    Each side needs only its own secret: for_sender() and for_receiver() leave the other's out.
    """

    server_public: str
    client_public: str
    server_secret: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)

    def for_sender(self) -> FlowSecurity:
        return replace(self, server_secret=None)

    def for_receiver(self) -> FlowSecurity:
        return replace(self, client_secret=None)


def new_flow_security() -> FlowSecurity:
    """Fresh keys for one flow."""
    server_public, server_secret = zmq.curve_keypair()
    client_public, client_secret = zmq.curve_keypair()
    return FlowSecurity(
        server_public=server_public.decode(),
        server_secret=server_secret.decode(),
        client_public=client_public.decode(),
        client_secret=client_secret.decode(),
    )


class Gate:
    """Who may connect to one receiver, and how many were turned away. Lives in the process's Gatekeeper."""

    def __init__(self, domain: str, client_key: bytes) -> None:
        self.domain = domain
        self.client_key = client_key
        self.refused = 0


class Gatekeeper:
    """One process's ZeroMQ context and its ZAP handler: a thread that answers who may connect to what.

    All flows of a process share the context (one I/O thread). Handshakes do not wait for the thread that
    reads a flow, so a stage that still loads its model already has its peers connected.
    """

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
        self._gates: dict[str, Gate] = {}
        self._numbers = itertools.count()
        socket = self.context.socket(zmq.REP)
        socket.linger = 0
        socket.bind("inproc://zeromq.zap.01")
        threading.Thread(target=self._serve, args=(socket,), name="edgeray-zap", daemon=True).start()

    def open_gate(self, client_public: str) -> Gate:
        gate = Gate(f"flow{next(self._numbers)}", z85.decode(client_public))
        self._gates[gate.domain] = gate
        return gate

    def close_gate(self, gate: Gate) -> None:
        self._gates.pop(gate.domain, None)

    def _serve(self, socket: zmq.Socket[bytes]) -> None:
        while True:
            request = socket.recv_multipart()
            admitted = self._admits(request)
            status, text = (b"200", b"OK") if admitted else (b"400", b"not the named peer of this flow")
            socket.send_multipart([b"1.0", request[1], status, text, b"", b""])

    def _admits(self, request: list[bytes]) -> bool:
        if len(request) < 7:
            return False
        _, _, domain, address, _, mechanism, key = request[:7]
        gate = self._gates.get(domain.decode("ascii", "replace"))
        if gate is None:
            return False
        if mechanism == b"CURVE" and key == gate.client_key:
            return True
        gate.refused += 1
        _log.warning("refused a connection from %s: not the named peer of this flow", address.decode())
        return False


_keeper: tuple[int, Gatekeeper] | None = None
_keeper_lock = threading.Lock()


def gatekeeper() -> Gatekeeper:
    """This process's one. A forked child gets its own: sockets and threads do not survive a fork."""
    global _keeper
    with _keeper_lock:
        if _keeper is None or _keeper[0] != os.getpid():
            _keeper = (os.getpid(), Gatekeeper())
        return _keeper[1]
