"""Which clients are there: the server's side of their lines, from the first opening to the end of the run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeray.errors import FlowError, StageError
from edgeray.node.loop import LoopContext
from edgeray.training.lines import HELLO, WELCOME, LineChannel
from policies.model import TaskId

log = logging.getLogger(__name__)

ABSENCE_S = 600.0
"""So long server and clients wait for each other when there is nobody at the other end."""
RETRY_S = 0.2
TICK_S = 0.2  # how soon a wait sees that the stage is stopped

Join = Callable[[str, LineChannel], None]


@dataclass(slots=True, eq=False)
class _Visit:
    """A client over one connection. here: it said hello."""

    channel: LineChannel
    here: bool = False


class Attendance:
    """Lets clients in, and in again when their line broke: a thread for each, from start() to close().

    A client that said hello is handed to join, with a channel that somebody else has to close.
    """

    def __init__(self, context: LoopContext, clients: Sequence[TaskId], join: Join) -> None:
        self._context = context
        self._join = join
        self._clients = tuple(clients)
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._visits: dict[TaskId, _Visit] = {}

    def start(self) -> None:
        for client in self._clients:
            name = f"let {client} in"
            threading.Thread(target=self._look_after, args=(client,), name=name, daemon=True).start()

    def wait(self, all_within_s: float) -> bool:
        """Until all clients are here, or so much time has passed and one is. False: the stage is stopped.

        Raises StageError when nobody is here within ABSENCE_S.
        """
        began_s = time.monotonic()
        with self._changed:
            while not self._context.stop.is_set():
                waited_s = time.monotonic() - began_s
                here = sum(visit.here and not visit.channel.gone.is_set() for visit in self._visits.values())
                if here and (here == len(self._clients) or waited_s >= all_within_s):
                    return True
                if not here and waited_s >= ABSENCE_S:
                    raise StageError(
                        f"no client has been there for {ABSENCE_S:g} s: {', '.join(self._clients)}\n"
                        "  remedy:   see what they logged: edgeray logs"
                    )
                self._changed.wait(TICK_S)
        return False

    def close(self) -> None:
        """Let nobody in any more. Who is here stays."""
        with self._changed:
            self._over.set()
            waiting = [visit.channel for visit in self._visits.values() if not visit.here]
        for channel in waiting:
            channel.close()

    def _look_after(self, client: TaskId) -> None:
        while not (self._over.is_set() or self._context.stop.is_set()):
            try:
                visit = _Visit(LineChannel(self._context.connect(client)))
                with self._changed:
                    self._visits[client] = visit
                self._receive(client, visit)
            except FlowError as error:
                log.info("%s: %s", client, error)
            self._over.wait(RETRY_S)

    def _receive(self, client: TaskId, visit: _Visit) -> None:
        """From the opening of a connection until it is gone. Raises FlowError when it is gone before it is joined."""
        channel = visit.channel
        try:
            if not self._over.is_set():
                channel.send(WELCOME, None)
                kind, _ = channel.receive(None)
                if kind != HELLO:
                    raise FlowError(f"it said {kind!r}, expected {HELLO!r}")
        except FlowError:
            channel.close()
            raise
        with self._changed:
            if self._over.is_set():
                channel.close()
                return
            self._join(client, channel)
            visit.here = True
            self._changed.notify_all()
        log.info("%s is here", client)
        channel.gone.wait()
        log.info("%s is gone", client)
