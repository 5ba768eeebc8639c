"""The thesis' job: attributes of people in a video."""

from __future__ import annotations

import numpy as np

from edgeray.generate.networks import GB
from policies.model import Flow, Job, JobId, Network, Task, TaskId, Workload


def attributes_job(rng: np.random.Generator, network: Network, name: str, spread: float = 0.0) -> Workload:
    """Zhang 2024, Fig. 3.9: frames of 6 MB, a detector, seven attribute networks, a tracker; a random camera.

    spread: by what part each number may lie off its value. The thesis runs one application, so none there.
    """

    def near(value: float) -> float:
        return float(value * rng.uniform(1 - spread, 1 + spread))

    source = sorted(network.devices)[int(rng.integers(len(network.devices)))]
    attributes = [f"m{i}" for i in range(3, 10)]
    tasks = [
        Task(id=TaskId("camera"), device=source, work_flop=0),
        Task(id=TaskId("m1"), memory_bytes=near(0.1 * GB), work_flop=near(0.5e9)),
        Task(id=TaskId("m2"), memory_bytes=near(0.4 * GB), work_flop=near(10e9)),
        *(Task(id=TaskId(i), memory_bytes=near(0.4 * GB), work_flop=near(8e9)) for i in attributes),
        Task(id=TaskId("n10"), memory_bytes=near(0.1 * GB), work_flop=near(0.5e9)),
    ]
    flows = [
        Flow(producer=TaskId("camera"), consumer=TaskId("m1"), size_bytes=near(6e6)),
        Flow(producer=TaskId("m1"), consumer=TaskId("m2"), size_bytes=near(2.7e5)),
        *(Flow(producer=TaskId("m2"), consumer=TaskId(i), size_bytes=near(5e4)) for i in attributes),
        *(Flow(producer=TaskId(i), consumer=TaskId("n10"), size_bytes=near(1e3)) for i in attributes),
    ]
    return Workload(job=Job(id=JobId(name), tasks=tuple(tasks), flows=tuple(flows), items_per_s=30.0))


def attributes_jobs(
    rng: np.random.Generator, network: Network, count: int, spread: float = 0.0
) -> list[Workload]:
    return [attributes_job(rng, network, f"job{i:03d}", spread) for i in range(count)]
