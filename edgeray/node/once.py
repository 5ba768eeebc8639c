"""A stage of a one-shot job: each of its tasks runs once, in the order of the plan's timetable.

One thread runs the tasks, one at a time. A flow that leaves waits until the scheduler says that its links are
free; a flow that arrives tells the scheduler when it has come whole. What a sink returns is kept as results.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from edgeray.errors import EdgeRayError, StageError
from edgeray.node.code import LoadedTask
from edgeray.node.crew import Crew
from edgeray.node.files import Incoming, check_files, outgoing
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.node.stage import Receiver, Sender
from edgeray.node.turn import next_turn
from edgeray.results import write_value
from edgeray.scheduler.effects import Inflow, StagePlan
from policies.model import FlowId, JobId, TaskId

log = logging.getLogger(__name__)

RESULTS = "results"
RECEIVED = "received"
RECEIVE_TIMEOUT_S = 0.5


class Announcer(Protocol):
    """Tells the scheduler of transfers. Returns once it knows, or when stop is set; it may be told twice."""

    def transfer_ready(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None: ...
    def transfer_done(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None: ...


class OnceStage:
    """Runs one StagePlan of a one-shot job. Thread-safe; used as Stage is, and start_transfer at any time.

    output_dir: where results, and files that arrive, are kept.
    """

    def __init__(
        self,
        plan: StagePlan,
        tasks: Mapping[TaskId, LoadedTask],
        senders: Mapping[FlowId, Sender],
        receivers: Mapping[FlowId, Receiver],
        *,
        announcer: Announcer,
        output_dir: Path,
    ) -> None:
        self.plan = plan
        self._due_s = dict(plan.due_s or {})
        self._tasks = dict(tasks)
        self._senders = senders
        self._receivers = receivers
        self._announcer = announcer
        self._output_dir = output_dir
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._crew = Crew(self._lock, self._changed.notify_all)
        self._stop = self._crew.ended
        self._arrived: dict[TaskId, dict[TaskId, Any]] = {task: {} for task in plan.tasks}
        self._granted: set[FlowId] = set()
        self._counters = {task: TaskCounters() for task in plan.tasks}
        self._sinks = {task: SinkLog() for task in plan.sinks}
        self._began_s = 0.0

    # What its owner does with it

    def start(self) -> None:
        """Start; the timetable counts from now. Receivers are listening already."""
        shutil.rmtree(self._output_dir / RESULTS, ignore_errors=True)
        self._began_s = time.monotonic()
        for flow in self.plan.inflows:
            self._crew.spawn(f"recv {flow.flow}", partial(self._receive, flow))
        self._crew.spawn("tasks", self._work)

    def wait(self) -> None:
        """Block until all tasks have run and all flows are through, or it was stopped. Raises what broke it."""
        self._crew.join()
        for sender in self._senders.values():
            sender.close()
        for receiver in self._receivers.values():
            receiver.close()
        shutil.rmtree(self._output_dir / RECEIVED, ignore_errors=True)
        if self._crew.error is not None:
            raise self._crew.error

    def stop(self) -> None:
        """End now: the task in hand is finished, the others are closed, flows are cut."""
        self._crew.end()

    def start_transfer(self, flow: FlowId) -> None:
        """The links of an outgoing flow are its own until it is through."""
        with self._lock:
            self._granted.add(flow)
            self._changed.notify_all()

    def pace(self, granted_per_s: float | None) -> None:
        """Nothing here repeats, so nothing is paced."""

    def counters(self) -> Mapping[TaskId, TaskCounters]:
        return self._counters

    def waiting(self, task: TaskId) -> int:
        """Inputs that are there for a task that has not run."""
        with self._lock:
            return len(self._arrived.get(task, ()))

    def sink_window(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        """What left each sink between two times (Unix seconds)."""
        return {task: sink.window(from_s, to_s) for task, sink in self._sinks.items()}

    # Tasks

    def _work(self) -> None:
        left = sorted(self.plan.tasks, key=lambda task: self._due_s[task])
        try:
            while (task := self._await_turn(left)) is not None:
                left.remove(task)
                self._run(task)
        finally:
            for task in left:
                self._close(task)

    def _await_turn(self, left: list[TaskId]) -> TaskId | None:
        """The next task to run; None when none is left or the stage stops."""
        with self._lock:
            while left and not self._stop.is_set():
                elapsed_s = time.monotonic() - self._began_s
                task = next_turn(left, self._due_s, self._ready, elapsed_s)
                if task is not None:
                    return task
                until_due_s = self._due_s[left[0]] - elapsed_s
                self._changed.wait(until_due_s if until_due_s > 0 else None)
        return None

    def _ready(self, task: TaskId) -> bool:
        return len(self._arrived[task]) == len(self.plan.inputs[task])

    def _run(self, task: TaskId) -> None:
        with self._lock:
            arrived = self._arrived.pop(task)
        log.info("task %s begins", task)
        began_s = time.perf_counter()
        try:
            value = self._tasks[task].call(*(arrived[producer] for producer in self.plan.inputs[task]))
        except StageError:
            raise
        except EdgeRayError as error:  # an asset that is missing, say: its own words tell most
            raise StageError(f"task {task}: {error}") from error
        except Exception as error:
            raise StageError(f"task {task} raised {type(error).__name__}: {error}") from error
        finally:
            self._close(task)
        check_files(task, value)
        self._counters[task].busy_s = time.perf_counter() - began_s
        del arrived  # its inputs are free before it waits for anybody
        if task in self._sinks:
            self._keep(task, value)
        self._count(task)
        log.info("task %s has ended", task)
        self._deliver(task, value)

    def _keep(self, task: TaskId, value: Any) -> None:
        try:
            write_value(self._output_dir / RESULTS, task, value)
        except Exception as error:
            raise StageError(
                f"task {task}: its result, a {type(value).__name__}, cannot be kept: {error}"
            ) from error

    def _count(self, task: TaskId) -> None:
        since_start_s = time.monotonic() - self._began_s
        self._counters[task].recent.append(since_start_s)
        self._counters[task].items = 1
        if task in self._sinks:
            self._sinks[task].add(time.time(), since_start_s)

    def _deliver(self, task: TaskId, value: Any) -> None:
        with self._lock:
            for consumer in self.plan.tasks:
                if task in self.plan.inputs[consumer]:
                    self._arrived[consumer][task] = value
            self._changed.notify_all()
        for flow in self.plan.outflows:
            if flow.producer == task:
                self._crew.spawn(f"send {flow.flow}", partial(self._send, flow.flow, value))

    def _close(self, task: TaskId) -> None:
        """Close a task and let go of what it holds."""
        try:
            self._tasks.pop(task).close()
        except Exception as error:
            raise StageError(f"task {task}: close() raised {type(error).__name__}: {error}") from error

    # Flows

    def _send(self, flow: FlowId, value: Any) -> None:
        self._announcer.transfer_ready(self.plan.job, flow, stop=self._stop)
        with self._lock:
            while not (flow in self._granted or self._stop.is_set()):
                self._changed.wait()
        if self._stop.is_set():
            return
        log.info("flow %s is sent", flow)
        sender, items = self._senders[flow], 0
        for item in outgoing(value):
            if not sender.send(items, item, created_s=time.time(), stop=self._stop):
                return
            items += 1
        sender.finish(items, stop=self._stop)

    def _receive(self, flow: Inflow) -> None:
        receiver = self._receivers[flow.flow]
        incoming = Incoming(self._output_dir / RECEIVED / flow.consumer / flow.producer)
        while not self._stop.is_set():
            got = receiver.receive(RECEIVE_TIMEOUT_S)
            if got is None:
                continue
            if hasattr(got, "number"):
                incoming.add(got.value)
                continue
            log.info("flow %s has arrived", flow.flow)
            with self._lock:
                self._arrived[flow.consumer][flow.producer] = incoming.value()
                self._changed.notify_all()
            self._announcer.transfer_done(self.plan.job, flow.flow, stop=self._stop)
            receiver.close()
            return
