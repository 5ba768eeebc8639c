"""Networks and jobs made from a seeded generator: small ones for property tests, the thesis' for benchmarks."""

from __future__ import annotations

import numpy as np

from policies.model import Device, DeviceId, Flow, Job, JobId, Link, Network, Task, TaskId, Workload

GB = 1e9
MIX = {
    # type: (how many of ten, FLOP/s, memory). Zhang 2024, table 3.1; the rates are typical of DNN inference.
    "pi": (4, 4e9, 1 * GB),
    "nano": (2, 15e9, 4 * GB),
    "nx": (2, 40e9, 8 * GB),
    "server-1": (1, 60e9, 64 * GB),
    "server-2": (1, 100e9, 192 * GB),
}


def network_of(devices: list[Device], links: list[tuple[int, int, float]]) -> Network:
    """links: (device index, device index, bits/s)."""
    made = []
    for a, b, capacity in links:
        first, second = sorted((devices[a].id, devices[b].id))
        made.append(Link(ends=(first, second), capacity_bps=capacity))
    return Network(
        devices={device.id: device for device in sorted(devices, key=lambda device: device.id)},
        links={link.id: link for link in sorted(made, key=lambda link: link.id)},
    )


def random_pairs(rng: np.random.Generator, count: int, links: int) -> list[tuple[int, int]]:
    """A connected random graph: a random tree, then further pairs up to the number of links."""
    pairs = {(int(rng.integers(v)), v) for v in range(1, count)}
    most = min(links, count * (count - 1) // 2)
    while len(pairs) < most:
        a, b = sorted(rng.choice(count, size=2, replace=False).tolist())
        pairs.add((a, b))
    return sorted(pairs)


def thesis_network(rng: np.random.Generator, count: int, mean_bps: float, degree: float = 3.0) -> Network:
    """Zhang 2024, sec. 3.6.1: mean degree 3, the device mix of table 3.1, capacities of 30 % deviation."""
    kinds = [kind for kind, (share, _, _) in MIX.items() for _ in range(share)]
    chosen = [kinds[i % len(kinds)] for i in range(count)]
    rng.shuffle(chosen)
    devices = [
        Device(id=DeviceId(f"d{i:04d}"), type=kind, speed_flop_per_s=MIX[kind][1], memory_bytes=MIX[kind][2])
        for i, kind in enumerate(chosen)
    ]
    pairs = random_pairs(rng, count, round(count * degree / 2))
    capacity = np.clip(rng.normal(mean_bps, 0.3 * mean_bps, len(pairs)), 0.2 * mean_bps, None)
    return network_of(devices, [(a, b, float(c)) for (a, b), c in zip(pairs, capacity, strict=True)])


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
