"""The task that has the items: sends each to a helper at once, and learns at its deadline how that went.

    source ─► Desk (policy) ══► Help ══► Desk ─► sink
                 one bit an item ─► learner

Double arrows cross devices. The source's thread makes the decisions and waits for nobody: lines, helpers, the learner
and the sink have threads of their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgeray.errors import EdgeRayError, StageError
from edgeray.learner.messages import Feedback
from edgeray.node.code import LoadedTask, TaskCode, iterate, load_task
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.node.pace import Pace
from edgeray.offload.desk import Desk
from edgeray.offload.help import RESULTS, Context
from edgeray.offload.messages import Item, Result, Telemetry, size_bytes
from edgeray.offload.recipe import Recipe
from edgeray.offload.sink import Sink
from edgeray.streams.peers import Remote
from policies.bandit.offers import FEATURES
from policies.model import DeviceId, TaskId

log = logging.getLogger(__name__)

TICK_S = 0.2
"""How soon a line that broke is seen while no item comes."""
START_TIMEOUT_S = 10.0
"""At the start, helpers are waited for no longer."""
LATE_TIMEOUT_S = 30.0
"""At the end, results that are delivered although they are late are waited for no longer."""
RECENT = 1000


class LearnerLink(Protocol):
    """What a dispatcher needs of `edgeray.learner.link.Link`."""

    def restore(self, about: Mapping[str, Any]) -> Mapping[str, Any] | None: ...
    def tell(self, feedback: Feedback) -> None: ...
    def backed_by(self, state: Callable[[], Mapping[str, Any]]) -> None: ...


class ServerContext(Context, Protocol):
    """What a dispatcher needs of its stage, beyond what a helper does."""

    learner: LearnerLink


class Dispatch:
    """recipe: of `Recipe.of`. policy: a name of `policies.bandit.registry.DISPATCHERS`. Its rule of bits is Desk's."""

    def __init__(self, recipe: Mapping[str, Any], device: DeviceId, policy: str) -> None:
        self._recipe, self._policy = Recipe.of(recipe), policy
        self._desk = Desk(self._recipe, policy, tell=self._learned)
        self._changed = threading.Condition(threading.RLock())  # of the desk, and what is below
        self._counters = TaskCounters()
        self._results = SinkLog()
        self._decision_s: deque[float] = deque(maxlen=RECENT)
        self._turn = time.time_ns() // 1_000_000  # above all that an earlier process of this job has had
        self._peers: dict[DeviceId, Remote] = {}
        self._sink: Sink | None = None
        self._delivered = 0
        self._over = False

    def __call__(self, context: ServerContext) -> None:
        """Run until the source has ended and all items are answered, or the stage is stopped."""
        self._task, self._stop, self._learner = context.task, context.stop, context.learner
        folder = context.output_dir / RESULTS
        source = load_task(TaskId("source"), self._recipe.source, folder)
        complexity = _loaded("complexity", self._recipe.complexity, folder)
        sink = _loaded("sink", self._recipe.sink, folder)
        self._restore()
        context.attach(self)
        self._meet(context)
        if sink is not None:
            self._sink = Sink(sink, context.stop)
            context.spawn("sink", self._sink.run)
        context.spawn("deadlines", self._keep_deadlines)
        context.spawn("waker", self._wake)
        try:
            self._await_helpers()
            self._dispatch_all(source, complexity)
            self._await_results()
            if self._sink is not None:
                self._sink.finish()
        finally:
            with self._changed:
                self._over = True  # lines that break now do so since the job ends
            source.close()
            if complexity is not None:
                complexity.close()

    # What others want to know

    def rows(self) -> dict[TaskId, tuple[TaskCounters, int]]:
        """Items that came, seconds of deciding, and how old results were. Those that were refused are dropped."""
        with self._changed:
            return {self._task: (self._counters, self._desk.under_way)}

    def windows(self, from_s: float, to_s: float) -> dict[TaskId, SinkWindow]:
        """Results that were delivered between two times, and how old they were."""
        return {self._task: self._results.window(from_s, to_s)}

    def told(self) -> dict[str, Any]:
        """Plain data (JSON), counted since the start."""
        with self._changed:
            told = self._desk.told(time.monotonic())
            decisions_s = tuple(self._decision_s)
        p50 = float(np.median(decisions_s)) * 1e6 if decisions_s else None
        return {
            "policy": self._policy,
            **told,
            "delivered": self._delivered,
            "decision_us_p50": p50,
        }

    # Threads

    def _await_helpers(self) -> None:
        """Until all are there, for a while: else the first items would be refused, or all go to the first who comes."""
        by_s = time.monotonic() + START_TIMEOUT_S
        with self._changed:
            while len(self._desk.roster.names) < len(self._peers) and not self._stop.is_set():
                left_s = by_s - time.monotonic()
                if left_s <= 0:
                    log.warning(
                        "begins without all helpers: %s are there",
                        ", ".join(self._desk.roster.names) or "none",
                    )
                    return
                self._changed.wait(min(left_s, TICK_S))

    def _dispatch_all(self, source: LoadedTask, complexity: LoadedTask | None) -> None:
        pace = Pace(self._recipe.source.items_per_s, None)
        for value in islice(_items(source), self._recipe.items):
            pace.wait(self._stop)
            if self._stop.is_set():
                return
            self._dispatch(value, _complexity(complexity, value))

    def _dispatch(self, value: Any, complexity: float) -> None:
        came, came_s = time.perf_counter(), time.monotonic()
        size = _size_bytes(value)
        with self._changed:
            self._see_lines()
            began = time.perf_counter()
            choice = self._desk.decide(size, complexity, came_s)
            decided = time.perf_counter()
            if choice.name is not None:
                item = Item(number=choice.number, turn=choice.turn, complexity=complexity, value=value)
                self._peers[choice.name].tell(item)
            else:
                self._counters.dropped += 1
            self._counters.items += 1
            self._counters.busy_s += decided - came
            self._decision_s.append(decided - began)
            self._changed.notify_all()

    def _keep_deadlines(self) -> None:
        """Thread: what is not back by its deadline is late; whose line broke is away."""
        with self._changed:
            while not self._stop.is_set():
                self._see_lines()
                self._desk.expire(time.monotonic())
                self._changed.notify_all()  # whoever waits for the last item
                due_s = self._desk.next_due_s
                left_s = TICK_S if due_s is None else min(TICK_S, due_s - time.monotonic())
                self._changed.wait(max(0.0, left_s))

    def _await_results(self) -> None:
        """Until all items have their bits and, where late results are delivered, until they have come."""
        by_s = time.monotonic() + LATE_TIMEOUT_S
        with self._changed:
            while not self._stop.is_set():
                late = self._recipe.late == "deliver" and self._desk.under_way and time.monotonic() < by_s
                if not late and self._desk.next_due_s is None:
                    return
                self._changed.wait(TICK_S)

    def _wake(self) -> None:
        """Once the stage ends, nobody goes on waiting."""
        self._stop.wait()
        with self._changed:
            self._changed.notify_all()
        for peer in self._peers.values():
            peer.wake()
        if self._sink is not None:
            self._sink.wake()

    # Lines

    def _meet(self, context: ServerContext) -> None:
        for name, helper in self._recipe.helpers.items():
            self._peers[name] = Remote(
                name,
                lambda task=helper.task: context.connect(task),  # type: ignore[misc]
                self._take,
                self._opened,
                context.spawn,
                context.stop,
            )
        for peer in self._peers.values():
            peer.open()

    def _opened(self, name: DeviceId) -> None:
        with self._changed:
            self._turn += 1
            self._desk.enter(name, self._turn)
            self._changed.notify_all()

    def _see_lines(self) -> None:
        """With the lock held: those whose line has broken are away."""
        if self._over:
            return
        for name in self._desk.roster.names:
            if not self._peers[name].standing:
                log.info("helper %s is away", name)
                self._desk.leave(name)

    def _take(self, name: DeviceId, message: Any) -> None:
        now_s = time.monotonic()
        match message:
            case Telemetry():
                with self._changed:
                    self._desk.hear(name, message, now_s)
            case Result():
                self._take_result(name, message, now_s)
            case _:
                raise StageError(f"{name} sent {type(message).__name__}, which helpers do not send")

    def _take_result(self, name: DeviceId, result: Result, now_s: float) -> None:
        with self._changed:
            took_s = self._desk.result(name, result, now_s)
            if took_s is not None:
                self._delivered += 1
                self._counters.recent.append(took_s)
                self._results.add(time.time(), took_s)
                if self._sink is not None:
                    self._sink.add(result.value)
            self._changed.notify_all()

    # Learning

    def _restore(self) -> None:
        """What an earlier process of this job has learned, or nothing."""
        about = {
            "policy": self._policy,
            "helpers": [str(name) for name in self._desk.roster.all],
            "dimensions": FEATURES,
            "seed": self._recipe.seed,
        }
        state = self._learner.restore(about)
        if state is not None:
            try:
                self._desk.roster.restore(state)
            except ValueError as error:
                log.warning("the learner's state is none of this job's, which begins without: %s", error)
        self._learner.backed_by(self._state)

    def _state(self) -> Mapping[str, Any]:
        with self._changed:
            return self._desk.state()

    def _learned(self, feedback: Feedback) -> None:
        self._learner.tell(feedback)


def _loaded(name: str, code: TaskCode | None, output_dir: Path) -> LoadedTask | None:
    return None if code is None else load_task(TaskId(name), code, output_dir)


def _items(source: LoadedTask) -> Iterator[Any]:
    """Raises StageError for what the source's code raises, with its words."""
    try:
        yield from iterate(source)
    except EdgeRayError:
        raise
    except Exception as error:
        raise StageError(f"the source raised {type(error).__name__}: {error}") from error


def _complexity(code: LoadedTask | None, value: Any) -> float:
    """1 where all items are alike. Raises StageError for what is no amount of work."""
    if code is None:
        return 1.0
    try:
        complexity = float(code.call(value))
    except Exception as error:
        raise StageError(f"complexity raised {type(error).__name__}: {error}") from error
    if not 0 <= complexity < float("inf"):
        raise StageError(f"complexity of an item is {complexity}; expected: a number from 0")
    return complexity


def _size_bytes(value: Any) -> int:
    try:
        return size_bytes(value)
    except Exception as error:
        raise StageError(f"an item of the source cannot be sent: {type(error).__name__}: {error}") from error
