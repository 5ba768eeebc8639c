"""Devices and a server of fog training within one process, each point of which is known by its number."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeray.errors import FlowError
from edgeray.training.channel import Channel, LocalChannel, local_pair
from edgeray.training.cut import WHOLE, whole_model
from edgeray.training.data import Sample
from edgeray.training.fog.collected import Collector
from edgeray.training.fog.data import FogData
from edgeray.training.fog.intervals import Intervals
from edgeray.training.fog.mover import LOCAL, Mover
from edgeray.training.fog.points import Exchange
from edgeray.training.fog.settings import Fog
from edgeray.training.records import RoundRecord
from edgeray.training.server import Server
from edgeray.training.settings import Settings
from edgeray.training.worker import Worker

SHARE = 40
"""Samples of each device: device 0 has 0 to 39, device 1 has 40 to 79, and so on."""
SEED = 3
WITHIN_S = 30.0
"""So long tests wait for what is to happen at once."""


class Numbers:
    """A data set whose sample i is (i, i % 2)."""

    def __init__(self, samples: int) -> None:
        self.labels = np.arange(samples) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.tensor([float(index)]), int(self.labels[index])


def numbers(subset: str) -> Numbers:
    """As a recipe names it: for three devices."""
    return Numbers(3 * SHARE if subset == "train" else 10)


def small_model() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 2))


def fog_of(*clients: str, **changes: Any) -> Fog:
    """All clients are linked, and collect 4 points in each of 7 intervals, on average."""
    links = tuple((a, b) for i, a in enumerate(clients) for b in clients[i + 1 :])
    given: dict[str, Any] = {
        "collect": dict.fromkeys(clients, 4),
        "links": links,
        "link_bps": (1e6,) * len(links),
        "intervals": 7,
        "interval_s": 0.01,
        "aggregate": 3,
        "discard": 10.0,
    }
    return Fog(**{**given, **changes})


def declared(fog: Fog, process: Mapping[str, float], link: float) -> dict[str, Any]:
    """Changes to a Fog for declared costs."""
    costs = {a: {b: link for b in fog.clients if b != a} for a in fog.clients}
    return {"process": process, "link": costs}


class Switch:
    """Opens channels between peers, as lines do: each end when it asks, and anew when it asks again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: dict[tuple[str, str], LocalChannel] = {}
        self.channels: dict[tuple[str, str], Channel] = {}
        self.cut: set[frozenset[str]] = set()

    def connect(self, me: str, peer: str) -> Channel:
        with self._lock:
            if frozenset((me, peer)) in self.cut:
                raise FlowError("it is cut")
            mine = self._offered.pop((me, peer), None)
            if mine is None or mine.peer is None or mine.peer._closed.is_set():
                mine, self._offered[peer, me] = local_pair()
            self.channels[me, peer] = mine
            return mine


@dataclass
class Device:
    """One device, and what it processed: batches by round and interval in it."""

    name: str
    data: FogData
    exchange: Exchange
    seen: dict[tuple[int, int], list[Sample]] = field(default_factory=dict)
    before_batch: Callable[[int, int], None] = lambda round_number, epoch: None
    error: Exception | None = None
    thread: threading.Thread | None = None
    channel: LocalChannel | None = None

    @property
    def samples(self) -> int:
        return self.data.samples

    @property
    def labels(self) -> Tensor:
        return self.data.labels

    @property
    def waited_s(self) -> float:
        return self.data.waited_s

    def batches(self, round_number: int, epoch: int) -> Iterator[Sample]:
        self.before_batch(round_number, epoch)
        seen = self.seen[round_number, epoch] = []
        for batch in self.data.batches(round_number, epoch):
            seen.append(batch)
            yield batch

    @property
    def processed(self) -> list[int]:
        """The numbers of its points, sorted."""
        batches = [inputs for seen in self.seen.values() for inputs, _ in seen]
        return sorted(int(one) for inputs in batches for one in inputs.flatten())

    def join(self, server: Server) -> None:
        near, far = local_pair()
        self.data.attach(near)
        self.channel = near
        model = small_model()
        worker = Worker(self.name, self, lambda _: whole_model(model), near, loss=nn.functional.cross_entropy)
        self.thread = threading.Thread(target=self._run, args=(worker,), name=self.name, daemon=True)
        self.thread.start()
        server.join(self.name, far, WHOLE)

    def _run(self, worker: Worker) -> None:
        try:
            worker.run()
        except FlowError as error:
            self.error = error


def settings_of(fog: Fog) -> Settings:
    return Settings(learning_rate=0.001, epochs=fog.aggregate, seed=SEED)


@dataclass
class Case:
    """A server, and its devices; lines between them are open. server_options: of Server."""

    fog: Fog
    policy: str
    switch: Switch = field(default_factory=Switch)
    server_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fog = self.fog
        self.dataset = Numbers(SHARE * len(fog.clients))
        self.mover = Mover(
            fog, self.policy, point_bytes=12.0, seed=SEED, devices={name: name for name in fog.clients}
        )
        model = small_model()
        self.server = Server(
            model,
            lambda _: whole_model(model),
            loss=nn.functional.cross_entropy,
            settings=settings_of(fog),
            averaging=self.policy != LOCAL,
            overhear=lambda client, kind, value: self.intervals.overhear(client, kind, value),
            **self.server_options,
        )
        self.intervals = Intervals(self.server, self.mover, fog)
        self.devices = {name: self._device(name) for name in fog.clients}
        for device in self.devices.values():
            device.exchange.start()
        for device in self.devices.values():
            assert device.exchange.wait_open(WITHIN_S)

    def run(self) -> list[RoundRecord]:
        """All rounds, with all devices."""
        for device in self.devices.values():
            device.join(self.server)
        records = [self.intervals.run() for _ in range(self.fog.rounds)]
        self.end()
        assert all(device.error is None for device in self.devices.values())
        return records

    def end(self) -> None:
        self.server.finish()
        for device in self.devices.values():
            device.exchange.close()
            if device.thread is not None:
                device.thread.join(WITHIN_S)
                assert not device.thread.is_alive()

    def collected(self, name: str) -> list[int]:
        """The numbers of all points that a device collects in a run, sorted."""
        collector = self._collector(name)
        return sorted(int(one) for t in range(self.fog.intervals) for one in collector.points(t))

    def _collector(self, name: str) -> Collector:
        first = SHARE * self.fog.clients.index(name)
        return Collector(np.arange(first, first + SHARE), self.fog.collect[name], seed=SEED, device=name)

    def _device(self, name: str) -> Device:
        peers = {b if a == name else a for a, b in self.fog.links if name in (a, b)}
        exchange = Exchange(peers, lambda peer: self.switch.connect(name, peer))
        data = FogData(
            self.dataset,
            self._collector(name),
            exchange,
            self.fog,
            batch_size=4,
            seed=SEED,
            client=name,
        )
        return Device(name=name, data=data, exchange=exchange)
