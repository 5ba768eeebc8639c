"""What a plan takes of the cluster: devices, memory, links. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from policies.model import DeviceId, FlowId, LinkId, Plan, Workload, link_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What one job takes, in the order of ids; computed once a plan, looked at at every event.

    devices: where its stages are. crossing: the flows that leave a device. carriers: the devices that these pass,
    relays and both ends.
    held_bytes, link_rates_bps: of a one-shot job, what it holds of each device, and the largest rate of any of its
    transfers over each link; {} for a stream, whose own policy reckons with it.
    """

    devices: tuple[DeviceId, ...]
    crossing: tuple[FlowId, ...]
    carriers: tuple[DeviceId, ...]
    held_bytes: Mapping[DeviceId, float]
    link_rates_bps: Mapping[LinkId, float]


def footprint(workload: Workload, plan: Plan) -> Footprint:
    crossing = crossing_flows(plan)
    once = workload.job.mode == "once"
    rates: dict[LinkId, float] = {}
    for flow in crossing if once else ():
        for link in route_links(plan.routes[flow]):
            rates[link] = max(rates.get(link, 0.0), plan.rates_bps[flow])
    return Footprint(
        devices=tuple(sorted(set(plan.placement.values()))),
        crossing=crossing,
        carriers=tuple(sorted({device for flow in crossing for device in plan.routes[flow]})),
        held_bytes=workload.held_bytes(plan.placement) if once else {},
        link_rates_bps=rates,
    )


def crossing_flows(plan: Plan) -> tuple[FlowId, ...]:
    """The flows that leave a device, in the order of their ids."""
    return tuple(sorted(flow for flow, route in plan.routes.items() if len(route) > 1))


def route_links(route: tuple[DeviceId, ...]) -> tuple[LinkId, ...]:
    return tuple(link_id(a, b) for a, b in pairwise(route))
