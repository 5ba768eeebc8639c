"""Random DAGs with costs, as one-shot jobs or as streams. Pure functions of a numpy Generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from policies.model import DeviceId, Flow, Job, JobId, Network, Task, TaskId

Edge = tuple[int, int]
"""(producer, consumer) of tasks numbered so that every edge goes to a larger number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What tasks and flows cost on average.

    seconds: of a task on a device of mean speed. ccr: communication to computation: how long the mean flow takes
    over the mean link, as a part of seconds. spread: each cost is uniform in mean x [1 - spread, 1 + spread].
    memory_bytes: of every task. heterogeneity: None declares work, so that a device of twice the speed takes half
    the time; else (in [0, 2]) seconds by type are declared, each uniform in mean x [1 -/+ heterogeneity / 2],
    whatever the speeds: a device that is fast for one task may be slow for another.
    speed_flop_per_s, capacity_bps, types: of the network, the first two on average.
    Source: Topcuoglu, Hariri and Wu, "Performance-Effective and Low-Complexity Task Scheduling for Heterogeneous
    Computing", IEEE TPDS 13(3), 2002, sec. 5.1 (spread 1; there heterogeneity is beta).
    """

    seconds: float = 1.0
    ccr: float = 1.0
    spread: float = 1.0
    memory_bytes: float = 0.0
    heterogeneity: float | None = None
    speed_flop_per_s: float = 1e9
    capacity_bps: float = 1e7
    types: Sequence[str] = ()


def mean_costs(network: Network, costs: Costs) -> Costs:
    """The costs with a network's mean speed and capacity, and its device types."""
    speeds = [device.speed_flop_per_s for device in network.devices.values() if device.speed_flop_per_s > 0]
    capacities = [link.capacity_bps for link in network.links.values()]
    return replace(
        costs,
        speed_flop_per_s=float(np.mean(speeds)) if speeds else costs.speed_flop_per_s,
        capacity_bps=float(np.mean(capacities)) if capacities else costs.capacity_bps,
        types=sorted({device.type for device in network.devices.values()}),
    )


def layered_edges(
    rng: np.random.Generator, tasks: int, *, alpha: float = 1.0, degree: float = 3.0
) -> list[Edge]:
    """A layered random DAG: about sqrt(tasks) / alpha layers of sqrt(tasks) x alpha tasks.

    The width of each layer is uniform from 1 to twice the mean, less one. Every task but the first layer's has an
    input of the layer above; further inputs come from any layers above, degree a task on average where there are as
    many.
    """
    layers = _layers(rng, tasks, max(1.0, math.sqrt(tasks) * alpha))
    edges: set[Edge] = set()
    for above, here in pairwise(layers):
        for task in here:
            edges.add((int(rng.integers(above.start, above.stop)), task))
            further = min(int(rng.poisson(max(degree - 1, 0))), here.start - 1)
            edges.update(
                (producer, task) for producer in rng.choice(here.start, further, replace=False).tolist()
            )
    return sorted(edges)


def fork_join_edges(width: int, stages: int = 1) -> list[Edge]:
    """stages times: one task gives to width tasks, which give to one task, which forks again."""
    edges = []
    fork = 0
    for _ in range(stages):
        join = fork + width + 1
        edges += [(fork, i) for i in range(fork + 1, join)] + [(i, join) for i in range(fork + 1, join)]
        fork = join
    return sorted(edges)


def chain_edges(tasks: int) -> list[Edge]:
    return [(i, i + 1) for i in range(tasks - 1)]


def one_shot_job(rng: np.random.Generator, name: str, tasks: int, edges: Sequence[Edge], costs: Costs) -> Job:
    """The DAG as a job that runs once: tasks t0, t1, ... (with zeros in front, so that they sort)."""
    names = _names("t", tasks)
    return Job(
        id=JobId(name),
        tasks=tuple(_task(rng, id, costs) for id in names),
        flows=_flows(rng, names, edges, costs),
        mode="once",
    )


def stream_job(
    rng: np.random.Generator,
    name: str,
    tasks: int,
    edges: Sequence[Edge],
    costs: Costs,
    *,
    source: DeviceId,
    items_per_s: float | None = None,
) -> Job:
    """The DAG as a stream: a source without work on a device gives its items to all tasks without inputs."""
    fed = {consumer for _, consumer in edges}
    entries = [(0, task + 1) for task in range(tasks) if task not in fed]
    moved = sorted([*entries, *((producer + 1, consumer + 1) for producer, consumer in edges)])
    names = ["source", *_names("t", tasks)]  # "source" sorts before "t..."
    return Job(
        id=JobId(name),
        tasks=(
            Task(id=TaskId("source"), device=source, work_flop=0.0),
            *(_task(rng, id, costs) for id in names[1:]),
        ),
        flows=_flows(rng, names, moved, costs),
        items_per_s=items_per_s,
    )


def _layers(rng: np.random.Generator, tasks: int, mean_width: float) -> list[range]:
    layers: list[range] = []
    done = 0
    while done < tasks:
        width = min(int(rng.integers(1, max(1, round(2 * mean_width - 1)) + 1)), tasks - done)
        layers.append(range(done, done + width))
        done += width
    return layers


def _names(prefix: str, count: int) -> list[str]:
    digits = len(str(max(count - 1, 0)))
    return [f"{prefix}{i:0{digits}d}" for i in range(count)]


def _task(rng: np.random.Generator, id: str, costs: Costs) -> Task:
    mean = _near(rng, costs.seconds, costs.spread)
    if costs.heterogeneity is None:
        return Task(
            id=TaskId(id),
            memory_bytes=costs.memory_bytes,
            work_flop=_short(mean * costs.speed_flop_per_s),
        )
    half = costs.heterogeneity / 2
    return Task(
        id=TaskId(id),
        memory_bytes=costs.memory_bytes,
        seconds={kind: _short(_near(rng, mean, half)) for kind in costs.types},
    )


def _flows(
    rng: np.random.Generator, names: Sequence[str], edges: Sequence[Edge], costs: Costs
) -> tuple[Flow, ...]:
    """In the order of their consumers, then of their producers."""
    mean_bytes = costs.ccr * costs.seconds * costs.capacity_bps / 8
    return tuple(
        Flow(
            producer=TaskId(names[producer]),
            consumer=TaskId(names[consumer]),
            size_bytes=_short(_near(rng, mean_bytes, costs.spread)),
        )
        for consumer, producer in sorted((consumer, producer) for producer, consumer in edges)
    )


def _short(value: float) -> float:
    """Four digits: what a person can read, and closer than any cost is known."""
    return float(f"{value:.4g}")


def _near(rng: np.random.Generator, mean: float, spread: float) -> float:
    return float(mean * rng.uniform(1 - spread, 1 + spread))
