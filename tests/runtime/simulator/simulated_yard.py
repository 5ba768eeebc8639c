"""Jobs that watch cameras, with numbers that are made up, and policies that map as they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

from policies.model import (
    Camera,
    CameraId,
    Device,
    DeviceId,
    Flow,
    Job,
    JobId,
    Link,
    Network,
    Profile,
    Streams,
    Task,
    TaskId,
    Workload,
    link_id,
)
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan
from policies.streams.mapping import StreamMapping
from policies.streams.reading import step


def star(devices: int, mbps: float = 1000.0, *, delay_s: float = 0.0) -> Network:
    """d0 to dN around a switch, each of a type of its own."""
    ids = [DeviceId(f"d{n}") for n in range(devices)]
    all_ = [Device(id=each, type=each, memory_bytes=1e9) for each in ids]
    all_.append(Device(id=DeviceId("hub"), type="switch", memory_bytes=1e9))
    links = [Link(ends=(each, DeviceId("hub")), capacity_bps=mbps * 1e6, delay_s=delay_s) for each in ids]
    return Network(
        devices={device.id: device for device in all_}, links={link_id(*link.ends): link for link in links}
    )


def watching(
    network: Network,
    cameras: Sequence[str],
    seconds: Mapping[str, float],
    *,
    slower: Sequence[float] | None = None,
    fps: float | None = None,
    calls: float = 0.0,
    frame_bytes: float = 0.0,
    crop_bytes: float = 0.0,
    least_gain: float = 0.1,
) -> Workload:
    """cameras: the device of each, c0 to cK. seconds: of each step on d0; the others take slower times as long."""
    ids = [CameraId(f"c{k}") for k in range(len(cameras))]
    workers = tuple(device for device in network.devices if device != "hub")
    edges = {device: TaskId(f"edge-{device}") for device in workers}
    factors = dict(zip(workers, slower or [1.0] * len(workers), strict=True))
    job = Job(
        id=JobId("doors"),
        tasks=tuple(Task(id=task, device=device) for device, task in edges.items()),
        flows=tuple(Flow(producer=a, consumer=b) for a, b in permutations(edges.values(), 2)),
        kind="streams",
        mode="cameras",
        streams=Streams(
            server=edges[DeviceId("d0")],
            edges=edges,
            cameras=tuple(
                Camera(id=name, device=DeviceId(device), items_per_s=fps, calls_per_frame=calls)
                for name, device in zip(ids, cameras, strict=True)
            ),
            workers=workers,
            detector_bytes=1e6,
            identifier_bytes=1e6,
            least_gain=least_gain,
        ),
    )
    profile = Profile(
        seconds={
            (step(name, camera), kind): took_s * factors[kind]
            for camera in ids
            for kind in workers
            for name, took_s in seconds.items()
        },
        output_bytes={
            step(name, camera): size
            for camera in ids
            for name, size in (("encode", frame_bytes), ("detect", crop_bytes))
        },
        peak_memory_bytes={},
    )
    return Workload(job=job, profile=profile)


def mapped_to(x: Sequence[int], y: Sequence[int]) -> StreamMapping:
    """A policy that maps so; devices are counted in the order of their ids."""

    def decide(instance: StreamInstance) -> StreamPlan | NoMapping:
        return StreamPlan(policy="told", x=tuple(x), y=tuple(y), sum_latency_s=0.0, common_fps=0.0)

    return StreamMapping("told", decide)
