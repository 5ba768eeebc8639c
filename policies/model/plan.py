"""What a policy answers, and what it is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from policies.model.ids import CameraId, DeviceId, FlowId, JobId, TaskId
from policies.model.job import Workload
from policies.model.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """When a one-shot job's tasks and transfers begin and end, in seconds from the job's start.

    transfers: of the flows that cross devices. A device computes one task at a time; a transfer has all links of
    its route to itself. makespan_s: when the last task ends. bound_s: no schedule is shorter.
    contention_free_s: the makespan if transfers never waited for each other, as HEFT and its kin reckon.
    """

    tasks: Mapping[TaskId, tuple[float, float]]
    transfers: Mapping[FlowId, tuple[float, float]]
    makespan_s: float
    bound_s: float
    contention_free_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """The first of the cycles in which a job trains (MEL). iterations: local ones (tau). samples, predicted_s: by client,
    how many it gets, and what it takes until its weights are back. C2, C1, C0: by client, see `BatchInstance`; they are
    measured again in each cycle."""

    iterations: int
    samples: Mapping[TaskId, int]
    predicted_s: Mapping[TaskId, float]
    C2: Mapping[TaskId, float]
    C1: Mapping[TaskId, float]
    C0: Mapping[TaskId, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How a job trains its model. cuts: by client, which of the profile's cuts ends its part (CutProfile).

    micro_batches: pieces of a batch that are under way one behind the other; 1: a client waits for each batch.
    round_s: what the policy reckons a round takes. predicted_s: with all that P1 leaves out, the server's queue
    first of all. bound_s: no round is shorter; None where it is not known. cycle: of mode "batches".
    """

    cuts: Mapping[TaskId, int]
    micro_batches: int
    round_s: float
    predicted_s: float
    bound_s: float | None
    cycle: Cycle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlacement:
    """Where one camera's people are detected (x) and re-identified (y), the frames a second that it can then have
    beside all others, and the latency of a frame by the published model, without queues (L_k)."""

    detect_on: DeviceId
    identify_on: DeviceId
    items_per_s: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """How a job's cameras are watched. streams: by camera, in the job's order. sum_latency_s, common_fps: what
    policies of streams are judged by (see `policies.streams.instance`). decided_s: when."""

    streams: Mapping[CameraId, StreamPlacement]
    sum_latency_s: float
    common_fps: float
    decided_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where each task of one job runs, which way each flow goes, and how fast.

    routes: devices from the producer's to the consumer's, both included; () on the same device.
    rates_bps: granted bits/s of every flow that crosses a link. throughput_per_s: predicted items/s.
    bottleneck: what binds it, e.g. "device e1", "link e2-e4", "source camera", "granted".
    granted_per_s: items/s the sources are paced to, or None when the policy grants no job rate.
    timetable: of a one-shot job; then throughput_per_s is 1 / makespan, and rates hold while a transfer runs.
    rounds: of a job that trains a model; then throughput_per_s is rounds a second.
    mapped: of a job that watches cameras; then throughput_per_s is the mean of its streams' frames a second.
    ceilings_bps: of flows that may take more than their rate while nobody else wants it, up to this; their rate
    is a guarantee then. For all others the rate is the most they get.
    shares: by replica, the part of the items that it is planned to take; {}: what the workload says.
    """

    job: JobId
    policy: str
    placement: Mapping[TaskId, DeviceId]
    routes: Mapping[FlowId, tuple[DeviceId, ...]]
    rates_bps: Mapping[FlowId, float]
    throughput_per_s: float
    bottleneck: str
    granted_per_s: float | None = None
    timetable: Timetable | None = None
    rounds: Rounds | None = None
    mapped: Mapped | None = None
    ceilings_bps: Mapping[FlowId, float] = field(default_factory=dict)
    shares: Mapping[TaskId, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """No plan exists now, and why: each reason names the task, device or link and the amount it lacks."""

    job: JobId
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that runs, and the plan it runs by."""

    workload: Workload
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a policy sees. running holds the jobs in the order in which they started."""

    network: Network
    running: tuple[RunningJob, ...] = ()
    now_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """plans: of arrivals that were placed, and of running jobs whose routes or rates change (never placement), or
    whose cameras are watched elsewhere."""

    plans: Mapping[JobId, Plan] = field(default_factory=dict)
    infeasible: Mapping[JobId, Infeasible] = field(default_factory=dict)


class Policy(Protocol):
    """A placement policy for dataflow jobs. decide is pure and deterministic."""

    @property
    def name(self) -> str: ...

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        """Place arrivals (longest waiting first) and re-adjust what runs.

        Called with no arrivals when a job has finished, so that what runs may take over what it held.
        """
        ...
