"""What the scheduler tells, as the rows that the page shows and the series that it draws.

In: views as plain dicts (see plain.py). Out: plain dicts; rates in bits/s, times in seconds, fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from policies.model import TRAINS

SILENT_S = 2.5
"""A device that has said nothing for so long is shown as silent; it should speak every second."""
_PLACED = ("deploying", "running", "stopping")
_ENDED = ("done", "stopped", "failed")
_MOST_ENDED = 50

Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]


def device_rows(views: Rows, since_s: float) -> list[Row]:
    """since_s: how long ago the scheduler said this. state: up, starting, silent, away, or unknown when the scheduler
    itself is silent."""
    return [_device_row(view, since_s) for view in views]


def _device_row(view: Mapping[str, Any], since_s: float) -> Row:
    sample = view["sample"]
    age_s = None if view["sample_age_s"] is None else view["sample_age_s"] + since_s
    return {
        "id": view["device"],
        "type": view["type"],
        "cpus": view["cpus"],
        "memory_bytes": view["memory_bytes"],
        "address": view["address"],
        "enforcement": view["enforcement"],
        "jobs": view["jobs"],
        "state": _device_state(view, age_s, since_s),
        "age_s": age_s,
        "cpu_fraction": sample["cpu_fraction"] if sample else None,
        "used_bytes": sample["memory_bytes"] if sample else None,
    }


def _device_state(view: Mapping[str, Any], age_s: float | None, since_s: float) -> str:
    if since_s > SILENT_S:
        return "unknown"
    if not view["joined"]:
        return "away"
    if age_s is None:
        return "starting"
    return "silent" if age_s > SILENT_S else "up"


def heard(views: Rows, devices: Rows) -> dict[str, Mapping[str, Any]]:
    """The samples of the devices that are up: those of others are of the past."""
    up = {device["id"] for device in devices if device["state"] == "up"}
    return {view["device"]: view["sample"] for view in views if view["device"] in up and view["sample"]}


def link_rows(network: Mapping[str, Any], samples: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """sent_bps: what each end sends to the other, in the order of ends; None of an end that is not heard."""
    sent = {
        (device, row["peer"]): _per_s(row["wire_bytes"], sample) * 8
        for device, sample in samples.items()
        for row in sample["links"]
    }
    rows = []
    for id, link in network["links"].items():
        a, b = link["ends"]
        rows.append(
            {
                "id": id,
                "ends": [a, b],
                "capacity_bps": link["capacity_bps"],
                "delay_s": link["delay_s"],
                "sent_bps": [sent.get((a, b)), sent.get((b, a))],
            }
        )
    return rows


def flow_rows(jobs: Rows, samples: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The flows between devices of the jobs that are placed. measured_bps: on the wire, or where the kernel does not
    count, what the application sent. ceiling_bps: what a flow may borrow up to, None where the grant is the most."""
    measured = _sent_by_flow(samples)
    rows = []
    for job in jobs:
        plan = job["plan"]
        if plan is None or job["phase"] not in _PLACED:
            continue
        for flow in plan.get("flows", ()):
            route = flow["route"]
            sample, window = measured.get((f"{job['job']}/{flow['from']}->{flow['to']}", route[0]), ({}, {}))
            wire = sample.get("wire_bytes")
            sent = wire if wire is not None else sample.get("payload_bytes")
            granted = sample.get("granted_bps")
            rows.append(
                {
                    "job": job["job"],
                    "from": flow["from"],
                    "to": flow["to"],
                    "route": route,
                    "granted_bps": granted if granted is not None else flow.get("rate_bps"),
                    "ceiling_bps": flow.get("ceil_bps"),
                    "measured_bps": None if sent is None else _per_s(sent, window) * 8,
                    "backlog_bytes": sample.get("backlog_bytes"),
                }
            )
    return rows


