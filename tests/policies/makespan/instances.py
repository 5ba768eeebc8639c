"""One-shot jobs and networks for them from a seeded generator, and the two papers' own examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from policies.flows.graph import Graph
from policies.makespan.instance import Instance, read
from policies.makespan.residual import Residual
from policies.model import Device, DeviceId, Flow, Job, JobId, Link, Network, Task, TaskId, Workload
from tests.policies.generate import network_of, random_pairs

Rows = Sequence[Sequence[float]]
Edges = Sequence[tuple[int, int, float]]

TOPCUOGLU: tuple[Rows, Edges] = (
    [
        [14, 16, 9],
        [13, 19, 18],
        [11, 13, 19],
        [13, 8, 17],
        [12, 13, 10],
        [13, 16, 9],
        [7, 15, 11],
        [5, 11, 14],
        [18, 12, 20],
        [21, 7, 16],
    ],
    [
        *((0, 1, 18), (0, 2, 12), (0, 3, 9), (0, 4, 11), (0, 5, 14), (1, 7, 19), (1, 8, 16), (2, 6, 23)),
        *((3, 7, 27), (3, 8, 23), (4, 8, 13), (5, 7, 15), (6, 9, 17), (7, 9, 11), (8, 9, 13)),
    ],
)
"""Topcuoglu, Hariri, Wu 2002, Fig. 3: seconds by task and device, and (producer, consumer, seconds)."""

ARABNEJAD: tuple[Rows, Edges] = (
    [
        [22, 21, 36],
        [22, 18, 18],
        [32, 27, 43],
        [7, 10, 4],
        [29, 27, 35],
        [26, 17, 24],
        [14, 25, 30],
        [29, 23, 36],
        [15, 21, 8],
        [13, 16, 33],
    ],
    [
        *((0, 1, 17), (0, 2, 31), (0, 3, 29), (0, 4, 13), (0, 5, 7), (1, 7, 3), (1, 8, 30), (2, 6, 16)),
        *((3, 7, 11), (3, 8, 7), (4, 8, 57), (5, 7, 5), (6, 9, 9), (7, 9, 42), (8, 9, 7)),
    ],
)
"""Arabnejad, Barbosa 2014, Fig. 1: seconds by task and device, and (producer, consumer, seconds)."""


def meshed(devices: int, capacity_bps: float = 8.0) -> Network:
    """Devices of a type each, every two joined: with 8 bit/s a flow's seconds are its bytes."""
    ids = [DeviceId(f"p{i}") for i in range(devices)]
    made = [Device(id=device, type=device, memory_bytes=1e9) for device in ids]
    pairs = [(a, b, capacity_bps) for a in range(devices) for b in range(a + 1, devices)]
    return network_of(made, pairs)


def job_of(seconds: Rows, edges: Edges, name: str = "j") -> Workload:
    """Seconds by task and type p0, p1, ...; bytes by (producer, consumer)."""
    tasks = tuple(
        Task(id=TaskId(f"t{i:04d}"), seconds={f"p{d}": float(took) for d, took in enumerate(row)})
        for i, row in enumerate(seconds)
    )
    flows = tuple(
        Flow(producer=tasks[a].id, consumer=tasks[b].id, size_bytes=float(size)) for a, b, size in edges
    )
    return Workload(job=Job(id=JobId(name), tasks=tasks, flows=flows, mode="once"))


def read_alone(network: Network, workload: Workload) -> Instance:
    """The job on the empty network; it must be one that can run."""
    instance = read(workload, Residual.of(network, Graph.of(network), ()))
    assert isinstance(instance, Instance), instance
    return instance


def random_network(rng: np.random.Generator, devices: int) -> Network:
    """Connected, mean degree 3 at most, capacities and speeds up to tenfold apart, two types."""
    made = [
        Device(
            id=DeviceId(f"e{i:02d}"),
            type=("fast", "slow")[int(rng.integers(2))],
            speed_flop_per_s=float(rng.integers(1, 11)),
            memory_bytes=float(rng.integers(6, 12)),
        )
        for i in range(devices)
    ]
    pairs = random_pairs(rng, devices, max(devices - 1, int(rng.integers(devices - 1, 2 * devices))))
    return network_of(made, [(a, b, 8 * float(rng.integers(1, 11))) for a, b in pairs])


def layered(rng: np.random.Generator, tasks: int) -> list[tuple[int, int]]:
    """Tasks in layers; each but the first layer's has one to three inputs from the layer before."""
    width = max(1, int(rng.integers(1, max(2, round(2 * tasks**0.5)) + 1)))
    edges = []
    for task in range(width, tasks):
        start = (task // width - 1) * width
        for producer in rng.choice(width, size=min(width, int(rng.integers(1, 4))), replace=False).tolist():
            edges.append((start + producer, task))
    return sorted(edges)


def fork_join(rng: np.random.Generator, tasks: int) -> list[tuple[int, int]]:
    """A task forks into several, which join again, and so on."""
    edges, last, at = [], 0, 1
    while at < tasks:
        width = min(int(rng.integers(1, 9)), max(1, tasks - at - 1))
        branches = range(at, min(at + width, tasks))
        at += len(branches)
        edges += [(last, branch) for branch in branches]
        if at < tasks:
            edges += [(branch, at) for branch in branches]
            last, at = at, at + 1
    return sorted(edges)


def chains(rng: np.random.Generator, tasks: int) -> list[tuple[int, int]]:
    """Chains side by side, of which some tasks also feed a later one elsewhere."""
    count = int(rng.integers(1, 5))
    edges = {(task - count, task) for task in range(count, tasks)}
    for _ in range(tasks // 5):
        a, b = sorted(rng.choice(tasks, size=2, replace=False).tolist())
        edges.add((a, b))
    return sorted(edges)


Shape = Callable[[np.random.Generator, int], list[tuple[int, int]]]
SHAPES: tuple[Shape, ...] = (layered, fork_join, chains)


def random_job(
    rng: np.random.Generator, network: Network, tasks: int, name: str = "j", shape: Shape | None = None
) -> Workload:
    """Work and bytes of which the ratio differs tenfold from job to job; some zero, a few pins and needs of memory."""
    heavy = float(rng.choice([0.3, 1.0, 3.0]))
    devices = sorted(network.devices)
    made = tuple(
        Task(
            id=TaskId(f"t{i:04d}"),
            memory_bytes=float(rng.integers(0, 7)),
            device=devices[int(rng.integers(len(devices)))] if rng.random() < 0.1 else None,
            work_flop=float(rng.integers(0, 20)),
        )
        for i in range(tasks)
    )
    drawn = SHAPES[int(rng.integers(len(SHAPES)))]
    flows = tuple(
        Flow(producer=made[a].id, consumer=made[b].id, size_bytes=heavy * float(rng.integers(0, 20)))
        for a, b in (shape or drawn)(rng, tasks)
    )
    return Workload(job=Job(id=JobId(name), tasks=made, flows=flows, mode="once"))


def random_instance(seed: int, tasks: int, devices: int) -> tuple[Network, Workload]:
    rng = np.random.default_rng(seed)
    network = random_network(rng, devices)
    return network, random_job(rng, network, tasks)


def disjoint(network: Network, other: Network) -> Network:
    """Two networks that no link joins."""
    links: dict[str, Link] = {**network.links, **other.links}
    return Network(
        devices=dict(sorted({**network.devices, **other.devices}.items())),
        links=dict(sorted(links.items())),
    )
