"""Test data: a comparison of split training that nobody measured, with plausible numbers, to see how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeray.scheduler.views import JobView
from edgeray.telemetry.training_records import TrainingComparison, TrainingPolicyRun, TrainingRun
from edgeray.telemetry.training_runs import training_run
from policies.model import CutProfile

DEVICES = ("c1", "c2", "c3", "c4")
TYPES = {
    "server": "server",
    "switch": "switch",
    "c1": "pi",
    "c2": "pi",
    "c3": "jetson-nano",
    "c4": "jetson-nx",
}
NETWORK: dict[str, Any] = {
    "head": "server",
    "devices": {name: {"type": kind, "cpus": 0.5, "memory_bytes": 2e9} for name, kind in TYPES.items()},
    "links": [
        {"id": f"{name}-switch", "ends": [name, "switch"], "capacity_bps": 30e6}
        for name in ("server", *DEVICES)
    ],
}
CUTS = CutProfile(
    names=("conv1", "pool2", "fc3"),
    layers=(1, 4, 7),
    up_bytes=(400e3, 50e3, 0.0),
    down_bytes=(400e3, 50e3, 0.0),
    weights_bytes=(1e3, 11e3, 178e3),
    forward_s={"pi": (0.1, 0.2, 0.3)},
    backward_s={"pi": (0.2, 0.4, 0.6)},
    server_s={"server": (0.02, 0.01, 0.0)},
    memory_bytes={"pi": (3e8, 3.1e8, 3.3e8)},
    send_s_per_byte={"pi": 1e-9},
)


def plan(cuts: Mapping[str, int], *, predicted_s: float | None, bound_s: float | None) -> dict[str, Any]:
    """As a job's view has it. cuts: by device."""
    return {
        "name": "training",
        "mode": "loop",
        "placement": {"server": "server", **{f"client-{device}": device for device in cuts}},
        "flows": [],
        "throughput_per_s": 0.1,
        "bottleneck": "device c1",
        "rounds": {
            "cuts": dict(cuts),
            "cut_names": {device: CUTS.names[cut] for device, cut in cuts.items()},
            "rates_bps": dict.fromkeys(cuts, 7.5e6),
            "ceilings_bps": dict.fromkeys(cuts, 30e6),
            "micro_batches": 2,
            "round_s": 9.0,
            "predicted_s": predicted_s,
            "bound_s": bound_s,
            "server": "server",
            "total": 3,
        },
    }


def client_round(client: str, seconds_s: float, **changes: Any) -> dict[str, Any]:
    """Of its seconds 0.4 computing, 0.25 under way, 0.15 at the server, and 0.2 until all others are done."""
    values: dict[str, Any] = {
        "client": client,
        "cut": 1,
        "samples": 100,
        "loss": 0.5,
        "compute_s": 0.4 * seconds_s,
        "waiting_s": 0.3 * seconds_s,
        "served_s": 0.1 * seconds_s,
        "queued_s": 0.05 * seconds_s,
        "up_bytes": 1_500_000,
        "down_bytes": 1_250_000,
        "ended_s": 0.8 * seconds_s,
        "server_s": 0.15 * seconds_s,
        "transfer_s": 0.25 * seconds_s,
        "idle_s": 0.2 * seconds_s,
    }
    return {**values, **changes}


def a_round(number: int, seconds_s: float, accuracy: float | None, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "number": number,
        "clients": [client_round(f"client-{device}", seconds_s) for device in DEVICES],
        "dropped": {},
        "seconds_s": seconds_s,
        "busy_s": 0.4 * seconds_s,
        "peak_activation_bytes": 12_000_000,
        "peak_half_bytes": 3_000_000,
        "loss": 2.0 / number,
        "samples": 400,
        "accuracy": accuracy,
        "iterations": None,
        "predicted_s": {},
        "movement": {},
    }
    return {**values, **changes}


def view(policy: str, **changes: Any) -> JobView:
    """A job of split training that is done."""
    values: dict[str, Any] = {
        "job": f"lenet-{policy}",
        "app": "lenet",
        "policy": policy,
        "phase": "done",
        "detail": "",
        "reasons": (),
        "plan": plan({device: n % 3 for n, device in enumerate(DEVICES)}, predicted_s=10.0, bound_s=8.0),
        "submitted_s": 0.0,
        "started_s": 1.0,
        "ended_s": 60.0,
        "waited_s": 0.0,
        "items": 3,
        "dropped": 0,
        "rate_per_s": 0.0,
        "latency_p50_s": None,
        "latency_p95_s": None,
        "mode": "loop",
        "rounds_done": 3,
        "rounds_total": 3,
        "round_s": 9.5,
    }
    return JobView(**{**values, **changes})


def run_of(policy: str, *rounds: dict[str, Any], **changes: Any) -> TrainingRun:
    return training_run(view(policy, **changes), rounds, rounds_asked=3, types=TYPES, cuts=CUTS)


def refused(policy: str, why: str) -> TrainingRun:
    return run_of(policy, phase="failed", detail=f"cannot be placed: {why}", plan=None)


def trained(policy: str, seconds_s: float) -> TrainingRun:
    """Three rounds; the first takes twice as long."""
    return run_of(
        policy,
        a_round(1, 2 * seconds_s, 0.412),
        a_round(2, seconds_s * 1.02, 0.634),
        a_round(3, seconds_s * 0.98, 0.721),
    )


def comparison_of(*runs: TrainingRun, **changes: Any) -> TrainingComparison:
    by_policy: dict[str, list[TrainingRun]] = {}
    for run in runs:
        by_policy.setdefault(run.policy, []).append(run)
    values: dict[str, Any] = {
        "app": "lenet",
        "cluster": "training",
        "network": NETWORK,
        "started_at": "2026-01-02T03:04:05Z",
        "edgeray": "0.1.0",
        "emulation": "devices are network namespaces with CPU and memory limits",
        "runs": tuple(
            TrainingPolicyRun(policy=policy, jobs=tuple(jobs), planning_s=0.004)
            for policy, jobs in by_policy.items()
        ),
        "notes": ("Each job was trained once under each policy.",),
    }
    return TrainingComparison(**{**values, **changes})
