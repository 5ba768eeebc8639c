"""Clients and servers of a running job that are killed, cut off, hung, and started again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeray.training import tasks
from edgeray.training.recipe import Recipe
from policies.model import Rounds
from tests.runtime.training.cases import assert_equal_bits
from tests.runtime.training.task_cases import (
    Net,
    expected_weights,
    hooked,
    model_of,
    one_at_a_time,
    recipe_of,
    records,
    rounds_of,
)

WAIT_S = 120.0
CUTS = {"a": 0, "b": 2}


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    one_at_a_time(monkeypatch)
    made = Net(tmp_path, ("a", "b"))
    yield made
    made.stop()


class Gate:
    """Holds a device up where it is about to get a batch, until it is let go."""

    def __init__(self, device: str, round_number: int, batch: int) -> None:
        self.reached = threading.Event()
        self.passed = threading.Event()
        self._at = (device, round_number, batch)

    def __call__(self, device: str, round_number: int, batch: int) -> None:
        if (device, round_number, batch) == self._at:
            self.reached.set()
            assert self.passed.wait(WAIT_S)


def _hook(monkeypatch: pytest.MonkeyPatch, *gates: Gate) -> None:
    def on_batch(device: str, round_number: int, batch: int) -> None:
        for gate in gates:
            gate(device, round_number, batch)

    monkeypatch.setattr(tasks, "DeviceData", hooked(on_batch))


def _arrivals(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts clients as the server lets them in."""
    arrived = threading.Semaphore(0)
    join = tasks.Server.join

    def told(self: tasks.Server, client: str, channel: object, cut: int) -> None:
        join(self, client, channel, cut)  # type: ignore[arg-type]
        arrived.release()

    monkeypatch.setattr(tasks.Server, "join", told)
    return arrived


def _await(arrived: threading.Semaphore, clients: int) -> None:
    for _ in range(clients):
        assert arrived.acquire(timeout=WAIT_S)


def _who(net: Net) -> list[tuple[list[str], list[str]]]:
    """Of each round who counts, and who was dropped."""
    return [([one["client"] for one in row["clients"]], list(row["dropped"])) for row in records(net.folder)]


def _plan(**changes: object) -> tuple[Recipe, Rounds]:
    recipe = recipe_of("a", "b", **changes)
    return recipe, rounds_of(recipe, CUTS)


def test_a_client_that_is_killed_is_dropped_and_enters_again_at_the_next_round(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SIGKILL, in the middle of round 1; it is back before round 2 ends."""
    recipe, plan = _plan()
    gate = Gate("a", 2, 1)
    _hook(monkeypatch, gate)
    arrived = _arrivals(monkeypatch)
    server, a = net.server(recipe, plan), net.client("a", recipe, plan)
    net.killed_at("b", recipe, plan, (1, 1))
    _await(arrived, 2)
    assert gate.reached.wait(WAIT_S)
    (killed,) = net.killed
    killed.join(WAIT_S)
    assert killed.exitcode == -9
    b = net.client("b", recipe, plan)
    _await(arrived, 1)
    gate.passed.set()
    for stage in (server, a, b):
        stage.wait()
    assert _who(net) == [
        (["client-a"], ["client-b"]),
        (["client-a"], []),
        (["client-a", "client-b"], []),
    ]
    assert "its channel broke" in records(net.folder)[0]["dropped"]["client-b"]


def test_a_line_that_breaks_is_opened_again_by_both(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's process lives on, and so does its task."""
    recipe, plan = _plan()
    breaks, gate = Gate("b", 1, 1), Gate("a", 2, 1)
    _hook(monkeypatch, breaks, gate)
    arrived = _arrivals(monkeypatch)
    server, a, b = net.server(recipe, plan), net.client("a", recipe, plan), net.client("b", recipe, plan)
    assert breaks.reached.wait(WAIT_S)
    for line in b._all_lines():
        line._connection.close()  # type: ignore[union-attr]
    breaks.passed.set()
    assert gate.reached.wait(WAIT_S)
    _await(arrived, 3)
    gate.passed.set()
    for stage in (server, a, b):
        stage.wait()
    assert _who(net) == [
        (["client-a"], ["client-b"]),
        (["client-a"], []),
        (["client-a", "client-b"], []),
    ]


def test_a_client_that_hangs_is_dropped_when_patience_ends(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, plan = _plan(patience_s=5.0, rounds=2)
    gate = Gate("b", 1, 1)
    _hook(monkeypatch, gate)
    server, a, b = net.server(recipe, plan), net.client("a", recipe, plan), net.client("b", recipe, plan)
    server.wait()
    a.wait()
    assert _who(net) == [(["client-a"], ["client-b"]), (["client-a"], [])]
    assert records(net.folder)[0]["dropped"] == {"client-b": "nothing came from it for 5 s"}
    b.stop()
    gate.passed.set()
    b.wait()


@pytest.mark.parametrize("keep_optimizer", [False, True])
def test_a_server_that_is_cut_off_goes_on_after_the_last_round(
    net: Net, monkeypatch: pytest.MonkeyPatch, keep_optimizer: bool
) -> None:
    """In the middle of round 3, and its clients live on; it comes to the same bits as if nothing had been."""
    recipe, plan = _plan(rounds=4, keep_optimizer=keep_optimizer)
    gate = Gate("a", 3, 1)
    _hook(monkeypatch, gate)
    clients = [net.client(device, recipe, plan) for device in "ab"]
    first = net.server(recipe, plan)
    assert gate.reached.wait(WAIT_S)
    first.stop()
    first.wait()
    assert [row["number"] for row in records(net.folder)] == [1, 2]
    before = (net.folder / "job" / "results" / "rounds.jsonl").read_text()
    gate.passed.set()
    for stage in (net.server(recipe, plan), *clients):
        stage.wait()
    assert _who(net) == [(["client-a", "client-b"], [])] * 4
    assert [row["number"] for row in records(net.folder)] == [1, 2, 3, 4]
    assert (net.folder / "job" / "results" / "rounds.jsonl").read_text().startswith(before)
    assert_equal_bits(model_of(net.folder), expected_weights(recipe))


@pytest.mark.parametrize(("at", "left"), [("before", [1]), ("checkpoint", [1]), ("line", [1, 2])])
def test_no_round_is_lost_or_told_twice_when_the_server_is_killed(
    net: Net, caplog: pytest.LogCaptureFixture, at: str, left: list[int]
) -> None:
    """By SIGKILL, where round 2 is about to be kept, has a checkpoint but no line yet, or has just been kept."""
    recipe, plan = _plan()
    clients = [net.client(device, recipe, plan) for device in "ab"]
    killed = net.server_killed_at(recipe, plan, at)
    killed.join(WAIT_S)
    assert killed.exitcode == -9
    assert [row["number"] for row in records(net.folder)] == left
    before = (net.folder / "job" / "results" / "rounds.jsonl").read_text()
    with caplog.at_level("INFO", logger="edgeray.training.tasks"):
        for stage in (net.server(recipe, plan), *clients):
            stage.wait()
    assert f"goes on after round {1 if at == 'before' else 2}" in caplog.messages
    assert [row["number"] for row in records(net.folder)] == [1, 2, 3]
    assert (net.folder / "job" / "results" / "rounds.jsonl").read_text().startswith(before)
    assert_equal_bits(model_of(net.folder), expected_weights(recipe))
