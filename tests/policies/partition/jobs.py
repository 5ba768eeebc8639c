"""Jobs that train a model, their measurements, and networks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from policies.model import (
    CutProfile,
    Device,
    DeviceId,
    Flow,
    Job,
    JobId,
    Link,
    LinkId,
    Network,
    Profile,
    Task,
    TaskId,
    Training,
    Workload,
)

SERVER = TaskId("server")
KINDS = ("pi", "pi", "pi", "pi", "nano", "nano", "nx", "nx")
"""Of the clients of the thesis' testbed: 1, 1, 1, 1, 3, 3, 5 and 5 cores."""
CORES = {"pi": 1.0, "nano": 3.0, "nx": 5.0, "server": 10.0}


def star(
    kinds: Sequence[str] = KINDS, *, shared_bps: float = 30e6, own_bps: float | Sequence[float] = 30e6
) -> Network:
    """c1, c2, ... behind a switch, which one link joins to the server "s"."""
    own = [own_bps] * len(kinds) if isinstance(own_bps, float | int) else list(own_bps)
    devices = {f"c{number + 1}": kind for number, kind in enumerate(kinds)} | {"s": "server", "w": "switch"}
    links = [link("s", "w", shared_bps)]
    links += [link("w", f"c{number + 1}", bps) for number, bps in enumerate(own)]
    return network(devices, links)


def network(devices: Mapping[str, str], links: Sequence[Link], memory_bytes: float = 4e9) -> Network:
    return Network(
        devices={
            DeviceId(name): Device(id=DeviceId(name), type=kind, memory_bytes=memory_bytes)
            for name, kind in sorted(devices.items())
        },
        links={LinkId(each.id): each for each in sorted(links, key=lambda each: each.id)},
    )


def link(a: str, b: str, bps: float) -> Link:
    one, other = sorted((a, b))
    return Link(ends=(DeviceId(one), DeviceId(other)), capacity_bps=bps)


def cut_profile(
    forward_s: Sequence[float],
    backward_s: Sequence[float],
    sent_bytes: Sequence[float],
    weights_bytes: Sequence[float],
    *,
    cores: Mapping[str, float] = CORES,
    memory_bytes: Sequence[float] | None = None,
    send_s_per_byte: float = 0.0,
) -> CutProfile:
    """forward_s, backward_s: of a batch up to each cut on one core; sent_bytes: each way."""
    ahead, back = np.array(forward_s), np.array(backward_s)
    rest = (ahead[-1] - ahead) + (back[-1] - back)

    def by_kind(seconds: np.ndarray) -> dict[str, tuple[float, ...]]:
        return {kind: tuple((seconds / count).tolist()) for kind, count in cores.items()}

    held = tuple(memory_bytes) if memory_bytes is not None else (0.0,) * len(ahead)
    return CutProfile(
        names=tuple(f"cut{number}" for number in range(len(ahead))),
        layers=tuple(range(1, len(ahead) + 1)),
        up_bytes=tuple(sent_bytes),
        down_bytes=tuple(sent_bytes),
        weights_bytes=tuple(weights_bytes),
        forward_s=by_kind(ahead),
        backward_s=by_kind(back),
        server_s=by_kind(rest),
        memory_bytes=dict.fromkeys(cores, held),
        send_s_per_byte={kind: send_s_per_byte / count for kind, count in cores.items()},
    )


def deep_profile(rng: np.random.Generator, cuts: int = 12, **options: Any) -> CutProfile:
    """Layers whose outputs shrink and whose weights grow towards the end, as in most convolutional networks."""
    work = rng.uniform(0.3, 1.5, cuts)
    sent = rng.uniform(0.5, 1.5, cuts) * np.geomspace(4e6, 2e4, cuts)
    sent[-1] = 0.0
    weights = np.cumsum(rng.uniform(0.5, 1.5, cuts) * np.geomspace(1e4, 1e6, cuts))
    forward = np.cumsum(work)
    return cut_profile(
        forward.tolist(),
        (2 * forward).tolist(),
        sent.tolist(),
        weights.tolist(),
        **options,
    )


def training_job(
    cuts: CutProfile | None,
    clients: Sequence[str] = tuple(f"c{number + 1}" for number in range(len(KINDS))),
    *,
    name: str = "train",
    server: str = "s",
    batches: int | Sequence[int] = 10,
    micro_batches: int = 1,
    memory_bytes: float = 0.0,
) -> Workload:
    counts = [batches] * len(clients) if isinstance(batches, int) else list(batches)
    tasks = {client: TaskId(f"client-{client}") for client in clients}
    pinned = [Task(id=SERVER, device=DeviceId(server), memory_bytes=memory_bytes)]
    pinned += [
        Task(id=task, device=DeviceId(client), memory_bytes=memory_bytes) for client, task in tasks.items()
    ]
    flows = [
        Flow(producer=a, consumer=b) for task in tasks.values() for a, b in ((task, SERVER), (SERVER, task))
    ]
    training = Training(
        server=SERVER,
        batches=dict(zip(tasks.values(), counts, strict=True)),
        rounds=5,
        micro_batches=micro_batches,
    )
    job = Job(
        id=JobId(name),
        tasks=tuple(pinned),
        flows=tuple(flows),
        kind="split-training",
        mode="loop",
        training=training,
    )
    profile = None
    if cuts is not None:
        profile = Profile(seconds={}, output_bytes={}, peak_memory_bytes={}, cuts=cuts)
    return Workload(job=job, profile=profile)
