"""The server's part of a round of fog training: each interval is announced when its time has come.

A round begins for everybody when all who are there have its weights. A device that is late with an interval does the next
one when it gets to it; the server waits for nobody within a round.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgeray.errors import StageError
from edgeray.training.fog.mover import Mover
from edgeray.training.fog.settings import Fog
from edgeray.training.lines import HELLO
from edgeray.training.messages import IntervalDone
from edgeray.training.records import RoundRecord
from edgeray.training.server import Server
from policies.linear import SolverError

log = logging.getLogger(__name__)

TICK_S = 0.2  # how soon a wait sees that a device is gone


class Intervals:
    """Runs round after round on a server. wait: for a change of the condition, for so many seconds at most."""

    def __init__(
        self,
        server: Server,
        mover: Mover,
        fog: Fog,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self._server = server
        self._mover = mover
        self._fog = fog
        self._clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._ready: set[str] = set()
        self._over = False

    def overhear(self, client: str, kind: str, value: Any) -> bool:
        """For Server: a client has its weights, or has done an interval."""
        if kind == HELLO:
            with self._changed:
                self._ready.add(client)
                self._changed.notify_all()
            return True
        if kind != "interval-done" or not isinstance(value, IntervalDone):
            return False
        try:
            with self._changed:
                self._mover.heard(client, value)
        except ValueError as error:
            log.warning("%s", error)
            return False
        return True

    def run(self) -> RoundRecord:
        """One round. Raises FlowError when nobody finished it."""
        expected = set(self._server.clients)
        numbers = self._fog.intervals_of(self._server.rounds_done + 1)
        with self._changed:
            self._ready, self._over = set(), False
            self._plan(expected)
        ticking = threading.Thread(target=self._tick, args=(numbers, expected), name="intervals", daemon=True)
        ticking.start()
        try:
            record = self._server.run_round()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            ticking.join()
        return replace(record, movement=self._mover.movement())

    def _plan(self, present: set[str]) -> None:
        try:
            self._mover.begin(present)
        except (ValueError, SolverError) as error:
            raise StageError(f"the policy finds no plan: {error}\n  remedy:   name another policy") from error

    def _all_ready(self, expected: set[str]) -> bool:
        """Once somebody is, those who are expected are members, or gone."""
        return bool(self._ready) and not any(self._server.is_here(one) for one in expected - self._ready)

    def _tick(self, numbers: range, expected: set[str]) -> None:
        """Thread: announce the round's intervals."""
        with self._changed:
            while not self._over and not self._all_ready(expected):
                self._wait(self._changed, TICK_S)
            began_s = self._clock()
            for place, number in enumerate(numbers):
                while (
                    not self._over and (left_s := began_s + place * self._fog.interval_s - self._clock()) > 0
                ):
                    self._wait(self._changed, left_s)
                if self._over:
                    return
                here = {one for one in self._ready if self._server.is_here(one)}
                for client, interval in self._mover.interval(number, here).items():
                    self._server.say(client, "interval", interval)
