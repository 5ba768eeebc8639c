"""Jobs that watch cameras under a virtual clock: the scheduler's mappings carried out frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgeray.errors import BadInputError
from edgeray.policy_names import policy_named
from edgeray.scheduler import effects as ef
from edgeray.scheduler import events as ev
from edgeray.scheduler.jobs import JobRecord, Phase
from edgeray.scheduler.progress import LEAST_FRAMES
from edgeray.scheduler.state import SchedulerState
from edgeray.scheduler.watching import LOOK_S, OVER_S
from edgeray.simulator.clock import CONTROL, Clock
from edgeray.simulator.shares import Wires
from edgeray.simulator.watching import CameraRun, Feeding, Scene
from edgeray.streams.feed import WINDOW
from policies.model import CameraId, DeviceId, Flow, Mapped, Network, Plan, Policy, Workload
from policies.placement.reasons import Refusal
from policies.streams.reading import Watched, watched

MOVE_S = 1.0
"""What a stream stands still for when it moves."""
WARM_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a simulation goes through. seconds: virtual, of which the first warm_s do not count.

    people: to be re-identified a frame, by camera and time; None: as the job says, all the time. feeding: by camera;
    those that are not named wait. window: frames of a stream under way at the same time; 1 is a detector that is called
    and waited for. move_s: what a stream stands still for when it moves.
    """

    seconds: float = 300.0
    warm_s: float = WARM_S
    people: Callable[[CameraId, float], float] | None = None
    feeding: Mapping[CameraId, Feeding] = field(default_factory=dict)
    window: int = WINDOW
    move_s: float = MOVE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedStream:
    """One camera. results: (time, latency) of each frame that was done with all that was asked, once it was warm.

    taken, dropped: frames that it gave, and that nobody took, from the start. moves: how often its detector
    moved; identify_moves: its re-identification.
    """

    camera: CameraId
    detect_on: DeviceId
    identify_on: DeviceId
    planned_fps: float
    seconds: float
    results: tuple[tuple[float, float], ...]
    taken: int
    dropped: int
    moves: int
    identify_moves: int

    @property
    def fps(self) -> float:
        return len(self.results) / self.seconds

    @property
    def latency_s(self) -> float | None:
        """The mean; None: no frame was done."""
        return float(np.mean([each for _, each in self.results])) if self.results else None

    def as_json(self) -> dict[str, Any]:
        latencies = [each for _, each in self.results]
        return {
            "camera": self.camera,
            "detect_on": self.detect_on,
            "identify_on": self.identify_on,
            "fps": self.fps,
            "planned_fps": self.planned_fps if math.isfinite(self.planned_fps) else None,
            "latency_s": self.latency_s,
            "latency_p95_s": float(np.quantile(latencies, 0.95)) if latencies else None,
            "taken": self.taken,
            "dropped": self.dropped,
            "moves": self.moves,
            "identify_moves": self.identify_moves,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCameras:
    """A job alone on a network. plan: the last one; None where the policy has none, reasons then say why.

    mapped_at_s: when its cameras were mapped, the first time included. busy: by device, the part of the time in which
    it computed.
    """

    policy: str
    seconds: float
    warm_s: float
    plan: Plan | None = None
    streams: tuple[SimulatedStream, ...] = ()
    reasons: tuple[str, ...] = ()
    mapped_at_s: tuple[float, ...] = ()
    busy: Mapping[DeviceId, float] = field(default_factory=dict)

    @property
    def fps_mean(self) -> float:
        return sum(stream.fps for stream in self.streams) / max(1, len(self.streams))

    @property
    def fps_least(self) -> float:
        return min((stream.fps for stream in self.streams), default=0.0)

    @property
    def latencies_s(self) -> list[float]:
        """Of all frames."""
        return [each for stream in self.streams for _, each in stream.results]

    @property
    def latency_s(self) -> float | None:
        """The mean over the streams of their means, as the thesis counts it."""
        means = [stream.latency_s for stream in self.streams if stream.latency_s is not None]
        return sum(means) / len(means) if means else None

    @property
    def moves(self) -> int:
        return sum(stream.moves + stream.identify_moves for stream in self.streams)

    def as_json(self) -> dict[str, Any]:
        if self.plan is None:
            return {"policy": self.policy, "feasible": False, "reasons": list(self.reasons)}
        latencies = self.latencies_s
        planned = self.plan.throughput_per_s
        return {
            "policy": self.policy,
            "feasible": True,
            "seconds": self.seconds,
            "warm_s": self.warm_s,
            "fps_mean": self.fps_mean,
            "fps_least": self.fps_least,
            "planned_fps": planned if math.isfinite(planned) else None,
            "bottleneck": self.plan.bottleneck,
            "latency_s": self.latency_s,
            "latency_p95_s": float(np.quantile(latencies, 0.95)) if latencies else None,
            "moves": sum(stream.moves for stream in self.streams),
            "identify_moves": sum(stream.identify_moves for stream in self.streams),
            "mapped_at_s": list(self.mapped_at_s),
            "streams": [stream.as_json() for stream in self.streams],
            "devices": dict(sorted(self.busy.items())),
        }


def simulate_cameras(
    workload: Workload, network: Network, policy: str, course: Course | None = None, own: Policy | None = None
) -> SimulatedCameras:
    """Run a job that watches cameras, alone on a network, by the live system's scheduler state and policy.

    Frames go as `edgeray.streams` has them: read and compressed on the camera's device, over links that connections
    share by their guarantees, detected in turn, their people re-identified first and told by the gallery. Every LOOK_S
    the scheduler is told what was measured and may map anew. own: the policy to use under that name. Messages other than
    frames and crops take a link's delay and no more. Deterministic. Raises BadInputError for what cannot be simulated.
    """
    asked = course or Course()
    if not (asked.seconds > asked.warm_s >= 0 and asked.window >= 1 and asked.move_s >= 0):
        raise BadInputError(
            f"a course of {asked.seconds:g} s with {asked.warm_s:g} s to warm up\n"
            "  expected: more seconds than it takes to warm up\n"
            "  remedy:   simulate longer"
        )
    return _Simulation(workload, network, policy, asked, own).run()


class _Simulation:
    def __init__(
        self, workload: Workload, network: Network, policy: str, course: Course, own: Policy | None
    ) -> None:
        self._workload, self._network, self._policy, self._course = workload, network, policy, course
        self._job = workload.job.id
        self._clock = Clock()
        self._state = SchedulerState(network, lambda name: own if own is not None else policy_named(name))
        self._alarm_s: float | None = None
        self._mapped: Mapped | None = None
        self._mapped_at_s: list[float] = []
        self._scene: Scene | None = None
        self._ids: list[CameraId] = []
        self._index: Mapping[DeviceId, int] = {}

    def run(self) -> SimulatedCameras:
        for device in sorted(self._network.devices):
            self._handle(ev.DeviceJoined(at_s=0.0, device=device, address=device))
        self._handle(
            ev.JobSubmitted(
                at_s=0.0,
                job=self._job,
                workload=self._workload,
                policy=self._policy,
                needs_profile=False,
                lease_s=None,
            )
        )
        self._clock.run(0.0)
        told = SimulatedCameras(policy=self._policy, seconds=self._course.seconds, warm_s=self._course.warm_s)
        record = self._state.jobs[self._job]
        if record.plan is None or self._scene is None:
            return replace(told, reasons=record.reasons or (record.detail,))
        self._clock.at(LOOK_S, CONTROL, self._look)
        self._clock.run(self._course.seconds)
        return self._outcome(told, record, self._scene)

    # The scheduler's events and effects

    def _handle(self, event: ev.Event) -> None:
        for effect in self._state.handle(event):
            if not isinstance(effect, ef.JobChanged):
                self._clock.at(event.at_s, CONTROL, self._in_force, effect)
        alarm_s = self._state.wake_s()
        if alarm_s is not None and alarm_s != self._alarm_s:
            self._clock.at(max(alarm_s, event.at_s), CONTROL, self._tick, alarm_s)
        self._alarm_s = alarm_s

    def _tick(self, due_s: float) -> None:
        if due_s == self._alarm_s:
            self._alarm_s = None
            self._handle(ev.Ticked(at_s=self._clock.now_s))

    def _in_force(self, effect: ef.Effect) -> None:
        now_s = self._clock.now_s
        match effect:
            case ef.ApplyNetwork(device=device, version=version):
                self._handle(ev.NetworkApplied(at_s=now_s, device=device, version=version))
            case ef.DeployStage(device=device, stage=stage):
                self._handle(ev.StageDeployed(at_s=now_s, job=stage.job, device=device))
            case ef.StopStage(device=device, job=job):
                self._handle(ev.StageEnded(at_s=now_s, job=job, device=device, error=None))
            case ef.MapStreams(mapped=mapped):
                self._map(mapped)
            case _:  # stages stand by themselves here, and connections follow the plan's rates
                pass

    def _look(self, _: Any) -> None:
        """Tell the scheduler how many people each camera has seen lately."""
        assert self._scene is not None, "it runs"
        now_s = self._clock.now_s
        told = {
            camera: calls
            for camera, run in zip(self._ids, self._scene.cameras, strict=True)
            if (calls := _calls_per_frame(run, now_s)) is not None
        }
        self._handle(ev.StreamsMeasured(at_s=now_s, job=self._job, calls_per_frame=told))
        self._clock.at(now_s + LOOK_S, CONTROL, self._look)

    # The virtual cluster

    def _map(self, mapped: Mapped) -> None:
        """Every edge is told; the first counts."""
        if mapped == self._mapped:
            return
        self._mapped = mapped
        self._mapped_at_s.append(self._clock.now_s)
        plan = self._state.jobs[self._job].plan
        assert plan is not None, "it is mapped"
        if self._scene is None:
            if math.isinf(plan.throughput_per_s):
                raise BadInputError(
                    f"job {self._job}: nothing bounds how fast it goes: no camera's rate, no work, no bytes over a link\n"
                    "  remedy:   give its cameras fps"
                )
            self._scene = self._made()
        assert self._scene.wires is not None
        self._scene.wires.weigh(self._weights(plan))
        for number, camera in enumerate(self._ids):
            place = mapped.streams[camera]
            self._scene.map(number, self._index[place.detect_on], self._index[place.identify_on])

    def _made(self) -> Scene:
        streams = self._workload.job.streams
        assert streams is not None, "it is mapped"
        one_each = {camera.id: 1.0 for camera in streams.cameras}
        each = watched(replace(self._workload, calls_per_frame=one_each), self._network)
        assert not isinstance(each, Refusal), "it is mapped"
        self._ids, self._index = [camera.id for camera in each.cameras], each.graph.index
        server = next(device for device, task in streams.edges.items() if task == streams.server)
        return Scene(
            self._clock,
            each,
            Wires(self._clock, self._network, each.graph, each.routes),
            server=self._index[server],
            people=self._people(each),
            feeding={
                k: self._course.feeding[c] for k, c in enumerate(self._ids) if c in self._course.feeding
            },
            window=self._course.window,
            move_s=self._course.move_s,
        )

    def _people(self, each: Watched) -> Callable[[int, float], float]:
        scripted = self._course.people
        if scripted is not None:
            return lambda k, at_s: scripted(self._ids[k], at_s)
        told = self._workload.calls_per_frame
        fixed = [told.get(camera.id, camera.calls_per_frame) for camera in each.cameras]
        return lambda k, _: fixed[k]

    def _weights(self, plan: Plan) -> dict[tuple[int, int], float]:
        streams = self._workload.job.streams
        assert streams is not None, "it is mapped"
        edges = [(device, task) for device, task in streams.edges.items() if device in self._index]
        return {
            (self._index[a], self._index[b]): plan.rates_bps[flow]
            for a, one in edges
            for b, other in edges
            if (flow := Flow(producer=one, consumer=other).id) in plan.rates_bps
        }

    def _outcome(self, told: SimulatedCameras, record: JobRecord, scene: Scene) -> SimulatedCameras:
        if record.phase is not Phase.RUNNING or record.plan is None or record.plan.mapped is None:
            raise BadInputError(f"job {self._job} did not run to the end: {record.detail}")
        end_s, mapped = self._course.seconds, record.plan.mapped
        return replace(
            told,
            plan=record.plan,
            streams=tuple(
                _stream(camera, run, mapped, self._course.warm_s, end_s)
                for camera, run in zip(self._ids, scene.cameras, strict=True)
            ),
            mapped_at_s=tuple(self._mapped_at_s),
            busy={
                device: scene.threads[number].busy_s / end_s for device, number in sorted(self._index.items())
            },
        )


def _calls_per_frame(run: CameraRun, now_s: float) -> float | None:
    """As `Progress.calls_per_frame` has it live."""
    while run.seen and run.seen[0][0] <= now_s - OVER_S:
        run.seen.popleft()
    return sum(people for _, people in run.seen) / len(run.seen) if len(run.seen) >= LEAST_FRAMES else None


def _stream(camera: CameraId, run: CameraRun, mapped: Mapped, warm_s: float, end_s: float) -> SimulatedStream:
    place = mapped.streams[camera]
    return SimulatedStream(
        camera=camera,
        detect_on=place.detect_on,
        identify_on=place.identify_on,
        planned_fps=place.items_per_s,
        seconds=end_s - warm_s,
        results=tuple(each for each in run.results if each[0] > warm_s),
        taken=run.taken,
        dropped=run.dropped,
        moves=run.moves,
        identify_moves=run.identify_moves,
    )
