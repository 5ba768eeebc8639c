"""Small networks and jobs made from a seeded generator, for property tests; and the thesis', by their old names."""

from __future__ import annotations

import numpy as np

from edgeray.generate import attributes_job, attributes_jobs, network_of, random_pairs, thesis_network
from policies.model import Device, DeviceId, Flow, Job, JobId, Network, Task, TaskId, Workload

__all__ = [
    "attributes_job",
    "attributes_jobs",
    "network_of",
    "random_pairs",
    "small_job",
    "small_network",
    "thesis_network",
]


def small_network(rng: np.random.Generator, count: int = 5, links: int = 7) -> Network:
    devices = [
        Device(
            id=DeviceId(f"e{i}"),
            type=("fast", "slow")[int(rng.integers(2))],
            speed_flop_per_s=float(rng.integers(1, 20) * 10),
            memory_bytes=float(rng.integers(2, 12)),
        )
        for i in range(count)
    ]
    pairs = random_pairs(rng, count, links)
    return network_of(devices, [(a, b, float(rng.integers(1, 20) * 8)) for a, b in pairs])


def small_job(rng: np.random.Generator, network: Network, name: str, tasks: int = 4) -> Workload:
    """A camera, then a random connected DAG whose edges go from earlier to later tasks."""
    names = ["camera", *(f"t{i}" for i in range(tasks))]
    source = sorted(network.devices)[int(rng.integers(len(network.devices)))]
    made = [Task(id=TaskId("camera"), device=source, work_flop=0)]
    flows = []
    for index in range(1, tasks + 1):
        made.append(
            Task(
                id=TaskId(names[index]),
                memory_bytes=float(rng.integers(0, 4)),
                work_flop=float(rng.integers(0, 12)),
            )
        )
        inputs = rng.choice(index, size=min(index, int(rng.integers(1, 3))), replace=False)
        for producer in sorted(inputs.tolist()):
            flows.append(
                Flow(
                    producer=TaskId(names[producer]),
                    consumer=TaskId(names[index]),
                    size_bytes=float(rng.integers(0, 8)),
                )
            )
    rate = None if rng.integers(2) else float(rng.integers(1, 40))
    return Workload(job=Job(id=JobId(name), tasks=tuple(made), flows=tuple(flows), items_per_s=rate))
