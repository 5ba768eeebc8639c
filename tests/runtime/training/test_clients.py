"""Clients that are killed, fall silent, come late or come back: a round goes on by the stated rules."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from edgeray.errors import FlowError
from edgeray.training.channel import local_pair
from edgeray.training.modes import MODES
from edgeray.training.settings import Settings
from edgeray.training.worker import Worker
from tests.runtime.training.cases import (
    Data,
    assert_equal_bits,
    cutter,
    federated_learning,
    join,
    make_server,
    residual,
    worker_thread,
)

SGD = Settings(learning_rate=0.1, momentum=0.9, weight_decay=0.01, seed=3)
THREE = {"a": Data(1), "b": Data(2, samples=8), "c": Data(3, samples=20)}


class _Breaks:
    """A client's channel that breaks when it sends its n-th message of a kind, or falls silent there."""

    def __init__(self, channel: object, kind: str, nth: int, *, silent: bool = False) -> None:
        self._channel = channel
        self._kind = kind
        self._left = nth
        self._silent = silent

    def send(self, kind: str, value: object) -> None:
        if kind == self._kind:
            self._left -= 1
        if self._left > 0:
            self._channel.send(kind, value)  # type: ignore[attr-defined]
        elif not self._silent:
            self._channel.close()  # type: ignore[attr-defined]
            raise FlowError("the client was killed")

    def receive(self, timeout_s: float | None) -> tuple[str, object]:
        return self._channel.receive(timeout_s)  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        self._channel.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "nth"), [("forward", 1), ("forward", 2), ("finished", 1)])
def test_what_a_killed_client_did_in_the_round_does_not_count(mode: str, kind: str, nth: int) -> None:
    server = make_server(residual, SGD, mode=mode)
    clients = [join(server, residual, name, THREE[name], 2) for name in ("a", "c")]
    near, far = local_pair()
    server.join("b", far, 3)
    killed = _client_over("b", _Breaks(near, kind, nth))
    record = server.run_round()
    assert record.dropped.keys() == {"b"}
    assert "its channel broke" in record.dropped["b"]
    assert [one.client for one in record.clients] == ["a", "c"]
    assert server.clients == ("a", "c")
    server.run_round()
    server.finish()
    for thread in (killed, *(client.thread for client in clients)):
        thread.join(30)
    without = {name: THREE[name] for name in ("a", "c")}
    assert_equal_bits(server.weights, federated_learning(residual(), without, SGD, 2))


def test_a_silent_client_is_dropped_when_patience_ends() -> None:
    server = make_server(residual, SGD, patience_s=3.0)
    client = join(server, residual, "a", THREE["a"], 2)
    near, far = local_pair()
    server.join("b", far, 3)
    silent = _client_over("b", _Breaks(near, "forward", 2, silent=True))
    record = server.run_round()
    assert record.dropped == {"b": "nothing came from it for 3 s"}
    server.finish()
    for thread in (silent, client.thread):
        thread.join(30)
        assert not thread.is_alive()
    assert_equal_bits(server.weights, federated_learning(residual(), {"a": THREE["a"]}, SGD, 1))


def test_a_client_that_says_what_is_not_due_is_dropped() -> None:
    server = make_server(residual, SGD)
    client = join(server, residual, "a", THREE["a"], 2)
    near, far = local_pair()
    server.join("b", far, 2)
    near.send("nonsense", None)
    record = server.run_round()
    assert record.dropped == {"b": "it said 'nonsense', which was not due"}
    server.finish()
    client.thread.join(30)


def test_a_client_lost_after_it_finished_counts_once_more_but_never_again() -> None:
    server = make_server(residual, SGD)
    slow = join(server, residual, "a", Data(1), 2)
    near, far = local_pair()
    server.join("b", far, 6)
    _client_over("b", _ClosesAfterFinishing(near)).join(0)
    assert not server.run_round().dropped
    record = server.run_round()
    assert [one.client for one in record.clients] == ["a"]
    server.finish()
    slow.thread.join(30)


class _ClosesAfterFinishing(_Breaks):
    def __init__(self, channel: object) -> None:
        super().__init__(channel, "", 1)

    def send(self, kind: str, value: object) -> None:
        super().send(kind, value)
        if kind == "finished":
            self.close()


def test_who_joins_enters_at_the_next_round() -> None:
    near, far = local_pair()

    class JoinsMidway(Data):
        def batches(self, round_number: int, epoch: int):  # type: ignore[no-untyped-def]
            for batch, pair in enumerate(super().batches(round_number, epoch)):
                if (round_number, batch) == (1, 1):
                    server.join("b", far, 3)
                yield pair

    server = make_server(residual, SGD)
    client = join(server, residual, "a", JoinsMidway(1), 2)
    newcomer = _client_over("b", near)
    assert [one.client for one in server.run_round().clients] == ["a"]
    assert server.clients == ("a", "b")
    assert [one.client for one in server.run_round().clients] == ["a", "b"]
    server.finish()
    for thread in (newcomer, client.thread):
        thread.join(30)
        assert not thread.is_alive()


