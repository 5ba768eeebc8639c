"""What an application asks for: a DAG of tasks joined by flows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from policies.model.ids import CameraId, DeviceId, FlowId, JobId, TaskId
from policies.model.network import Device

Mode = Literal["stream", "once", "loop", "batches", "fog", "cameras", "offload", "frames"]
"""stream: every task runs once per item, as many items a second as can be. once: each task runs once, as soon
as can be. loop: all tasks run side by side and talk to each other, both ways, until they are done. cameras: as loop,
one task a device; which cameras' people each of them detects and re-identifies is said anew while they run.
batches, fog: as loop, one task a device; how many samples each client gets is decided cycle by cycle, and where points
are processed interval by interval, by the server's task with the job's policy. offload, frames: as these, item by item,
or frame by frame."""

TRAINS: tuple[Mode, ...] = ("loop", "batches", "fog")
"""The modes of jobs that train one model in rounds."""

ONLINE: tuple[Mode, ...] = ("offload", "frames")
"""The modes of jobs that decide while they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One module of the application.

    memory_bytes: R_i, held while the job runs. device: where it must run (a source's camera), or None.
    work_flop: declared work per item C_i, or None when only a profile says how long it takes.
    seconds: declared time per item by device type; then it runs on these types only. share: the part of the items that
    it is planned to take, below 1 for one of several replicas.
    """

    id: TaskId
    memory_bytes: float = 0.0
    device: DeviceId | None = None
    work_flop: float | None = None
    seconds: Mapping[str, float] | None = None
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Data from one task to another; size_bytes per item (D_ij), None until a profile gives it. share: the part of the
    items that it is planned to carry."""

    producer: TaskId
    consumer: TaskId
    size_bytes: float | None = None
    share: float = 1.0

    @property
    def id(self) -> FlowId:
        return FlowId(f"{self.producer}->{self.consumer}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    """Rounds of a fixed length, in which samples are shared out to clients (MEL). cycle_s: of which margin, as a
    fraction, is not planned with. samples: in each (d). sample_bytes: that are sent for each, on the wire. batch_size:
    of the steps, as they were profiled."""

    cycle_s: float
    samples: int
    sample_bytes: float
    batch_size: int
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a job of a mode in TRAINS trains: one model, in rounds, by a server task and client tasks.

    batches: of each client in a round, all its local epochs together; where that is decided in each round, 1.
    micro_batches: how many pieces a policy may cut a batch into; 1 where pieces would change what is learned (BatchNorm).
    cycles: of mode "batches".
    """

    server: TaskId
    batches: Mapping[TaskId, int]
    rounds: int
    micro_batches: int = 1
    cycles: Cycles | None = None

    @property
    def clients(self) -> tuple[TaskId, ...]:
        return tuple(self.batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera, the source of one stream. device: what it is attached to. items_per_s: its own frame rate, None: as
    fast as its frames are taken. calls_per_frame: people to be re-identified a frame, until it has been measured."""

    id: CameraId
    device: DeviceId
    items_per_s: float | None = None
    calls_per_frame: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What a job of mode "cameras" watches. edges: the task of each device that takes part; server: the edge on the
    head, which keeps the gallery and the archive. workers: the devices that may detect and re-identify; the others
    only read their cameras.

    detector_bytes, identifier_bytes: memory of a detector (R_det, one a stream) and of a re-identification model
    (R_reid, one a device that has any), declared; 0: as measured. least_gain: a running stream or model moves when a
    plan promises so much more, as a fraction; settle_s: and not before so long after the last move.
    """

    server: TaskId
    edges: Mapping[DeviceId, TaskId]
    cameras: tuple[Camera, ...]
    workers: tuple[DeviceId, ...]
    detector_bytes: float = 0.0
    identifier_bytes: float = 0.0
    least_gain: float = 0.1
    settle_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """What a job of a mode in ONLINE consists of: the task that decides, and those that it decides for."""

    server: TaskId
    clients: tuple[TaskId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Tasks of a stream that do the same work: each item goes to one of them, chosen where their producer runs.

    task: the name that the job gives all of them. producer: their one input. copies: the tasks, two at least, of equal
    shares. dispatch: a name of policies.bandit.registry. deadline_s: by when an item should be done, from its dispatch:
    the bit that is learned from. Whoever takes their output gets the items in order, as those of one task.
    """

    task: TaskId
    producer: TaskId
    copies: tuple[TaskId, ...]
    dispatch: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A DAG; of mode "loop", "batches", "offload" or "frames" a server and its clients, with a flow from and to each;
    of mode "fog" also from client to client; of mode "cameras" a task on each device, with flows between any two.
    Tasks stand in topological order, ties by id; a task with no inputs is a source.

    A stream's sources are pinned. items_per_s: the slowest source's own rate, which caps the job's throughput;
    None when unlimited.
    """

    id: JobId
    tasks: tuple[Task, ...]
    flows: tuple[Flow, ...]
    items_per_s: float | None = None
    kind: str = "dataflow"
    mode: Mode = "stream"
    training: Training | None = None
    streams: Streams | None = None
    online: Online | None = None
    replicas: tuple[Replicas, ...] = ()

    @property
    def side_by_side(self) -> bool:
        """Whether its tasks are processes that talk both ways, rather than steps of a DAG."""
        return self.mode in ("cameras", *TRAINS, *ONLINE)

    @property
    def server(self) -> TaskId | None:
        """Of tasks side by side, the one without which the others cannot go on."""
        leading = self.training or self.streams or self.online
        return None if leading is None else leading.server

    @property
    def clients(self) -> tuple[TaskId, ...]:
        """Of tasks side by side, those that can be done without for a while."""
        if self.streams is not None:
            return tuple(task for task in self.streams.edges.values() if task != self.streams.server)
        others = self.training or self.online
        return () if others is None else others.clients

    @property
    def sources(self) -> tuple[Task, ...]:
        fed = {flow.consumer for flow in self.flows}
        return tuple(task for task in self.tasks if task.id not in fed)

    def inputs(self, task: TaskId) -> tuple[Flow, ...]:
        return tuple(flow for flow in self.flows if flow.consumer == task)

    def arguments(self, task: TaskId) -> tuple[TaskId, ...]:
        """The producers of what a task is called with, in order; of replicas, which bring one argument, the first."""
        others = {copy for replicas in self.replicas for copy in replicas.copies[1:]}
        return tuple(flow.producer for flow in self.inputs(task) if flow.producer not in others)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutProfile:
    """What the profiler measured of the places where a model can be cut, from the input on; the last cut is the whole
    model. All sequences have one value a cut; those in mappings are by device type.

    layers: on the device. up_bytes, down_bytes: on the wire a batch, activations with labels, and gradients; 0 for the
    last. weights_bytes: of the layers on the device, on the wire, each way a round. forward_s, backward_s: of a batch
    through the layers on a device, with their update. server_s: of a batch through the rest, both ways, with its
    update. memory_bytes: of the whole process on a device. All infinite where it did not fit. send_s_per_byte: of
    computing that either end of a flow takes, by device type. piece_s, server_piece_s: of computing, both ways, that
    each further piece of a batch adds where a batch goes in pieces, on a device and on the server; {}: not measured.
    """

    names: tuple[str, ...]
    layers: tuple[int, ...]
    up_bytes: tuple[float, ...]
    down_bytes: tuple[float, ...]
    weights_bytes: tuple[float, ...]
    forward_s: Mapping[str, tuple[float, ...]]
    backward_s: Mapping[str, tuple[float, ...]]
    server_s: Mapping[str, tuple[float, ...]]
    memory_bytes: Mapping[str, tuple[float, ...]]
    send_s_per_byte: Mapping[str, float]
    piece_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    server_piece_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the profiler measured of one job.

    seconds: per item, by (task, device type). output_bytes: on the wire per item, by producer.
    peak_memory_bytes: by task. transfer_seconds: computing time that either end of a flow takes to send or to
    receive one item of a producer's output (pickling, encryption, system calls), by (producer, device type).
    cuts: of a job that trains a model; then the others are empty.
    """

    seconds: Mapping[tuple[TaskId, str], float]
    output_bytes: Mapping[TaskId, float]
    peak_memory_bytes: Mapping[TaskId, float]
    transfer_seconds: Mapping[tuple[TaskId, str], float] = field(default_factory=dict)
    cuts: CutProfile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A job with its numbers: what a policy plans with. Declared numbers go before profiled ones.

    calls_per_frame: of a job of mode "cameras", people re-identified a frame as measured lately, where it was.
    """

    job: Job
    profile: Profile | None = None
    calls_per_frame: Mapping[CameraId, float] = field(default_factory=dict)

    def seconds(self, task: Task, device: Device) -> float:
        """Seconds of task on device per item of the job: declared, or C_i / PS_u, or profiled; inf if unknown."""
        return task.share * self._seconds(task, device)

    def _seconds(self, task: Task, device: Device) -> float:
        """Per item that the task takes."""
        if task.seconds is not None:
            return task.seconds.get(device.type, float("inf"))
        if task.work_flop == 0:
            return 0.0
        if task.work_flop is not None and device.speed_flop_per_s > 0:
            return task.work_flop / device.speed_flop_per_s
        if self.profile is not None:
            return self.profile.seconds.get((task.id, device.type), float("inf"))
        return float("inf")

    def size_bytes(self, flow: Flow) -> float:
        """Bytes on flow per item of the job. Raises KeyError when they are neither declared nor profiled."""
        if flow.size_bytes is not None:
            return flow.share * flow.size_bytes
        if self.profile is None:
            raise KeyError(flow.id)
        return flow.share * self.profile.output_bytes[flow.producer]

    def transfer_seconds(self, flow: Flow, device: Device) -> float:
        """Computing time on device per item of the job when flow leaves or enters it; 0 where nobody measured it."""
        if self.profile is None:
            return 0.0
        return flow.share * self.profile.transfer_seconds.get((flow.producer, device.type), 0.0)

    def memory_bytes(self, task: Task) -> float:
        """Memory that the task holds: declared; a profile's peak where nothing is declared."""
        if task.memory_bytes or self.profile is None:
            return task.memory_bytes
        return self.profile.peak_memory_bytes.get(task.id, 0.0)

    def held_bytes(self, placement: Mapping[TaskId, DeviceId]) -> dict[DeviceId, float]:
        """Memory that the job holds of each device. A stream's tasks hold theirs together; a one-shot job
        computes one task at a time on a device, so there it is the largest."""
        held: dict[DeviceId, float] = {}
        for task in self.job.tasks:
            device, needed = placement[task.id], self.memory_bytes(task)
            before = held.get(device, 0.0)
            held[device] = max(before, needed) if self.job.mode == "once" else before + needed
        return held
