"""Batches cut into pieces: the same weights as gradients accumulated over the pieces, and nobody waits in vain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from edgeray.errors import BadInputError, FlowError
from edgeray.training.channel import local_pair
from edgeray.training.messages import Backward, Finished, Forward, RoundStart
from edgeray.training.modes import MODES
from edgeray.training.progress import Member, Progress
from edgeray.training.session import Inbox, Session
from edgeray.training.settings import Settings
from edgeray.training.weights import weights_of
from edgeray.training.worker import Worker
from tests.runtime.training.cases import (
    Chain,
    Data,
    assert_equal_bits,
    cutter,
    federated_learning,
    join,
    lenet,
    make_server,
    residual,
    train,
    worker_thread,
)

SGD = Settings(learning_rate=0.1, momentum=0.9, weight_decay=0.01, seed=3, micro_batches=4)
ADAM = Settings(optimizer="adam", learning_rate=0.01, epochs=2, seed=4, keep_optimizer=True, micro_batches=2)
THREE = {"a": Data(1), "b": Data(2, samples=8), "c": Data(3, samples=21)}  # last batches of 3, 3, and 1


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("mode", MODES)
def test_pieces_come_to_accumulated_gradients(mode: str, settings: Settings) -> None:
    """Bit for bit, wherever the cuts are, with dropout and batch norm on both sides of them."""
    found, records = train(residual, THREE, {"a": 1, "b": 3, "c": 5}, settings, mode=mode)
    assert_equal_bits(found, federated_learning(residual(), THREE, settings, 2))
    assert records[1].samples == 42


def test_labels_sent_once_are_cut_as_the_batches_are() -> None:
    once = replace(SGD, labels_once=True, epochs=2)
    found, records = train(residual, THREE, {"a": 1, "b": 3, "c": 5}, once)
    expected, others = train(residual, THREE, {"a": 1, "b": 3, "c": 5}, replace(once, labels_once=False))
    assert_equal_bits(found, expected)
    up, up_with_labels = (sum(one.up_bytes for one in each[1].clients) for each in (records, others))
    assert up_with_labels - up == 2 * 42 * 8


def _plain() -> Chain:
    """Neither batch norm nor dropout, and rounding errors that do not show."""
    torch.manual_seed(11)
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten())
    layers = {
        "first": convolution,
        "second": nn.Linear(36, 12),
        "third": nn.Tanh(),
        "fourth": nn.Linear(12, 4),
    }
    return Chain(layers, last=True).double()


class _Doubles(Data):
    def batches(self, round_number: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, labels in super().batches(round_number, epoch):
            yield inputs.double(), labels


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("pieces", [2, 3, 100])
@pytest.mark.parametrize("mode", MODES)
def test_without_batch_norm_pieces_train_as_whole_batches(mode: str, pieces: int, settings: Settings) -> None:
    data = {name: _Doubles(one.number, one.samples) for name, one in THREE.items()}
    cuts = {"a": 1, "b": 3, "c": 4}  # c has the whole model
    cut, whole = (replace(settings, micro_batches=number) for number in (pieces, 1))
    found, records = train(_plain, data, cuts, cut, mode=mode)
    expected, others = train(_plain, data, cuts, whole, mode=mode)
    assert any(not torch.equal(found[name], expected[name]) for name in expected)  # it was another sum
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-11)
    assert [one.loss for one in records] == pytest.approx([one.loss for one in others], rel=1e-9)


def test_a_client_with_the_whole_model_has_nothing_to_overlap() -> None:
    found = train(residual, THREE, {"a": 6, "b": 6, "c": 6}, SGD)[0]
    assert_equal_bits(found, federated_learning(residual(), THREE, replace(SGD, micro_batches=1), 2))


def test_int8_pieces_have_their_own_scales_and_learn() -> None:
    settings = replace(SGD, compress="int8")
    packed, unpacked = (
        train(_plain_lenet, THREE, {"a": 3, "b": 4, "c": 3}, one)[1] for one in (settings, SGD)
    )
    weights = sum(value.nbytes for value in cutter(_plain_lenet())(3).head.state_dict().values())
    down, full = (one[0].clients[0].down_bytes - weights for one in (packed, unpacked))
    assert 4 * down == full
    assert packed[-1].loss != unpacked[-1].loss
    assert packed[-1].loss == pytest.approx(unpacked[-1].loss, rel=0.1)


def _plain_lenet() -> Chain:
    model = lenet()
    del model.layer5  # dropout
    return model


class _SendsLate:
    """A client's channel that sends nothing until the client's layers were run so often."""

    def __init__(self, channel: object, forwards: threading.Semaphore, needed: int) -> None:
        self._channel, self._forwards, self._needed = channel, forwards, needed

    def send(self, kind: str, value: object) -> None:
        while kind == "forward" and self._needed:
            assert self._forwards.acquire(timeout=30), "the client waited for a piece to be sent"
            self._needed -= 1
        self._channel.send(kind, value)  # type: ignore[attr-defined]

    def receive(self, timeout_s: float | None) -> tuple[str, object]:
        return self._channel.receive(timeout_s)  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        self._channel.close()  # type: ignore[attr-defined]


def test_pieces_are_sent_while_the_next_ones_are_computed() -> None:
    before = set(threading.enumerate())
    forwards = threading.Semaphore(0)
    model = residual()
    model.layer0.register_forward_hook(lambda *_: forwards.release())
    near, far = local_pair()
    server = make_server(residual, SGD)
    server.join("a", far, 1)
    channel = _SendsLate(near, forwards, needed=4)
    thread = worker_thread(_worker("a", model, channel))
    record = server.run_round()
    server.finish()
    thread.join(30)
    assert not record.dropped
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nth", [2, 4, 5])
def test_a_client_killed_between_pieces_does_not_count(mode: str, nth: int) -> None:
    server = make_server(residual, SGD, mode=mode)
    clients = [join(server, residual, name, THREE[name], 2) for name in ("a", "c")]
    near, far = local_pair()
    server.join("b", far, 3)
    killed = worker_thread(_worker("b", residual(), _Ends(near, nth, FlowError("it was killed"))))
    record = server.run_round()
    assert record.dropped.keys() == {"b"}
    server.run_round()
    server.finish()
    for thread in (killed, *(client.thread for client in clients)):
        thread.join(30)
        assert not thread.is_alive()
    without = {name: THREE[name] for name in ("a", "c")}
    assert_equal_bits(server.weights, federated_learning(residual(), without, SGD, 2))


class _Ends(_SendsLate):
    """Fails when it sends the n-th piece; without an error, that one and those after it never come."""

    def __init__(self, channel: object, nth: int, error: Exception | None) -> None:
        super().__init__(channel, threading.Semaphore(0), 0)
        self._left, self._error = nth, error

    def send(self, kind: str, value: object) -> None:
        if kind == "forward":
            self._left -= 1
        if self._left > 0:
            super().send(kind, value)
        elif self._error is not None:
            raise self._error


def test_a_client_silent_between_pieces_is_dropped_when_patience_ends() -> None:
    server = make_server(residual, SGD, patience_s=3.0)
    client = join(server, residual, "a", THREE["a"], 2)
    near, far = local_pair()
    server.join("b", far, 3)
    silent = worker_thread(_worker("b", residual(), _Ends(near, 3, None)))
    assert server.run_round().dropped == {"b": "nothing came from it for 3 s"}
    server.finish()
    for thread in (silent, client.thread):
        thread.join(30)
        assert not thread.is_alive()


def test_a_piece_that_cannot_be_sent_ends_the_client_with_the_reason() -> None:
    near, far = local_pair()
    server = make_server(residual, SGD)
    server.join("b", far, 3)
    worker = _worker("b", residual(), _Ends(near, 2, ValueError("no such buffer")))
    errors: list[Exception] = []

    def run() -> None:
        try:
            worker.run()
        except FlowError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with pytest.raises(FlowError, match="no client finished"):
        server.run_round()
    thread.join(30)
    server.close()
    assert str(errors[0]) == "a piece of a batch was not sent: ValueError: no such buffer"


def _worker(name: str, model: Chain, channel: object) -> Worker:
    loss = nn.functional.cross_entropy
    return Worker(name, THREE[name], cutter(model), channel, loss=loss)  # type: ignore[arg-type]


def _piece(**values: object) -> Forward:
    given = {"epoch": 0, "batch": 0, "differentiable": (True,), "labels": torch.zeros(3, dtype=torch.int64)}
    return Forward(**{"activations": (torch.zeros(1, 4, 6, 6),), "draws": None, **given, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([_piece(pieces=4)], "it cut a batch of 3 samples into 4 pieces"),
        ([_piece(pieces=0)], "it cut a batch of 3 samples into 0 pieces"),
        ([_piece(piece=1, pieces=2)], "it sent a piece of a batch that was not due"),
        ([_piece(pieces=3), _piece(piece=2, pieces=3)], "it sent a piece of a batch that was not due"),
        ([_piece(pieces=3), _piece(pieces=3)], "it sent a batch before the one before was answered"),
        ([_piece(pieces=3), None], "it finished before its last batch was answered"),
    ],
)
def test_pieces_that_are_not_due_are_refused(messages: list[Forward | None], why: str) -> None:
    server = make_server(residual, SGD)
    client = join(server, residual, "a", THREE["a"], 2)
    near, far = local_pair()
    server.join("b", far, 1)
    for message in messages:
        kind = "finished" if message is None else "forward"
        near.send(kind, _nothing_learned() if message is None else message)
    assert server.run_round().dropped == {"b": why}
    server.finish()
    client.thread.join(30)


def _nothing_learned() -> Finished:
    return Finished(weights={}, optimizer=None, samples=1, loss_sum=0.0, seen=0, compute_s=0.0, waiting_s=0.0)


def test_a_batch_cannot_be_cut_into_no_pieces() -> None:
    with pytest.raises(BadInputError, match="cut into 0 pieces"):
        Settings(micro_batches=0)


def test_a_client_that_works_on_several_pieces_waits_only_with_nothing_to_do() -> None:
    """A clock that goes on by what is done: each run of the layers takes 1 s, an answer comes 10 s after it is due."""
    now = [0.0]
    near, far = local_pair()
    model = residual()
    model.layer0.register_forward_hook(lambda *_: now.__setitem__(0, now[0] + 1))

    class Waits(_SendsLate):
        def receive(self, timeout_s: float | None) -> tuple[str, object]:
            now[0] += 10
            return super().receive(timeout_s)

    channel = Waits(near, threading.Semaphore(0), 0)
    worker = Worker(
        "a",
        Data(1, samples=4),
        cutter(model),
        channel,
        loss=nn.functional.cross_entropy,
        clock=lambda: now[0],
    )  # type: ignore[arg-type]
    thread = worker_thread(worker)
    far.send(
        "round",
        RoundStart(
            number=1, cut=1, settings=SGD, weights=weights_of([cutter(residual())(1).head]), optimizer=None
        ),
    )
    for _ in range(4):
        kind, sent = far.receive(30)
        assert kind == "forward"
        far.send("backward", Backward(gradients=(torch.zeros_like(sent.activations[0]),)))
    kind, finished = far.receive(30)
    assert (finished.compute_s, finished.waiting_s) == (4.0, 40.0)
    far.close()
    thread.join(30)


def test_queued_is_when_the_server_had_a_piece_and_worked_for_others() -> None:
    session = Session("a", local_pair()[0], Inbox(), lambda: 0.0)
    progress = Progress(Member(session=session, cut=1, whole=False), 0, 0)
    session.finish(30)
    progress.arrived(1.0)
    progress.arrived(2.0)
    progress.served(3.0, 5.0, answered=False)  # two stages
    progress.served(6.0, 7.0, answered=True)
    progress.served(7.0, 9.0, answered=True)
    assert (progress.served_s, progress.queued_s) == (5.0, 3.0)
    progress.arrived(8.5)  # while the one before was served
    progress.served(10.0, 12.0, answered=True)
    assert (progress.served_s, progress.queued_s) == (7.0, 4.0)


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_round_is_computing_server_transfers_and_idling(pieces: int) -> None:
    settings = replace(SGD, micro_batches=pieces)
    for record in train(residual, THREE, {"a": 1, "b": 4, "c": 6}, settings)[1]:
        for one in record.clients:
            assert 0 < one.ended_s <= record.seconds_s
            assert one.compute_s + one.waiting_s <= one.ended_s
            assert one.served_s + one.queued_s >= one.server_s
            parts = (one.compute_s, one.server_s, one.transfer_s, one.idle_s(record.seconds_s))
            assert min(parts) >= 0
            assert sum(parts) == pytest.approx(record.seconds_s)
        whole = record.clients[2]
        assert (whole.waiting_s, whole.server_s) == (0.0, 0.0)
