"""The motivating example of the thesis (Zhang 2024, Fig. 3.2), with the numbers that give its four results."""

from __future__ import annotations

from policies.model import Device, DeviceId, Flow, Job, JobId, Network, Task, TaskId, Workload
from tests.policies.generate import network_of

SPEED = {"e1": 200.0, "e2": 30.0, "e3": 30.0, "e4": 25.0, "e5": 20.0}
MEMORY = {"e1": 12.0, "e2": 4.0, "e3": 4.0, "e4": 2.0, "e5": 2.0}
LINKS = [(0, 1, 12), (1, 3, 10), (0, 2, 8), (2, 3, 6), (0, 4, 4)]
SIZES = {
    ("camera", "a"): 5.0,
    ("a", "b"): 1.0,
    ("a", "c"): 2.0,
    ("b", "d"): 1.0,
    ("c", "e"): 1.0,
    ("d", "f"): 1.0,
    ("e", "f"): 1.0,
}


def example_network() -> Network:
    """Capacities are given per byte in the figure."""
    devices = [
        Device(id=DeviceId(name), type=name, speed_flop_per_s=SPEED[name], memory_bytes=MEMORY[name])
        for name in SPEED
    ]
    return network_of(devices, [(a, b, 8.0 * capacity) for a, b, capacity in LINKS])


def example_job(name: str = "fig32", items_per_s: float | None = None) -> Workload:
    tasks = (
        Task(id=TaskId("camera"), device=DeviceId("e4")),
        Task(id=TaskId("a"), memory_bytes=1, work_flop=5),
        *(Task(id=TaskId(task), memory_bytes=2, work_flop=10) for task in "bcdef"),
    )
    flows = tuple(
        Flow(producer=TaskId(a), consumer=TaskId(b), size_bytes=size) for (a, b), size in SIZES.items()
    )
    return Workload(job=Job(id=JobId(name), tasks=tasks, flows=flows, items_per_s=items_per_s))
