"""A server and clients of a job of split training as stages on loopback, each ended, killed or started as one likes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeray.node.code import LoadedTask
from edgeray.node.loop import LoopContext, LoopStage
from edgeray.scheduler.effects import Inflow, Outflow, StagePlan
from edgeray.training import run_files, tasks
from edgeray.training.build import Cutter, build_model, dataset_of, settings_of
from edgeray.training.data import Images, Subset, labels_of
from edgeray.training.device_data import DeviceData
from edgeray.training.recipe import Recipe
from edgeray.training.shares import share_of
from policies.model import DeviceId, FlowId, JobId, Rounds, TaskId
from tests.runtime.node.line_ends import HERE
from tests.runtime.training.cases import federated_learning

SERVER = TaskId("server")
OnBatch = Callable[[str, int, int], None]
"""(device, round, batch): called before a client gets a batch."""


def images(subset: Subset) -> Images:
    """Noise with a pattern for each label, so that there is something to learn."""
    rng = np.random.default_rng(1 if subset == "train" else 2)
    labels = rng.integers(0, 10, 90)
    patterns = np.random.default_rng(0).integers(0, 200, (10, 28, 28))
    pixels = (patterns[labels] + rng.integers(0, 55, (90, 28, 28))).astype(np.uint8)
    return Images(pixels, labels.astype(np.int64), mean=0.4, deviation=0.3)


class Normed(nn.Sequential):
    """A small model with BatchNorm and dropout."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 5, stride=3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * 6 * 6, 10),
        )


def recipe_of(*devices: str, **changes: Any) -> Recipe:
    given = Recipe(
        model="edgeray.training.models:lenet",
        dataset=f"{__name__}:images",
        clients=devices,
        samples=20,
        test_samples=30,
        rounds=3,
        batch_size=8,
        learning_rate=0.1,
        momentum=0.9,
        seed=4,
        patience_s=60.0,
    )
    return replace(given, **changes)


def rounds_of(recipe: Recipe, cuts: Mapping[str, int], micro_batches: int = 1) -> Rounds:
    return Rounds(
        cuts={client_of(device): cuts[device] for device in recipe.clients},
        micro_batches=micro_batches,
        round_s=1.0,
        predicted_s=1.0,
        bound_s=None,
    )


def client_of(device: str) -> TaskId:
    return TaskId(f"client-{device}")


def data_of(recipe: Recipe) -> dict[str, DeviceData]:
    """Each device's own."""
    dataset = dataset_of(recipe, "train")
    labels = labels_of(dataset)
    return {
        device: DeviceData(
            dataset,
            share_of(recipe, labels, device),
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            device=client_of(device),
        )
        for device in recipe.clients
    }


def expected_weights(recipe: Recipe) -> dict[str, Tensor]:
    """What training must come to: FedAvg of whole models in plain torch."""
    data = {client_of(device): own for device, own in data_of(recipe).items()}
    return federated_learning(build_model(recipe), data, settings_of(recipe), recipe.rounds)


