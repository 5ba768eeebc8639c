"""The setting of the DCEI experiments (Zhang 2024, ch. 5.5): devices, cameras, people, and what is run.

Source: Zhang 2024, secs. 5.5.1 to 5.5.5, Figs. 5.5 to 5.10. The thesis states the devices (three Jetson Xavier NX, two
TX2 with 4 GB), five cameras against three to seven devices, four cameras and five devices for the workload of Fig. 5.6,
5 to 30 Mbps on average with links that differ by 30 %. It states no work, sizes, memory or numbers of people. Here:
what `edgeray profile apps/reid` measures on cluster/testbed/cameras.yaml for its types jetson-nx and jetson-tx2, as
the mean over its five cameras; people as told below; memory of the models as in our specification of the policies, in GB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np

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
from policies.streams.reading import step

MEASURED_S: dict[str, dict[str, float]] = {
    "nx": {"detect": 0.1455, "decode": 0.0118, "identify": 0.0165},
    "tx2": {"detect": 0.2629, "decode": 0.0242, "identify": 0.0305},
}
"""Seconds of a frame, and of one person to be re-identified. A TX2 takes 1.8 times as long as an NX."""
SENDING_S: dict[str, dict[str, float]] = {
    "nx": {"encode": 0.0072, "detect": 0.0040},
    "tx2": {"encode": 0.0120, "detect": 0.0073},
}
"""Seconds of either end of sending a frame, and a person's picture."""
FRAME_BYTES, CROP_BYTES = 49_400.0, 12_900.0
MEMORY_BYTES = {"nx": 8e9, "tx2": 4e9}
DETECTOR_BYTES, IDENTIFIER_BYTES = 1e9, 1.5e9
ORDER = ("nx", "tx2", "nx", "tx2", "nx", "nx", "tx2")
"""The first five are the thesis' devices; it does not say what the sixth and the seventh are."""
CAMERA_FPS = 10.0
"""Of an IP camera, whose late frames are dropped. What it compresses itself costs no device anything."""
DEFAULT_MBPS = 20.0
SPREAD = 0.3

POLICIES = ("nmno", "wmno", "nmwo", "jstsh", "load-aware")
SEEDS, QUICK_SEEDS = 20, 3
LEAST_PEOPLE, MOST_PEOPLE = 3.0, 6.0
"""A frame, each of whom is re-identified (eq. 5.2 charges it for every frame)."""
ONCE = 0.03
"""Of those people in a frame, who are there for the first time: `edgeray compare apps/reid` counts about that many."""

BUSY_UNTIL_S, BUSY_FROM_S, LASTS_S, RAMP_S = 300.0, 1500.0, 1800.0, 60.0
BUSY, QUIET = (8.0, 5.0, 5.0, 8.0), (2.0, 1.0, 1.0, 2.0)
"""People a frame of CAM1 to CAM4: many until 12:05 and from 12:25 on, few between."""

People = Callable[[CameraId, float], float]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Point:
    """One setting. figure: "devices", "workload" or "bandwidth"; or "once", where a person is asked
    about when first seen, and not in every frame. x: its place on the figure's axis."""

    figure: str
    x: float
    cameras: int
    devices: int
    mean_mbps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A point's network and job as a seed draws them. people: a frame, by camera and time; the workload has the first."""

    network: Network
    workload: Workload
    people: People


def points(*, quick: bool = False) -> tuple[Point, ...]:
    """What the figures are drawn from."""
    counts, mbps = ((3, 5, 7), (5, 30)) if quick else ((3, 4, 5, 6, 7), (5, 10, 20, 30))
    by_devices = [Point(figure="devices", x=n, cameras=5, devices=n, mean_mbps=DEFAULT_MBPS) for n in counts]
    by_bandwidth = [Point(figure="bandwidth", x=b, cameras=5, devices=5, mean_mbps=b) for b in mbps]
    over_time = Point(figure="workload", x=0, cameras=4, devices=5, mean_mbps=DEFAULT_MBPS)
    once = Point(figure="once", x=5, cameras=5, devices=5, mean_mbps=DEFAULT_MBPS)
    return (*by_devices, *by_bandwidth, once, over_time)


