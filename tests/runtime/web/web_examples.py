"""Test data: comparisons that nobody measured, with plausible numbers, to see how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeray.telemetry.records import (
    Comparison,
    DeviceRun,
    FlowRun,
    JobRun,
    LinkRun,
    PolicyRun,
    TaskRun,
)

TASKS = ("camera", "detect", "crops", "upper", "lower", "embed", "vehicle", "track", "fuse")
FLOWS = (
    ("camera", "detect"),
    ("detect", "crops"),
    ("crops", "upper"),
    ("crops", "lower"),
    ("crops", "embed"),
    ("detect", "vehicle"),
    ("embed", "track"),
    ("upper", "fuse"),
    ("lower", "fuse"),
    ("vehicle", "fuse"),
    ("track", "fuse"),
)
NETWORK: dict[str, Any] = {
    "head": "e1",
    "devices": {
        "e1": {"type": "server", "cpus": 1.0, "memory_bytes": 8e9},
        "e2": {"type": "jetson-nx", "cpus": 0.5, "memory_bytes": 4e9},
        "e3": {"type": "jetson-nano", "cpus": 0.5, "memory_bytes": 4e9},
        "e4": {"type": "pi4", "cpus": 0.3, "memory_bytes": 2e9},
        "e5": {"type": "pi4", "cpus": 0.3, "memory_bytes": 2e9},
    },
    "links": [
        {"id": f"{a}-{b}", "ends": [a, b], "capacity_bps": mbps * 1e6}
        for a, b, mbps in (
            ("e1", "e2", 12),
            ("e2", "e4", 10),
            ("e1", "e3", 8),
            ("e3", "e4", 6),
            ("e1", "e5", 4),
        )
    ],
}
ROUTES = {("e4", "e1"): ("e4", "e2", "e1"), ("e4", "e3"): ("e4", "e3"), ("e3", "e1"): ("e3", "e1")}
PLACEMENTS = {
    "all-on-head": dict.fromkeys(TASKS, "e1") | {"camera": "e4"},
    "spread": dict.fromkeys(TASKS, "e1")
    | {"camera": "e4", "detect": "e4", "crops": "e4", "upper": "e3", "lower": "e3"},
}


def job_run(name: str, where: Mapping[str, str], per_s: float, **changes: Any) -> JobRun:
    """A job that ran well with per_s items a second."""
    flows = tuple(
        FlowRun(
            flow=f"{a}->{b}",
            producer=a,
            consumer=b,
            route=ROUTES[where[a], where[b]],
            granted_bps=per_s * (number + 1) * 1e5,
            measured_bps=per_s * (number + 1) * 0.99e5,
            payload_bps=per_s * (number + 1) * 0.95e5,
            saturated=number == 0,
        )
        for number, (a, b) in enumerate(FLOWS)
        if where[a] != where[b]
    )
    tasks = tuple(
        TaskRun(
            task=task, device=device, items_per_s=per_s, busy_fraction=0.3, seconds_per_item=0.021, dropped=0
        )
        for task, device in where.items()
    )
    values: dict[str, Any] = {
        "job": name,
        "app": "attributes",
        "plan": {"placement": dict(where), "bottleneck": "link e2-e4"},
        "planned_per_s": per_s * 1.04,
        "measured_per_s": per_s,
        "items": int(per_s * 30),
        "dropped": 12,
        "measured_s": 30.0,
        "waiting_s": 0.2,
        "latency_p50_s": 0.8 / per_s,
        "latency_p95_s": 1.4 / per_s,
        "latency_p99_s": 2.2 / per_s,
        "tasks": tasks,
        "flows": flows,
        "results": {"video": f"out/{name}/annotated.mp4"},
    }
    return JobRun(**{**values, **changes})


def policy_run(
    policy: str, jobs: tuple[JobRun, ...], network: Mapping[str, Any] = NETWORK, **changes: Any
) -> PolicyRun:
    rates = [job.measured_per_s for job in jobs] or [0.0]
    product = 1.0
    for value in rates:
        product *= value
    values: dict[str, Any] = {
        "policy": policy,
        "jobs": jobs,
        "devices": tuple(
            DeviceRun(device=device, cpu_fraction=0.63, memory_bytes=412_000_000, enforcement="tc")
            for device in network["devices"]
        ),
        "links": tuple(
            LinkRun(link=link["id"], capacity_bps=link["capacity_bps"], measured_bps=3.3e6, control_bps=21e3)
            for link in network["links"]
        ),
        "mean_per_s": sum(rates) / len(rates),
        "geometric_mean_per_s": product ** (1 / len(rates)),
        "minimum_per_s": min(rates),
        "planned_mean_per_s": sum(job.planned_per_s for job in jobs) / max(1, len(jobs)),
        "planning_s": 0.0123,
        "bound_per_s": 8.4,
    }
    return PolicyRun(**{**values, **changes})


def comparison_of(*runs: PolicyRun, **changes: Any) -> Comparison:
    values: dict[str, Any] = {
        "app": "apps/attributes",
        "cluster": "five",
        "network": NETWORK,
        "seconds": 30.0,
        "started_at": "2026-01-02T03:04:05Z",
        "edgeray": "0.1.0",
        "emulation": "namespaces, tc, cgroup v2",
        "runs": runs,
        "notes": ("netem is missing from this kernel: links have no extra delay.",),
    }
    return Comparison(**{**values, **changes})


RATES = {"lr": 2.1, "br": 2.43, "tp": 3.61, "otfs": 3.4, "otfa": 3.58, "joint": 7.31}
