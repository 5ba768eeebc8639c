"""Placements that cut a job once: what comes first stays with its cameras, the rest goes to one device."""

from __future__ import annotations

import numpy as np

from policies.flows.graph import Floats
from policies.placement.demand import ANYWHERE, Demand
from policies.placement.potential import Candidate, Resources, increase, route_by_potential, transfer_work


def splits(
    resources: Resources, asked: Demand, load: Floats, free_bytes: Floats, power: float, most: int = 3
) -> list[Candidate]:
    """The most promising cuts along the topological order, at most `most` of them.

    Greedy placement decides task by task and keeps many tasks near the camera whose outputs are together
    dearer than its own; whole jobs elsewhere, as Kubernetes places them, are such cuts too (after the camera).
    All devices are priced at once; the flows that cross are taken as one that follows the cheapest way.
    None for a job that is pinned to several devices. Complexity: one Dijkstra a cut.
    """
    homes = sorted({device for device in asked.pinned if device != ANYWHERE})
    if len(homes) != 1:
        return []
    home = homes[0]
    unit = float(load.max()) or 1.0
    free_tasks = asked.free_tasks
    prices = np.array(
        [
            _price(resources, asked, load, free_bytes, power, unit, home, cut)
            for cut in range(len(free_tasks) + 1)
        ]
    )
    found: list[Candidate] = []
    for flat in np.argsort(prices, axis=None, kind="stable")[:most].tolist():
        cut, device = divmod(int(flat), prices.shape[1])
        if not np.isfinite(prices[cut, device]):
            break
        placement = [home] * len(asked.pinned)
        for task in free_tasks[cut:]:
            placement[task] = device
        candidate = route_by_potential(resources, asked, tuple(placement), load, power)
        if candidate is not None:
            found.append(candidate)
    return found


def _price(
    resources: Resources,
    asked: Demand,
    load: Floats,
    free_bytes: Floats,
    power: float,
    unit: float,
    home: int,
    cut: int,
) -> Floats:
    """What the potential rises by when the free tasks from cut on go to each device; inf where they cannot."""
    devices = len(resources.graph.devices)
    away = set(asked.free_tasks[cut:])
    stay = [task for task in range(len(asked.pinned)) if task not in away]
    goes = sorted(away)
    ends = enumerate(zip(asked.producers, asked.consumers, strict=True))
    crossing = [flow for flow, (producer, consumer) in ends if (producer in away) != (consumer in away)]
    work = asked.seconds[goes].sum(axis=0) if goes else np.zeros(devices)
    at_home = np.full(devices, asked.seconds[stay, home].sum())
    for flow in crossing:
        receiving, sending = transfer_work(asked, flow, home)
        work, at_home = work + receiving, at_home + sending
    possible = (
        np.isfinite(work)
        & (free_bytes >= asked.memory_bytes[goes].sum())
        & (free_bytes[home] >= asked.memory_bytes[stay].sum())
        & np.isfinite(at_home)
    )
    possible[home] = not goes and bool(possible[home])  # the whole job at home is the last cut
    if not goes:
        possible &= np.arange(devices) == home
    if not possible.any():
        return np.full(devices, np.inf)
    price = increase(load[home : home + 1] / unit, np.where(possible, at_home, 0.0) / unit, power)
    price = price + increase(load[:devices] / unit, np.where(possible, work, 0.0) / unit, power)
    if crossing:
        more = sum(asked.bits[flow] for flow in crossing) * resources.seconds_per_bit / unit
        price = price + resources.tree(home, increase(load[devices:] / unit, more, power))[0]
    return np.where(possible, price, np.inf)
