"""A one-shot job on a network, as lists that a scheduler's inner loops can read fast."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from policies.flows.graph import Floats, Graph, Ints, Router
from policies.makespan.residual import Residual
from policies.model import Workload
from policies.placement.demand import ANYWHERE, Demand, demand
from policies.placement.reasons import Refusal, unplaceable

MOST_TASKS = 200_000
MOST_FLOWS = 1_000_000
"""Larger jobs are refused: their plan would take minutes."""
CANDIDATES = 32
"""Most devices that a plan uses besides those where tasks are pinned; others may still relay."""
WAYS = 4
"""Most routes between two devices that a plan chooses from."""
FEW_DEVICES = 16
"""Up to so many devices, all short routes are looked at; beyond, the widest and the shortest."""

Inputs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Way:
    """A route. resources: its links, counted on from the devices. pace: s/bit. devices: of the graph."""

    resources: tuple[int, ...]
    pace: float
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Tasks, flows, devices and links by index; tasks stand in topological order.

    A resource is a device (its index) or a link (devices + its index). seconds: of each task on each device, inf
    where it is not to run. options: the devices where it may. inputs: (flow, producer) of each task; outputs:
    (flow, consumer). bits: of each flow. width_bps: the most that any route between two devices carries, shape
    (devices, devices). pace: its inverse in s/bit, 0 on the diagonal, inf where nothing leads. mean_pace: s/bit
    between two devices on average. able: seconds before devices were left out of the choice, for bounds.
    """

    asked: Demand
    router: Router
    seconds: list[list[float]]
    options: list[tuple[int, ...]]
    inputs: list[Inputs]
    outputs: list[Inputs]
    bits: list[float]
    width_bps: Floats
    pace: list[list[float]]
    mean_pace: float
    able: Floats
    _ways: dict[tuple[int, int], tuple[Way, ...]] = field(default_factory=dict)
    _routers: dict[float, Router] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        return self.router.graph

    @property
    def resources(self) -> int:
        return len(self.graph.devices) + len(self.graph.links)

    def ways(self, source: int, target: int) -> tuple[Way, ...]:
        """The routes to choose from between two devices, the fastest first; of equally fast ones the shortest."""
        known = self._ways.get((source, target))
        if known is None:
            known = self._ways[source, target] = self._find_ways(source, target)
        return known

    def _find_ways(self, source: int, target: int) -> tuple[Way, ...]:
        width = float(self.width_bps[source, target])
        widest = self._routers.get(width)
        if widest is None:
            capacity = self.router.capacity_bps
            wide = np.where(capacity >= width, capacity, 0.0)
            widest = self._routers[width] = Router(self.graph, wide)
        routes = [widest.shortest(source, target), self.router.shortest(source, target)]
        if len(self.graph.devices) <= FEW_DEVICES:
            routes += self.router.routes(source, target, WAYS)
        count, capacities = len(self.graph.devices), self.router.capacity_bps
        found: dict[tuple[int, ...], Way] = {}
        for route in routes:
            if route is not None and route.links:
                pace = 1 / min(float(capacities[link]) for link in route.links)
                resources = tuple(count + link for link in route.links)
                found[resources] = Way(resources, pace, route.devices)
        best: list[Way] = []
        for way in sorted(found.values(), key=lambda way: (way.pace, len(way.resources), way.devices)):
            if not any(set(other.resources) <= set(way.resources) for other in best):
                best.append(way)
        return tuple(best[:WAYS])


def read(workload: Workload, residual: Residual) -> Instance | Refusal:
    """The job's numbers beside what runs, or why it cannot run.

    A task fits on a device whose free memory holds it, since a one-shot job computes one task at a time there.
    Where links do not join all devices, each part of the job that flows join gets one part of the network;
    where there are many devices, the CANDIDATES fastest ones are chosen from.
    """
    job = workload.job
    if not job.tasks:
        return Refusal(("it has no tasks",))
    for count, most, what in (
        (len(job.tasks), MOST_TASKS, "tasks"),
        (len(job.flows), MOST_FLOWS, "flows"),
    ):
        if count > most:
            return Refusal((f"its {count} {what} are more than the {most} that a one-shot job may have",))
    asked = demand(workload, residual.hardware)
    if asked.problems:
        return Refusal(asked.problems)
    router = Router(residual.graph, residual.capacity_bps)
    able = _able(asked, residual)
    lacking = np.flatnonzero(~np.isfinite(able).any(axis=1)).tolist()
    if lacking:
        found = [unplaceable(asked, task, (), router, residual.free_bytes) for task in lacking[:5]]
        return Refusal(tuple(reason for refusal in found for reason in refusal.reasons))
    seconds = _joined(asked, able, router)
    if isinstance(seconds, Refusal):
        return seconds
    seconds = _fastest(asked, seconds)
    usable = np.isfinite(seconds)
    width = _widths(router)
    used = np.flatnonzero(usable.any(axis=0))
    with np.errstate(divide="ignore"):
        pace = 1 / width
    inputs: list[list[tuple[int, int]]] = [[] for _ in job.tasks]
    outputs: list[list[tuple[int, int]]] = [[] for _ in job.tasks]
    for flow, (producer, consumer) in enumerate(zip(asked.producers, asked.consumers, strict=True)):
        inputs[consumer].append((flow, producer))
        outputs[producer].append((flow, consumer))
    return Instance(
        asked=asked,
        router=router,
        seconds=seconds.tolist(),
        options=[tuple(np.flatnonzero(row).tolist()) for row in usable],
        inputs=[tuple(pairs) for pairs in inputs],
        outputs=[tuple(pairs) for pairs in outputs],
        bits=list(asked.bits),
        width_bps=width,
        pace=pace.tolist(),
        mean_pace=_mean_pace(width[np.ix_(used, used)]),
        able=able,
    )


