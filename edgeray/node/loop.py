"""A stage of mode "loop": its tasks run side by side, each once, and talk with their peers on other devices."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from edgeray.dataplane import FlowSecurity
from edgeray.errors import EdgeRayError, FlowError, StageError
from edgeray.node.code import LoadedTask
from edgeray.node.crew import Crew
from edgeray.node.lines import PEER_TIMEOUT_S, Connection, Line
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.scheduler.effects import StagePlan
from policies.model import DeviceId, FlowId, JobId, Rounds, TaskId

log = logging.getLogger(__name__)


class LoopContext:
    """What a task of mode "loop" is called with.

    peers: the tasks that it has flows with, sorted. rounds: what the plan says of them. output_dir: of the job on
    this device; what lies in its folder "results" can be fetched. cpus: cores that the device has. policy: the plan's.
    stop: set when the stage is to end; connections are closed then.
    """

    def __init__(self, plan: StagePlan, task: TaskId, lines: Mapping[TaskId, Line], stage: LoopStage) -> None:
        self.job: JobId = plan.job
        self.task = task
        self.device: DeviceId = plan.device
        self.peers: tuple[TaskId, ...] = tuple(sorted(lines))
        self.rounds: Rounds | None = plan.rounds
        self.policy = plan.policy
        self.output_dir = stage.output_dir
        self.cpus = stage.cpus
        self.stop: threading.Event = stage.stopped
        self._lines = lines
        self._stage = stage

    def connect(self, peer: TaskId) -> Connection:
        """Open the flows with a peer, or open them anew: the connection before is closed.

        Returns at once; the connection opens when the peer opens its end. Raises FlowError when the stage was
        stopped, StageError for a task that this one has no flows with.
        """
        if peer not in self._lines:
            raise StageError(
                f"task {self.task}: there are no flows with {peer!r}, only with {', '.join(self.peers) or 'none'}"
            )
        return self._lines[peer].connect()

    def count(self, seconds: float) -> None:
        """One more round is done, and took so long."""
        self._stage.count(self.task, seconds)


class LoopStage:
    """Runs one StagePlan of mode "loop". Thread-safe; used as Stage is.

    Ends when all its tasks have returned, or when the first raises. address: where this device listens.
    security: the keys of its flows. self_paced: this device has no tc.
    """

    context_type = LoopContext

    def __init__(
        self,
        plan: StagePlan,
        tasks: Mapping[TaskId, LoadedTask],
        *,
        address: str,
        security: Mapping[FlowId, FlowSecurity],
        self_paced: bool,
        output_dir: Path,
        cpus: float,
        peer_timeout_s: float = PEER_TIMEOUT_S,
    ) -> None:
        self.plan = plan
        self.output_dir = output_dir
        self.cpus = cpus
        self._tasks = tasks
        self._lock = threading.Lock()
        self._crew = Crew(self._lock, lambda: None)
        self.stopped = self._crew.ended
        self._left = len(tasks)
        self._counters = {task: TaskCounters() for task in plan.tasks}
        self._sinks = {task: SinkLog() for task in plan.sinks}
        self._lines: dict[TaskId, dict[TaskId, Line]] = {task: {} for task in plan.tasks}
        back = {(flow.consumer, flow.producer): flow for flow in plan.outflows}
        for inflow in plan.inflows:
            outflow = back.pop((inflow.producer, inflow.consumer), None)
            if outflow is None:
                raise _one_way(inflow.flow)
            self._lines[inflow.consumer][inflow.producer] = Line(
                inflow,
                outflow,
                address=address,
                security=security,
                self_paced=self_paced,
                peer_timeout_s=peer_timeout_s,
            )
        for outflow in back.values():
            raise _one_way(outflow.flow)

    # What its owner does with it

    def start(self) -> None:
        """Start all tasks."""
        self._crew.spawn("lines", self._close_lines)
        for task in self.plan.tasks:
            self._crew.spawn(f"task {task}", partial(self._run, task))

    def wait(self) -> None:
        """Block until the stage has finished or was stopped. Raises what broke it."""
        self._crew.join()
        if self._crew.error is not None:
            raise self._crew.error

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Start a thread of a task; what it raises ends the stage."""
        self._crew.spawn(name, body)

    def stop(self) -> None:
        """End now: the tasks are told, and their connections closed. What they raise then is no error."""
        self._crew.end()

    def pace(self, granted_per_s: float | None) -> None:
        """It has no sources, so none is paced."""

    def pace_flow(self, flow: FlowId, rate_bps: float) -> None:
        """A new rate of an outgoing flow, where this device has no tc."""
        for line in self._all_lines():
            if line.outflow.flow == flow:
                line.pace(rate_bps)

    def counters(self) -> Mapping[TaskId, TaskCounters]:
        """Items are rounds, and their latencies what they took."""
        return self._counters

    def flow_counters(self) -> dict[FlowId, tuple[int, int]]:
        """Values and bytes of each flow."""
        return {flow: row for line in self._all_lines() for flow, row in line.counters().items()}

    def waiting(self, task: TaskId) -> int:
        """Nothing waits at a task: it fetches what it is sent."""
        return 0

    def sink_window(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        """The rounds that ended between two times (Unix seconds), of each sink."""
        return {task: sink.window(from_s, to_s) for task, sink in self._sinks.items()}

    def count(self, task: TaskId, seconds: float) -> None:
        """One more round of a task is done."""
        counters = self._counters[task]
        counters.items += 1
        counters.recent.append(seconds)
        if task in self._sinks:
            self._sinks[task].add(time.time(), seconds)

    # Threads

    def _run(self, task: TaskId) -> None:
        context = self.context_type(self.plan, task, self._lines[task], self)
        log.info("task %s begins", task)
        try:
            self._call(task, context)
        finally:
            for line in self._lines[task].values():
                line.close()
        log.info("task %s has ended", task)
        with self._lock:
            self._left -= 1
        if not self._left:
            self._crew.end()

    def _call(self, task: TaskId, context: LoopContext) -> None:
        loaded = self._tasks[task]
        try:
            try:
                loaded.call(context)
            finally:
                loaded.close()
        except (FlowError, StageError):
            raise
        except EdgeRayError as error:  # an asset that is missing, say: its own words tell most
            raise StageError(f"task {task}: {error}") from error
        except Exception as error:
            raise StageError(f"task {task} raised {type(error).__name__}: {error}") from error

    def _close_lines(self) -> None:
        """Once the stage ends, for whatever reason, nobody goes on waiting for a peer."""
        self._crew.ended.wait()
        closing = [threading.Thread(target=line.close) for line in self._all_lines()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _all_lines(self) -> tuple[Line, ...]:
        return tuple(line for lines in self._lines.values() for line in lines.values())


def _one_way(flow: FlowId) -> StageError:
    return StageError(f"flow {flow} has none that goes back: tasks of mode loop talk both ways")
