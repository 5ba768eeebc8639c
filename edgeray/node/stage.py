"""A stage: the tasks of one job on one device, as a pipeline inside one process.

One thread runs the tasks, the ones nearest to the sinks first, so that a device's time per item is the sum of
its tasks' and what is under way leaves before new work enters. Sources, incoming and outgoing flows have
threads of their own; what is between them is in wiring.py.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from edgeray.dataplane import Answer
from edgeray.errors import EdgeRayError, StageError
from edgeray.node.bounds import OUT_QUEUE_ITEMS
from edgeray.node.code import LoadedTask, TaskCode, iterate
from edgeray.node.crew import Crew
from edgeray.node.inbox import Item
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.node.pace import Pace
from edgeray.node.replicas import Dealing
from edgeray.node.wiring import Wiring
from edgeray.scheduler.effects import StagePlan
from policies.model import Flow, FlowId, TaskId

RECEIVE_TIMEOUT_S = 0.2


class Sender(Protocol):
    """What a stage needs of an outgoing flow (edgeray.dataplane.FlowSender)."""

    @property
    def payload_bytes(self) -> int: ...
    def send(
        self, item: int, value: Any, *, created_s: float, stop: threading.Event | None = None
    ) -> bool: ...
    def listen(self, timeout_s: float) -> list[Answer]: ...
    def wake(self) -> None: ...
    def finish(self, items: int, *, stop: threading.Event | None = None) -> bool: ...
    def close(self) -> None: ...


class Receiver(Protocol):
    """What a stage needs of an incoming flow (edgeray.dataplane.FlowReceiver)."""

    def receive(self, timeout_s: float) -> Any: ...
    def answer(self, number: int, busy_s: float) -> None: ...
    def close(self) -> None: ...


class Stage:
    """Runs one StagePlan. Thread-safe; used as load → start → wait, with stop at any time.

    senders and receivers are the plan's crossing flows, by flow id. learner: calls it, where items of replicas are dealt
    out here; None: nobody is told what was learned.
    """

    def __init__(
        self,
        plan: StagePlan,
        tasks: Mapping[TaskId, LoadedTask],
        code: Mapping[TaskId, TaskCode],
        senders: Mapping[FlowId, Sender],
        receivers: Mapping[FlowId, Receiver],
        *,
        learner: Callable[..., Any] | None = None,
    ) -> None:
        self.plan = plan
        self._tasks = tasks
        self._code = code
        self._senders = senders
        self._receivers = receivers
        self._lock = threading.Lock()
        self._crew = Crew(self._lock, lambda: self._wiring.wake_all())
        self._stop = self._crew.ended
        self._dealing = Dealing(plan, self._lock, learner)
        self._wiring = Wiring(plan, self._lock, self._stop, self._dealing, senders)
        self._open = set(plan.tasks)
        self._counters = {task: TaskCounters() for task in plan.tasks}
        self._sinks = {task: SinkLog() for task in plan.sinks}
        self._paces = {
            task: Pace(code[task].items_per_s, plan.granted_per_s)
            for task in plan.tasks
            if not plan.inputs[task]
        }

    # What its owner does with it

    def start(self) -> None:
        """Start all threads; receivers are listening already."""
        self._dealing.go_on()
        for flow in self.plan.inflows:
            self._crew.spawn(
                f"recv {flow.flow}", partial(self._receive, flow.flow, flow.producer, flow.consumer)
            )
        for out in self.plan.outflows:
            send = partial(self._send, out.flow, out.producer)
            if out.consumer in self._dealing:
                send = partial(self._send_to_replica, out.flow, out.producer, out.consumer)
            self._crew.spawn(f"send {out.flow}", send)
        if self._wiring.fed:
            self._crew.spawn("tasks", self._work)
        for task in self._paces:
            self._crew.spawn(f"source {task}", partial(self._run_source, task))

    def wait(self) -> None:
        """Block until the stage has finished or was stopped. Raises what broke it."""
        self._crew.join()
        self._close_flows()
        self._dealing.close()
        if self._crew.error is not None:
            raise self._crew.error

    def stop(self) -> None:
        """End now: the item in hand is finished, tasks are closed, flows are cut."""
        self._crew.end()

    def pace(self, granted_per_s: float | None) -> None:
        """Give the sources a new granted rate."""
        for pace in self._paces.values():
            pace.grant(granted_per_s)

    def counters(self) -> Mapping[TaskId, TaskCounters]:
        return self._counters

    def waiting(self, task: TaskId) -> int:
        """Items that wait at a task's inputs, or at its outputs for a source."""
        return self._wiring.waiting(task)

    def sink_window(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        """What left each sink between two times (Unix seconds)."""
        return {task: sink.window(from_s, to_s) for task, sink in self._sinks.items()}

    def told(self) -> Mapping[str, Any] | None:
        """How the items of replicas are dealt out here, by task; plain data. None where there are none."""
        with self._lock:
            return self._dealing.told() or None

    # Threads

    def _work(self) -> None:
        """Run tasks until all have ended; those nearest to the sinks go first."""
        order = [task for task in reversed(self.plan.tasks) if task in self._wiring.fed]
        try:
            while (found := self._wiring.next([task for task in order if task in self._open])) is not None:
                task, inputs = found
                if inputs is None:
                    self._end_task(task)
                else:
                    self._run_task(task, inputs)
        finally:
            self._close_tasks(order)

    def _run_task(self, task: TaskId, inputs: tuple[Item, ...]) -> None:
        if task in self._wiring.copies:
            self._run_replica(task, inputs[0])
            return
        created_s = min(item.created_s for item in inputs)
        value, busy_s = self._call(task, inputs[0].number, [item.value for item in inputs])
        self._count(task, busy_s, created_s)
        self._wiring.deliver(task, Item(inputs[0].number, value, created_s))

    def _run_replica(self, task: TaskId, item: Item) -> None:
        """Run a task on an item that was dealt to it, and tell whoever dealt it."""
        number, given = item.value
        value, busy_s = self._call(task, number, [given])
        self._count(task, busy_s, item.created_s)
        self._wiring.deliver(task, Item(item.number, (number, value), item.created_s))
        [producer] = self.plan.inputs[task]
        if task in self._dealing:
            self._wiring.has_done(producer, task, busy_s)
        else:
            self._receivers[Flow(producer=producer, consumer=task).id].answer(item.number, busy_s)

    def _call(self, task: TaskId, number: int, values: Sequence[Any]) -> tuple[Any, float]:
        """What a task makes of an item, and how long that took. Raises StageError for what its code raises."""
        began = time.perf_counter()
        try:
            value = self._tasks[task].call(*values)
        except Exception as error:
            raise _task_failed(task, number, error) from error
        return value, time.perf_counter() - began

    def _count(self, task: TaskId, busy_s: float, created_s: float) -> None:
        now_s = time.time()
        counters = self._counters[task]
        counters.items += 1
        counters.busy_s += busy_s
        counters.recent.append(now_s - created_s)
        if task in self._sinks:
            self._sinks[task].add(now_s, now_s - created_s)

    def _end_task(self, task: TaskId) -> None:
        """Close a task whose inputs (or source) have ended, and pass the end on."""
        self._close_tasks([task])
        self._wiring.end(task, self._counters[task].items)

    def _close_tasks(self, tasks: list[TaskId]) -> None:
        for task in tasks:
            if task not in self._open:
                continue
            self._open.discard(task)
            try:
                self._tasks[task].close()
            except Exception as error:
                raise StageError(f"task {task}: close() raised {type(error).__name__}: {error}") from error

    # Sources

    def _run_source(self, task: TaskId) -> None:
        try:
            if self._code[task].overflow == "drop-oldest":
                self._run_dropping_source(task)
            else:
                for created_s, value in self._produce(task):
                    if not self._emit(task, value, created_s):
                        return
            if not self._stop.is_set():
                self._end_task(task)
        finally:
            self._close_tasks([task])

    def _run_dropping_source(self, task: TaskId) -> None:
        """Produce at the source's own pace; when the job is slower, the oldest item that waits goes."""
        waiting: deque[tuple[float, Any]] = deque()
        ended = threading.Event()

        def produce() -> None:
            for made in self._produce(task):
                with self._lock:
                    if len(waiting) == OUT_QUEUE_ITEMS:
                        waiting.popleft()
                        self._counters[task].dropped += 1
                    waiting.append(made)
                    self._wiring.room[task].notify_all()
            with self._lock:
                ended.set()
                self._wiring.room[task].notify_all()

        self._crew.spawn(f"produce {task}", produce)
        while True:
            with self._lock:
                while not (
                    self._stop.is_set()
                    or (waiting and self._wiring.has_room(task))
                    or (ended.is_set() and not waiting)
                ):
                    self._wiring.room[task].wait()
                if self._stop.is_set() or not waiting:
                    return
                created_s, value = waiting.popleft()
            self._emit(task, value, created_s)

    def _produce(self, task: TaskId) -> Any:
        """(created_s, value) of each item, no faster than the source may go."""
        pace = self._paces[task]
        items = iterate(self._tasks[task])
        while not self._stop.is_set():
            began = time.perf_counter()
            try:
                value = next(items)
            except StopIteration:
                return
            except Exception as error:
                raise _task_failed(task, self._counters[task].items, error) from error
            self._counters[task].busy_s += time.perf_counter() - began
            pace.wait(self._stop)
            if not self._stop.is_set():
                yield time.time(), value

    def _emit(self, task: TaskId, value: Any, created_s: float) -> bool:
        """Number an item and pass it on once there is room; False when the stage stops."""
        if not self._wiring.await_room(task):
            return False
        number = self._counters[task].items
        self._count(task, 0.0, created_s)
        self._wiring.deliver(task, Item(number, value, created_s))
        return True

    # Flows

    def _send(self, flow: FlowId, producer: TaskId) -> None:
        sender = self._senders[flow]
        while isinstance(item := self._wiring.next_out(flow), Item):
            if not sender.send(item.number, item.value, created_s=item.created_s, stop=self._stop):
                return
            self._wiring.has_left(flow, producer)
        if item is not None:
            sender.finish(item, stop=self._stop)

    def _send_to_replica(self, flow: FlowId, producer: TaskId, copy: TaskId) -> None:
        """As _send, of a flow whose items are dealt to a replica, which answers each."""
        sender = self._senders[flow]
        while not self._stop.is_set():
            item = self._wiring.next_for_replica(flow, copy)
            if isinstance(item, int):
                sender.finish(item, stop=self._stop)
                return
            if item is not None:
                sender.send(item.number, item.value, created_s=item.created_s, stop=self._stop)
            for answer in sender.listen(RECEIVE_TIMEOUT_S if item is None else 0.0):
                self._wiring.has_done(producer, copy, answer.busy_s, answer.held_s)

    def _receive(self, flow: FlowId, producer: TaskId, consumer: TaskId) -> None:
        receiver = self._receivers[flow]
        while not self._stop.is_set():
            got = receiver.receive(RECEIVE_TIMEOUT_S)
            if got is None:
                continue
            if not hasattr(got, "number"):  # the end of the stream
                self._wiring.end_input(producer, consumer, got.items)
                return
            self._wiring.put(flow, producer, consumer, Item(got.number, got.value, got.created_s))

    def _close_flows(self) -> None:
        for sender in self._senders.values():
            sender.close()
        for receiver in self._receivers.values():
            receiver.close()


def _task_failed(task: TaskId, number: int, error: Exception) -> EdgeRayError:
    if isinstance(error, EdgeRayError):
        return error
    return StageError(f"task {task} raised {type(error).__name__} on item {number}: {error}")
