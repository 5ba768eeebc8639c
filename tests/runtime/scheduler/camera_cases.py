"""A job that watches two cameras from three edges around two switches, and words for what happens to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
from scheduler_cases import Cluster

from edgeray.scheduler import events as ev
from edgeray.scheduler.effects import ApplyNetwork, Effect, MapStreams
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
)
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan, stream_plan
from policies.streams.mapping import StreamMapping
from policies.streams.reading import step

HUB, N1, N2, S, T = (DeviceId(name) for name in ("hub", "n1", "n2", "s", "t"))
EDGES = (HUB, N1, N2)
EVERYONE = (*EDGES, S, T)
LINKS = [Link(ends=(d, S), capacity_bps=1e8) for d in EDGES] + [
    Link(ends=(d, T), capacity_bps=1e7) for d in EDGES
]
YARD = Network(
    devices={d: Device(id=d, type="relay" if d in (S, T) else "pi", memory_bytes=1000) for d in EVERYONE},
    links={link.id: link for link in sorted(LINKS, key=lambda each: each.id)},
)
"""The first switch is the quicker one."""
SECONDS = {"camera": 0.005, "encode": 0.005, "decode": 0.05, "detect": 0.05, "identify": 0.05}
WATCH = JobId("w")
CAMERAS = ("c1", "c2")
"""At n1 and at n2."""
EDGE_TASKS = {device: TaskId(f"edge-{device}") for device in EDGES}


def watch_workload(name: str = "w", *, settle_s: float = 10.0, server: DeviceId = HUB) -> Workload:
    job = Job(
        id=JobId(name),
        tasks=tuple(Task(id=task, device=device) for device, task in EDGE_TASKS.items()),
        flows=tuple(Flow(producer=a, consumer=b) for a, b in permutations(EDGE_TASKS.values(), 2)),
        kind="streams",
        mode="cameras",
        streams=Streams(
            server=EDGE_TASKS[server],
            edges=EDGE_TASKS,
            cameras=tuple(
                Camera(id=CameraId(c), device=d, items_per_s=10.0)
                for c, d in zip(CAMERAS, (N1, N2), strict=True)
            ),
            workers=EDGES,
            detector_bytes=100.0,
            identifier_bytes=200.0,
            settle_s=settle_s,
        ),
    )
    return Workload(
        job=job,
        profile=Profile(
            seconds={(step(name, c), "pi"): took for name, took in SECONDS.items() for c in CAMERAS},
            output_bytes={step("encode", c): 1000.0 for c in CAMERAS} | {step("detect", c): 500.0 for c in CAMERAS},
            peak_memory_bytes={step("detect", c): 1.0 for c in CAMERAS} | {step("identify", c): 1.0 for c in CAMERAS},
        ),
    )  # fmt: skip


@dataclass
class Chosen:
    """A policy of streams that answers what it is told to: by camera, the devices that detect and identify. Devices that
    are away are replaced by the head. A camera that has more people to be told apart than is usual is identified at
    n2."""

    where: dict[str, tuple[DeviceId, DeviceId]] = field(
        default_factory=lambda: {"c1": (N1, HUB), "c2": (HUB, HUB)}
    )

    def __call__(self, instance: StreamInstance) -> StreamPlan | NoMapping:
        index = {DeviceId(device): at for at, device in enumerate(instance.devices)}
        if HUB not in index:
            return NoMapping(policy="chosen", reasons=("the head is away",))
        x, y = [], []
        for stream, camera in enumerate(instance.streams):
            detect_on, identify_on = self.where[camera]
            if instance.CL2[stream] > 0.05:
                identify_on = N2
            x.append(index.get(detect_on, index[HUB]))
            y.append(index.get(identify_on, index[HUB]))
        return stream_plan("chosen", instance, np.array(x), np.array(y))


class Yard(Cluster):
    """The cluster with a policy of cameras beside the others; chosen: what it answers."""

    def __init__(self, network: Network = YARD, *, joined: Sequence[DeviceId] = EVERYONE) -> None:
        super().__init__(network, joined=joined)
        self.chosen = Chosen()
        self.policies["load-aware"] = StreamMapping("load-aware", self.chosen)  # type: ignore[assignment]

    def watch(self, name: str = "w", at_s: float = 1.0, **how: float) -> list[Effect]:
        return self.handle(
            ev.JobSubmitted(
                at_s=at_s,
                job=JobId(name),
                workload=watch_workload(name, **how),  # type: ignore[arg-type]
                policy="load-aware",
                needs_profile=False,
                lease_s=None,
            )
        )

    def lose(self, device: DeviceId, at_s: float = 50.0) -> list[Effect]:
        return self.handle(ev.DeviceLost(at_s=at_s, device=device, reason="gone"))

    def back(self, device: DeviceId, at_s: float = 60.0) -> list[Effect]:
        return self.handle(ev.DeviceJoined(at_s=at_s, device=device, address=f"ip-{device}"))

    def measured(self, at_s: float = 50.0, **calls: float) -> list[Effect]:
        told = {CameraId(camera): number for camera, number in calls.items()}
        return self.handle(ev.StreamsMeasured(at_s=at_s, job=WATCH, calls_per_frame=told))

    def where(self, name: str = "w") -> dict[str, tuple[str, str]]:
        plan = self.state.jobs[JobId(name)].plan
        assert plan is not None and plan.mapped is not None
        return {c: (p.detect_on, p.identify_on) for c, p in plan.mapped.streams.items()}


def watching() -> Yard:
    yard = Yard()
    yard.watch()
    assert yard.phase("w") == "running"
    return yard


def mapped(effects: Iterable[Effect]) -> dict[str, Mapping[str, tuple[str, str]]]:
    """By device, how cameras are watched by what it was told last."""
    return {
        e.device: {c: (p.detect_on, p.identify_on) for c, p in e.mapped.streams.items()}
        for e in effects
        if isinstance(e, MapStreams)
    }


def rates(effects: Iterable[Effect], device: DeviceId) -> dict[str, float]:
    """What the last rules for this device guarantee."""
    *_, last = (e for e in effects if isinstance(e, ApplyNetwork) and e.device == device)
    return {rule.flow: rule.rate_bps for rule in last.rules}
