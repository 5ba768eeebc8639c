"""The process around one stage: its CPU and memory group, its log, its flows. One a job and device.

Stages that train import edgeray.training when they are loaded, and nobody else does: torch is heavy.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from edgeray.dataplane import FlowReceiver, FlowSecurity, FlowSender
from edgeray.errors import BadInputError, StageError
from edgeray.node.bounds import FLOW_BYTES, FLOW_ITEMS
from edgeray.node.cameras import CameraStage, edge_code
from edgeray.node.code import LoadedTask, TaskCode, add_import_folder, load_once, load_task
from edgeray.node.limits import enter_memory_group, enter_stage_group
from edgeray.node.loop import LoopStage
from edgeray.node.measure import SinkWindow
from edgeray.node.once import OnceStage
from edgeray.node.online import Office, OnlineStage, online_code
from edgeray.node.stage import Stage
from edgeray.profiler.cuts import CutMeasurements
from edgeray.profiler.measure import TaskMeasurement, measure
from edgeray.results import INDEX
from edgeray.scheduler.effects import StagePlan
from policies.model import ONLINE, CameraId, FlowId, Job, Mapped, TaskId

IDLE_TICK_S = 0.5  # flows of one-shot jobs are idle for most of their lives, and a job has many
LOG_TAIL_BYTES = 64 * 1024
AnyStage = Stage | OnceStage | LoopStage


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOrder:
    """All that a stage process needs. output_dir, self_paced and cpus are the node's to fill in.

    self_paced: this device has no tc, so senders keep to their rates. cpus: the device's own.
    """

    plan: StagePlan
    code: Mapping[TaskId, TaskCode]
    security: Mapping[FlowId, FlowSecurity]
    address: str
    output_dir: str
    working_dir: str | None
    self_paced: bool
    cpus: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOrder:
    """Measure a whole job on this device. cpus: the device's own; below one core the process is capped.

    memory_bytes: the device's own; None where nobody knows it.
    """

    job: Job
    code: Mapping[TaskId, TaskCode]
    output_dir: str
    working_dir: str | None
    cpus: float
    memory_bytes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCounters:
    """Cumulative counts of one stage. tasks: (items, busy_s, waiting, dropped, recent latencies' p50, p95).

    told: what the server of a job says that decides while it runs, or a stage that deals out items to replicas; plain
    data.
    """

    at_s: float
    pid: int
    cpu_s: float
    memory_bytes: int
    tasks: Mapping[TaskId, tuple[int, float, int, int, float | None, float | None]]
    flows: Mapping[FlowId, tuple[int, int]]
    told: Mapping[str, Any] | None = None


class StageHost:
    """prepare → start → wait; stop, pace, counters and sink_windows at any time after prepare.

    announcer: whom stages tell of their transfers, or ask for what they need of the scheduler and the learner.
    """

    def __init__(self, announcer: Office) -> None:
        self._announcer = announcer
        self._stage: AnyStage | None = None
        self._senders: dict[FlowId, FlowSender] = {}
        self._receivers: dict[FlowId, FlowReceiver] = {}
        self._order: StageOrder | None = None
        self._process = psutil.Process()
        self._ready = threading.Event()

    def prepare(self, order: StageOrder) -> int:
        """Load the tasks and open the flows; those of loops are opened by their tasks. Returns the pid."""
        self._order = order
        self._enter(order)
        load = load_once if order.plan.mode == "once" else load_task
        code = {task: order.code[task] for task in order.plan.tasks}
        if order.plan.mode == "cameras":
            code = {task: edge_code(each, order.plan) for task, each in code.items()}
        if order.plan.mode in ONLINE:
            code = {task: online_code(task, each, order.plan) for task, each in code.items()}
        tasks = {task: load(task, code[task], Path(order.output_dir)) for task in order.plan.tasks}
        in_order = order.plan.mode in ("stream", "once")
        if in_order:
            self._listen(order)
        enter_stage_group()
        if in_order:
            self._connect(order)
        self._stage = self._make_stage(order, tasks)
        return os.getpid()

    def _enter(self, order: StageOrder | ProfileOrder) -> None:
        output_dir = Path(order.output_dir)
        output_dir.mkdir(parents=True, exist_ok=True)
        redirect_output(output_dir / "stage.log")
        if order.working_dir is not None:
            add_import_folder(order.working_dir)
        enter_memory_group()

    def _listen(self, order: StageOrder) -> None:
        copies = {copy for replicas in order.plan.replicas for copy in replicas.copies}
        tick: dict[str, Any] = {"tick_s": IDLE_TICK_S} if order.plan.mode == "once" else {}
        for flow in order.plan.inflows:
            self._receivers[flow.flow] = FlowReceiver(
                order.address,
                flow.port,
                security=order.security.get(flow.flow),
                max_items=FLOW_ITEMS,
                max_bytes=FLOW_BYTES,
                name=f"{flow.flow} from {flow.peer}",
                answers=flow.consumer in copies,
                **tick,
            )

    def _connect(self, order: StageOrder) -> None:
        copies = {copy for replicas in order.plan.replicas for copy in replicas.copies}
        for out in order.plan.outflows:
            self._senders[out.flow] = FlowSender(
                out.address,
                out.port,
                security=order.security.get(out.flow),
                max_items=FLOW_ITEMS,
                max_bytes=FLOW_BYTES,
                name=f"{out.flow} to {out.peer}",
                pacing_bps=out.rate_bps if order.self_paced else None,
                answers=out.consumer in copies,
            )

    def _make_stage(self, order: StageOrder, tasks: Mapping[TaskId, LoadedTask]) -> AnyStage:
        if order.plan.mode == "stream":
            learner = self._announcer.learner
            return Stage(order.plan, tasks, order.code, self._senders, self._receivers, learner=learner)
        if order.plan.mode == "once":
            return OnceStage(
                order.plan,
                tasks,
                self._senders,
                self._receivers,
                announcer=self._announcer,
                output_dir=Path(order.output_dir),
            )
        options: dict[str, Any] = {
            "address": order.address,
            "security": order.security,
            "self_paced": order.self_paced,
            "output_dir": Path(order.output_dir),
            "cpus": order.cpus,
        }
        if order.plan.mode in ONLINE:
            return OnlineStage(order.plan, tasks, office=self._announcer, **options)
        stage = CameraStage if order.plan.mode == "cameras" else LoopStage
        return stage(order.plan, tasks, **options)

    def profile(self, order: ProfileOrder) -> dict[TaskId, TaskMeasurement] | CutMeasurements:
        """Measure every task of the job here, or its model's cuts, under the device's limits. Raises StageError."""
        self._enter(order)
        if order.job.streams is not None:
            return _measure_streams(order, order.code[order.job.streams.server])
        if order.job.training is not None:
            return _measure_training(order, order.code[order.job.training.server])
        load = load_task if order.job.mode == "stream" else load_once
        tasks: dict[TaskId, LoadedTask] = {}
        loaded_bytes: dict[TaskId, int] = {}
        for task in order.job.tasks:
            before = self._process.memory_info().rss
            tasks[task.id] = load(task.id, order.code[task.id], Path(order.output_dir))
            loaded_bytes[task.id] = max(0, self._process.memory_info().rss - before)
        capped = enter_stage_group() and order.cpus < 1
        try:
            return measure(order.job, tasks, loaded_bytes, quota_cpus=order.cpus if capped else None)
        finally:
            for loaded in tasks.values():
                loaded.close()

    def start(self) -> None:
        self._running().start()
        self._ready.set()

    def wait(self) -> None:
        """Block until the stage ends; raises what broke it."""
        self._ready.wait()
        self._running().wait()

    def stop(self) -> None:
        self._running().stop()
        if not self._ready.is_set():  # it never started: nothing else would close the flows
            for sender in self._senders.values():
                sender.close()
            for receiver in self._receivers.values():
                receiver.close()
            self._ready.set()

    def start_transfer(self, flow: FlowId) -> None:
        """The links of a one-shot job's outgoing flow are free for it."""
        stage = self._running()
        if isinstance(stage, OnceStage):
            stage.start_transfer(flow)

    def pace(self, granted_per_s: float | None, rates_bps: Mapping[FlowId, float]) -> None:
        """New rates: of the sources, and of the flows where this device has no tc."""
        stage = self._running()
        stage.pace(granted_per_s)
        if self._order is not None and self._order.self_paced:
            for flow, rate_bps in rates_bps.items():
                if isinstance(stage, LoopStage):
                    stage.pace_flow(flow, rate_bps)
                elif flow in self._senders:
                    self._senders[flow].pace(rate_bps)

    def counters(self) -> StageCounters:
        stage = self._running()
        times = self._process.cpu_times()
        return StageCounters(
            at_s=time.time(),
            pid=os.getpid(),
            cpu_s=times.user + times.system,
            memory_bytes=self._process.memory_info().rss,
            tasks={task: self._task_row(stage, task) for task in stage.counters()},
            flows=stage.flow_counters() if isinstance(stage, LoopStage) else self._flow_counters(),
            told=stage.told() if isinstance(stage, OnlineStage | Stage) else None,
        )

    def _flow_counters(self) -> dict[FlowId, tuple[int, int]]:
        return {
            flow: (end.items, end.payload_bytes)
            for ends in (self._senders, self._receivers)
            for flow, end in ends.items()
        }

    def map_streams(self, mapped: Mapped) -> None:
        """Watch cameras so from now on, where the stage does."""
        stage = self._running()
        if isinstance(stage, CameraStage):
            stage.map_streams(mapped)

    def view(self, camera: CameraId) -> dict[str, Any] | None:
        """The last picture of a camera; None when it is not watched here."""
        stage = self._stage
        return stage.view(camera) if isinstance(stage, CameraStage) else None

    def sink_windows(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        return self._running().sink_window(from_s, to_s)

    def _task_row(
        self, stage: AnyStage, task: TaskId
    ) -> tuple[int, float, int, int, float | None, float | None]:
        counters = stage.counters()[task]
        recent = sorted(counters.recent)
        p50 = recent[len(recent) // 2] if recent else None
        p95 = recent[min(len(recent) - 1, int(len(recent) * 0.95))] if recent else None
        return counters.items, counters.busy_s, stage.waiting(task), counters.dropped, p50, p95

    def _running(self) -> AnyStage:
        if self._stage is None:
            raise StageError("the stage has not been prepared")
        return self._stage


def _measure_training(order: ProfileOrder, server: TaskCode) -> CutMeasurements:
    from edgeray.training.profile import measure_training
    from edgeray.training.recipe import Recipe

    recipe = Recipe.of(server.args["recipe"])
    capped = enter_stage_group() and order.cpus < 1
    return measure_training(recipe, cpus=order.cpus, capped=capped, memory_bytes=order.memory_bytes)


def _measure_streams(order: ProfileOrder, edge: TaskCode) -> dict[TaskId, TaskMeasurement]:
    from edgeray.streams.profile import measure_streams

    return measure_streams(edge.args["recipe"], cpus=order.cpus)


def redirect_output(path: Path) -> None:
    """Send what the process prints (Python and C alike) and logs to a file that `edgeray logs` reads."""
    file = path.open("a", buffering=1, encoding="utf-8", errors="replace")
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    logging.basicConfig(
        stream=file, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )


def log_tail(output_dir: Path, max_bytes: int = LOG_TAIL_BYTES) -> str:
    """The end of a stage's log; "" when there is none."""
    path = output_dir / "stage.log"
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - max_bytes))
        return file.read().decode("utf-8", errors="replace")


def served_file(results: Path, file: str) -> Path:
    """A file of a job's results. Raises BadInputError for one that is not there, or lies outside of them."""
    path = (results / file).resolve()
    if not path.is_relative_to(results.resolve()) or not path.is_file():
        raise BadInputError(f"the job has no result named {file!r}")
    return path


def describe_output(output_dir: Path) -> dict[str, Any]:
    """Result files of a job on this device: name to size in bytes, the log left out."""
    if not output_dir.is_dir():
        return {}
    files = sorted(p for p in output_dir.rglob("*") if p.is_file() and p.name not in ("stage.log", INDEX))
    return {str(path): path.stat().st_size for path in files}
