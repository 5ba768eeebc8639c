"""Small networks and jobs, and a policy that places as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from edgeray.simulator import Arrival, Outcome, SimulatedJob
from policies.evaluate import predict
from policies.model import (
    Decision,
    Device,
    DeviceId,
    Flow,
    Job,
    JobId,
    Link,
    Network,
    Plan,
    Policy,
    Profile,
    Snapshot,
    Task,
    TaskId,
    Timetable,
    Workload,
    link_id,
)

Placed = tuple[JobId, Callable[[Network], Plan]]
SPEED = 1e9  # FLOP/s of every device: a task's work in GFLOP is its seconds


def network(*links: tuple[str, str, float], delay_s: float = 0.0) -> Network:
    """links: (device, device, bits/s)."""
    names = sorted({end for a, b, _ in links for end in (a, b)})
    made = [
        Link(ends=(DeviceId(min(a, b)), DeviceId(max(a, b))), capacity_bps=bps, delay_s=delay_s)
        for a, b, bps in links
    ]
    return Network(
        devices={
            DeviceId(name): Device(id=DeviceId(name), type="box", speed_flop_per_s=SPEED, memory_bytes=1e9)
            for name in names
        },
        links={link.id: link for link in sorted(made, key=lambda link: link.id)},
    )


def workload(
    name: str,
    seconds: Mapping[str, float],
    flows: Mapping[tuple[str, str], float],
    *,
    source: str = "a",
    items_per_s: float | None = None,
    mode: str = "stream",
    transfer_s: float = 0.0,
) -> Workload:
    """seconds: by task, in topological order. flows: bytes by (producer, consumer). source: the sources' device."""
    fed = {consumer for _, consumer in flows}
    tasks = tuple(
        Task(
            id=TaskId(task),
            work_flop=took * SPEED,
            device=None if task in fed or mode == "once" else DeviceId(source),
        )
        for task, took in seconds.items()
    )
    made = tuple(
        Flow(producer=TaskId(a), consumer=TaskId(b), size_bytes=size) for (a, b), size in flows.items()
    )
    profile = Profile(
        seconds={},
        output_bytes={},
        peak_memory_bytes={},
        transfer_seconds={(TaskId(task), "box"): transfer_s for task in seconds},
    )
    job = Job(id=JobId(name), tasks=tasks, flows=made, items_per_s=items_per_s, mode=mode)
    return Workload(job=job, profile=profile)


class Told:
    """Places each job where it is told, flows by the routes told (else straight), at the rates told."""

    name = "told"

    def __init__(self, *placed: Placed) -> None:
        self._placed = dict(placed)

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        known = [w.job.id for w in arrivals if w.job.id in self._placed]
        return Decision(plans={job: self._placed[job](snapshot.network) for job in known})

    def __call__(self, name: str) -> Policy:
        return self


def placed(
    job: Workload,
    placement: Mapping[str, str],
    rates_bps: Mapping[str, float] | None = None,
    *,
    routes: Mapping[str, tuple[str, ...]] | None = None,
    granted_per_s: float | None = None,
    timetable: Timetable | None = None,
) -> Placed:
    """A plan for Told. A flow without a rate has its route's least capacity."""

    def plan(net: Network) -> Plan:
        ways: dict[str, tuple[str, ...]] = {}
        rates: dict[str, float] = {}
        for flow in job.job.flows:
            a, b = placement[flow.producer], placement[flow.consumer]
            ways[flow.id] = () if a == b else (routes or {}).get(flow.id, (a, b))
            if a != b:
                widths = (
                    net.links[link_id(DeviceId(x), DeviceId(y))].capacity_bps
                    for x, y in pairwise(ways[flow.id])
                )
                rates[flow.id] = (rates_bps or {}).get(flow.id, min(widths))
        [(rate, binding)] = predict(net, [(job, placement, ways, rates, granted_per_s)])
        return Plan(
            job=job.job.id,
            policy="told",
            placement=placement,
            routes=ways,
            rates_bps=rates,
            throughput_per_s=rate,
            bottleneck=binding,
            granted_per_s=granted_per_s,
            timetable=timetable,
        )

    return job.job.id, plan


def arrives(job: Workload, at_s: float = 0.0, **more: object) -> Arrival:
    return Arrival(at_s=at_s, workload=job, policy="told", **more)


def job_of(outcome: Outcome, name: str) -> SimulatedJob:
    return next(job for job in outcome.jobs if job.job == name)
