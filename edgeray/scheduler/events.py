"""What can happen to the scheduler. Every event carries its time; the state never asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.model import CameraId, DeviceId, FlowId, JobId, LinkId, Profile, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted(Event):
    """lease_s: end the job when its submitter is not heard of for so long; None lets it live without one."""

    job: JobId
    workload: Workload
    policy: str
    needs_profile: bool
    lease_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProfiled(Event):
    job: JobId
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFailed(Event):
    job: JobId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceJoined(Event):
    device: DeviceId
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLost(Event):
    device: DeviceId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDeployed(Event):
    job: JobId
    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded(Event):
    """A stage is gone: it finished (error None), was stopped (error None) or broke.

    peer_lost: it broke because a flow's other end went away: a consequence, whose cause may be told later.
    died: its process was killed or crashed, rather than that its code raised.
    """

    job: JobId
    device: DeviceId
    error: str | None
    peer_lost: bool = False
    died: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReady(Event):
    """A one-shot job's flow has its data, and waits for the links of its route."""

    job: JobId
    flow: FlowId


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferDone(Event):
    """All of it has arrived."""

    job: JobId
    flow: FlowId


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged(Event):
    """A link has another capacity from now on."""

    link: LinkId
    capacity_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamsMeasured(Event):
    """How many people a frame each camera of a job had to be re-identified lately."""

    job: JobId
    calls_per_frame: Mapping[CameraId, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesAsked(Event):
    """A running job's server wants these flows to have these rates from now on, no less and no more."""

    job: JobId
    rates_bps: Mapping[FlowId, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkApplied(Event):
    device: DeviceId
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRefused(Event):
    device: DeviceId
    version: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Event):
    job: JobId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRenewed(Event):
    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked(Event):
    pass
