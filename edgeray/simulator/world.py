"""What a virtual cluster must be able to do: carry out the scheduler's effects, and tell what comes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeray.network.types import FlowRule
from edgeray.scheduler.effects import StagePlan
from policies.model import DeviceId, FlowId, JobId, LinkId, Plan, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A placed job. items: how many its sources give; None: no end. warm_s: measured from then on, after its start."""

    workload: Workload
    plan: Plan
    items: int | None
    warm_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a job did between its start (throughput and latencies: warm_s later) and now."""

    items: int
    throughput_per_s: float
    latency_p50_s: float | None
    latency_p95_s: float | None


NOTHING = Measured(items=0, throughput_per_s=0.0, latency_p50_s=None, latency_p95_s=None)


class Reports(Protocol):
    """What a world tells the scheduler's side."""

    def finished(self, job: JobId) -> None:
        """All of the job's items have left all sinks, or all of a one-shot job's tasks have run."""
        ...

    def transfer_ready(self, job: JobId, flow: FlowId) -> None: ...
    def transfer_done(self, job: JobId, flow: FlowId) -> None: ...


class World(Protocol):
    """The virtual cluster. Effects that name a stage which is gone do nothing."""

    def rules(self, device: DeviceId, rules: Sequence[FlowRule]) -> None:
        """The flow rules that device enforces from now on."""
        ...

    def deploy(self, stage: StagePlan, order: Order) -> None: ...
    def start(self, device: DeviceId, job: JobId) -> None: ...
    def pace(self, device: DeviceId, job: JobId, granted_per_s: float | None, plan: Plan) -> None: ...
    def transfer(self, job: JobId, flow: FlowId) -> None: ...
    def stop(self, device: DeviceId, job: JobId) -> None: ...

    def device_fails(self, device: DeviceId) -> None:
        """Its stages are gone, and nothing passes its links."""
        ...

    def device_returns(self, device: DeviceId) -> None: ...
    def link_changes(self, link: LinkId, capacity_bps: float) -> None: ...

    def measured(self, job: JobId) -> Measured:
        """Up to now, or to when the job ended."""
        ...

    def busy_seconds(self) -> Mapping[DeviceId, float]: ...
    def link_loads(self) -> Mapping[LinkId, float]:
        """Bits carried over each link, as a part of what it could have carried so far."""
        ...