def _able(asked: Demand, residual: Residual) -> Floats:
    """Seconds as stretched beside what runs; inf where memory lacks or a pin says otherwise."""
    able: Floats = asked.seconds * residual.stretch
    able[asked.memory_bytes[:, None] > np.maximum(residual.free_bytes, 0.0)] = np.inf
    for task, device in enumerate(asked.pinned):
        if device != ANYWHERE:
            kept = able[task, device]
            able[task] = np.inf
            able[task, device] = kept
    return able


def _components(count: int, pairs: Ints) -> tuple[int, Ints]:
    ones = np.ones(len(pairs))
    matrix = sparse.csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    found, labels = connected_components(matrix, directed=False)
    return int(found), labels.astype(np.int64)


def _joined(asked: Demand, able: Floats, router: Router) -> Floats | Refusal:
    """Seconds with inf outside the part of the network that each part of the job is given.

    Parts of the job with the most work go first, each to where the work given so far, with its own, ends first.
    """
    islands, island_of = _components(len(router.graph.devices), router.graph.ends[router.capacity_bps > 0])
    if islands == 1:
        return able
    flows = np.array([asked.producers, asked.consumers], dtype=np.int64).T.reshape(-1, 2)
    parts, part_of = _components(len(asked.pinned), flows)
    fastest = np.stack([able[:, island_of == island].min(axis=1) for island in range(islands)], axis=1)
    devices = np.bincount(island_of, minlength=islands)
    work = np.zeros((parts, islands))
    np.add.at(work, part_of, fastest)
    lost = np.flatnonzero(~np.isfinite(work).any(axis=1))
    if len(lost):
        return Refusal(tuple(_apart(asked, np.flatnonzero(part_of == part)) for part in lost[:5]))
    given, loads = np.zeros(parts, dtype=np.int64), np.zeros(islands)
    order = np.argsort(-np.where(np.isfinite(work), work, np.inf).min(axis=1), kind="stable")
    for part in order.tolist():
        given[part] = int(np.argmin((loads + work[part]) / devices))
        loads[given[part]] += work[part, given[part]]
    return np.where(given[part_of][:, None] == island_of[None, :], able, np.inf)


def _apart(asked: Demand, tasks: Ints) -> str:
    names = ", ".join(asked.name(task) for task in tasks[:4].tolist()) + (", ..." if len(tasks) > 4 else "")
    return (
        f"tasks {names} are joined by flows, but no devices that links with free bandwidth join can run "
        "all of them"
    )


def _fastest(asked: Demand, seconds: Floats) -> Floats:
    """Seconds with inf on all but the devices that run most tasks soonest, pins, and each task's fastest."""
    devices = seconds.shape[1]
    if devices <= CANDIDATES:
        return seconds
    best = seconds.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        worth = np.where(seconds > 0, best / seconds, np.isfinite(seconds)).sum(axis=0)
    keep = np.zeros(devices, dtype=bool)
    keep[np.argsort(-worth, kind="stable")[:CANDIDATES]] = True
    stuck = ~np.isfinite(seconds[:, keep]).any(axis=1, keepdims=True)
    chosen = keep[None, :] | (stuck & (seconds == best))
    return np.where(chosen, seconds, np.inf)


def _widths(router: Router) -> Floats:
    """The widest route's capacity between all devices: links join parts of the network, the widest first."""
    count = len(router.graph.devices)
    width = np.zeros((count, count))
    members = {device: [device] for device in range(count)}
    part = list(range(count))
    capacity = router.capacity_bps
    for link in np.argsort(-capacity, kind="stable").tolist():
        a, b = (part[device] for device in router.graph.ends[link].tolist())
        if a == b or capacity[link] <= 0:
            continue
        width[np.ix_(members[a], members[b])] = capacity[link]
        width[np.ix_(members[b], members[a])] = capacity[link]
        for device in members[b]:
            part[device] = a
        members[a] += members.pop(b)
    np.fill_diagonal(width, np.inf)
    return width


def _mean_pace(width: Floats) -> float:
    """s/bit at the mean capacity between two devices; 0 where there are no two that data could pass between."""
    apart = width[~np.eye(len(width), dtype=bool)]
    return float(1 / apart.mean()) if apart.any() else 0.0
