"""What a plan takes of the cluster: devices, memory, links. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from policies.model import DeviceId, FlowId, LinkId, Network, Plan, Workload, link_id
from policies.streams.reading import step


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What one job takes, in the order of ids; computed once a plan, looked at at every event.

    devices: where its stages are. crossing: the flows that leave a device. carriers: the devices that these pass,
    relays and both ends.
    held_bytes, link_rates_bps: what the job holds of each device and of each link, for the policies of other modes
    (`snapshots.beside`): of a one-shot job the largest rate of any of its transfers, since a link carries one at a
    time; of a loop what its flows are guaranteed, in the direction that has more. {} for a stream, which makes way.
    """

    devices: tuple[DeviceId, ...]
    crossing: tuple[FlowId, ...]
    carriers: tuple[DeviceId, ...]
    held_bytes: Mapping[DeviceId, float]
    link_rates_bps: Mapping[LinkId, float]


def footprint(workload: Workload, plan: Plan, network: Network) -> Footprint:
    crossing = crossing_flows(plan)
    held, rates = _taken(workload, plan, network, crossing)
    return Footprint(
        devices=tuple(sorted(set(plan.placement.values()))),
        crossing=crossing,
        carriers=tuple(sorted({device for flow in crossing for device in plan.routes[flow]})),
        held_bytes=held,
        link_rates_bps=rates,
    )


def crossing_flows(plan: Plan) -> tuple[FlowId, ...]:
    """The flows that leave a device, in the order of their ids."""
    return tuple(sorted(flow for flow, route in plan.routes.items() if len(route) > 1))


def route_links(route: tuple[DeviceId, ...]) -> tuple[LinkId, ...]:
    return tuple(link_id(a, b) for a, b in pairwise(route))


def _taken(
    workload: Workload, plan: Plan, network: Network, crossing: tuple[FlowId, ...]
) -> tuple[dict[DeviceId, float], dict[LinkId, float]]:
    match workload.job.mode:
        case "once":
            return workload.held_bytes(plan.placement), _largest_rates(plan, crossing)
        case "cameras":
            return _memory_of_cameras(workload, plan), _rates_of_loop(plan, crossing)
        case "batches" | "fog" | "offload" | "frames":
            return workload.held_bytes(plan.placement), _rates_of_loop(plan, crossing)
        case "loop":
            return _memory_of_loop(workload, plan, network), _rates_of_loop(plan, crossing)
        case _:
            return {}, {}


def _largest_rates(plan: Plan, crossing: tuple[FlowId, ...]) -> dict[LinkId, float]:
    rates: dict[LinkId, float] = {}
    for flow in crossing:
        for link in route_links(plan.routes[flow]):
            rates[link] = max(rates.get(link, 0.0), plan.rates_bps[flow])
    return rates


def _rates_of_loop(plan: Plan, crossing: tuple[FlowId, ...]) -> dict[LinkId, float]:
    """Links are full duplex: what goes one way takes nothing of the other."""
    each_way: dict[tuple[DeviceId, DeviceId], float] = {}
    for flow in crossing:
        for hop in pairwise(plan.routes[flow]):
            each_way[hop] = each_way.get(hop, 0.0) + plan.rates_bps[flow]
    rates: dict[LinkId, float] = {}
    for (a, b), rate in each_way.items():
        rates[link_id(a, b)] = max(rates.get(link_id(a, b), 0.0), rate)
    return rates


def _memory_of_cameras(workload: Workload, plan: Plan) -> dict[DeviceId, float]:
    """A detector for each stream, and a re-identification model where there is any (eqs. 5.1, 5.4, corrected)."""
    streams, profile = workload.job.streams, workload.profile
    if streams is None or plan.mapped is None:
        return {}
    peaks = {} if profile is None else profile.peak_memory_bytes

    def measured(name: str) -> float:
        return max((peaks.get(step(name, camera.id), 0.0) for camera in streams.cameras), default=0.0)

    detector = streams.detector_bytes or measured("detect")
    identifier = streams.identifier_bytes or measured("identify")
    held: dict[DeviceId, float] = {}
    for where in plan.mapped.streams.values():
        held[where.detect_on] = held.get(where.detect_on, 0.0) + detector
    for device in sorted({where.identify_on for where in plan.mapped.streams.values()}):
        held[device] = held.get(device, 0.0) + identifier
    return held


def _memory_of_loop(workload: Workload, plan: Plan, network: Network) -> dict[DeviceId, float]:
    """Of a client what its part of the model was measured to need, where no more was declared."""
    held: dict[DeviceId, float] = {}
    profile, rounds = workload.profile, plan.rounds
    cuts = profile.cuts if profile else None
    for task in workload.job.tasks:
        device, needed = plan.placement[task.id], workload.memory_bytes(task)
        if cuts is not None and rounds is not None and task.id in rounds.cuts and device in network.devices:
            measured = cuts.memory_bytes.get(network.devices[device].type)
            needed = max(needed, measured[rounds.cuts[task.id]] if measured else 0.0)
        held[device] = held.get(device, 0.0) + needed
    return held
