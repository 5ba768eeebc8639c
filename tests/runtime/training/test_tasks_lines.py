"""What a training run says over a line comes out as it was said, bit for bit, and nothing else comes out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edgeray.errors import FlowError
from edgeray.node.lines import Connection
from edgeray.training.compress import Quantized, compressed
from edgeray.training.lines import LineChannel, packed, unpacked
from edgeray.training.messages import Backward, Finished, Forward, RoundStart
from edgeray.training.settings import Settings
from tests.runtime.node.line_ends import A, B, free_ports, line_of

LARGE = 100_003  # bytes that no array has in band, and that make no round number of anything
DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.int8,
    torch.bool,
    torch.complex64,
]


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    ports = free_ports(2)
    lines = [line_of(task, (ports[0], ports[1]), {}) for task in (A, B)]
    yield lines[0].connect(), lines[1].connect()
    for line in lines:
        line.close()


def _random(dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    size = dtype.itemsize * int(np.prod(shape))
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    return torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8).view(dtype).reshape(shape)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _assert_same(found: Tensor, sent: Tensor) -> None:
    """Random bits hold NaN, too: compare as bytes."""
    assert (found.dtype, found.shape) == (sent.dtype, sent.shape)
    assert torch.equal(_bits(found), _bits(sent))


def test_tensors_of_all_types_and_shapes_come_out_as_they_were(ends: tuple[Connection, Connection]) -> None:
    near, far = map(LineChannel, ends)
    shapes = [(), (0,), (3, 0, 2), (5,), (2, 3, 4), (LARGE,)]
    sent = {f"{dtype} {shape}": _random(dtype, *shape) for dtype in DTYPES for shape in shapes}
    square = _random(torch.float32, 300, 400)
    sent |= {"columns": square.T, "every other": square[::2, ::3], "stretched": square[:1].expand(300, 400)}
    sent["channels last"] = _random(torch.float32, 2, 8, 40, 40).to(memory_format=torch.channels_last)
    sent["weight"] = torch.nn.Parameter(square)
    threading.Thread(target=near.send, args=("end", sent), daemon=True).start()
    kind, found = far.receive(30)
    assert kind == "end"
    assert found.keys() == sent.keys()
    for name, value in sent.items():
        _assert_same(found[name], value)


def test_what_came_can_be_written_to_and_is_nobody_elses(ends: tuple[Connection, Connection]) -> None:
    near, far = map(LineChannel, ends)
    sent = torch.ones(LARGE)
    near.send("labels", sent)
    near.send("labels", torch.zeros(3))
    found = [far.receive(30)[1] for _ in range(2)]
    before = ends[1].received_bytes
    found[0] += 1
    found[1] += 1
    assert float(sent.sum()) == LARGE
    assert found[0].untyped_storage().nbytes() == LARGE * 4
    assert found[0].data_ptr() % 64 == 0, "as torch's own memory"
    assert found[1].tolist() == [1.0, 1.0, 1.0]
    assert before > LARGE * 4


MESSAGES: list[tuple[str, Any]] = [
    ("welcome", None),
    ("hello", None),
    (
        "round",
        RoundStart(
            number=3,
            cut=1,
            settings=Settings(learning_rate=0.25, compress="int8", micro_batches=2),
            weights={"a.weight": torch.randn(3, 2), "n": torch.tensor(4)},
            optimizer={"a.weight": {"momentum_buffer": torch.randn(3, 2), "step": torch.tensor(2.0)}},
        ),
    ),
    ("labels", torch.arange(9)),
    (
        "forward",
        Forward(
            epoch=1,
            batch=2,
            activations=(torch.randn(4, 100, 100), compressed(torch.randn(4, 100, 100), "int8")),
            differentiable=(True, False),
            labels=torch.arange(4),
            draws=torch.get_rng_state(),
            piece=1,
            pieces=3,
        ),
    ),
    ("backward", Backward(gradients=(None, torch.randn(2, 3)))),
    ("progress", None),
    (
        "finished",
        Finished(
            weights={"w": torch.randn(5)},
            optimizer=None,
            samples=7,
            loss_sum=1.5,
            seen=14,
            compute_s=0.5,
            waiting_s=0.25,
        ),
    ),
    ("end", {"w": torch.randn(5)}),
]


def test_every_message_comes_out_as_it_was(ends: tuple[Connection, Connection]) -> None:
    near, far = map(LineChannel, ends)

    def send() -> None:
        for kind, value in MESSAGES:
            near.send(kind, value)

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    for kind, value in MESSAGES:
        found = far.receive(30)
        assert found[0] == kind
        _assert_alike(found[1], value)
    sending.join(30)
    assert not sending.is_alive()


def _assert_alike(found: Any, sent: Any) -> None:
    assert type(found) is type(sent)
    if isinstance(sent, Tensor):
        _assert_same(found, sent)
    elif isinstance(sent, dict):
        assert list(found) == list(sent)
        for key in sent:
            _assert_alike(found[key], sent[key])
    elif isinstance(sent, tuple):
        assert len(found) == len(sent)
        for one, other in zip(found, sent, strict=True):
            _assert_alike(one, other)
    elif hasattr(sent, "__dataclass_fields__"):
        for name in sent.__dataclass_fields__:
            _assert_alike(getattr(found, name), getattr(sent, name))
    else:
        assert found == sent


class _Stranger:
    pass


@pytest.mark.parametrize(
    "value",
    [
        ("nonsense", None),
        "hello",
        ("hello",),
        (["hello"], None),
        ("hello", 3),
        ("forward", None),
        ("labels", {"w": packed(torch.ones(2))}),
        ("finished", packed(Backward(gradients=()))),
        ("end", {"w": np.ones(2)}),
        ("end", {"w": _Stranger()}),
        ("labels", packed(torch.ones(2)).__class__("nonsense", (2,), np.ones(8, dtype=np.uint8))),
        ("labels", packed(torch.ones(2)).__class__("float32", (3,), np.ones(8, dtype=np.uint8))),
        ("labels", packed(torch.ones(2)).__class__("float32", (-1, -2), np.ones(8, dtype=np.uint8))),
        ("labels", packed(torch.ones(2)).__class__("float32", (10**30,), np.ones(8, dtype=np.uint8))),
        ("labels", packed(torch.ones(2)).__class__("float32", (2,), "nonsense")),
    ],
)
def test_what_is_no_message_is_refused(ends: tuple[Connection, Connection], value: object) -> None:
    near, far = ends[0], LineChannel(ends[1])
    near.send(value)
    with pytest.raises(FlowError):
        far.receive(30)
    assert far.gone.is_set()


def test_who_closes_is_gone_for_both(ends: tuple[Connection, Connection]) -> None:
    near, far = map(LineChannel, ends)
    near.send("hello", None)
    assert far.receive(30) == ("hello", None)
    assert not far.gone.is_set()
    near.close()
    near.close()
    assert near.gone.is_set()
    with pytest.raises(FlowError):
        far.receive(None)
    assert far.gone.is_set()
    with pytest.raises(FlowError):
        near.send("hello", None)


def test_the_end_is_sent_once_the_peer_has_it(ends: tuple[Connection, Connection]) -> None:
    """So whoever closes right afterwards takes nothing back."""
    server, client = map(LineChannel, ends)
    returned = threading.Event()

    def end() -> None:
        server.send("end", {"w": torch.ones(3)})
        returned.set()
        server.close()

    threading.Thread(target=end, daemon=True).start()
    client.send("progress", None)
    assert server.receive(30) == ("progress", None)
    assert not returned.is_set()
    kind, value = client.receive(30)
    assert (kind, value["w"].tolist()) == ("end", [1.0, 1.0, 1.0])
    assert returned.wait(30)


def test_a_quantized_tensor_means_the_same_on_the_other_side() -> None:
    sent = compressed(torch.randn(6, 7), "int8")
    assert isinstance(sent, Quantized)
    found = unpacked(packed(sent))
    assert (found.scale, found.zero_point, found.dtype) == (sent.scale, sent.zero_point, sent.dtype)
    assert torch.equal(found.values, sent.values)