def setting(point: Point, seed: int) -> Setting:
    """The same seed draws the same links, but for their mean, and the same people."""
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(LEAST_PEOPLE, MOST_PEOPLE, 16)  # people, for more cameras than there are
    factors = rng.uniform(1 - SPREAD, 1 + SPREAD, 64)
    network = _network(point, factors)
    people: People
    if point.figure == "workload":
        people = day
    else:
        part = ONCE if point.figure == "once" else 1.0
        fixed = {_camera(k): part * float(drawn[k]) for k in range(point.cameras)}

        def people(camera: CameraId, _: float) -> float:
            return fixed[camera]

    calls = {_camera(k): people(_camera(k), 0.0) for k in range(point.cameras)}
    workload = Workload(job=_job(point), profile=_profile(point.cameras), calls_per_frame=calls)
    return Setting(network=network, workload=workload, people=people)


def day(camera: CameraId, at_s: float) -> float:
    """Fig. 5.6: people a frame of CAM1 to CAM4, from 12:00 on."""
    number = int(camera.removeprefix("cam")) - 1
    down = np.clip((at_s - BUSY_UNTIL_S) / RAMP_S + 0.5, 0, 1)
    up = np.clip((at_s - BUSY_FROM_S) / RAMP_S + 0.5, 0, 1)
    part = float(1 - down + up)
    return QUIET[number] + part * (BUSY[number] - QUIET[number])


def _camera(k: int) -> CameraId:
    return CameraId(f"cam{k + 1}")


def _edge(number: int) -> DeviceId:
    return DeviceId(f"e{number + 1}")


def _network(point: Point, factors: np.ndarray) -> Network:
    """All behind one switch: cameras, devices and the master. A camera's link and a device's keep their factors."""
    others = {"router": "router", "master": "master"}
    others |= {_camera(k): "camera" for k in range(point.cameras)}
    devices = [Device(id=DeviceId(name), type=kind, memory_bytes=32e9) for name, kind in others.items()]
    devices += [
        Device(id=_edge(n), type=ORDER[n], memory_bytes=MEMORY_BYTES[ORDER[n]]) for n in range(point.devices)
    ]
    mean_bps = point.mean_mbps * 1e6
    widths = {DeviceId("master"): mean_bps}
    widths |= {DeviceId(_camera(k)): mean_bps * factors[k] for k in range(point.cameras)}
    widths |= {_edge(n): mean_bps * factors[16 + n] for n in range(point.devices)}
    router = DeviceId("router")
    links = [
        Link(ends=(min(device, router), max(device, router)), capacity_bps=float(width))
        for device, width in widths.items()
    ]
    return Network(
        devices={device.id: device for device in devices}, links={link_id(*link.ends): link for link in links}
    )


def _job(point: Point) -> Job:
    workers = tuple(_edge(n) for n in range(point.devices))
    cameras = tuple(
        Camera(id=_camera(k), device=DeviceId(_camera(k)), items_per_s=CAMERA_FPS)
        for k in range(point.cameras)
    )
    edges = {device: TaskId(f"edge-{device}") for device in (DeviceId("master"), *workers)}
    edges |= {camera.device: TaskId(f"edge-{camera.device}") for camera in cameras}
    return Job(
        id=JobId("dcei"),
        tasks=tuple(Task(id=task, device=device) for device, task in edges.items()),
        flows=tuple(Flow(producer=a, consumer=b) for a, b in permutations(edges.values(), 2)),
        kind="streams",
        mode="cameras",
        streams=Streams(
            server=edges[DeviceId("master")],
            edges=edges,
            cameras=cameras,
            workers=workers,
            detector_bytes=DETECTOR_BYTES,
            identifier_bytes=IDENTIFIER_BYTES,
        ),
    )


def _profile(cameras: int) -> Profile:
    ids = [_camera(k) for k in range(cameras)]
    return Profile(
        seconds={
            (step(name, camera), kind): took_s
            for camera in ids
            for kind, steps in MEASURED_S.items()
            for name, took_s in steps.items()
        },
        output_bytes={
            step(name, camera): size
            for camera in ids
            for name, size in (("encode", FRAME_BYTES), ("detect", CROP_BYTES))
        },
        peak_memory_bytes={},
        transfer_seconds={
            (step(name, camera), kind): took_s
            for camera in ids
            for kind, steps in SENDING_S.items()
            for name, took_s in steps.items()
        },
    )
