"""A job's stage on one virtual device: one thing at a time, what is nearest to the sinks first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgeray.node.turn import next_turn
from edgeray.scheduler.lanes import LATE_S
from edgeray.simulator.clock import WORLD, Clock
from edgeray.simulator.fluid import Pipe
from edgeray.simulator.processor import Processor
from edgeray.simulator.queues import SinkLog, SourceRun, TaskRun
from policies.model import FlowId, TaskId


class StageRun:
    """A stream's stage. tasks: those with inputs, the ones nearest to the sinks first.

    Live, sources and flows have threads of their own, which share the device's time with the tasks; here all of them
    compute one after the other, sources last, so that the device's time per item is the same sum.
    ended: told when a sink has let out as many items as the sources give.
    """

    __slots__ = (
        "_current", "_waking", "busy", "clock", "ended", "gone", "items", "processor", "sources", "tasks",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, processor: Processor, items: int | None, ended: Callable[[], None]
    ) -> None:
        self.clock = clock
        self.processor = processor
        self.items = items
        self.ended = ended
        self.tasks: list[TaskRun] = []
        self.sources: list[SourceRun] = []
        self.busy = self.gone = self._waking = False
        self._current: tuple[TaskRun, float]

    def start(self) -> None:
        for source in self.sources:
            source.items_left = self.items
            source.next()
        self.wake()

    def stop(self) -> None:
        self.gone = True
        if self.busy:
            self.processor.drop(self)

    def pace(self, granted_per_s: float | None) -> None:
        for source in self.sources:
            source.granted_per_s = math.inf if granted_per_s is None else granted_per_s

    def left(self, sink: SinkLog) -> None:
        if sink.items == self.items:
            self.ended()

    def wake(self) -> None:
        """Look, once whoever woke us is done."""
        if not self._waking:
            self._waking = True
            self.clock.soon.append(self)

    def look(self) -> None:
        self._waking = False
        if self.gone:
            return
        for source in self.sources:
            while source.holding and not source.lacks and source.work_s <= 0:
                source.holding = False
                source.deliver(source.created_s)
                source.next()
        while not self.busy and self._begin():
            pass

    def computed(self) -> None:
        """What the device did for us is done."""
        self.busy = False
        task, created_s = self._current
        if isinstance(task, SourceRun):
            self._computed_for(task)
        else:
            task.deliver(created_s)
        if self.sources:
            self.look()
        else:
            while not self.busy and self._begin():
                pass

    def _computed_for(self, source: SourceRun) -> None:
        if source.making:
            source.made()
        else:
            source.deliver(source.created_s)
            source.next()

    def _begin(self) -> bool:
        """Begin with what is next; False when there is nothing."""
        for task in self.tasks:
            if not task.lacks:
                created_s = task.take()
                if task.work_s > 0:
                    self._compute(task, task.work_s, created_s)
                else:
                    task.deliver(created_s)
                return True
        for source in self.sources:
            if source.making:
                self._compute(source, source.make_s, 0.0)
                return True
            if source.holding and not source.lacks:
                source.holding = False
                if source.work_s > 0:
                    self._compute(source, source.work_s, 0.0)
                else:
                    source.deliver(source.created_s)
                    source.next()
                return True
        return False

    def _compute(self, task: TaskRun, work_s: float, created_s: float) -> None:
        self.busy = True
        self._current = (task, created_s)
        self.processor.start(work_s, self)


class OnceRun:
    """A one-shot job's stage: each task once, in the order of the timetable as far as that goes.

    finished: told of each task that has run.
    """

    __slots__ = (
        "_current",
        "_due_s",
        "_finished",
        "_left",
        "_waking",
        "began_s",
        "clock",
        "gone",
        "processor",
    )

    def __init__(
        self,
        clock: Clock,
        processor: Processor,
        tasks: list[OnceTask],
        due_s: dict[TaskId, float],
        finished: Callable[[OnceTask], None],
    ) -> None:
        self.clock = clock
        self.processor = processor
        self.gone = self._waking = False
        self.began_s = 0.0
        self._left = sorted(tasks, key=lambda task: due_s[task.id])
        self._due_s = {task: due_s[task.id] + LATE_S for task in tasks}
        self._finished = finished
        self._current: OnceTask | None = None

    def start(self) -> None:
        self.began_s = self.clock.now_s
        self.wake()

    def stop(self) -> None:
        self.gone = True
        if self._current is not None:
            self.processor.drop(self)

    def pace(self, granted_per_s: float | None) -> None:
        """Nothing here repeats, so nothing is paced."""

    def wake(self, _: Any = None) -> None:
        if not self._waking:
            self._waking = True
            self.clock.soon.append(self)

    def look(self) -> None:
        self._waking = False
        if self.gone or self._current is not None or not self._left:
            return
        elapsed_s = self.clock.now_s - self.began_s
        task = next_turn(self._left, self._due_s, OnceTask.ready, elapsed_s)
        if task is not None:
            self._left.remove(task)
            self._current = task
            self.processor.start(task.work_s, self)
        elif (until_s := self._due_s[self._left[0]] - elapsed_s) > 0:
            self.clock.at(self.clock.now_s + until_s, WORLD, self.wake)

    def computed(self) -> None:
        task, self._current = self._current, None
        assert task is not None
        self._finished(task)
        self.wake()


class OnceTask:
    """missing: inputs that have not come. local: consumers on the same device; crossing: flows to others."""

    __slots__ = ("crossing", "id", "local", "missing", "stage", "work_s")

    def __init__(self, task: TaskId, work_s: float, missing: int) -> None:
        self.id = task
        self.work_s = work_s
        self.missing = missing
        self.local: list[OnceTask] = []
        self.crossing: list[FlowId] = []
        self.stage: OnceRun

    def ready(self) -> bool:
        return not self.missing

    def came(self) -> None:
        """One more input is there."""
        self.missing -= 1
        if not self.missing:
            self.stage.wake()


class OnceTransfer:
    """A one-shot job's flow between devices."""

    __slots__ = ("_done", "consumer", "id", "pipe")

    def __init__(self, flow: FlowId, item_bytes: float, done: Callable[[FlowId], None]) -> None:
        self.id = flow
        self.pipe = Pipe(item_bytes * 8, self, taking_turns=True)
        self.consumer: OnceTask
        self._done = done

    def arrived(self, _: Any = None) -> None:
        self.consumer.came()
        self._done(self.id)
