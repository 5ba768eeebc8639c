"""Typed records of what was measured. They travel as plain dicts (as_json) to reports and --json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSample:
    """One flow in one window. wire_bytes come from the kernel's class counters (None where tc is not in force)."""

    flow: str
    granted_bps: float | None
    payload_bytes: int
    items: int
    wire_bytes: int | None
    backlog_bytes: int | None = None
    dropped_packets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSample:
    """One task in one window. busy_s: seconds spent in its code. queue: items that wait for it.

    items_total and dropped_total count since the start, so that a sample that gets lost loses no item.
    """

    task: str
    items: int
    items_total: int
    dropped_total: int
    busy_s: float
    queue: int
    dropped: int
    latency_p50_s: float | None
    latency_p95_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSample:
    """One job's stage on one device in one window of window_s seconds. told: see `edgeray.node.host.StageCounters`."""

    job: str
    device: str
    at_s: float
    window_s: float
    pid: int
    cpu_s: float
    memory_bytes: int
    tasks: tuple[TaskSample, ...]
    flows: tuple[FlowSample, ...]
    told: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSample:
    """One egress port in one window, from the kernel's qdisc counters: everything that left through it."""

    link: str
    peer: str
    capacity_bps: float
    wire_bytes: int
    control_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSample:
    """One device in one window. cpu_fraction: of its own cpus. enforcement: "tc" or "pacing"."""

    device: str
    at_s: float
    window_s: float
    cpu_fraction: float
    memory_bytes: int
    enforcement: str
    links: tuple[LinkSample, ...] = ()
    stages: tuple[StageSample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """One flow over a whole measured run. route: devices. measured_bps: wire bits/s (kernel counters).

    payload_bps: what the application got. saturated: the flow was the binding resource, so that its
    measured rate should meet its granted rate.
    """

    flow: str
    producer: str
    consumer: str
    route: tuple[str, ...]
    granted_bps: float | None
    measured_bps: float | None
    payload_bps: float
    saturated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One task over a whole measured run."""

    task: str
    device: str
    items_per_s: float
    busy_fraction: float
    seconds_per_item: float | None
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One job under one policy. failure is None when it ended well; then why it did not run or broke."""

    job: str
    app: str
    plan: Mapping[str, Any] | None
    planned_per_s: float
    measured_per_s: float
    items: int
    dropped: int
    measured_s: float
    waiting_s: float
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None
    tasks: tuple[TaskRun, ...] = ()
    flows: tuple[FlowRun, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRun:
    """One device over a whole measured run; cpu_fraction is of its own cpus, mean over the run."""

    device: str
    cpu_fraction: float
    memory_bytes: int
    enforcement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRun:
    """One link over a whole measured run; bits/s on the wire, both directions together."""

    link: str
    capacity_bps: float
    measured_bps: float
    control_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRun:
    """All jobs of one comparison under one policy; mean, geometric mean and minimum of measured_per_s.

    bound_per_s: an upper bound (LP) on the mean job throughput of any policy, where known.
    """

    policy: str
    jobs: tuple[JobRun, ...]
    devices: tuple[DeviceRun, ...]
    links: tuple[LinkRun, ...]
    mean_per_s: float
    geometric_mean_per_s: float
    minimum_per_s: float
    planned_mean_per_s: float
    planning_s: float
    bound_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Several policies on the same jobs and cluster, in one run.

    network: {"head", "devices": {id: {type, cpus, memory_bytes}}, "links": [{"id", "ends", "capacity_bps"}]}.
    """

    app: str
    cluster: str
    network: Mapping[str, Any]
    seconds: float
    started_at: str
    edgeray: str
    emulation: str
    runs: tuple[PolicyRun, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceRun:
    """One one-shot job under one policy. makespan_s: measured; None when it did not end well, and failure says why.

    planned_s, bound_s: the plan's makespan, and what no schedule is shorter than by the profile.
    """

    job: str
    app: str
    plan: Mapping[str, Any] | None
    makespan_s: float | None
    planned_s: float | None
    bound_s: float | None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OncePolicyRun:
    """All one-shot jobs of a comparison under one policy, one after the other; means over the jobs, None when one
    of them failed."""

    policy: str
    jobs: tuple[OnceRun, ...]
    makespan_mean_s: float | None
    planned_mean_s: float | None
    bound_mean_s: float | None
    planning_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceComparison:
    """Several policies on the same one-shot jobs and cluster; network as in Comparison."""

    app: str
    cluster: str
    network: Mapping[str, Any]
    started_at: str
    edgeray: str
    emulation: str
    runs: tuple[OncePolicyRun, ...]
    notes: tuple[str, ...] = ()


def as_json(record: Any) -> dict[str, Any]:
    """A record as plain dicts, lists and numbers, ready for json.dumps."""
    return asdict(record)
