"""What throughput jobs reach that share devices and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from policies.model import DeviceId, FlowId, Link, Network, TaskId, Workload, link_id

PlacedJob = tuple[
    Workload,
    Mapping[TaskId, DeviceId],
    Mapping[FlowId, tuple[DeviceId, ...]],
    Mapping[FlowId, float],
    float | None,
]
"""(workload, placement, routes, rates_bps, granted items/s or None): what a plan says of one job."""

TIE = 1e-6
"""Limits closer than this (relatively) bind together: a device is named before a link, source or grant."""
ROUNDS = 200


@dataclass(slots=True)
class _Limits:
    """What bounds one job's rate. seconds: per item on each device; the others in items/s.

    cap: the least of these others. slowest, second: the largest seconds, and those of the device after it.
    """

    seconds: dict[DeviceId, float]
    flow: float
    flow_id: FlowId | None
    source: float
    granted: float
    cap: float = field(init=False)
    slowest: float = field(init=False)
    second: float = field(init=False)

    def __post_init__(self) -> None:
        self.cap = min(self.flow, self.source, self.granted)
        *_, self.second, self.slowest = [0.0, 0.0, *sorted(self.seconds.values())]


def predict(network: Network, jobs: Sequence[PlacedJob]) -> list[tuple[float, str]]:
    """Items/s of each job, and the resource that binds it.

    A job's device takes the sum of its tasks' seconds per item (Zhang 2024, Fig. 3.2; eq. 3.3 takes each task
    by itself, which contradicts that example). Devices share their time between jobs max-min: a job that
    needs less than its share leaves the rest to the others. Flows between devices take both ends' time too,
    where it was measured. A job is no faster than its source, any of its flows
    (rate_bps / 8 / bytes) or its grant. Links need no sharing here: rates are granted.
    Complexity: O(tasks + flows x hops) and some rounds over the devices that several jobs share.
    """
    granted_bps = _granted_bps(jobs)
    limits = [_limits(network, job) for job in jobs]
    rates, levels = _share(limits)
    return [
        (rate, _bottleneck(network, job, limit, rate, levels, granted_bps))
        for job, limit, rate in zip(jobs, limits, rates, strict=True)
    ]


def _limits(network: Network, job: PlacedJob) -> _Limits:
    workload, placement, routes, rates_bps, granted = job
    sources = {task.id for task in workload.job.sources}
    seconds: dict[DeviceId, float] = {}
    for task in workload.job.tasks:
        device = placement[task.id]
        known = device in network.devices
        took = workload.seconds(task, network.devices[device]) if known else float("inf")
        if known and took == float("inf") and task.id in sources:
            took = 0.0
        seconds[device] = seconds.get(device, 0.0) + took
    slowest, slowest_id = float("inf"), None
    for flow in workload.job.flows:
        size = workload.size_bytes(flow)
        if not routes.get(flow.id):
            continue
        for device in (placement[flow.producer], placement[flow.consumer]):
            if device in network.devices:
                seconds[device] += workload.transfer_seconds(flow, network.devices[device])
        if size <= 0:
            continue
        rate = rates_bps.get(flow.id, 0.0) / 8 / size
        if rate < slowest:
            slowest, slowest_id = rate, flow.id
    source = workload.job.items_per_s
    return _Limits(
        seconds={device: took for device, took in sorted(seconds.items()) if took > 0},
        flow=slowest,
        flow_id=slowest_id,
        source=float("inf") if source is None else source,
        granted=float("inf") if granted is None else granted,
    )


def _share(limits: Sequence[_Limits]) -> tuple[list[float], dict[DeviceId, float]]:
    """Rates, and each shared device's level: the share of its time that no job of it exceeds.

    Each device offers every job the max-min share of its time, given what the job can use of it by the offers
    of its other limits; repeated until no offer changes. What rounding leaves over capacity is scaled away.
    """
    users: dict[DeviceId, list[int]] = {}
    for job, limit in enumerate(limits):
        for device in limit.seconds:
            users.setdefault(device, []).append(job)
    levels = dict.fromkeys(sorted(users), 1.0)
    shared = _crowded(limits, users)

    def offer(job: int, without: DeviceId | None) -> float:
        limit = limits[job]
        return min(
            [limit.cap, *(levels[d] / took for d, took in limit.seconds.items() if d != without)],
            default=limit.cap,
        )

    for _ in range(ROUNDS):
        change = 0.0
        for device in shared:
            needs = [offer(job, device) * limits[job].seconds[device] for job in users[device]]
            level = _level(needs)
            change = max(change, abs(level - levels[device]))
            levels[device] = level
        if change < 1e-12:
            break
    rates = [offer(job, None) for job in range(len(limits))]
    over = {d: sum(rates[job] * limits[job].seconds[d] for job in users[d]) for d in shared}
    scaled = [
        rate / max([1.0, *(over[d] for d in limit.seconds if d in over)])
        for rate, limit in zip(rates, limits, strict=True)
    ]
    return scaled, levels


def _crowded(limits: Sequence[_Limits], users: Mapping[DeviceId, Sequence[int]]) -> list[DeviceId]:
    """Devices whose jobs want more than all their time while no other device is shared: only there may a level
    fall below 1. In the order of their ids."""

    def alone(job: int, without: DeviceId) -> float:
        limit = limits[job]
        slowest = limit.slowest if limit.seconds[without] < limit.slowest else limit.second
        return min(limit.cap, 1 / slowest) if slowest > 0 else limit.cap

    return [
        device
        for device, jobs in sorted(users.items())
        if len(jobs) > 1 and _level([alone(job, device) * limits[job].seconds[device] for job in jobs]) < 1.0
    ]


def _level(needs: Sequence[float]) -> float:
    """The max-min level at which needs share one unit of time; 1 when all of them fit."""
    left, count = 1.0, len(needs)
    for need in sorted(needs):
        if need * count >= left:
            return left / count
        left -= need
        count -= 1
    return 1.0


def _granted_bps(jobs: Sequence[PlacedJob]) -> dict[tuple[DeviceId, DeviceId], float]:
    """Granted bits/s of each link, by its ends in sorted order."""
    by_route: dict[tuple[DeviceId, ...], float] = {}
    for _, _, routes, rates_bps, _ in jobs:
        for flow, route in routes.items():
            by_route[route] = by_route.get(route, 0.0) + rates_bps.get(flow, 0.0)
    granted: dict[tuple[DeviceId, DeviceId], float] = {}
    for route, rate in by_route.items():
        for a, b in pairwise(route):
            ends = (a, b) if a < b else (b, a)
            granted[ends] = granted.get(ends, 0.0) + rate
    return granted


def _part(link: Link | None, rate: float) -> float:
    return rate / link.capacity_bps if link is not None and link.capacity_bps > 0 else float("inf")


def _bottleneck(
    network: Network,
    job: PlacedJob,
    limit: _Limits,
    rate: float,
    levels: Mapping[DeviceId, float],
    granted_bps: Mapping[tuple[DeviceId, DeviceId], float],
) -> str:
    """The name of what binds: of devices, the one with least to spare; of a flow's links, the fullest."""
    bound = rate * (1 + TIE)
    device = min(limit.seconds, key=lambda d: (levels[d] / limit.seconds[d], d), default=None)
    if device is not None and levels[device] / limit.seconds[device] <= bound:
        return f"device {device}"
    link = _fullest_link(network, job, limit.flow_id, granted_bps) if limit.flow <= bound else None
    if link is not None and (limit.granted > bound or link[0] >= 1 - TIE):
        return f"link {link[1]}"
    if limit.source <= bound:
        return f"source {job[0].job.sources[0].id}"
    if limit.granted <= bound:
        return "granted"
    return "none"


def _fullest_link(
    network: Network,
    job: PlacedJob,
    flow: FlowId | None,
    granted_bps: Mapping[tuple[DeviceId, DeviceId], float],
) -> tuple[float, str] | None:
    if flow is None:
        return None
    route = job[2][flow]
    ends = [(a, b) if a < b else (b, a) for a, b in pairwise(route)]
    loads = [(_part(network.links.get(link_id(*pair)), granted_bps[pair]), pair) for pair in ends]
    load, fullest = min(loads, key=lambda known: (-known[0], known[1]))
    return load, "-".join(fullest)
