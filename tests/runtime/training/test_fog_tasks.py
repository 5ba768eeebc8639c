"""A job of fog training over real flows, between devices, too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeray.errors import StageError
from edgeray.node.code import LoadedTask
from edgeray.node.loop import LoopContext, LoopStage
from edgeray.results import read_index
from edgeray.scheduler.effects import StagePlan
from edgeray.training.checkpoint import load_checkpoint
from edgeray.training.fog import tasks
from edgeray.training.fog.collected import collected_points
from edgeray.training.fog.points import Exchange
from edgeray.training.fog.settings import Fog
from edgeray.training.recipe import Recipe
from policies.model import DeviceId, FlowId, JobId, TaskId
from tests.runtime.node.line_ends import HERE
from tests.runtime.training.fog_cases import SEED, declared, fog_of
from tests.runtime.training.task_cases import SERVER, Net, _free_ports, model_of, records

ABC = ("device-a", "device-b", "device-c")


def recipe_of(fog: Fog, **changes: Any) -> Recipe:
    given = Recipe(
        model="tests.runtime.training.fog_cases:small_model",
        dataset="tests.runtime.training.fog_cases:numbers",
        clients=tuple(task.removeprefix("device-") for task in fog.clients),
        samples=0,
        test_samples=10,
        rounds=fog.rounds,
        batch_size=4,
        epochs=fog.aggregate,
        learning_rate=0.001,
        seed=SEED,
    )
    return replace(given, **changes)


@dataclass
class FogNet(Net):
    """devices: tasks."""

    def __post_init__(self) -> None:
        tasks = (SERVER, *self.devices)
        flows = [FlowId(f"{a}->{b}") for a in tasks for b in tasks if a != b]
        self.ports = dict(zip(flows, _free_ports(len(flows)), strict=True))

    def serve(
        self, recipe: Recipe, fog: Fog, policy: str, *, job: str = "job", resume: str | None = None
    ) -> LoopStage:
        def call(context: LoopContext) -> None:
            tasks.Serve(recipe=sent(recipe), fog=sent(fog), resume=resume)(context)

        return self._stage(TaskId(SERVER), call, policy, self.folder / job)

    def collect(self, device: str, recipe: Recipe, fog: Fog, policy: str) -> LoopStage:
        def call(context: LoopContext) -> None:
            tasks.Collect(recipe=sent(recipe), fog=sent(fog), server=SERVER)(context)

        return self._stage(TaskId(device), call, policy, self.folder / device)

    def run(self, recipe: Recipe, fog: Fog, policy: str) -> list[dict[str, Any]]:
        devices = [self.collect(device, recipe, fog, policy) for device in fog.clients]
        self.serve(recipe, fog, policy).wait()
        for device in devices:
            device.wait()
        return records(self.folder)

    def _stage(
        self, task: TaskId, call: Callable[[LoopContext], None], policy: str, folder: Path
    ) -> LoopStage:
        peers = tuple(TaskId(one) for one in (SERVER, *self.devices) if one != task)
        plan = StagePlan(
            job=JobId(folder.name),
            device=DeviceId(task.removeprefix("device-")),
            tasks=(task,),
            inputs={task: peers},
            inflows=tuple(self._inflow(peer, task) for peer in peers),
            outflows=tuple(self._outflow(task, peer) for peer in peers),
            sinks=(),
            depth_items=1,
            granted_per_s=None,
            mode="fog",
            policy=policy,
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


def sent(told: Recipe | Fog) -> dict[str, Any]:
    """As it comes out of a job's package."""
    args: dict[str, Any] = json.loads(json.dumps(told.as_args()))
    return args


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FogNet]:
    def opened(exchange: Exchange) -> None:
        start(exchange)
        assert exchange.wait_open(30.0)  # so that what is to be sent in the first intervals can be

    start = Exchange.start
    monkeypatch.setattr(Exchange, "start", opened)
    made = FogNet(tmp_path, ABC)
    yield made
    made.stop()


def unequal(**changes: Any) -> Fog:
    fog = fog_of(*ABC)
    costs = declared(fog, {"device-a": 1.0, "device-b": 0.9, "device-c": 0.1}, 0.05)
    return fog_of(*ABC, **{**costs, **changes})


def test_points_move_over_flows_and_results_are_those_of_training(net: FogNet) -> None:
    fog = unequal()
    rounds = net.run(recipe_of(fog), fog, "network-aware")
    assert [one["number"] for one in rounds] == [1, 2, 3]
    sums = {
        name: {key: sum(one["movement"][name][key] for one in rounds) for key in rounds[0]["movement"][name]}
        for name in ABC
    }
    for name, one in sums.items():
        expected = sum(
            collected_points(4, seed=SEED, device=name.removeprefix("device-"), interval=t)
            for t in range(fog.intervals)
        )
        assert one["collected"] == expected == one["kept"] + one["sent"] + one["discarded"]
    assert sums["device-c"]["arrived"] == sums["device-a"]["sent"] + sums["device-b"]["sent"] > 0
    assert sum(one["samples"] for one in rounds) == sum(one["processed"] for one in sums.values())
    assert all(0 <= one["accuracy"] <= 1 for one in rounds)
    assert {name: value.shape for name, value in model_of(net.folder).items()}["0.weight"] == (3, 1)
    index = read_index(net.folder / "job" / "results")
    assert {output.part for output in index} == {"model", "rounds"}


def test_measured_costs_are_seconds(net: FogNet) -> None:
    fog = fog_of(*ABC)
    rounds = net.run(recipe_of(fog), fog, "federated")
    for one in rounds:
        for name, movement in one["movement"].items():
            client = next(row for row in one["clients"] if row["client"] == name)
            assert 0 < movement["process_cost"] <= one["seconds_s"]
            assert movement["transfer_cost"] == movement["discard_cost"] == 0.0
            assert movement["processed"] == client["samples"]


def test_a_run_goes_on_after_another_job(net: FogNet) -> None:
    short, longer = unequal(intervals=3), unequal()
    net.run(recipe_of(short), short, "network-aware")
    net.stages.clear()
    devices = [net.collect(device, recipe_of(longer), longer, "network-aware") for device in ABC]
    net.serve(recipe_of(longer), longer, "network-aware", job="second", resume="job").wait()
    for device in devices:
        device.wait()
    assert [one["number"] for one in records(net.folder, "second")] == [2, 3]
    assert load_checkpoint(net.folder / "second" / "checkpoints").round_number == 3
    assert torch.isfinite(model_of(net.folder, "second")["0.weight"]).all()


def test_an_unknown_policy_and_a_silent_cluster_are_told(
    net: FogNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fog = unequal()
    with pytest.raises(StageError, match="unknown policy 'best' of fog training"):
        net.serve(recipe_of(fog), fog, "best").wait()
    monkeypatch.setattr("edgeray.training.attendance.ABSENCE_S", 0.1)
    with pytest.raises(StageError, match="no client has been there"):
        net.serve(recipe_of(fog), fog, "local", job="alone").wait()
