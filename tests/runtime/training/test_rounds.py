"""Rounds: training cut models equals federated learning, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch

from edgeray.errors import BadInputError, FlowError
from edgeray.training.channel import Metered, local_pair, payload_bytes
from edgeray.training.compress import Quantized, compressed, restored
from edgeray.training.messages import Forward
from edgeray.training.modes import MODES
from edgeray.training.settings import Settings
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
)

SGD = Settings(learning_rate=0.1, momentum=0.9, weight_decay=0.01, seed=3)
ADAM = Settings(optimizer="adam", learning_rate=0.01, weight_decay=0.01, epochs=2, seed=4)
THREE = {"a": Data(1), "b": Data(2, samples=8), "c": Data(3, samples=20)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("make", "cut"), [(make, cut) for make, cuts in ((lenet, 7), (residual, 6)) for cut in range(1, cuts + 1)]
)
def test_one_client_trains_as_if_nothing_were_cut(make: Callable[[], Chain], cut: int, mode: str) -> None:
    data = {"a": Data(1)}
    found, records = train(make, data, {"a": cut}, SGD, mode=mode)
    assert_equal_bits(found, federated_learning(make(), data, SGD, 2))
    assert not torch.equal(found["layer0.0.weight"], make().state_dict()["layer0.0.weight"])
    whole = cut == len(list(make().children()))
    assert (records[0].busy_s == 0) == whole
    assert (records[0].peak_activation_bytes == 0) == whole


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_many_clients_with_different_cuts_are_federated_averaging(
    mode: str, keep: bool, settings: Settings
) -> None:
    settings = Settings(
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        epochs=2,
        keep_optimizer=keep,
    )
    found, records = train(residual, THREE, {"a": 1, "b": 3, "c": 6}, settings, mode=mode)
    assert_equal_bits(found, federated_learning(residual(), THREE, settings, 2))
    assert [one.client for one in records[1].clients] == ["a", "b", "c"]
    assert records[1].samples == 41


def test_losses_do_not_depend_on_cuts() -> None:
    split = train(lenet, THREE, {"a": 1, "b": 4, "c": 6}, SGD)[1]
    whole = train(lenet, THREE, {"a": 7, "b": 7, "c": 7}, SGD)[1]
    assert [record.loss for record in split] == [record.loss for record in whole]
    assert split[1].loss < split[0].loss


def test_a_cut_that_moves_takes_its_optimizer_along() -> None:
    settings = Settings(learning_rate=0.1, momentum=0.9, keep_optimizer=True)
    server = make_server(lenet, settings)
    client = join(server, lenet, "a", Data(1), 2)
    server.run_round()
    server.move_cut("a", 5)
    server.run_round()
    server.move_cut("a", 1)
    server.run_round()
    server.finish()
    client.thread.join(30)
    assert_equal_bits(server.weights, federated_learning(lenet(), {"a": Data(1)}, settings, 3))


def test_the_model_gets_better_at_what_it_is_tested_on() -> None:
    data = {"a": Data(1, samples=20), "b": Data(2, samples=20)}
    settings = Settings(optimizer="adam", learning_rate=0.02, epochs=10)

    def test_set() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(one.inputs, one.labels) for one in data.values()]

    cuts = {"a": 2, "b": 4}
    weights, records = train(residual, data, cuts, settings, rounds=8, test_set=test_set)
    first, last = records[0].accuracy, records[-1].accuracy
    assert first is not None
    assert last is not None
    assert last > max(first, 0.6)
    model = residual().eval()
    model.load_state_dict(weights)
    right = sum(int((model(inputs).argmax(1) == labels).sum()) for inputs, labels in test_set())
    assert last == right / 40


def test_payload_is_what_crosses_the_cut() -> None:
    record = train(lenet, {"a": Data(1)}, {"a": 2}, SGD, rounds=1)[1][0]
    (client,) = record.clients
    weights = sum(value.nbytes for value in cutter(lenet())(2).head.state_dict().values())
    activations = 13 * 4 * 3 * 3 * 4
    assert client.up_bytes == weights + activations + 13 * 8
    assert client.down_bytes == weights + activations
    assert client.waiting_s >= client.served_s > 0
    assert client.compute_s > 0
    assert record.seconds_s >= record.busy_s == pytest.approx(client.served_s)


def test_labels_sent_once_change_nothing_but_bytes() -> None:
    once = Settings(learning_rate=0.1, momentum=0.9, weight_decay=0.01, seed=3, labels_once=True, epochs=2)
    each = Settings(learning_rate=0.1, momentum=0.9, weight_decay=0.01, seed=3, epochs=2)
    found, records = train(lenet, THREE, {"a": 2, "b": 4, "c": 7}, once)
    expected, others = train(lenet, THREE, {"a": 2, "b": 4, "c": 7}, each)
    assert_equal_bits(found, expected)
    saved = [
        [other.up_bytes - one.up_bytes for one, other in zip(record.clients, rival.clients, strict=True)]
        for record, rival in zip(records, others, strict=True)
    ]
    assert saved == [[13 * 8, 8 * 8, 0], [2 * 13 * 8, 2 * 8 * 8, 0]]


def test_int8_is_a_quarter_of_the_activations_and_still_learns() -> None:
    int8 = Settings(learning_rate=0.1, momentum=0.9, compress="int8")
    plain = Settings(learning_rate=0.1, momentum=0.9)
    cuts = {"a": 3, "b": 4, "c": 3}
    packed, unpacked = (train(residual, THREE, cuts, one, rounds=3)[1] for one in (int8, plain))
    weights = sum(value.nbytes for value in cutter(residual())(3).head.state_dict().values())
    down, full = packed[0].clients[0].down_bytes - weights, unpacked[0].clients[0].down_bytes - weights
    assert 4 * down == full
    assert packed[-1].loss != unpacked[-1].loss
    assert packed[-1].loss == pytest.approx(unpacked[-1].loss, rel=0.1)


def test_int8_keeps_zeros_and_what_it_cannot_scale() -> None:
    values = torch.tensor([-0.3, 0.0, 0.7, 1.0, 0.0])
    sent = compressed(values, "int8")
    assert isinstance(sent, Quantized)
    again = restored(sent)
    assert again[1] == again[4] == 0
    assert (again - values).abs().max() <= sent.scale
    for odd in (
        torch.tensor([1.0, float("inf")]),
        torch.tensor([float("nan")]),
        torch.arange(3),
        torch.zeros(2),
    ):
        assert compressed(odd, "int8") is odd
    assert torch.equal(restored(compressed(torch.full((3,), 5.0), "int8")), torch.full((3,), 5.0))


def test_at_the_end_clients_have_the_trained_weights_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    server = make_server(lenet, SGD)
    clients = [join(server, lenet, name, data, 3) for name, data in THREE.items()]
    server.run_round()
    server.finish()
    for client in clients:
        client.thread.join(30)
        head = client.worker.head.state_dict()
        assert_equal_bits(head, {name: server.weights[name] for name in head})
    assert set(threading.enumerate()) <= before


def test_a_server_that_closes_lets_clients_go() -> None:
    before = set(threading.enumerate())
    server = make_server(lenet, SGD)
    clients = [join(server, lenet, name, data, 3) for name, data in THREE.items()]
    server.run_round()
    server.close()
    for client in clients:
        client.thread.join(30)
        assert isinstance(client.error, FlowError)
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()


def test_bad_settings_are_named() -> None:
    with pytest.raises(BadInputError, match="no optimizer 'lion'"):
        train(lenet, {"a": Data(1)}, {"a": 2}, Settings(optimizer="lion"))
    with pytest.raises(BadInputError, match="no server mode 'fast'"):
        make_server(lenet, SGD, mode="fast")


def test_a_channel_tells_of_its_end() -> None:
    near, far = local_pair()
    with pytest.raises(FlowError, match="nothing came within"):
        far.receive(0.01)
    near.send("x", 1)
    near.close()
    near.close()
    assert far.receive(None) == ("x", 1)
    for _ in range(2):
        with pytest.raises(FlowError, match="closed"):
            far.receive(None)
    with pytest.raises(FlowError, match="peer closed"):
        far.send("x", 1)
    with pytest.raises(FlowError, match="is closed"):
        near.send("x", 1)


def test_payload_counts_every_tensor_of_a_message() -> None:
    near, far = local_pair()
    metered = Metered(near)
    message = Forward(
        epoch=0,
        batch=0,
        activations=(torch.zeros(3), Quantized(torch.zeros(5, dtype=torch.int8), 1.0, 0, torch.float32)),
        differentiable=(True, True),
        labels=torch.zeros(2, dtype=torch.int64),
        draws=None,
    )
    metered.send("forward", message)
    assert metered.sent_bytes == payload_bytes(message) == 3 * 4 + 5 + 2 * 8
    far.send("end", {"w": torch.zeros(2, 2)})
    metered.receive(None)
    assert metered.received_bytes == 16