@dataclass
class Net:
    """The lines of one job on loopback. folder: of the server's device, where jobs have their folders."""

    folder: Path
    devices: tuple[str, ...]
    ports: dict[FlowId, int] = field(default_factory=dict)
    stages: list[LoopStage] = field(default_factory=list)
    killed: list[multiprocessing.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        pairs = [(client_of(device), SERVER) for device in self.devices]
        flows = [FlowId(f"{a}->{b}") for pair in pairs for a, b in (pair, pair[::-1])]
        self.ports = dict(zip(flows, _free_ports(len(flows)), strict=True))

    def server(
        self, recipe: Recipe, rounds: Rounds, *, job: str = "job", resume: str | None = None
    ) -> LoopStage:
        def call(context: LoopContext) -> None:
            tasks.Serve(recipe=_sent(recipe), resume=resume)(context)

        return self._start(SERVER, call, recipe, rounds, self.folder / job)

    def client(self, device: str, recipe: Recipe, rounds: Rounds) -> LoopStage:
        def call(context: LoopContext) -> None:
            tasks.Train(recipe=_sent(recipe))(context)

        return self._start(client_of(device), call, recipe, rounds, self.folder / device)

    def stop(self) -> None:
        for stage in self.stages:
            stage.stop()
        for stage in self.stages:
            try:
                stage.wait()
            except Exception as error:  # who asks for it has seen it
                print(error)
        for process in self.killed:
            process.kill()
            process.join()

    def _start(
        self, task: TaskId, call: Callable[..., None], recipe: Recipe, rounds: Rounds, folder: Path
    ) -> LoopStage:
        peers = [client_of(device) for device in recipe.clients] if task == SERVER else [SERVER]
        plan = StagePlan(
            job=JobId(folder.name),
            device=DeviceId(task.removeprefix("client-")),
            tasks=(task,),
            inputs={task: tuple(peers)},
            inflows=tuple(self._inflow(peer, task) for peer in peers),
            outflows=tuple(self._outflow(task, peer) for peer in peers),
            sinks=(),
            depth_items=1,
            granted_per_s=None,
            mode="loop",
            rounds=rounds,
        )
        folder.mkdir(parents=True, exist_ok=True)
        stage = LoopStage(
            plan,
            {task: LoadedTask(task=task, call=call, close=lambda: None)},
            address=HERE,
            security={},
            self_paced=False,
            output_dir=folder,
            cpus=1.0,
        )
        self.stages.append(stage)
        stage.start()
        return stage

    def _inflow(self, producer: TaskId, consumer: TaskId) -> Inflow:
        flow = FlowId(f"{producer}->{consumer}")
        return Inflow(
            flow=flow, producer=producer, consumer=consumer, peer=DeviceId("there"), port=self.ports[flow]
        )

    def _outflow(self, producer: TaskId, consumer: TaskId) -> Outflow:
        flow = FlowId(f"{producer}->{consumer}")
        return Outflow(
            flow=flow,
            producer=producer,
            consumer=consumer,
            peer=DeviceId("there"),
            address=HERE,
            port=self.ports[flow],
            rate_bps=1e9,
        )

    # In a process of its own, that is killed when it gets to a batch

    def killed_at(self, device: str, recipe: Recipe, rounds: Rounds, at: tuple[int, int]) -> None:
        """Start a client that SIGKILL ends before its batch (round, batch)."""
        self._spawn(_client_killed_at, self.folder, self.devices, self.ports, device, recipe, rounds, at)

    def server_killed_at(self, recipe: Recipe, rounds: Rounds, at: str) -> multiprocessing.Process:
        """Start a server that SIGKILL ends where it is about to do this: see _server_killed_at."""
        return self._spawn(_server_killed_at, self.folder, self.devices, self.ports, recipe, rounds, at)

    def _spawn(self, run: Callable[..., None], *args: Any) -> multiprocessing.Process:
        process = multiprocessing.get_context("spawn").Process(target=run, args=args, daemon=True)
        process.start()
        self.killed.append(process)  # type: ignore[arg-type]
        return process  # type: ignore[return-value]


def _free_ports(count: int) -> Iterator[int]:
    """Ports that nobody listens on; drawn, so that another test run on this machine hardly picks the same ones."""
    with ExitStack() as stack:
        while count:
            port = random.SystemRandom().randrange(10_000, 30_000)  # below those that the kernel gives out
            taken = stack.enter_context(socket.socket())
            with suppress(OSError):
                taken.bind((HERE, port))
                count -= 1
                yield port


def one_at_a_time(monkeypatch: Any) -> None:
    """Tasks have processes of their own, and torch traces one model at a time in a process: let them take turns."""
    lock = threading.RLock()

    def locked(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **keywords: Any) -> Any:
            with lock:
                return call(*args, **keywords)

        return wrapped

    for name in ("build_model", "light_model", "cutter"):
        monkeypatch.setattr(tasks, name, locked(getattr(tasks, name)))
    monkeypatch.setattr(Cutter, "__call__", locked(Cutter.__call__))


def _sent(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it comes out of a job's package."""
    args: dict[str, Any] = json.loads(json.dumps(recipe.as_args()))
    return args


def hooked(on_batch: OnBatch) -> type[DeviceData]:
    """DeviceData that tells of each batch before it gives it."""

    class Hooked(DeviceData):
        def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            for number, batch in enumerate(super().batches(round_number, epoch)):
                on_batch(self._device.removeprefix("client-"), round_number, number)
                yield batch

    return Hooked


def _client_killed_at(
    folder: Path,
    devices: tuple[str, ...],
    ports: dict[FlowId, int],
    device: str,
    recipe: Recipe,
    rounds: Rounds,
    at: tuple[int, int],
) -> None:
    def on_batch(device: str, round_number: int, batch: int) -> None:
        if (round_number, batch) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    tasks.DeviceData = hooked(on_batch)  # type: ignore[misc]
    net = Net(folder, devices)
    net.ports = ports
    net.client(device, recipe, rounds).wait()


def _server_killed_at(
    folder: Path, devices: tuple[str, ...], ports: dict[FlowId, int], recipe: Recipe, rounds: Rounds, at: str
) -> None:
    """at: what is about to happen, or has just: before round 2 is kept, once its checkpoint is, once its line is."""

    def kill(*ignored: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def kept(files: Any, record: Any) -> None:
        if record.number == 2 and at == "before":
            kill()
        if record.number == 2 and at == "checkpoint":
            run_files.sync_folder = synced
        keep(files, record)
        if record.number == 2:
            kill()

    def synced(folder: Path) -> None:
        sync_folder(folder)
        if not (folder / "next" / "checkpoint.pt").exists():
            kill()

    torch.set_num_threads(1)
    keep, sync_folder = tasks.RunFiles.keep, run_files.sync_folder
    tasks.RunFiles.keep = kept  # type: ignore[method-assign]
    net = Net(folder, devices)
    net.ports = ports
    net.server(recipe, rounds).wait()


def records(folder: Path, job: str = "job") -> list[dict[str, Any]]:
    path = folder / job / "results" / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def model_of(folder: Path, job: str = "job") -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(folder / job / "results" / "model.pt", weights_only=True)
    return weights
