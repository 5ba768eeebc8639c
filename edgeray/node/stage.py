"""A stage: the tasks of one job on one device, as a pipeline inside one process.

One thread runs the tasks, the ones nearest to the sinks first, so that a device's time per item is the sum of
its tasks' and what is under way leaves before new work enters. Sources, incoming and outgoing flows have
threads of their own. Everything between them is bounded: a task runs only when all its outputs have room.

One lock guards all queues; each thread waits on a condition of its own, so that an item wakes only who it
concerns. On a thin device waking everybody would cost more than the tasks.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from edgeray.errors import EdgeRayError, StageError
from edgeray.node.bounds import OUT_QUEUE_ITEMS
from edgeray.node.code import LoadedTask, TaskCode, iterate
from edgeray.node.crew import Crew
from edgeray.node.inbox import Inbox, Item
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.node.pace import Pace
from edgeray.scheduler.effects import StagePlan
from policies.model import FlowId, TaskId

RECEIVE_TIMEOUT_S = 0.2


class Sender(Protocol):
    """What a stage needs of an outgoing flow (edgeray.dataplane.FlowSender)."""

    @property
    def payload_bytes(self) -> int: ...
    def send(
        self, item: int, value: Any, *, created_s: float, stop: threading.Event | None = None
    ) -> bool: ...
    def finish(self, items: int, *, stop: threading.Event | None = None) -> bool: ...
    def close(self) -> None: ...


class Receiver(Protocol):
    """What a stage needs of an incoming flow (edgeray.dataplane.FlowReceiver)."""

    def receive(self, timeout_s: float) -> Any: ...
    def close(self) -> None: ...


class Stage:
    """Runs one StagePlan. Thread-safe; used as load → start → wait, with stop at any time.

    senders and receivers are the plan's crossing flows, by flow id.
    """

    def __init__(
        self,
        plan: StagePlan,
        tasks: Mapping[TaskId, LoadedTask],
        code: Mapping[TaskId, TaskCode],
        senders: Mapping[FlowId, Sender],
        receivers: Mapping[FlowId, Receiver],
    ) -> None:
        self.plan = plan
        self._tasks = tasks
        self._code = code
        self._senders = senders
        self._receivers = receivers
        self._lock = threading.Lock()
        self._work_ready = threading.Condition(self._lock)
        self._queued = {flow.flow: threading.Condition(self._lock) for flow in plan.outflows}
        # Of who may wait to pass an item of this task on: its source, or the receiver of its flow by consumer.
        self._room = {
            task: threading.Condition(self._lock)
            for task in (*(t for t in plan.tasks if not plan.inputs[t]), *(f.flow for f in plan.inflows))
        }
        self._entry: dict[tuple[TaskId, TaskId], TaskId | FlowId] = {
            (flow.producer, flow.consumer): flow.flow for flow in plan.inflows
        }
        self._crew = Crew(self._lock, self._wake_all)
        self._stop = self._crew.ended
        self._open = set(plan.tasks)
        self._counters = {task: TaskCounters() for task in plan.tasks}
        self._sinks = {task: SinkLog() for task in plan.sinks}
        self._inboxes = {
            task: Inbox(plan.inputs[task], plan.depth_items) for task in plan.tasks if plan.inputs[task]
        }
        self._local: dict[TaskId, list[TaskId]] = {
            task: [c for c in plan.tasks if task in plan.inputs[c]] for task in plan.tasks
        }
        self._out: dict[TaskId, list[FlowId]] = {task: [] for task in plan.tasks}
        for flow in plan.outflows:
            self._out[flow.producer].append(flow.flow)
        self._queues: dict[FlowId, deque[Item]] = {flow.flow: deque() for flow in plan.outflows}
        self._finished: dict[FlowId, int] = {}
        self._paces = {
            task: Pace(code[task].items_per_s, plan.granted_per_s)
            for task in plan.tasks
            if not plan.inputs[task]
        }

    # What its owner does with it

    def start(self) -> None:
        """Start all threads; receivers are listening already."""
        for flow in self.plan.inflows:
            self._crew.spawn(
                f"recv {flow.flow}", partial(self._receive, flow.flow, flow.producer, flow.consumer)
            )
        for out in self.plan.outflows:
            self._crew.spawn(f"send {out.flow}", partial(self._send, out.flow, out.producer))
        if self._inboxes:
            self._crew.spawn("tasks", self._work)
        for task in self._paces:
            self._crew.spawn(f"source {task}", partial(self._run_source, task))

    def wait(self) -> None:
        """Block until the stage has finished or was stopped. Raises what broke it."""
        self._crew.join()
        self._close_flows()
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
        with self._lock:
            if task in self._inboxes:
                return self._inboxes[task].waiting
            return max((len(self._queues[flow]) for flow in self._out[task]), default=0)

    def sink_window(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        """What left each sink between two times (Unix seconds)."""
        return {task: sink.window(from_s, to_s) for task, sink in self._sinks.items()}

    # Threads

    def _wake_all(self) -> None:
        """Called with the lock held."""
        for condition in (self._work_ready, *self._queued.values(), *self._room.values()):
            condition.notify_all()

    def _work(self) -> None:
        """Run tasks until all have ended; those nearest to the sinks go first."""
        order = [task for task in reversed(self.plan.tasks) if task in self._inboxes]
        try:
            while True:
                with self._lock:
                    task = self._await_ready(order)
                    if task is None:
                        return
                    inputs = self._take(task) if self._inboxes[task].ready() else None
                if inputs is None:
                    self._end_task(task)
                else:
                    self._run_task(task, inputs)
        finally:
            self._close_tasks(order)

    def _await_ready(self, order: list[TaskId]) -> TaskId | None:
        """The next task to run or to end; None when none is left or the stage stops. Called with the lock held."""
        while not self._stop.is_set():
            left = [task for task in order if task in self._open]
            if not left:
                return None
            for task in left:
                inbox = self._inboxes[task]
                if (inbox.ready() and self._has_room(task)) or (inbox.ended and not inbox.ready()):
                    return task
            self._work_ready.wait()
        return None

    def _take(self, task: TaskId) -> tuple[Item, ...]:
        """A joined item out of a task's inbox; who waited to put the next one there is woken."""
        items = self._inboxes[task].take()
        for producer in self.plan.inputs[task]:
            entry = self._entry.get((producer, task), producer)
            if entry in self._room:
                self._room[entry].notify_all()
        return items

    def _run_task(self, task: TaskId, inputs: tuple[Item, ...]) -> None:
        number = inputs[0].number
        created_s = min(item.created_s for item in inputs)
        began = time.perf_counter()
        try:
            value = self._tasks[task].call(*(item.value for item in inputs))
        except Exception as error:
            raise _task_failed(task, number, error) from error
        self._count(task, time.perf_counter() - began, created_s)
        self._deliver(task, Item(number, value, created_s))

    def _count(self, task: TaskId, busy_s: float, created_s: float) -> None:
        now_s = time.time()
        counters = self._counters[task]
        counters.items += 1
        counters.busy_s += busy_s
        counters.recent.append(now_s - created_s)
        if task in self._sinks:
            self._sinks[task].add(now_s, now_s - created_s)

    # Outputs

    def _has_room(self, task: TaskId) -> bool:
        return all(self._inboxes[c].has_room(task) for c in self._local[task]) and all(
            len(self._queues[flow]) < OUT_QUEUE_ITEMS for flow in self._out[task]
        )

    def _deliver(self, task: TaskId, item: Item) -> None:
        with self._lock:
            for consumer in self._local[task]:
                self._inboxes[consumer].add(task, item)
            self._work_ready.notify_all()
            for flow in self._out[task]:
                self._queues[flow].append(item)
                self._queued[flow].notify_all()

    def _end_task(self, task: TaskId) -> None:
        """Close a task whose inputs (or source) have ended, and pass the end on."""
        self._close_tasks([task])
        items = self._counters[task].items
        with self._lock:
            for consumer in self._local[task]:
                self._inboxes[consumer].end(task, items)
            for flow in self._out[task]:
                self._finished[flow] = items
            self._wake_all()

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
                    self._room[task].notify_all()
            with self._lock:
                ended.set()
                self._room[task].notify_all()

        self._crew.spawn(f"produce {task}", produce)
        while True:
            with self._lock:
                while not (
                    self._stop.is_set()
                    or (waiting and self._has_room(task))
                    or (ended.is_set() and not waiting)
                ):
                    self._room[task].wait()
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
        with self._lock:
            while not (self._stop.is_set() or self._has_room(task)):
                self._room[task].wait()
            if self._stop.is_set():
                return False
        number = self._counters[task].items
        self._count(task, 0.0, created_s)
        self._deliver(task, Item(number, value, created_s))
        return True

    # Flows

    def _send(self, flow: FlowId, producer: TaskId) -> None:
        sender, queue = self._senders[flow], self._queues[flow]
        while True:
            with self._lock:
                while not (queue or self._stop.is_set() or flow in self._finished):
                    self._queued[flow].wait()
                if self._stop.is_set():
                    return
                item = queue[0] if queue else None
            if item is None:
                sender.finish(self._finished[flow], stop=self._stop)
                return
            if not sender.send(item.number, item.value, created_s=item.created_s, stop=self._stop):
                return
            with self._lock:
                queue.popleft()
                self._room.get(producer, self._work_ready).notify_all()

    def _receive(self, flow: FlowId, producer: TaskId, consumer: TaskId) -> None:
        receiver, inbox = self._receivers[flow], self._inboxes[consumer]
        while not self._stop.is_set():
            got = receiver.receive(RECEIVE_TIMEOUT_S)
            if got is None:
                continue
            with self._lock:
                if not hasattr(got, "number"):  # the end of the stream
                    inbox.end(producer, got.items)
                    self._work_ready.notify_all()
                    return
                while not (self._stop.is_set() or inbox.has_room(producer)):
                    self._room[flow].wait()
                inbox.add(producer, Item(got.number, got.value, got.created_s))
                self._work_ready.notify_all()

    def _close_flows(self) -> None:
        for sender in self._senders.values():
            sender.close()
        for receiver in self._receivers.values():
            receiver.close()


def _task_failed(task: TaskId, number: int, error: Exception) -> EdgeRayError:
    if isinstance(error, EdgeRayError):
        return error
    return StageError(f"task {task} raised {type(error).__name__} on item {number}: {error}")
