"""What happens to the connection under a flow, from libzmq's socket monitor."""

from __future__ import annotations

import errno
import os
import socket as sockets
from collections.abc import Iterator

import zmq
from zmq.utils.monitor import parse_monitor_message

_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_SO_MAX_PACING_RATE = 47
_UNPACED = 2**64 - 1


def set_peer_timeout(socket: zmq.Socket[bytes], timeout_s: float) -> None:
    """Let TCP give up a peer that answers nothing for timeout_s, whether data is under way or not.

    TCP_USER_TIMEOUT and keepalive rather than ZMTP heartbeats: those queue behind the data, so that on a
    thin link one large item would look like a dead peer, while TCP's acknowledgements flow all the time.
    """
    probe_s = max(1, round(timeout_s / 3))
    socket.setsockopt(zmq.TCP_MAXRT, max(1, round(timeout_s * 1000)))
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, probe_s)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, probe_s)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 2)


class _Watch:
    """A monitor socket, read without blocking by the thread that owns the watched socket."""

    def __init__(self, socket: zmq.Socket[bytes], events: int) -> None:
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(events)
        self._socket = socket

    def _events(self) -> Iterator[tuple[int, int]]:
        while self.monitor.poll(0):
            event = parse_monitor_message(self.monitor.recv_multipart())
            yield int(event["event"]), int(event["value"])

    def close(self) -> None:
        self._socket.disable_monitor()


class ConnectWatch(_Watch):
    """The sender's connection: established, lost, refused. Paces it when asked to.

    missed: an attempt to connect came to nothing; libzmq makes the next one where it may.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        super().__init__(
            socket,
            zmq.EVENT_CONNECTED
            | zmq.EVENT_DISCONNECTED
            | zmq.EVENT_CLOSED
            | zmq.EVENT_HANDSHAKE_SUCCEEDED
            | _FAILED,
        )
        self.established = False
        self.missed = False
        self.lost = False
        self.refused = False
        self.last_failure = "nothing listens there"
        self.paced_bps: float | None = None
        self._wanted_bps: float | None = None
        self._descriptor: int | None = None

    def update(self) -> None:
        for event, value in self._events():
            if event == zmq.EVENT_CONNECTED:
                self._descriptor = value
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.established = True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.refused = True
            elif event & _FAILED:
                self.last_failure = "the handshake failed: a wrong key, or not an EdgeRay flow"
            elif event in (zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED):
                self._descriptor = None
                self.lost = self.lost or self.established
                self.missed = True
        self._pace()

    def pace(self, rate_bps: float | None) -> None:
        """Let the kernel pace this flow's TCP socket (SO_MAX_PACING_RATE) from the next update on; None lifts it."""
        self._wanted_bps = rate_bps

    def _pace(self) -> None:
        if self._descriptor is None or self._wanted_bps == self.paced_bps:
            return
        rate = _UNPACED if self._wanted_bps is None else max(1, int(self._wanted_bps / 8))
        # libzmq owns the descriptor; a duplicate shares the socket and is ours to close.
        try:
            with sockets.socket(fileno=os.dup(self._descriptor)) as tcp:
                tcp.setsockopt(sockets.SOL_SOCKET, _SO_MAX_PACING_RATE, rate.to_bytes(8, "little"))
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOTSOCK):
                raise
            return  # libzmq has just closed it: the next event says so
        self.paced_bps = self._wanted_bps


class AcceptWatch(_Watch):
    """The receiver's connections. Strangers come and go; only the loss of the peer that was let in counts.

    libzmq does not say whose handshake succeeded: all that are connected at that moment are candidates,
    and the peer is lost when the last of them went. Strangers that never shake hands are cut off by
    ZMQ_HANDSHAKE_IVL, so they can delay the news of a loss but not hide it.

    secured: only the peer can shake hands. So when it does again it began anew, and its first connection is
    lost, whether the kernels know it yet or still carry what a killed process had sent.
    """

    def __init__(self, socket: zmq.Socket[bytes], *, secured: bool) -> None:
        super().__init__(socket, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.established = False
        self.replaced = False
        self._secured = secured
        self._open: set[int] = set()
        self._candidates: set[int] = set()

    @property
    def lost(self) -> bool:
        return self.replaced or (self.established and not self._candidates)

    def update(self) -> None:
        for event, value in self._events():
            if event == zmq.EVENT_ACCEPTED:
                self._open.add(value)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and not self.established:
                self.established = True
                self._candidates = set(self._open)
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.replaced = self._secured
            elif event == zmq.EVENT_DISCONNECTED:
                self._open.discard(value)
                self._candidates.discard(value)
