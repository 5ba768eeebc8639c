"""The node: what runs on each device on the scheduler's behalf. Knows no Ray; actors.py puts Ray around it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edgeray.errors import FlowError, StageDied, StageError, one_line
from edgeray.network.manager import NetworkManager
from edgeray.network.types import FlowRule
from edgeray.node.code import TaskCode
from edgeray.node.host import (
    ProfileOrder,
    StageCounters,
    StageOrder,
    describe_output,
    log_tail,
    served_file,
)
from edgeray.node.limits import memory_kills
from edgeray.node.measure import SinkWindow
from edgeray.node.monitor import DeviceMonitor
from edgeray.node.once import RESULTS
from edgeray.profiler.cuts import CutMeasurements
from edgeray.profiler.measure import TaskMeasurement
from edgeray.results import Output, read_index
from edgeray.streams import reading
from edgeray.streams.archive import Synced
from edgeray.streams.database import ARCHIVE, STORE
from edgeray.telemetry.records import DeviceSample
from policies.model import CameraId, DeviceId, FlowId, Job, JobId, Mapped, TaskId

log = logging.getLogger(__name__)

SAMPLE_PERIOD_S = 1.0


class StageHandle(Protocol):
    """A stage process as the node sees it; calls block, and raise StageDied when the process is gone."""

    def prepare(self, order: StageOrder) -> int: ...
    def start(self) -> None: ...
    def wait(self) -> None: ...
    def stop(self) -> None: ...
    def start_transfer(self, flow: FlowId) -> None: ...
    def pace(self, granted_per_s: float | None, rates_bps: Mapping[FlowId, float]) -> None: ...
    def counters(self) -> StageCounters: ...
    def map_streams(self, mapped: Mapped) -> None: ...
    def view(self, camera: CameraId) -> dict[str, Any] | None: ...
    def sink_windows(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]: ...
    def profile(self, order: ProfileOrder) -> dict[TaskId, TaskMeasurement] | CutMeasurements: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnd:
    """How a stage ended: error None when it finished or was stopped; peer_lost when a flow's other end went away.

    final: its last counts, None when its process was gone. died: its process was killed or crashed.
    """

    error: str | None
    peer_lost: bool
    final: StageCounters | None
    died: bool = False


class Reports(Protocol):
    """Where the node reports to; raises ConnectionError when the scheduler is gone for good."""

    def stage_ended(self, job: JobId, device: DeviceId, end: StageEnd) -> None: ...
    def telemetry(self, sample: DeviceSample) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounters:
    """Cumulative counters of one device at one moment; flow and link bytes are the kernel's."""

    device: DeviceId
    at_s: float
    flow_bytes: Mapping[str, int]
    link_bytes: Mapping[str, tuple[int, int]]
    stages: Mapping[JobId, StageCounters]
    cpu_s: float
    memory_bytes: int


