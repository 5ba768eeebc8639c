"""Placement and routing of several jobs as one linear program, mixed-integer or relaxed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from policies.flows.graph import Floats, Graph, Ints
from policies.linear import LinearProgram
from policies.model import Network, Workload
from policies.placement.demand import ANYWHERE, Demand, Hardware, demand

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Model:
    """A program under construction: blocks of variables, and rows as triplets."""

    size: int = 0
    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    integral: list[Bools] = field(default_factory=list)
    rows: int = 0
    entries: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    row_lower: list[Floats] = field(default_factory=list)
    row_upper: list[Floats] = field(default_factory=list)

    def variables(self, upper: Floats, *, lower: float = 0.0, integral: bool = False) -> Ints:
        """Add a block of variables; their indices."""
        count = len(upper)
        self.lower.append(np.full(count, lower))
        self.upper.append(upper)
        self.integral.append(np.full(count, integral))
        self.size += count
        return np.arange(self.size - count, self.size)

    def constrain(self, rows: Ints, columns: Ints, values: Floats, lower: Floats, upper: Floats) -> None:
        """Add len(lower) rows; rows counts from zero within them."""
        self.entries.append((rows + self.rows, columns, values))
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.rows += len(lower)

    def one(self, columns: Ints, values: Floats, lower: float, upper: float) -> None:
        """Add a single row."""
        self.constrain(
            np.zeros(len(columns), dtype=np.int64), columns, values, np.array([lower]), np.array([upper])
        )

    def maximise(self, columns: Ints, weights: Floats | float = 1.0) -> LinearProgram:
        """The program whose objective (to be minimised) is less the weighted sum of columns."""
        cost = np.zeros(self.size)
        cost[columns] = -np.asarray(weights)
        rows, columns, values = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        integral = np.concatenate(self.integral)
        return LinearProgram(
            cost=cost,
            rows=sparse.csr_array((values, (rows, columns)), shape=(self.rows, self.size)),
            row_lower=np.concatenate(self.row_lower),
            row_upper=np.concatenate(self.row_upper),
            lower=np.concatenate(self.lower),
            upper=np.concatenate(self.upper),
            integral=integral if integral.any() else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Jobs that are equal apart from their ids, and one of them. tasks, flows: how many equal ones each stands for."""

    asked: Demand
    jobs: int
    tasks: tuple[int, ...]
    flows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Variables, all in items/s. rates: of (one job of) each group. handled: [group][task] on each device;
    streamed: [group][flow] over each arc (a usable link in one direction). most: the rate that each job cannot
    exceed even alone."""

    groups: tuple[Group, ...]
    graph: Graph
    tails: Ints
    heads: Ints
    arc_links: Ints
    most: Floats
    model: Model
    rates: Ints
    handled: list[list[Ints]]
    streamed: list[list[Ints]]


def relax(network: Network, workloads: Sequence[Workload], *, merged: bool = False) -> Relaxation:
    """Tasks that may be spread over devices and flows over routes, within the capacity of all of them.

    Per job: what its tasks handle sums to its rate; what leaves a device by a flow is what the producer
    handles there less what the consumer does. Over all jobs: seconds of each device <= 1, bits of each link
    <= its capacity. Valid for whole tasks, and kept to tighten: a task takes no more than one device's time,
    nor its job more than the fastest device allows; a task that handles x of a job's most holds at least x
    of its memory.
    merged: equal jobs share their variables, and so do equal tasks of a job (of the same numbers, inputs and
    outputs) with their flows. For a linear program that is exact: exchanging two equal ones turns a solution
    into another of the same value, the mean of all solutions that such exchanges make is one too, as the
    constraints are convex, and in it equal ones have equal values. (A whole task cannot be a mean.)
    Raises ValueError for a job that nothing bounds, or that has no place.
    """
    graph = Graph.of(network)
    hardware = Hardware.of(network, graph)
    jobs = [demand(workload, hardware) for workload in workloads]
    groups = _merge(jobs) if merged else tuple(_alone(asked) for asked in jobs)
    usable = np.flatnonzero(graph.capacity_bps > 0)
    tails, heads = graph.ends[usable].T if len(usable) else (usable, usable)
    model = Model()
    most = np.array([_most(group.asked) for group in groups])
    built = Relaxation(
        groups=groups,
        graph=graph,
        tails=np.concatenate([tails, heads]),
        heads=np.concatenate([heads, tails]),
        arc_links=np.concatenate([usable, usable]),
        most=most,
        model=model,
        rates=model.variables(most),
        handled=[],
        streamed=[],
    )
    for index, group in enumerate(groups):
        _add_job(built, index, group.asked)
    _add_capacities(built, network)
    return built


def _alone(asked: Demand, jobs: int = 1) -> Group:
    return Group(asked=asked, jobs=jobs, tasks=(1,) * len(asked.pinned), flows=(1,) * len(asked.bits))


def _merge(jobs: Sequence[Demand]) -> tuple[Group, ...]:
    """Equal jobs as one, and in each of them equal tasks."""
    equal: dict[object, list[Demand]] = {}
    for asked in jobs:
        numbers = asked.class_seconds.tobytes(), asked.memory_bytes.tobytes(), asked.bits, asked.items_per_s
        shape = asked.pinned, asked.producers, asked.consumers, asked.problems
        equal.setdefault((numbers, shape), []).append(asked)
    return tuple(_merge_tasks(_alone(members[0], len(members))) for members in equal.values())


def _merge_tasks(group: Group) -> Group:
    """Tasks of the same numbers, producers and consumers as one: any two of them could change places."""
    asked = group.asked
    ends = list(zip(asked.producers, asked.consumers, asked.bits, strict=True))
    equal: dict[object, list[int]] = {}
    for task, pinned in enumerate(asked.pinned):
        numbers = asked.class_seconds[task].tobytes(), float(asked.memory_bytes[task]), pinned
        inputs = tuple(sorted((a, bits) for a, b, bits in ends if b == task))
        outputs = tuple(sorted((b, bits) for a, b, bits in ends if a == task))
        equal.setdefault((numbers, inputs, outputs), []).append(task)
    classes = {members[0]: members for members in equal.values()}
    kept = list(classes)
    new = {task: position for position, task in enumerate(kept)}
    flows = [flow for flow, (a, b, _) in enumerate(ends) if a in new and b in new]
    merged = replace(
        asked,
        class_seconds=asked.class_seconds[kept],
        class_transfer_seconds=asked.class_transfer_seconds[flows],
        memory_bytes=asked.memory_bytes[kept],
        pinned=tuple(asked.pinned[task] for task in kept),
        producers=tuple(new[asked.producers[flow]] for flow in flows),
        consumers=tuple(new[asked.consumers[flow]] for flow in flows),
        bits=tuple(asked.bits[flow] for flow in flows),
        flow_ids=tuple(asked.flow_ids[flow] for flow in flows),
        inputs=tuple(
            tuple(position for position, flow in enumerate(flows) if asked.consumers[flow] == task)
            for task in kept
        ),
    )
    counts = {task: len(members) for task, members in classes.items()}
    return Group(
        asked=merged,
        jobs=group.jobs,
        tasks=tuple(counts[task] for task in kept),
        flows=tuple(counts[asked.producers[flow]] * counts[asked.consumers[flow]] for flow in flows),
    )


def able(asked: Demand, task: int) -> Bools:
    """Devices where task may run."""
    can: Bools = np.isfinite(asked.seconds[task])
    if asked.pinned[task] != ANYWHERE:
        can &= np.arange(len(can)) == asked.pinned[task]
    return can


def _most(asked: Demand) -> float:
    if asked.problems:
        raise ValueError(f"job {asked.workload.job.id}: {'; '.join(asked.problems)}")
    slowest = 0.0
    for task in range(len(asked.pinned)):
        can = able(asked, task)
        if not can.any():
            raise ValueError(f"job {asked.workload.job.id}: task {asked.name(task)} can run nowhere")
        slowest = max(slowest, float(asked.seconds[task][can].min()))
    most = min(asked.items_per_s, 1 / slowest if slowest > 0 else np.inf)
    if not np.isfinite(most):
        raise ValueError(f"job {asked.workload.job.id}: neither a source nor any work bounds its rate")
    return most


def _add_job(built: Relaxation, index: int, asked: Demand) -> None:
    model, rate, most = built.model, built.rates[index], float(built.most[index])
    devices = np.arange(len(built.graph.devices))
    handled = []
    for task in range(len(asked.pinned)):
        columns = model.variables(np.where(able(asked, task), most, 0.0))
        handled.append(columns)
        model.one(np.append(columns, rate), np.append(np.ones(len(devices)), -1.0), 0.0, 0.0)
        seconds = np.where(able(asked, task), asked.seconds[task], 0.0)
        if asked.pinned[task] == ANYWHERE and seconds.max() > 0:
            model.one(columns, seconds, -np.inf, 1.0)
    streamed = []
    for producer, consumer in zip(asked.producers, asked.consumers, strict=True):
        arcs = model.variables(np.full(len(built.tails), most))
        streamed.append(arcs)
        model.constrain(
            np.concatenate([built.tails, built.heads, devices, devices]),
            np.concatenate([arcs, arcs, handled[producer], handled[consumer]]),
            np.repeat([1.0, -1.0, -1.0, 1.0], [len(arcs), len(arcs), len(devices), len(devices)]),
            np.zeros(len(devices)),
            np.zeros(len(devices)),
        )
    built.handled.append(handled)
    built.streamed.append(streamed)


def _add_capacities(built: Relaxation, network: Network) -> None:
    graph, model = built.graph, built.model
    devices = np.arange(len(graph.devices))
    tasks = [
        (columns, group.asked, task, group.jobs * group.tasks[task], float(most))
        for group, handled, most in zip(built.groups, built.handled, built.most, strict=True)
        for task, columns in enumerate(handled)
    ]
    columns = np.concatenate([task[0] for task in tasks])
    where = np.tile(devices, len(tasks))
    taken = [np.where(able(a, t), a.seconds[t], 0.0) for _, a, t, _, _ in tasks]
    counts = np.repeat([float(count) for _, _, _, count, _ in tasks], len(devices))
    seconds = counts * np.concatenate(taken)
    model.constrain(where, columns, seconds, np.full(len(devices), -np.inf), np.ones(len(devices)))
    memory = np.array([float(network.devices[device].memory_bytes) for device in graph.devices])
    held = counts * np.concatenate(
        [
            a.memory_bytes[t] * np.maximum(s, 1 / most)
            for s, (_, a, t, _, most) in zip(taken, tasks, strict=True)
        ]
    )
    unit = float(max(memory.max(), held.max())) or 1.0
    model.constrain(where, columns, held / unit, np.full(len(devices), -np.inf), memory / unit)
    flows = [
        (columns, bits * group.jobs * count)
        for group, streamed in zip(built.groups, built.streamed, strict=True)
        for columns, bits, count in zip(streamed, group.asked.bits, group.flows, strict=True)
    ]
    if not flows or not len(built.arc_links):
        return
    per_bit = 1 / graph.capacity_bps[built.arc_links]
    model.constrain(
        np.tile(built.arc_links, len(flows)),
        np.concatenate([columns for columns, _ in flows]),
        np.concatenate([bits * per_bit for _, bits in flows]),
        np.full(len(graph.links), -np.inf),
        np.ones(len(graph.links)),
    )
