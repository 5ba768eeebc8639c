"""A job of split training over real flows: what it trains, and the files that it leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from edgeray.assets import cache_path
from edgeray.errors import BadInputError, FlowError, StageError
from edgeray.results import read_index, read_values
from edgeray.training import attendance, tasks
from edgeray.training.build import build_model, cutter, dataset_of, example_of, settings_of
from edgeray.training.channel import local_pair
from edgeray.training.data import labels_of
from edgeray.training.recipe import Recipe
from edgeray.training.records import RoundRecord
from edgeray.training.server import Server
from edgeray.training.shares import share_of
from edgeray.training.worker import Worker
from policies.model import Rounds
from tests.runtime.training.cases import assert_equal_bits, worker_thread
from tests.runtime.training.task_cases import (
    SERVER,
    Net,
    client_of,
    data_of,
    expected_weights,
    hooked,
    model_of,
    one_at_a_time,
    recipe_of,
    records,
    rounds_of,
)

ABC = ("a", "b", "c")


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    one_at_a_time(monkeypatch)
    made = Net(tmp_path, ABC)
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("changes", "cuts"),
    [
        ({}, {"a": 0, "b": 2, "c": 4}),
        ({"server_mode": "splitpipe-rw"}, {"a": 1, "b": 1, "c": 3}),
        (
            {"keep_optimizer": True, "epochs": 2, "optimizer": "adam", "learning_rate": 0.001},
            {"a": 0, "b": 2, "c": 1},
        ),
        ({"model": "tests.runtime.training.task_cases:Normed"}, {"a": 0, "b": 1, "c": 2}),
        ({"server_mode": "splitpipe-bf"}, {"a": 0, "b": 0, "c": 1}),
        ({"classes_per_client": 5, "samples": 12}, {"a": 1, "b": 2, "c": 3}),
    ],
    ids=["sgd", "rw", "adam", "norm", "bf", "non-iid"],
)
def test_it_comes_to_the_bits_of_federated_averaging(net: Net, changes: dict, cuts: dict) -> None:  # type: ignore[type-arg]
    recipe = recipe_of(*ABC, **changes)
    _run(net, recipe, rounds_of(recipe, cuts))
    assert_equal_bits(model_of(net.folder), expected_weights(recipe))


def _run(net: Net, recipe: Recipe, plan: Rounds) -> None:
    clients = [net.client(device, recipe, plan) for device in recipe.clients]
    net.server(recipe, plan).wait()
    for client in clients:
        client.wait()


@pytest.mark.parametrize("compress", [None, "int8"])
def test_pieces_and_compression_come_to_the_bits_of_a_run_within_one_process(net: Net, compress: Any) -> None:
    recipe = recipe_of(*ABC, compress=compress)
    cuts = {"a": 1, "b": 2, "c": 4}
    _run(net, recipe, rounds_of(recipe, cuts, micro_batches=3))
    assert_equal_bits(model_of(net.folder), _within_one_process(recipe, cuts, 3))


def _within_one_process(recipe: Recipe, cuts: dict[str, int], micro_batches: int) -> dict[str, Tensor]:
    example = example_of(recipe, dataset_of(recipe, "train"))
    model, loss = build_model(recipe), nn.functional.cross_entropy
    settings = replace(settings_of(recipe), micro_batches=micro_batches)
    server = Server(model, cutter(model, example), loss=loss, settings=settings)
    threads = []
    for device, data in data_of(recipe).items():
        near, far = local_pair()
        own = cutter(build_model(recipe), example)
        threads.append(worker_thread(Worker(client_of(device), data, own, near, loss=loss)))
        server.join(client_of(device), far, cuts[device])
    for _ in range(recipe.rounds):
        server.run_round()
    server.finish()
    for thread in threads:
        thread.join(30)
    return dict(server.weights)


@pytest.mark.skipif(
    not cache_path("mnist-5k.csv.gz").is_file(), reason="edgeray assets fetch mnist-5k.csv.gz"
)
def test_real_digits_are_learned(net: Net) -> None:
    recipe = recipe_of(
        *ABC,
        dataset="edgeray.training.data:mnist_5k",
        samples=100,
        test_samples=500,
        rounds=2,
        learning_rate=0.05,
    )
    _run(net, recipe, rounds_of(recipe, {"a": 0, "b": 2, "c": 4}))
    assert_equal_bits(model_of(net.folder), expected_weights(recipe))
    assert records(net.folder)[-1]["accuracy"] > 0.25


def test_what_a_run_leaves(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="edgeray.training.tasks")
    recipe = recipe_of(*ABC)
    plan = rounds_of(recipe, {"a": 0, "b": 2, "c": 4})
    clients = [net.client(device, recipe, plan) for device in ABC]
    server = net.server(recipe, plan)
    server.wait()
    for client in clients:
        client.wait()
    results = net.folder / "job" / "results"
    lines = (results / "rounds.jsonl").read_text().splitlines()
    found = [RoundRecord.of(json.loads(line)) for line in lines]
    assert [one.number for one in found] == [1, 2, 3]
    assert found[-1].loss < found[0].loss
    assert [(one.client, one.cut) for one in found[0].clients] == [
        ("client-a", 0),
        ("client-b", 2),
        ("client-c", 4),
    ]
    outputs = read_index(results)
    values = read_values(results, outputs)
    assert values == {"server": {"model": results / "model.pt", "rounds": results / "rounds.jsonl"}}
    assert [one.size_bytes for one in outputs] == [path.stat().st_size for path in values["server"].values()]
    assert {path.name for path in (net.folder / "job").rglob("*") if path.is_file()} == {
        ".index.json",
        "model.pt",
        "rounds.jsonl",
        "checkpoint.pt",
        "recipe.json",
        "record.json",
    }
    counters = server.counters()[SERVER]
    assert (counters.items, list(counters.recent)) == (3, [one.seconds_s for one in found])
    told = [message for message in caplog.messages if message.startswith("round 3 of 3: loss ")]
    assert len(told) == 1
    assert "3 clients" in told[0]


def test_who_does_not_come_in_time_is_left_out(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "START_S", 1.0)
    recipe = recipe_of(*ABC, rounds=1)
    plan = rounds_of(recipe, {"a": 0, "b": 2, "c": 4})
    clients = [net.client(device, recipe, plan) for device in "ac"]
    net.server(recipe, plan).wait()
    for client in clients:
        client.wait()
    (record,) = records(net.folder)
    assert [one["client"] for one in record["clients"]] == ["client-a", "client-c"]
    assert record["dropped"] == {}


def test_when_nobody_comes_it_fails_by_name(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "ABSENCE_S", 0.5)
    monkeypatch.setattr(tasks, "ABSENCE_S", 0.5)
    recipe = recipe_of(*ABC)
    plan = rounds_of(recipe, {"a": 0, "b": 2, "c": 4})
    with pytest.raises(StageError, match=r"no client has been there for 0.5 s: client-a, client-b, client-c"):
        net.server(recipe, plan).wait()
    with pytest.raises(StageError, match=r"server has not been there for 0.5 s"):
        net.client("a", recipe, plan).wait()


def test_a_round_that_nobody_finishes_is_tried_again_and_then_fails_by_name(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "TRIES", 2)
    tried = []

    def on_batch(device: str, round_number: int, batch: int) -> None:
        if batch == 1:
            tried.append(device)
            raise FlowError("what it sends is lost")

    monkeypatch.setattr(tasks, "DeviceData", hooked(on_batch))
    recipe = recipe_of("a")
    plan = rounds_of(recipe, {"a": 0})
    net.client("a", recipe, plan)
    with pytest.raises(
        StageError, match=r"(?s)no client finished round 1: client-a: its channel broke.*2 times in a row"
    ):
        net.server(recipe, plan).wait()
    assert tried == ["a", "a"]
    assert records(net.folder) == []


def test_a_stage_that_is_stopped_ends_without_an_error(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def on_batch(device: str, round_number: int, batch: int) -> None:
        if (device, round_number, batch) == ("a", 2, 1):
            reached.set()
            go_on.wait(60)

    monkeypatch.setattr(tasks, "DeviceData", hooked(on_batch))
    recipe = recipe_of(*ABC)
    plan = rounds_of(recipe, {"a": 0, "b": 2, "c": 4})
    stages = [net.client(device, recipe, plan) for device in ABC] + [net.server(recipe, plan)]
    assert reached.wait(60)
    for stage in stages:
        stage.stop()
    go_on.set()
    for stage in stages:
        stage.wait()
    assert [one["number"] for one in records(net.folder)] == [1]


def test_shares_are_the_same_whoever_else_takes_part() -> None:
    recipe = recipe_of(*ABC)
    labels = labels_of(dataset_of(recipe, "train"))
    shares = {device: share_of(recipe, labels, device) for device in ABC}
    assert all(len(share) == 20 for share in shares.values())
    assert len({*np.concatenate(list(shares.values())).tolist()}) == 60
    assert any((share_of(replace(recipe, seed=5), labels, "a") != shares["a"]).tolist())
    with pytest.raises(BadInputError, match="b has 30 of the 90 samples"):
        share_of(replace(recipe, samples=31), labels, "b")
    with pytest.raises(BadInputError, match="d is no client of this job"):
        share_of(recipe, labels, "d")
