"""What the flows of a job get whose tasks are pinned, at first and when its server says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from policies.flows.graph import Graph
from policies.model import (
    Decision,
    DeviceId,
    FlowId,
    Infeasible,
    Job,
    JobId,
    Mode,
    Network,
    Plan,
    Snapshot,
    TaskId,
    Workload,
    link_id,
)
from policies.partition.routes import ways_to

GRANTED = 0.9
"""Of a link's capacity, what is guaranteed at most: headers and control take some."""
LEAST_BPS = 8e3
"""What a flow has at least, for the talk beside what it carries."""


class OnlinePlacement:
    """Places jobs that decide while they run: each task where its job pins it, flows on the widest routes.

    name: of the policy by which the job's server decides, item by item; it is not asked here. Each link is shared
    equally among the job's flows that cross it, as guarantees; a flow may take what the others leave.
    """

    def __init__(self, name: str, mode: Mode) -> None:
        self.name = name
        self.mode = mode

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        plans: dict[JobId, Plan] = {}
        infeasible: dict[JobId, Infeasible] = {}
        for workload in arrivals:
            found = placed(self.name, workload, snapshot.network)
            if isinstance(found, Plan):
                plans[workload.job.id] = found
            else:
                infeasible[workload.job.id] = Infeasible(job=workload.job.id, reasons=found)
        return Decision(plans=plans, infeasible=infeasible)


def shared(plan: Plan, network: Network, rates_bps: Mapping[FlowId, float]) -> Plan:
    """The plan with new rates of some flows, as guarantees and as ceilings.

    Rates on a link that the job's flows would take more of than GRANTED allows are scaled down alike. Flows that the
    plan does not have, and rates that are no positive number, count for nothing.
    """
    wanted = {
        flow: rate for flow, rate in rates_bps.items() if flow in plan.rates_bps and 0 < rate < float("inf")
    }
    rates = {**plan.rates_bps, **{flow: max(rate, LEAST_BPS) for flow, rate in wanted.items()}}
    carried = _carried(plan.routes, rates)
    fitting = {flow: rate * _scale(plan.routes[flow], carried, network) for flow, rate in rates.items()}
    ceilings = {**plan.ceilings_bps, **{flow: fitting[flow] for flow in wanted}}
    return replace(
        plan,
        rates_bps=fitting,
        ceilings_bps={flow: max(ceiling, fitting[flow]) for flow, ceiling in ceilings.items()},
    )


def placed(name: str, workload: Workload, network: Network) -> Plan | tuple[str, ...]:
    """Each task where it is pinned, and each link shared equally among the flows that cross it; or why that cannot be."""
    job = workload.job
    placement = {task.id: task.device for task in job.tasks if task.device is not None}
    away = sorted({device for device in placement.values() if device not in network.devices})
    if away:
        return (f"waits for {', '.join(away)} to join",)
    routes = _routes(job, placement, network)
    if isinstance(routes, tuple):
        return routes
    widths = {flow: _width_bps(route, network) for flow, route in routes.items()}
    even = dict.fromkeys(routes, 1.0)
    crossing = _carried(routes, even)  # flows of the job by hop
    rates = {
        flow: max(
            LEAST_BPS,
            min(
                GRANTED * network.links[link_id(*hop)].capacity_bps / crossing[hop] for hop in pairwise(route)
            ),
        )
        for flow, route in routes.items()
    }
    return Plan(
        job=job.id,
        policy=name,
        placement=placement,
        routes={**{flow.id: () for flow in job.flows}, **routes},
        rates_bps=rates,
        ceilings_bps=widths,
        throughput_per_s=job.items_per_s or 0.0,
        bottleneck="its source",
    )


def _routes(
    job: Job, placement: Mapping[TaskId, DeviceId], network: Network
) -> dict[FlowId, tuple[DeviceId, ...]] | tuple[str, ...]:
    """The widest route of each flow that crosses devices, the same there and back; or whose ends nothing joins."""
    graph = Graph.of(network)
    pairs = {flow: (placement[flow.producer], placement[flow.consumer]) for flow in job.flows}
    home = None if job.server is None else placement[job.server]
    ways: dict[DeviceId, dict[DeviceId, tuple[DeviceId, ...] | None]] = {}
    routes: dict[FlowId, tuple[DeviceId, ...]] = {}
    for flow, (a, b) in pairs.items():
        if a == b:
            continue
        root = home if home in (a, b) else min(a, b)  # so that a flow and the one back go the same way
        assert root is not None, "one of the two"
        if root not in ways:
            ways[root] = _ways(
                root, {other for pair in pairs.values() if root in pair for other in pair}, graph
            )
        route = ways[root][a if b == root else b]
        if route is None:
            return (f"waits for a way between {a} and {b}",)
        routes[flow.id] = route if b == root else route[::-1]
    return routes


def _ways(root: DeviceId, others: set[DeviceId], graph: Graph) -> dict[DeviceId, tuple[DeviceId, ...] | None]:
    names = sorted(others - {root})
    found = ways_to(graph.index[root], [graph.index[name] for name in names], graph, graph.capacity_bps)
    return {name: None if way is None else graph.names(way) for name, way in zip(names, found, strict=True)}


def _width_bps(route: tuple[DeviceId, ...], network: Network) -> float:
    return min(network.links[link_id(*hop)].capacity_bps for hop in pairwise(route))


def _carried(
    routes: Mapping[FlowId, tuple[DeviceId, ...]], rates: Mapping[FlowId, float]
) -> dict[tuple[DeviceId, DeviceId], float]:
    carried: dict[tuple[DeviceId, DeviceId], float] = {}
    for flow, rate in rates.items():
        for hop in pairwise(routes[flow]):
            carried[hop] = carried.get(hop, 0.0) + rate
    return carried


def _scale(
    route: tuple[DeviceId, ...], carried: Mapping[tuple[DeviceId, DeviceId], float], network: Network
) -> float:
    room = [
        GRANTED * network.links[link].capacity_bps / carried[hop]
        for hop in pairwise(route)
        if (link := link_id(*hop)) in network.links
    ]
    return min(1.0, *room) if room else 1.0
