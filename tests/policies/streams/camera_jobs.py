"""Jobs that watch cameras, networks that they run on, and mappings by rote: for tests of what is decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
    LinkId,
    Network,
    Plan,
    Profile,
    RunningJob,
    Snapshot,
    Streams,
    Task,
    TaskId,
    Workload,
)
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan, stream_plan
from policies.streams.mapping import StreamMapping
from policies.streams.reading import step

Links = Mapping[tuple[str, str], float]
"""Capacities in bits/s, by ends."""


def network(types: Mapping[str, str], links: Links, memory_bytes: float = 1e9) -> Network:
    """types: of each device."""
    made = [Link(ends=(DeviceId(min(e)), DeviceId(max(e))), capacity_bps=bps) for e, bps in links.items()]
    return Network(
        devices={
            DeviceId(d): Device(id=DeviceId(d), type=types[d], memory_bytes=memory_bytes)
            for d in sorted(types)
        },
        links={LinkId(link.id): link for link in sorted(made, key=lambda each: each.id)},
    )


def without(whole: Network, *gone: str) -> Network:
    """The network without these devices, and without their links."""
    return Network(
        devices={d: device for d, device in whole.devices.items() if d not in gone},
        links={name: link for name, link in whole.links.items() if not {*link.ends} & {*gone}},
    )


def camera(name: str, device: str, fps: float | None = None, calls: float = 0.1) -> Camera:
    return Camera(id=CameraId(name), device=DeviceId(device), items_per_s=fps, calls_per_frame=calls)


def streams_job(
    cameras: Iterable[Camera], edges: Iterable[str], workers: Iterable[str], server: str, **more: float
) -> Job:
    """As `edgeray.spec` makes them: an edge a device, with flows between any two."""
    names = {DeviceId(device): TaskId(f"edge-{device}") for device in sorted(edges)}
    return Job(
        id=JobId("w"),
        tasks=tuple(Task(id=task, device=device) for device, task in names.items()),
        flows=tuple(Flow(producer=a, consumer=b) for a, b in permutations(names.values(), 2)),
        kind="streams",
        mode="cameras",
        streams=Streams(
            server=names[DeviceId(server)],
            edges=names,
            cameras=tuple(cameras),
            workers=tuple(DeviceId(worker) for worker in sorted(workers)),
            **more,
        ),
    )


def profile(
    job: Job,
    seconds: Mapping[str, Mapping[str, float]],
    *,
    sending: Mapping[str, Mapping[str, float]] | None = None,
    frame_bytes: float = 10_000.0,
    crop_bytes: float = 2_000.0,
) -> Profile:
    """The same of every camera. seconds: by step and device type; sending: of either end, by what is sent."""
    assert job.streams is not None
    names = [each.id for each in job.streams.cameras]
    return Profile(
        seconds={(step(s, c), kind): took for s, by in seconds.items() for kind, took in by.items() for c in names},
        output_bytes={step("encode", c): frame_bytes for c in names} | {step("detect", c): crop_bytes for c in names},
        peak_memory_bytes={step("detect", c): 1e6 for c in names} | {step("identify", c): 2e6 for c in names},
        transfer_seconds={
            (step(s, c), kind): took
            for s, by in (sending or {}).items()
            for kind, took in by.items()
            for c in names
        },
    )  # fmt: skip


@dataclass
class ByRote:
    """A policy of streams that answers what it was told to: by camera, the devices that detect and identify."""

    where: Mapping[str, tuple[str, str]]
    asked: list[StreamInstance] = field(default_factory=list)

    def __call__(self, instance: StreamInstance) -> StreamPlan | NoMapping:
        self.asked.append(instance)
        pairs = [self.where[camera] for camera in instance.streams]
        if lost := sorted({device for pair in pairs for device in pair} - {*instance.devices}):
            return NoMapping(policy="rote", reasons=(f"{', '.join(lost)} is away",))
        x, y = ([instance.devices.index(pair[which]) for pair in pairs] for which in (0, 1))
        return stream_plan("rote", instance, np.array(x), np.array(y))


def mapping(where: Mapping[str, tuple[str, str]]) -> StreamMapping:
    return StreamMapping("rote", ByRote(where))


def placed(policy: StreamMapping, workload: Workload, on: Network, now_s: float = 0.0) -> Plan:
    decision = policy.decide(Snapshot(network=on, now_s=now_s), (workload,))
    assert not decision.infeasible, decision.infeasible
    return decision.plans[workload.job.id]


def refused(policy: StreamMapping, workload: Workload, on: Network) -> str:
    decision = policy.decide(Snapshot(network=on), (workload,))
    assert not decision.plans
    return "\n".join(decision.infeasible[workload.job.id].reasons)


def again(policy: StreamMapping, workload: Workload, plan: Plan, on: Network, now_s: float) -> Plan | None:
    """What the policy says of a job that runs by a plan; None: it goes on by it."""
    running = (RunningJob(workload=workload, plan=plan),)
    return policy.decide(Snapshot(network=on, running=running, now_s=now_s), ()).plans.get(workload.job.id)


def where(plan: Plan) -> dict[str, tuple[str, str]]:
    assert plan.mapped is not None
    return {c: (p.detect_on, p.identify_on) for c, p in plan.mapped.streams.items()}
