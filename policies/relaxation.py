"""Placement and routing of several jobs as one linear program, mixed-integer or relaxed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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

    def maximise(self, columns: Ints) -> LinearProgram:
        """The program whose objective (to be minimised) is less the sum of columns."""
        cost = np.zeros(self.size)
        cost[columns] = -1.0
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
class Relaxation:
    """Variables, all in items/s. rates: of each job. handled: [job][task] on each device; streamed:
    [job][flow] over each arc (a usable link in one direction). most: the rate that each job cannot exceed
    even alone."""

    jobs: tuple[Demand, ...]
    graph: Graph
    tails: Ints
    heads: Ints
    arc_links: Ints
    most: Floats
    model: Model
    rates: Ints
    handled: list[list[Ints]]
    streamed: list[list[Ints]]


def relax(network: Network, workloads: Sequence[Workload]) -> Relaxation:
    """Tasks that may be spread over devices and flows over routes, within the capacity of all of them.

    Per job: what its tasks handle sums to its rate; what leaves a device by a flow is what the producer
    handles there less what the consumer does. Over all jobs: seconds of each device <= 1, bits of each link
    <= its capacity. Valid for whole tasks, and kept to tighten: a task takes no more than one device's time,
    nor its job more than the fastest device allows; a task that handles x of a job's most holds at least x
    of its memory.
    Raises ValueError for a job that nothing bounds, or that has no place.
    """
    graph = Graph.of(network)
    hardware = Hardware.of(network, graph)
    jobs = tuple(demand(workload, hardware) for workload in workloads)
    usable = np.flatnonzero(graph.capacity_bps > 0)
    tails, heads = graph.ends[usable].T if len(usable) else (usable, usable)
    model = Model()
    most = np.array([_most(asked, graph) for asked in jobs])
    built = Relaxation(
        jobs=jobs,
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
    for index, asked in enumerate(jobs):
        _add_job(built, index, asked)
    _add_capacities(built, network)
    return built


def able(asked: Demand, task: int) -> Bools:
    """Devices where task may run."""
    can: Bools = np.isfinite(asked.seconds[task])
    if asked.pinned[task] != ANYWHERE:
        can &= np.arange(len(can)) == asked.pinned[task]
    return can


def _most(asked: Demand, graph: Graph) -> float:
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
        (columns, asked, task, float(most))
        for asked, handled, most in zip(built.jobs, built.handled, built.most, strict=True)
        for task, columns in enumerate(handled)
    ]
    columns = np.concatenate([task[0] for task in tasks])
    where = np.tile(devices, len(tasks))
    seconds = np.concatenate([np.where(able(a, t), a.seconds[t], 0.0) for _, a, t, _ in tasks])
    model.constrain(where, columns, seconds, np.full(len(devices), -np.inf), np.ones(len(devices)))
    memory = np.array([float(network.devices[device].memory_bytes) for device in graph.devices])
    held = np.concatenate(
        [
            a.memory_bytes[t] * np.maximum(np.where(able(a, t), a.seconds[t], 0.0), 1 / m)
            for _, a, t, m in tasks
        ]
    )
    unit = float(max(memory.max(), held.max())) or 1.0
    model.constrain(where, columns, held / unit, np.full(len(devices), -np.inf), memory / unit)
    flows = [
        (columns, bits)
        for asked, streamed in zip(built.jobs, built.streamed, strict=True)
        for columns, bits in zip(streamed, asked.bits, strict=True)
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
