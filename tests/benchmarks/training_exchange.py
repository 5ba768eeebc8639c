"""A round of training without training: all that the server and its clients tell each other, and averaging.

python -m tests.benchmarks.training_exchange    # the clients of over_loopback: told what to do by a line of JSON
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeray.dataplane import FlowSecurity, new_flow_security
from edgeray.node.lines import Line
from edgeray.scheduler.effects import Inflow, Outflow
from edgeray.training.channel import Channel, local_pair
from edgeray.training.cutting import candidate_cuts, split
from edgeray.training.lines import LineChannel
from edgeray.training.server import Server
from edgeray.training.settings import Settings
from edgeray.training.worker import Worker
from policies.model import DeviceId, FlowId, TaskId

LOOPBACK = "127.0.0.1"
UNLIMITED_BPS = 1e12


class _Idle(nn.Module):
    """Two tiny layers, the first of which holds weights that nobody trains, and are sent and averaged all the same."""

    def __init__(self, weights_bytes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.register_buffer("held", torch.zeros(max(1, weights_bytes // 4)))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs) + self.held[0])  # type: ignore[no-any-return]


class _Data:
    samples = 2
    labels = torch.zeros(2, dtype=torch.int64)

    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield torch.ones(2, 2), self.labels


def in_process(clients: int, weights_bytes: int, rounds: int) -> list[float]:
    """Seconds of each round, the first left out. Channels hand values over."""
    server = _server(weights_bytes)
    threads = []
    for number in range(clients):
        near, far = local_pair()
        threads.append(_worker_thread(f"c{number}", weights_bytes, near))
        server.join(f"c{number}", far, 0)
    return _rounds(server, rounds, threads)


def over_loopback(clients: int, weights_bytes: int, rounds: int, *, encrypted: bool) -> list[float]:
    """The same, with all clients in another process."""
    server = _server(weights_bytes)
    lines: list[Line] = []
    with _clients() as process, ExitStack() as closing:
        ports = _free_ports(2 * clients)
        keys = [asdict(new_flow_security()) if encrypted else None for _ in ports]
        task = {"weights_bytes": weights_bytes, "ports": ports, "keys": keys}
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        for number in range(clients):
            line = _line(number, ports, keys, server=True)
            closing.callback(line.close)
            lines.append(line)
            server.join(f"c{number}", LineChannel(line.connect()), 0)
        return _rounds(server, rounds, [])


def with_ray(clients: int, weights_bytes: int, rounds: int) -> list[float]:
    """The same by Ray tasks: the weights are put into the object store, each task gets them and gives as many back."""
    import ray

    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:

        @ray.remote
        def train(weights: Any) -> Any:
            return weights + np.float32(1)

        weights = np.zeros(max(1, weights_bytes // 4), dtype=np.float32)
        seconds = []
        for _ in range(rounds + 1):
            began_s = time.perf_counter()
            put = ray.put(weights)
            total = np.zeros(weights.shape)
            for trained in ray.get([train.remote(put) for _ in range(clients)]):
                total += trained
            weights = (total / clients).astype(np.float32)
            seconds.append(time.perf_counter() - began_s)
        return seconds[1:]
    finally:
        ray.shutdown()


def _server(weights_bytes: int) -> Server:
    model, cut_model = _cut(weights_bytes)
    return Server(model, cut_model, loss=nn.functional.cross_entropy, settings=Settings())


def _cut(weights_bytes: int) -> tuple[nn.Module, Callable[[int], Any]]:
    model = _Idle(weights_bytes)
    cuts = candidate_cuts(model, torch.ones(2, 2))
    return model, lambda index: split(model, cuts[index])


def _worker_thread(name: str, weights_bytes: int, channel: Channel) -> threading.Thread:
    worker = Worker(name, _Data(), _cut(weights_bytes)[1], channel, loss=nn.functional.cross_entropy)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    return thread


def _rounds(server: Server, rounds: int, threads: list[threading.Thread]) -> list[float]:
    seconds = []
    for _ in range(rounds + 1):
        began_s = time.perf_counter()
        record = server.run_round()
        seconds.append(time.perf_counter() - began_s)
        if record.dropped:
            raise SystemExit(f"clients were lost: {record.dropped}")
    server.finish()
    for thread in threads:
        thread.join()
    return seconds[1:]


def _line(number: int, ports: list[int], keys: list[dict[str, Any] | None], *, server: bool) -> Line:
    """One end of a client's line. Its flows: up to the server at ports[2 n], down from it at the next one."""
    client, up, down = TaskId(f"client-{number}"), FlowId(f"up-{number}"), FlowId(f"down-{number}")
    here, there = (TaskId("server"), client) if server else (client, TaskId("server"))
    into, out_of = (0, 1) if server else (1, 0)
    names = (up, down)
    security: Mapping[FlowId, FlowSecurity] = {
        names[way]: FlowSecurity(**given) for way in (0, 1) if (given := keys[2 * number + way]) is not None
    }
    return Line(
        Inflow(
            flow=names[into], producer=there, consumer=here, peer=DeviceId("d"), port=ports[2 * number + into]
        ),
        Outflow(
            flow=names[out_of],
            producer=here,
            consumer=there,
            peer=DeviceId("d"),
            address=LOOPBACK,
            port=ports[2 * number + out_of],
            rate_bps=UNLIMITED_BPS,
        ),
        address=LOOPBACK,
        security=security,
        self_paced=False,
    )


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _clients() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.training_exchange"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
            process.stdin.close()
            process.wait(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()


def main() -> None:
    """All clients of one benchmark, each a thread."""
    torch.set_num_threads(1)
    task = json.loads(sys.stdin.readline())
    threads = []
    for number in range(len(task["ports"]) // 2):
        line = _line(number, task["ports"], task["keys"], server=False)
        threads.append(_worker_thread(f"c{number}", task["weights_bytes"], LineChannel(line.connect())))
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