def test_who_joins_and_is_lost_within_a_round_holds_up_no_other() -> None:
    near, far = local_pair()

    class ComesAndGoes(Data):
        def batches(self, round_number: int, epoch: int):  # type: ignore[no-untyped-def]
            for batch, pair in enumerate(super().batches(round_number, epoch)):
                if (round_number, batch) == (1, 1):
                    server.join("b", far, 3)
                    near.close()
                yield pair

    server = make_server(residual, SGD)
    client = join(server, residual, "a", ComesAndGoes(1), 2)
    assert not server.run_round().dropped
    record = server.run_round()
    assert [one.client for one in record.clients] == ["a"]
    assert record.dropped.keys() == {"b"}
    server.finish()
    client.thread.join(30)


class _Deaf:
    """The server's end of a channel whose peer is gone, where what is sent still seems to go out."""

    def send(self, kind: str, value: object) -> None:
        pass

    def receive(self, timeout_s: float | None) -> tuple[str, object]:
        raise FlowError("nobody there")

    def close(self) -> None:
        pass


def test_who_was_lost_before_its_first_round_is_not_waited_for() -> None:
    class Lost(Data):
        def batches(self, round_number: int, epoch: int):  # type: ignore[no-untyped-def]
            if round_number == 1:
                server.join("b", _Deaf(), 3)
            yield from super().batches(round_number, epoch)

    server = make_server(residual, SGD)
    client = join(server, residual, "a", Lost(1), 2)
    server.run_round()
    assert server.run_round().dropped == {"b": "its channel broke: nobody there"}
    server.finish()
    client.thread.join(30)


@pytest.mark.parametrize("mode", MODES)
def test_after_a_round_that_failed_on_the_server_all_can_come_back(mode: str) -> None:
    failing = [True]

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if failing:
            failing.clear()
            raise RuntimeError("no memory left")
        return nn.functional.cross_entropy(logits, labels)

    server = make_server(residual, SGD, mode=mode, loss=loss)
    first = [join(server, residual, name, data, 2) for name, data in THREE.items()]
    with pytest.raises(RuntimeError, match="no memory left"):
        server.run_round()
    second = [join(server, residual, name, data, 3) for name, data in THREE.items()]
    server.run_round()
    server.finish()
    for client in (*first, *second):
        client.thread.join(30)
        assert not client.thread.is_alive()
    assert_equal_bits(server.weights, federated_learning(residual(), THREE, SGD, 1))


def test_who_comes_back_takes_the_place_it_had() -> None:
    """Its optimizer state too, which the server kept for it."""
    settings = Settings(learning_rate=0.1, momentum=0.9, keep_optimizer=True)
    data = {"a": Data(1), "b": Data(2, samples=8)}
    server = make_server(residual, settings)
    first = join(server, residual, "a", data["a"], 2)
    other = join(server, residual, "b", data["b"], 3)
    server.run_round()
    second = join(server, residual, "a", data["a"], 4)
    server.run_round()
    server.finish()
    for client in (first, second, other):
        client.thread.join(30)
    assert first.error is not None
    assert_equal_bits(server.weights, federated_learning(residual(), data, settings, 2))


def test_a_round_that_nobody_finishes_changes_nothing() -> None:
    server = make_server(residual, SGD)
    with pytest.raises(FlowError, match="no client finished round 1: none has joined"):
        server.run_round()
    near, far = local_pair()
    server.join("a", far, 2)
    _client_over("a", _Breaks(near, "forward", 2)).join(0)
    with pytest.raises(FlowError, match="no client finished round 1: a: its channel broke"):
        server.run_round()
    assert server.rounds_done == 0
    client = join(server, residual, "a", Data(1), 2)
    server.run_round()
    server.finish()
    client.thread.join(30)
    assert_equal_bits(server.weights, federated_learning(residual(), {"a": Data(1)}, SGD, 1))


def _client_over(name: str, channel: object) -> threading.Thread:
    """A worker on any channel, in a thread; how it ends does not matter."""
    loss = nn.functional.cross_entropy
    return worker_thread(Worker(name, THREE[name], cutter(residual()), channel, loss=loss))  # type: ignore[arg-type]


def test_what_comes_after_the_end_of_a_round_costs_a_client_the_next_ones() -> None:
    server = make_server(residual, SGD)
    slow = join(server, residual, "a", Data(3, samples=40), 2)
    near, far = local_pair()
    server.join("b", far, 6)
    thread = _client_over("b", _SaysMore(near))
    record = server.run_round()
    assert [one.client for one in record.clients] == ["a", "b"]
    assert server.run_round().dropped.keys() <= {"b"}
    assert server.clients == ("a",)
    server.finish()
    for one in (thread, slow.thread):
        one.join(30)
        assert not one.is_alive()


class _SaysMore(_Breaks):
    """Finishes twice."""

    def __init__(self, channel: object) -> None:
        super().__init__(channel, "", 1)

    def send(self, kind: str, value: object) -> None:
        super().send(kind, value)
        if kind == "finished":
            super().send(kind, value)
