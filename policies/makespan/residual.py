"""What running jobs leave of a network to the next one-shot job."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from policies.flows.graph import Floats, Graph
from policies.model import LinkId, Network, RunningJob, link_id
from policies.placement.demand import Hardware

LEAST_PART = 0.1
"""Part of a link's capacity that a one-shot job's transfers get beside any streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """capacity_bps: left of each link. stretch: how many times longer than alone a task takes on each device.
    free_bytes: memory left of each device."""

    network: Network
    graph: Graph
    hardware: Hardware
    capacity_bps: Floats
    stretch: Floats
    free_bytes: Floats

    @classmethod
    def of(cls, network: Network, graph: Graph, running: Iterable[RunningJob]) -> Residual:
        """Streams take their predicted items/s times what an item takes; of a device no less than a fair share
        between all jobs there is left, of a link no less than LEAST_PART. What is gone counts for nothing."""
        hardware = Hardware.of(network, graph)
        free = np.array([float(network.devices[device].memory_bytes) for device in graph.devices])
        jobs, busy = np.zeros(len(graph.devices)), np.zeros(len(graph.devices))
        carried = np.zeros(len(graph.links))
        link_index = {link: index for index, link in enumerate(graph.links)}
        for run in running:
            for device, held in run.workload.held_bytes(run.plan.placement).items():
                if device in graph.index:
                    free[graph.index[device]] -= held
                    jobs[graph.index[device]] += 1
            if run.workload.job.mode == "stream":
                _add_stream(run, network, graph, busy, carried, link_index)
        return cls(
            network=network,
            graph=graph,
            hardware=hardware,
            capacity_bps=np.maximum(graph.capacity_bps - carried, LEAST_PART * graph.capacity_bps),
            stretch=1 / np.maximum(1 - busy, 1 / (1 + jobs)),
            free_bytes=free,
        )


def _add_stream(
    run: RunningJob,
    network: Network,
    graph: Graph,
    busy: Floats,
    carried: Floats,
    link_index: dict[LinkId, int],
) -> None:
    workload, plan = run.workload, run.plan
    rate = plan.throughput_per_s if math.isfinite(plan.throughput_per_s) else 0.0
    for task in workload.job.tasks:
        device = plan.placement[task.id]
        if device in graph.index:
            took = workload.seconds(task, network.devices[device])
            busy[graph.index[device]] += rate * took if math.isfinite(took) else 0.0
    for flow in workload.job.flows:
        route = plan.routes.get(flow.id, ())
        for a, b in pairwise(route):
            link = link_index.get(link_id(a, b))
            if link is not None:
                carried[link] += rate * 8 * workload.size_bytes(flow)
        for device in (route[0], route[-1]) if route else ():
            if device in graph.index:
                busy[graph.index[device]] += rate * workload.transfer_seconds(flow, network.devices[device])
