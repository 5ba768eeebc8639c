"""What the scheduler wants done. The service carries effects out, per device in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeray.network.types import FlowRule
from policies.model import DeviceId, FlowId, JobId, Mapped, Mode, Replicas, Rounds, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflow:
    """A flow that ends on this device: the consumer listens on port. peer: the producer's device."""

    flow: FlowId
    producer: TaskId
    consumer: TaskId
    peer: DeviceId
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outflow:
    """A flow that starts on this device: the producer's stage connects to address:port on device peer.

    rate_bps: the most that it may take, which its sender keeps to where tc does not see to it.
    """

    flow: FlowId
    producer: TaskId
    consumer: TaskId
    peer: DeviceId
    address: str
    port: int
    rate_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """The part of one job that runs on one device, as one process.

    local: (producer, consumer) pairs inside the stage. inputs: each task's producers, in argument order.
    depth_items: how many items may wait at each input, enough for the slowest parallel branch.
    due_s: of a one-shot job, when each task is to begin, in seconds from the job's start; None for others.
    rounds: of a job that trains a model, what its plan says of that. mapped: of one that watches cameras. policy: the
    plan's, by which jobs decide that do so while they run. replicas: of the whole job.
    """

    job: JobId
    device: DeviceId
    tasks: tuple[TaskId, ...]
    inputs: Mapping[TaskId, tuple[TaskId, ...]]
    inflows: tuple[Inflow, ...]
    outflows: tuple[Outflow, ...]
    sinks: tuple[TaskId, ...]
    depth_items: int
    granted_per_s: float | None
    due_s: Mapping[TaskId, float] | None = None
    mode: Mode = "stream"
    rounds: Rounds | None = None
    mapped: Mapped | None = None
    policy: str = ""
    replicas: tuple[Replicas, ...] = ()


class Effect:
    """Base of all effects."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileJob(Effect):
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyNetwork(Effect):
    """The whole set of flow rules that device must have from now on; later versions supersede earlier ones."""

    device: DeviceId
    version: int
    rules: tuple[FlowRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployStage(Effect):
    device: DeviceId
    stage: StagePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStage(Effect):
    device: DeviceId
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceStage(Effect):
    """New rates of a running stage: its sources' items/s, and its flows' bits/s where senders pace themselves."""

    device: DeviceId
    job: JobId
    granted_per_s: float | None
    rates_bps: Mapping[FlowId, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStreams(Effect):
    """From now on a running job's cameras are watched so; every edge is told all of it."""

    device: DeviceId
    job: JobId
    mapped: Mapped


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTransfer(Effect):
    """The links of a one-shot job's flow are free: device may send it."""

    device: DeviceId
    job: JobId
    flow: FlowId


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStage(Effect):
    device: DeviceId
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChanged(Effect):
    """For the journal and the job's log."""

    job: JobId
    phase: str
    detail: str
