"""The scheduler's shell: carries the state's effects out on the nodes, and answers questions.

Knows no Ray: nodes are handles whose calls block and raise. actors.py makes it a Ray actor.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from edgeray.errors import BadInputError, ClusterError, StageDied, one_line
from edgeray.node.code import AppPackage
from edgeray.node.host import StageOrder
from edgeray.node.measure import SinkWindow
from edgeray.node.service import NodeCounters, StageEnd
from edgeray.profiler import FleetProfiler, ProfileStore, merge
from edgeray.profiler.fleet import ByType
from edgeray.results import Output
from edgeray.scheduler import answers
from edgeray.scheduler import events as ev
from edgeray.scheduler.cluster import check_pinned
from edgeray.scheduler.effects import (
    ApplyNetwork,
    DeployStage,
    Effect,
    JobChanged,
    MapStreams,
    PaceStage,
    ProfileJob,
    StagePlan,
    StartStage,
    StartTransfer,
    StopStage,
)
from edgeray.scheduler.fleet import Fleet
from edgeray.scheduler.heard import SILENT_S, Heard
from edgeray.scheduler.jobs import JobRecord, Phase
from edgeray.scheduler.journal import Journal, name_the_lost
from edgeray.scheduler.keys import Keys
from edgeray.scheduler.learning import Learner, Learning
from edgeray.scheduler.nodes import NodeHandle
from edgeray.scheduler.progress import Progress
from edgeray.scheduler.state import SchedulerState
from edgeray.scheduler.timed import TimedPolicy
from edgeray.scheduler.views import DeviceView, JobView, device_view, job_view
from edgeray.scheduler.watching import Watching, stream_windows, view
from edgeray.scheduler.whereabouts import query
from edgeray.telemetry.records import DeviceSample
from policies.model import (
    CameraId,
    Decision,
    DeviceId,
    FlowId,
    JobId,
    Network,
    Policy,
    TaskId,
    Workload,
)

log = logging.getLogger(__name__)

TICK_S = 1.0


class SchedulerService:
    """One lock around the state; one worker thread a device, so that its orders stay in order."""

    def __init__(
        self,
        network: Network,
        *,
        policy_named: Callable[[str], Policy],
        profiles: ProfileStore,
        journal: Journal,
        learner: Learner,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._network = network
        self._policy_named = policy_named
        self._journal = journal
        self._clock = clock
        self._planning_s = 0.0
        self._state = SchedulerState(network, lambda name: TimedPolicy(policy_named(name), self._planned))
        self._lock = threading.RLock()
        self._fleet = Fleet()
        self._background = ThreadPoolExecutor(max_workers=8, thread_name_prefix="scheduler")
        self._packages: dict[JobId, AppPackage] = {}
        self._keys = Keys()
        self._results: dict[JobId, dict[str, dict[str, int]]] = {}
        self._heard = Heard()
        self._progress = Progress()
        self._watching = Watching(self._progress)
        self._learning = Learning(learner, clock)
        self._alarm = threading.Timer(0.0, self._ring)
        self._alarm_s: float | None = None
        self._profiler = FleetProfiler(profiles)
        self._lost = name_the_lost(journal, clock())
        self._count = len(journal.last())

    # Jobs

    def submit(self, package: AppPackage, policy: str, *, lease_s: float | None = None) -> JobId:
        """Take a job in. Raises BadInputError for an unknown policy or a device that the cluster lacks."""
        try:
            self._policy_named(policy)
        except ValueError as error:
            raise BadInputError(str(error)) from error
        check_pinned(package.app, package.job, self._network)
        with self._lock:
            self._count += 1
            job_id = JobId(f"{package.job.id}-{self._count}")
            job = replace(package.job, id=job_id)
            self._packages[job_id] = package
        self._post(
            ev.JobSubmitted(
                at_s=self._clock(),
                job=job_id,
                workload=Workload(job=job),
                policy=policy,
                needs_profile=package.needs_profile,
                lease_s=lease_s,
            )
        )
        return job_id

    def stop(self, job: JobId, reason: str = "stopped by its user") -> None:
        """End a job. Raises BadInputError for an unknown one."""
        self.job(job)
        self._post(ev.StopRequested(at_s=self._clock(), job=job, reason=reason))

    def renew(self, job: JobId) -> JobView:
        """Tell that the submitter still lives; the job as it is now."""
        self._post(ev.LeaseRenewed(at_s=self._clock(), job=job))
        return self.job(job)

    def forget(self, job: JobId) -> bool:
        """Drop what a job learned, see `Learning.forget`. Raises BadInputError for an unknown job."""
        return self._learning.forget(self.job(job))

    def jobs(self) -> list[JobView]:
        """Every job since the scheduler started, and those that an earlier one lost."""
        with self._lock:
            known = [self._view(job) for job in self._state.jobs]
        return [*self._lost.values(), *known]

    def job(self, job: JobId) -> JobView:
        if job in self._lost:
            return self._lost[job]
        with self._lock:
            if job not in self._state.jobs:
                known = ", ".join(sorted({*self._state.jobs, *self._lost})) or "none"
                raise BadInputError(f"no job {job!r}; known jobs: {known}\n  remedy:   see `edgeray jobs`")
            return self._view(job)

    def logs(self, job: JobId) -> dict[str, Any]:
        """The job's story, and the tail of what its stages printed, by device."""
        return {"story": self._journal.story(job), "stages": answers.tails(self._fleet, self.job(job))}

    def outputs(self, job: JobId) -> list[tuple[DeviceId, Output]]:
        """A job's results so far, and where they lie: what the sinks of a one-shot job returned, what a loop's server has
        made. ClusterError when a device that has some is gone."""
        self.job(job)
        return answers.outputs(self._fleet, self._record(job), job)

    def read_output(self, job: JobId, device: DeviceId, file: str, offset: int, size: int) -> bytes:
        """A piece of a result, of a job that runs or has ended. Raises ClusterError, or BadInputError for no result."""
        self.job(job)
        return answers.read_output(self._fleet, job, device, file, offset, size)

    def query(self, job: JobId, person: int | None = None) -> dict[str, Any]:
        """Where a person went, or who was seen, and which devices could not be asked; see `whereabouts.query`."""
        self.job(job)
        record = self._record(job)
        return query(self._fleet, job, record.workload.job if record else None, person)

    def profile(self, package: AppPackage, *, again: bool = False) -> ByType:
        """Measurements by device type, from the store where they are known; EdgeRayError when none can be had."""
        check_pinned(package.app, package.job, self._network)
        with self._lock:
            busy = {d for r in self._state.jobs.values() if r.phase.placed for d in r.stages}
        nodes = {self._network.devices[d]: node for d, node in self._fleet.nodes.items()}
        return self._profiler.measure(package, nodes, busy, again=again)

    # Devices

    def node_joined(self, device: DeviceId, address: str, node: NodeHandle) -> None:
        """A node that was reset stands ready."""
        self._fleet.join(device, node)
        self._heard.joined(device, self._clock())
        self._post(ev.DeviceJoined(at_s=self._clock(), device=device, address=address))

    def node_lost(self, device: DeviceId, reason: str) -> None:
        if self._fleet.leave(device):
            self._post(ev.DeviceLost(at_s=self._clock(), device=device, reason=reason))

    def returned(self) -> set[DeviceId]:
        """Devices that were lost for their silence and have been heard of again: their nodes are to join anew."""
        return self._heard.returned - set(self._fleet.nodes)

    def devices(self) -> list[DeviceView]:
        now_s = self._clock()
        with self._lock:
            joined = dict(self._state.devices)
            placed = [(r.id, tuple(r.stages)) for r in self._state.jobs.values() if r.phase.placed]
        return [
            device_view(
                device,
                joined.get(device.id),
                self._heard.samples.get(device.id),
                self._heard.age_s(device.id, now_s),
                tuple(job for job, stages in placed if device.id in stages),
            )
            for device in self._network.devices.values()
        ]

    def network(self) -> Network:
        """The cluster as it was declared."""
        return self._network

    def planning_s(self) -> float:
        """How long the last decision took."""
        return self._planning_s

    def _planned(self, seconds: float, _decision: Decision) -> None:
        self._planning_s = seconds

    # Telemetry

    def telemetry(self, sample: DeviceSample) -> None:
        self._heard.take(sample, self._clock(), self._fleet.nodes)
        self._progress.add(sample)

    def stage_ended(self, job: JobId, device: DeviceId, end: StageEnd) -> None:
        if end.final is not None:
            self._progress.finish(job, end.final)
        self._keep_results(job, device)
        self._post(
            ev.StageEnded(
                at_s=self._clock(),
                job=job,
                device=device,
                error=end.error,
                peer_lost=end.peer_lost,
                died=end.died,
            )
        )

    def transfer_ready(self, job: JobId, flow: FlowId) -> None:
        """A one-shot job's flow has its data (told by its producer's stage)."""
        self._post(ev.TransferReady(at_s=self._clock(), job=job, flow=flow))

    def transfer_done(self, job: JobId, flow: FlowId) -> None:
        """All of it has arrived (told by its consumer's stage)."""
        self._post(ev.TransferDone(at_s=self._clock(), job=job, flow=flow))

    def share_flows(self, job: JobId, rates_bps: Mapping[FlowId, float]) -> None:
        """A running job's flows are to have these rates (told by its server's stage)."""
        self._post(ev.SharesAsked(at_s=self._clock(), job=job, rates_bps=rates_bps))

    def counters(self) -> dict[DeviceId, NodeCounters]:
        """Cumulative counters of every node, asked for at the same time."""
        return self._fleet.ask_all(lambda node: node.counters())

    def sink_windows(self, job: JobId, from_s: float, to_s: float) -> dict[TaskId, SinkWindow]:
        """What left the job's sinks between two times."""
        with self._lock:
            record = self._state.jobs.get(job)
            devices = sorted(record.stages) if record else []
        windows: dict[TaskId, SinkWindow] = {}
        for device in devices:
            windows.update(self._fleet.ask(device, lambda node: node.sink_windows(job, from_s, to_s)) or {})
        return windows

    def stream_windows(self, job: JobId, from_s: float, to_s: float) -> dict[CameraId, SinkWindow]:
        """What was done of each camera's frames between two times, on all devices that it was watched on."""
        return stream_windows(self._fleet, self._record(job), from_s, to_s)

    def view(self, job: JobId, camera: CameraId) -> dict[str, Any] | None:
        """The last picture of a job's camera, see `watching.view`. Raises BadInputError for an unknown job."""
        self.job(job)
        return view(self._fleet, self._record(job), camera)

    def tick(self) -> None:
        """To be called every second: leases, what cameras see, what jobs learn, and nodes that fell silent."""
        now_s = self._clock()
        self._post(ev.Ticked(at_s=now_s))
        with self._lock:
            running = [r.workload.job for r in self._state.jobs.values() if r.phase is Phase.RUNNING]
            deciding = {r.id for r in self._state.jobs.values() if r.phase.placed and r.workload.job.online}
        self._learning.look(now_s, deciding)
        for measured in self._watching.due(now_s, running):
            self._post(measured)
        for device in self._fleet.nodes:
            if (silent_s := self._heard.age_s(device, now_s)) > SILENT_S:
                self.node_lost(device, f"silent for {silent_s:.0f} s")

    # Effects

    def _post(self, event: ev.Event) -> None:
        with self._lock:
            try:
                effects = self._state.handle(event)
            except Exception as error:  # a policy that raises must not take the scheduler down
                log.exception("event %s failed", event)
                effects = self._blame(event, error)
            for effect in effects:
                self._dispatch(effect)
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Come back when a transfer need not wait any longer for another's planned start: ticks are too coarse."""
        wake_s = self._state.wake_s()
        if wake_s == self._alarm_s:
            return
        self._alarm_s = wake_s
        self._alarm.cancel()
        if wake_s is not None:
            self._alarm = threading.Timer(max(0.0, wake_s - self._clock()), self._ring)
            self._alarm.daemon = True
            self._alarm.start()

    def _ring(self) -> None:
        with self._lock:
            self._alarm_s = None
            self._post(ev.Ticked(at_s=self._clock()))

    def _blame(self, event: ev.Event, error: Exception) -> list[Effect]:
        waiting = [r.id for r in self._state.jobs.values() if not r.phase.ended and not r.phase.placed]
        effects: list[Effect] = []
        for job in waiting:
            reason = f"the policy failed: {type(error).__name__}: {error}"
            effects += self._state.handle(ev.ProfileFailed(at_s=event.at_s, job=job, reason=reason))
            effects += self._state.handle(ev.StopRequested(at_s=event.at_s, job=job, reason=reason))
        return effects

    def _dispatch(self, effect: Effect) -> None:
        match effect:
            case JobChanged(job=job, phase=phase, detail=detail):
                record = self._state.jobs[job]
                self._journal.add(self._clock(), job, self._packages[job].app, record.policy, phase, detail)
            case ProfileJob(job=job):
                self._background.submit(self._profile_job, job)
            case ApplyNetwork(device=device, version=version):
                self._fleet.order(device, lambda node: self._apply(node, device, version, effect))
            case DeployStage(device=device, stage=stage):
                self._fleet.order(device, lambda node: self._deploy(node, device, stage))
            case StartStage(device=device, job=job):
                self._fleet.order(device, lambda node: self._start(node, device, job))
            case PaceStage(device=device, job=job):
                self._fleet.order(
                    device, lambda node: node.pace_stage(job, effect.granted_per_s, effect.rates_bps)
                )
            case MapStreams(device=device, job=job, mapped=mapped):
                self._fleet.order(device, lambda node: node.map_streams(job, mapped))
            case StartTransfer(device=device, job=job, flow=flow):
                self._fleet.hurry(device, lambda node: node.start_transfer(job, flow))
            case StopStage(device=device, job=job):
                self._fleet.order(device, lambda node: self._stop_stage(node, device, job))

    def _apply(self, node: NodeHandle, device: DeviceId, version: int, effect: ApplyNetwork) -> None:
        try:
            node.apply_network(effect.rules)
        except Exception as error:
            self._post(
                ev.NetworkRefused(at_s=self._clock(), device=device, version=version, reason=one_line(error))
            )
        else:
            self._post(ev.NetworkApplied(at_s=self._clock(), device=device, version=version))

    def _deploy(self, node: NodeHandle, device: DeviceId, stage: StagePlan) -> None:
        package = self._packages[stage.job]
        order = StageOrder(
            plan=stage,
            code={task: package.code[task] for task in stage.tasks},
            security=self._keys.of(stage),
            address=self._state.devices[device],
            output_dir="",
            working_dir=None,
            self_paced=False,
        )
        try:
            if stage.mode not in ("stream", "once"):  # one taken for dead may still be there, with its ports
                node.stop_stage(stage.job)
            node.deploy(order, package.working_dir)
        except Exception as error:
            self._failed(stage.job, device, error)
        else:
            self._post(ev.StageDeployed(at_s=self._clock(), job=stage.job, device=device))

    def _start(self, node: NodeHandle, device: DeviceId, job: JobId) -> None:
        try:
            node.start_stage(job)
        except Exception as error:
            self._failed(job, device, error)

    def _failed(self, job: JobId, device: DeviceId, error: Exception) -> None:
        """A stage could not be deployed or started."""
        died = any(isinstance(e, StageDied | ClusterError) for e in (error, getattr(error, "cause", None)))
        self._post(
            ev.StageEnded(at_s=self._clock(), job=job, device=device, error=one_line(error), died=died)
        )

    def _stop_stage(self, node: NodeHandle, device: DeviceId, job: JobId) -> None:
        try:
            end = node.stop_stage(job)
        except Exception as error:  # the node is gone, and its stages with it
            end = StageEnd(error=one_line(error), peer_lost=False, final=None)
        self.stage_ended(job, device, end)

    def _profile_job(self, job: JobId) -> None:
        try:
            profile = merge(self.profile(self._packages[job]))
        except Exception as error:
            self._post(ev.ProfileFailed(at_s=self._clock(), job=job, reason=one_line(error)))
        else:
            self._post(ev.JobProfiled(at_s=self._clock(), job=job, profile=profile))

    # Small things

    def _record(self, job: JobId) -> JobRecord | None:
        with self._lock:
            return self._state.jobs.get(job)

    def _keep_results(self, job: JobId, device: DeviceId) -> None:
        files = self._fleet.ask(device, lambda node: node.results(job))
        if files:
            self._results.setdefault(job, {})[device] = files

    def _view(self, job: JobId) -> JobView:
        record = self._state.jobs[job]
        progress = self._progress.told(record.workload.job)
        learner = self._learning.of(job, self._clock())
        return job_view(record, self._packages[job].app, progress, self._results.get(job, {}), learner)