def _sent_by_flow(
    samples: Mapping[str, Mapping[str, Any]],
) -> dict[tuple[str, str], tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return {
        (flow["flow"], device): (flow, stage)
        for device, sample in samples.items()
        for stage in sample["stages"]
        for flow in stage["flows"]
    }


def task_rows(samples: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    return [
        {
            "job": stage["job"],
            "task": task["task"],
            "device": device,
            "items_per_s": _per_s(task["items"], stage),
            "busy_fraction": _per_s(task["busy_s"], stage),
            "queue": task["queue"],
        }
        for device, sample in samples.items()
        for stage in sample["stages"]
        for task in stage["tasks"]
    ]


def job_rows(jobs: Rows, since_s: float) -> list[Row]:
    """The jobs that live, newest first, then the last ones that ended. since_s: how long ago the scheduler said this."""
    living = [job for job in jobs if job["phase"] not in _ENDED]
    ended = [job for job in jobs if job["phase"] in _ENDED]
    newest = sorted(living, key=lambda job: -job["submitted_s"])
    last = sorted(ended, key=lambda job: -(job["ended_s"] or 0.0))[:_MOST_ENDED]
    return [_job_row(job, since_s) for job in (*newest, *last)]


def _job_row(job: Mapping[str, Any], since_s: float) -> Row:
    kept = (
        *("job", "app", "policy", "phase", "detail", "reasons", "mode", "items", "dropped"),
        *("submitted_s", "started_s", "ended_s", "latency_p50_s", "latency_p95_s"),
    )
    plan, learner = job["plan"] or {}, job.get("learner")
    measure, planned, measured, progress = _measure(job, plan)
    return {
        **{key: job[key] for key in kept},
        "ended": job["phase"] in _ENDED,
        "measure": measure,
        "planned": planned,
        "measured": measured,
        "progress": progress,
        "bottleneck": plan.get("bottleneck"),
        "placement": plan.get("placement", {}) if job["phase"] in _PLACED else {},
        "online": job.get("online"),
        "replicas": job.get("replicas"),
        "learner": learner and {**learner, "age_s": learner["age_s"] + since_s},
    }


def _measure(
    job: Mapping[str, Any], plan: Mapping[str, Any]
) -> tuple[str, float | None, float | None, list[int] | None]:
    """What a job of this mode is judged by, planned and measured; and how much of it is done, where it has an end."""
    if job["mode"] == "once":
        return "makespan", plan.get("makespan_s"), job["makespan_s"], [job["tasks_done"], job["tasks_total"]]
    if job["mode"] in TRAINS:
        rounds = plan.get("rounds", {})
        return "round", rounds.get("round_s"), job["round_s"], [job["rounds_done"], job["rounds_total"]]
    measured = job["rate_per_s"] if job["phase"] in _PLACED else None
    if job["mode"] == "cameras":
        return "frames", plan.get("throughput_per_s"), _mean_fps(job) or measured, None
    return "items", plan.get("throughput_per_s"), measured, None


def _mean_fps(job: Mapping[str, Any]) -> float | None:
    rates = [stream["fps"] for stream in job.get("streams", ()) if stream["fps"] is not None]
    return sum(rates) / len(rates) if rates else None


def stream_rows(jobs: Rows) -> list[Row]:
    """The cameras' streams of all jobs that are placed."""
    return [
        {"job": job["job"], **stream}
        for job in jobs
        if job["phase"] in _PLACED
        for stream in job.get("streams") or ()
    ]


def series_values(now: Mapping[str, Any]) -> dict[str, float | None]:
    """The number of each series at this moment, from the page's rows."""
    values: dict[str, float | None] = {}
    for device in now["devices"]:
        if device["state"] == "up":
            values[f"cpu:{device['id']}"] = device["cpu_fraction"]
            values[f"memory:{device['id']}"] = device["used_bytes"]
    for link in now["links"]:
        a, b = link["ends"]
        values[f"link:{a}>{b}"], values[f"link:{b}>{a}"] = link["sent_bps"]
    for flow in now["flows"]:
        name = f"{flow['job']}/{flow['from']}->{flow['to']}"
        values[f"flow:{name}"], values[f"granted:{name}"] = flow["measured_bps"], flow["granted_bps"]
    for stream in now["streams"]:
        name = f"{stream['job']}/{stream['camera']}"
        values[f"fps:{name}"], values[f"fps.planned:{name}"] = stream["fps"], stream["planned_fps"]
        values[f"p50:{name}"], values[f"p95:{name}"] = stream["latency_p50_s"], stream["latency_p95_s"]
    for job in now["jobs"]:
        if not job["ended"]:
            values[f"job:{job['job']}"], values[f"job.planned:{job['job']}"] = job["measured"], job["planned"]
            values[f"job.p50:{job['job']}"] = job["latency_p50_s"]
            values[f"job.p95:{job['job']}"] = job["latency_p95_s"]
            values |= _learned(job["job"], job["learner"])
    return values


def _learned(job: str, learner: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Nothing while the learner is away: its last word is of the past."""
    if learner is None or learner["away"]:
        return {}
    estimates = {f"estimate:{job}/{name}": arm["estimate"] for name, arm in learner["arms"].items()}
    return {f"regret:{job}": learner["regret_proxy"], **estimates}


def _per_s(amount: float, window: Mapping[str, Any]) -> float:
    return float(amount / max(window.get("window_s", 1.0), 1e-6))