class NodeService:
    """Launches and ends stages, applies the device's flow rules, samples once a second."""

    def __init__(
        self,
        device: DeviceId,
        *,
        address: str,
        cpus: float,
        memory_bytes: float | None = None,
        output_root: Path,
        network: NetworkManager,
        launch: Callable[[JobId, str | None], StageHandle],
        reports: Reports,
    ) -> None:
        self._device = device
        self._address = address
        self._cpus = cpus
        self._memory_bytes = memory_bytes
        self._output_root = output_root
        self._network = network
        self._launch = launch
        self._reports = reports
        self._stages: dict[JobId, StageHandle] = {}
        self._lock = threading.Lock()
        self._monitor = DeviceMonitor(device, cpus, network)

    @property
    def enforcement(self) -> str:
        return self._network.enforcement

    # Orders

    def apply_network(self, rules: Sequence[FlowRule]) -> None:
        """Make these the device's flow rules. Raises NetworkApplyError; then the old ones stand."""
        self._network.apply(rules)

    def deploy(self, order: StageOrder, package: str | None) -> None:
        """Launch the process of a stage and load its tasks. Raises StageError when its code cannot be set up."""
        job = order.plan.job
        order = replace(
            order,
            output_dir=str(self.output_dir(job)),
            self_paced=self._network.enforcement == "pacing",
            cpus=self._cpus,
        )
        handle = self._launch(job, package)
        with self._lock:
            self._stages[job] = handle
        kills = memory_kills()
        try:
            handle.prepare(order)
        except BaseException as error:
            self._forget(job)
            handle.kill()
            kind = StageDied if isinstance(error, StageDied) else StageError
            raise kind(self._told(error, kills)) from error

    def start_stage(self, job: JobId) -> None:
        """Start a deployed stage; its end is reported when it comes."""
        handle = self._stages[job]
        handle.start()
        threading.Thread(target=self._watch, args=(job, handle), name=f"watch {job}", daemon=True).start()

    def stop_stage(self, job: JobId, timeout_s: float = 10.0) -> StageEnd:
        """End a stage: it gets timeout_s to close its tasks, then its process is killed."""
        handle = self._stages.get(job)
        if handle is None:
            return StageEnd(error=None, peer_lost=False, final=None)
        end = StageEnd(error=None, peer_lost=False, final=None)
        killer = threading.Timer(timeout_s, handle.kill)
        killer.daemon = True
        killer.start()
        try:
            handle.stop()
            handle.wait()
        except Exception as raised:  # it broke before it was stopped
            end = _broken(raised, one_line(raised))
        finally:
            killer.cancel()
            final = _last_counters(handle)
            handle.kill()
            self._forget(job)
        return replace(end, final=final)

    def pace_stage(self, job: JobId, granted_per_s: float | None, rates_bps: Mapping[FlowId, float]) -> None:
        handle = self._stages.get(job)
        if handle is not None:
            handle.pace(granted_per_s, rates_bps)

    def map_streams(self, job: JobId, mapped: Mapped) -> None:
        """Have a job's cameras watched so from now on."""
        handle = self._stages.get(job)
        if handle is not None:
            handle.map_streams(mapped)

    def start_transfer(self, job: JobId, flow: FlowId) -> None:
        """Let a one-shot job's outgoing flow go."""
        handle = self._stages.get(job)
        if handle is not None:
            handle.start_transfer(flow)

    def profile(
        self, job: Job, code: Mapping[TaskId, TaskCode], package: str | None
    ) -> dict[TaskId, TaskMeasurement] | CutMeasurements:
        """Measure a job on this device in a process of its own. Raises StageError."""
        name = JobId(f"{job.id}-profile")
        handle = self._launch(name, package)
        kills = memory_kills()
        try:
            return handle.profile(
                ProfileOrder(
                    job=job,
                    code=code,
                    output_dir=str(self.output_dir(name)),
                    working_dir=None,
                    cpus=self._cpus,
                    memory_bytes=self._memory_bytes,
                )
            )
        except Exception as error:
            raise StageError(self._told(error, kills)) from error
        finally:
            handle.kill()

    def reset(self) -> None:
        """End every stage and remove every rule: what a new scheduler finds must be a clean device."""
        for job in tuple(self._stages):
            self.stop_stage(job)
        self._network.apply(())

    # Questions

    def counters(self) -> NodeCounters:
        flows = {name: c.bytes for name, c in self._network.flow_counters().items()}
        links = {str(link): (c.bytes, c.control_bytes) for link, c in self._network.link_counters().items()}
        stages = dict(self._stage_counters())
        return NodeCounters(
            device=self._device,
            at_s=time.time(),
            flow_bytes=flows,
            link_bytes=links,
            stages=stages,
            cpu_s=sum(c.cpu_s for c in stages.values()),
            memory_bytes=sum(c.memory_bytes for c in stages.values()),
        )

    def sink_windows(self, job: JobId, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        handle = self._stages.get(job)
        return {} if handle is None else handle.sink_windows(from_s, to_s)

    def view(self, job: JobId, camera: CameraId) -> dict[str, Any] | None:
        """The last picture of a camera, with who is on it; None when it is not watched here."""
        handle = self._stages.get(job)
        return None if handle is None else handle.view(camera)

    def output_dir(self, job: JobId) -> Path:
        return self._output_root / job

    def logs(self, job: JobId) -> str:
        return log_tail(self.output_dir(job))

    def results(self, job: JobId) -> dict[str, Any]:
        return describe_output(self.output_dir(job))

    def synced(self, job: JobId) -> tuple[Synced, ...]:
        """How far each device's store has been brought to the archive here; () when there is none. Also of jobs that
        have ended, as are the next two."""
        return reading.synced(self.output_dir(job) / ARCHIVE)

    def stored(self, job: JobId, after: Mapping[str, int]) -> reading.Part | None:
        """Who was seen here, by the rows that the archive lacks; a page at a time. after: numbers by epoch."""
        return reading.stored(self.output_dir(job) / STORE, after)

    def archived(self, job: JobId, person: int | None, parts: Sequence[reading.Part]) -> reading.Found:
        """Where a person went, or who was seen, by the archive here and by what it may lack."""
        return reading.find(self.output_dir(job) / ARCHIVE, parts, person)

    def outputs(self, job: JobId) -> tuple[Output, ...]:
        """What the sinks of a one-shot job have returned on this device."""
        return read_index(self.output_dir(job) / RESULTS)

    def read_output(self, job: JobId, file: str, offset: int, size: int) -> bytes:
        """A piece of a result, also of a job that has ended. Raises BadInputError for any other file."""
        with served_file(self.output_dir(job) / RESULTS, file).open("rb") as opened:
            opened.seek(offset)
            return opened.read(size)

    # Threads

    def monitor_forever(self) -> None:
        """Sample and report every second until the scheduler is gone; then end everything here."""
        while True:
            time.sleep(SAMPLE_PERIOD_S)
            try:
                self._reports.telemetry(self._monitor.sample(tuple(self._stage_counters())))
            except ConnectionError:
                log.error("the scheduler is gone: ending all stages on %s", self._device)
                self.reset()
                return
            except Exception:  # a second without a sample is no reason to lose the device
                log.exception("no sample this second")

    def _watch(self, job: JobId, handle: StageHandle) -> None:
        end = StageEnd(error=None, peer_lost=False, final=None)
        kills = memory_kills()
        try:
            handle.wait()
        except Exception as raised:
            end = _broken(raised, self._told(raised, kills))
        if self._stages.get(job) is not handle:
            return  # it was stopped: whoever stopped it reports
        final = _last_counters(handle)
        handle.kill()
        self._forget(job)
        self._reports.stage_ended(job, self._device, replace(end, final=final))

    def _stage_counters(self) -> Sequence[tuple[JobId, StageCounters]]:
        rows = []
        for job, handle in tuple(self._stages.items()):
            try:
                rows.append((job, handle.counters()))
            except Exception as error:
                log.debug("no counters of %s: %s", job, error)
        return rows

    def _told(self, error: BaseException, kills_before: int) -> str:
        """What broke, and whether the kernel did it for lack of memory."""
        if memory_kills() > kills_before:
            return (
                f"{one_line(error)}\n  the memory limit of {self._device} was reached: declare more `memory`"
            )
        return one_line(error)

    def _forget(self, job: JobId) -> None:
        with self._lock:
            self._stages.pop(job, None)


def _broken(error: BaseException, told: str) -> StageEnd:
    return StageEnd(
        error=told, peer_lost=_is_flow_error(error), final=None, died=isinstance(error, StageDied)
    )


def _is_flow_error(error: BaseException) -> bool:
    """Whether a flow broke; Ray wraps what a remote call raised."""
    return isinstance(error, FlowError) or isinstance(getattr(error, "cause", None), FlowError)


def _last_counters(handle: StageHandle) -> StageCounters | None:
    try:
        return handle.counters()
    except Exception:  # the process is gone: the last sample has to do
        return None
