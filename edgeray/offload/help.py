"""A helper's task: does what it is sent, one item after the other, and tells how it is."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from edgeray.errors import StageError, one_line
from edgeray.node.code import OUTPUT_DIR, LoadedTask, TaskCode, load_task
from edgeray.node.measure import SinkWindow, TaskCounters
from edgeray.offload.messages import Item, Result, Telemetry, size_bytes
from edgeray.offload.recipe import Recipe
from edgeray.offload.speed import Speed
from edgeray.streams.peers import Connection, Remote
from policies.model import DeviceId, TaskId

log = logging.getLogger(__name__)

DEVICE = "${DEVICE}"
"""Stands for the device's name where the work's arguments say it."""
RESULTS = "results"
"""Of a job's folder on a device: what lies there can be fetched."""
_ERROR_CHARACTERS = 300


class Context(Protocol):
    """What a task needs of its stage (edgeray.node.online.OnlineContext)."""

    task: TaskId
    output_dir: Path
    stop: threading.Event

    def connect(self, peer: TaskId) -> Connection: ...
    def spawn(self, name: str, body: Callable[[], None]) -> None: ...
    def attach(self, agent: Any) -> None: ...


class Help:
    """recipe: of `Recipe.of`. What the work needs is loaded when this is made, before the device's CPU limit holds;
    in the call where its arguments name the output folder."""

    def __init__(self, recipe: Mapping[str, Any], device: DeviceId) -> None:
        self._recipe = Recipe.of(recipe)
        code = self._recipe.work
        args = {name: device if value == DEVICE else value for name, value in code.args.items()}
        self._code = TaskCode(run=code.run, args=args)
        self._work: LoadedTask | None = None
        if not any(isinstance(value, str) and OUTPUT_DIR in value for value in args.values()):
            self._work = load_task(TaskId("work"), self._code, Path())
        self._counters = TaskCounters()
        self._speed = Speed()
        self._changed = threading.Condition()
        self._waiting: deque[Item] = deque()
        self._doing = False
        self._turn = self._seen = 0
        self._failed = 0

    def __call__(self, context: Context) -> None:
        """Run until the stage is stopped."""
        self._task, self._stop = context.task, context.stop
        work = self._work or load_task(TaskId("work"), self._code, context.output_dir / RESULTS)
        self._server = Remote(
            DeviceId(self._recipe.server),
            lambda: context.connect(self._recipe.server),
            self._take,
            lambda _: self._tell_how(),
            context.spawn,
            context.stop,
        )
        context.attach(self)
        self._server.open()
        context.spawn("work", lambda: self._do_all(work))
        try:
            while not context.stop.wait(self._recipe.telemetry_every_s):
                self._tell_how()
        finally:
            self._server.wake()
            with self._changed:
                self._changed.notify_all()

    # What others want to know

    def rows(self) -> dict[TaskId, tuple[TaskCounters, int]]:
        """Items are those that were done; dropped, those that were given up before."""
        return {self._task: (self._counters, len(self._waiting))}

    def windows(self, from_s: float, to_s: float) -> dict[TaskId, SinkWindow]:
        """Results are the dispatcher's to count."""
        return {}

    def told(self) -> None:
        return None

    # Threads

    def _take(self, _: DeviceId, message: Any) -> None:
        if not isinstance(message, Item):
            raise StageError(f"the dispatcher sent {type(message).__name__}, which helpers do not take")
        with self._changed:
            if message.turn != self._turn:  # the line has broken since: what waits was given up
                self._counters.dropped += len(self._waiting)
                self._waiting.clear()
                self._turn = message.turn
            self._seen = message.number
            self._waiting.append(message)
            self._changed.notify_all()

    def _do_all(self, work: LoadedTask) -> None:
        try:
            while (item := self._next()) is not None:
                self._server.tell(self._done(item, work))
        finally:
            work.close()

    def _next(self) -> Item | None:
        with self._changed:
            self._doing = False
            while not self._waiting and not self._stop.is_set():
                self._changed.wait()
            if self._stop.is_set():
                return None
            self._doing = True
            return self._waiting.popleft()

    def _done(self, item: Item, work: LoadedTask) -> Result:
        value, error = None, None
        began = time.perf_counter()
        try:
            value = work.call(item.value)
            seconds = time.perf_counter() - began
            size_bytes(value)  # what cannot be pickled would break the line to the dispatcher
            self._speed.add(seconds, item.complexity)
        except (
            Exception
        ) as raised:  # whatever a user's code raises: the item has failed, and the next one comes
            seconds = time.perf_counter() - began
            error, value = one_line(raised)[:_ERROR_CHARACTERS], None
            self._failed += 1
            if self._failed == 1:
                log.warning("work on item %d: %s", item.number, error, exc_info=raised)
        self._counters.items += 1
        self._counters.busy_s += seconds
        self._counters.recent.append(seconds)
        with self._changed:
            self._doing = False
            how = self._how()
        return Result(number=item.number, turn=item.turn, value=value, error=error, telemetry=how)

    def _tell_how(self) -> None:
        with self._changed:
            how = self._how()
        self._server.tell(how)

    def _how(self) -> Telemetry:
        return Telemetry(
            turn=self._turn,
            seen=self._seen,
            queue=len(self._waiting) + self._doing,
            rate_per_s=self._speed.per_s,
        )
