"""Profiling the cuts of a model: bytes as they are sent, seconds that add up, and no more run than fits."""

from __future__ import annotations

import itertools
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edgeray.errors import CannotCutError, StageError
from edgeray.profiler.cuts import CutMeasurements
from edgeray.training import cut_memory
from edgeray.training import profile as profiling
from edgeray.training.build import (
    Cutter,
    build_model,
    cutter,
    dataset_of,
    example_of,
    light_model,
    loss_of,
    settings_of,
)
from edgeray.training.channel import Channel, local_pair
from edgeray.training.device_data import DeviceData
from edgeray.training.profile import (
    Crossings,
    measure_training,
    measurements,
    message_bytes,
    message_costs,
)
from edgeray.training.recipe import Recipe
from edgeray.training.records import ClientRound
from edgeray.training.server import Server
from edgeray.training.trial import Trial
from edgeray.training.worker import Worker
from tests.runtime.training.cases import worker_thread
from tests.runtime.training.profile_models import recipe

MODELS = ("lenet", "residual", "with_dropout", "untraceable")
BASE_BYTES = 50e6


@pytest.fixture(autouse=True)
def known_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has held all sorts of things: reckon as if it were a new one. Messages are sent in one test only."""
    monkeypatch.setattr(profiling, "message_costs", lambda: (0.0, 2e-9))
    monkeypatch.setattr(cut_memory, "process_bytes", lambda: BASE_BYTES)
    monkeypatch.setattr(cut_memory.PeakMemory, "bytes", lambda _self: None)


def ticking() -> Callable[[], float]:
    """A clock that goes on by one at each look."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def tried(
    given: Recipe, room_bytes: float = math.inf, clock: Callable[[], float] | None = None
) -> tuple[Trial, Crossings]:
    clock = clock or ticking()
    with torch.random.fork_rng(devices=[]):
        trial = Trial(given, room_bytes)
        crossings = Crossings(given.compress, trial.batch()[1], clock)
        trial.run(clock, 0.0, crossings.passed)
    return trial, crossings


def profiled(given: Recipe, **options: Any) -> CutMeasurements:
    return measurements(*tried(given, **options), slowed=1.0, message_s=0.0, byte_s=1e-9)


class Tapped:
    """A channel that notes what each kind of message takes on the wire."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.bytes: dict[str, list[int]] = defaultdict(list)

    def send(self, kind: str, value: Any) -> None:
        self.bytes[kind].append(message_bytes(kind, value))
        self._channel.send(kind, value)

    def receive(self, timeout_s: float | None) -> tuple[str, Any]:
        kind, value = self._channel.receive(timeout_s)
        self.bytes[kind].append(message_bytes(kind, value))
        return kind, value

    def close(self) -> None:
        self._channel.close()


@cache
def cutters(name: str) -> tuple[Cutter, Cutter]:
    """Without weights, and with."""
    given = recipe(name)
    example = example_of(given, dataset_of(given, "train"))
    return cutter(light_model(given), example), cutter(build_model(given), example)


def real_round(name: str, given: Recipe, cut: int) -> tuple[dict[str, list[int]], ClientRound]:
    """One round with a client that has 16 samples, two batches: what it sent and received."""
    light, real = cutters(name)
    data = DeviceData(
        dataset_of(given, "train"), np.arange(16), batch_size=given.batch_size, seed=0, device="a"
    )
    near, far = local_pair()
    tapped = Tapped(near)
    loss = loss_of(given)
    heads = light if light.light else (lambda index: deepcopy(light(index)))
    thread = worker_thread(Worker("a", data, heads, tapped, loss=loss))
    server = Server(real.model, real, loss=loss, settings=settings_of(given))
    server.join("a", far, cut)
    record = server.run_round()
    server.finish()
    thread.join(30)
    server.close()
    return tapped.bytes, record.clients[0]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("lenet", {}),
        ("residual", {"compress": "int8"}),
        ("residual", {"optimizer": "adam", "keep_optimizer": True}),
        ("with_dropout", {}),
        ("untraceable", {"compress": "int8"}),
    ],
)
def test_bytes_are_those_of_a_real_round(name: str, changes: dict[str, Any]) -> None:
    given = recipe(name, **changes)
    found = profiled(given)
    cuts = len(found.names)
    for cut in {0, cuts // 2, cuts - 1}:
        sent, record = real_round(name, given, cut)
        for kind, measured in (("forward", found.up_bytes), ("backward", found.down_bytes)):
            assert len(sent[kind]) == (0 if cut == cuts - 1 else 2)
            assert all(abs(size - measured[cut]) < 100 for size in sent[kind])
        assert abs(sent["finished"][0] - found.weights_bytes[cut]) < 0.1 * found.weights_bytes[cut] + 200
        if "optimizer" not in changes:
            assert abs(sent["round"][0] - found.weights_bytes[cut]) < 700
        up_bytes = 2 * found.up_bytes[cut] + found.weights_bytes[cut]
        framing_bytes = 0.1 * record.up_bytes + 1000 * (2 + 12)
        assert record.up_bytes < up_bytes < record.up_bytes + framing_bytes


def test_int8_is_a_quarter_of_what_crosses() -> None:
    plain, small = profiled(recipe("residual")), profiled(recipe("residual", compress="int8"))
    for cut in range(len(plain.names) - 1):
        if plain.up_bytes[cut] > 50_000:
            assert 3.5 < plain.up_bytes[cut] / small.up_bytes[cut] < 4.1
    assert plain.weights_bytes == small.weights_bytes


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_takes_as_long_wherever_the_cut_is(name: str) -> None:
    """On a clock that ticks once a look: the layers before a cut, those behind it and the update make up a step."""
    trial, crossings = tried(recipe(name))
    found = measurements(trial, crossings, slowed=1.0, message_s=0.0, byte_s=0.0)
    steps = {step.updated - step.began for step in trial.steps}
    assert len(steps) == 1
    for forward_s, backward_s, server_s in zip(
        found.forward_s, found.backward_s, found.server_s, strict=True
    ):
        assert forward_s + backward_s + server_s == pytest.approx(*steps)
    assert found.server_s[-1] == 0.0
    assert list(found.forward_s) == sorted(found.forward_s)
    assert list(found.backward_s) == sorted(found.backward_s)
    assert found.steps == len(trial.steps) == 2


def test_the_update_is_shared_out_by_the_weights_that_are_trained() -> None:
    """LeNet's second cut has 2,572 of 61,706 weights."""
    trial, crossings = tried(recipe("lenet"))
    found = measurements(trial, crossings, slowed=1.0, message_s=0.0, byte_s=0.0)
    ticks_back = [step.parts(1)[1] for step in trial.steps]
    assert found.backward_s[1] - ticks_back[0] == pytest.approx(2_572 / 61_706)


def test_messages_and_a_slow_device_count_in_the_seconds() -> None:
    trial, crossings = tried(recipe("lenet"))
    plain = measurements(trial, crossings, slowed=1.0, message_s=0.0, byte_s=0.5)
    slow = measurements(trial, crossings, slowed=4.0, message_s=0.25, byte_s=0.5)
    for cut in range(len(plain.names) - 1):
        assert slow.forward_s[cut] == pytest.approx(4 * plain.forward_s[cut] + 1)
        assert slow.backward_s[cut] == pytest.approx(4 * plain.backward_s[cut] + 1)
        assert slow.server_s[cut] == pytest.approx(4 * plain.server_s[cut] + 2)
    assert slow.server_s[-1] == 0.0
    assert slow.backward_s[-1] == pytest.approx(4 * plain.backward_s[-1])  # no message goes with a batch
    assert slow.send_s_per_byte == 4 * plain.send_s_per_byte == 2.0


def test_each_piece_of_a_batch_takes_what_no_samples_take() -> None:
    """On a ticking clock a part of a batch takes as long as all of it: so does each further piece."""
    trial, crossings = tried(recipe("lenet"))
    found = measurements(trial, crossings, slowed=2.0, message_s=0.25, byte_s=0.0)
    for cut in range(len(found.names) - 1):
        head_forward, head_backward, tail_forward, tail_backward = trial.steps[0].parts(cut)
        assert found.piece_s[cut] == pytest.approx(2 * (head_forward + head_backward) + 1)
        assert found.server_piece_s[cut] == pytest.approx(2 * (tail_forward + tail_backward) + 1)
    assert found.piece_s[-1] == found.server_piece_s[-1] == 0.0
    small, crossings = tried(recipe("lenet", batch_size=4))
    assert measurements(small, crossings, slowed=1.0, message_s=0.0, byte_s=0.0).piece_s == (0.0,) * 5


class Counting(TorchDispatchMode):
    """Counts torch's operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def counted(given: Recipe, room_bytes: float) -> tuple[Trial, Crossings, dict[str, int]]:
    """Also how often each operation runs forward."""
    trial, crossings = tried(given, room_bytes)
    with trial._watched(lambda _number, _tensors: None) as run, Counting() as counting:
        run(trial.batch()[0])
    return trial, crossings, counting.calls


@pytest.mark.parametrize(
    ("name", "cut"), [("residual", 2), ("residual", 4), ("lenet", 1), ("untraceable", 0)]
)
def test_a_device_that_cannot_hold_all_measures_what_it_can(name: str, cut: int) -> None:
    """The layers up to the deepest cut that fits run as in the whole model, and those behind it do not."""
    given = recipe(name)
    whole, all_crossings, all_calls = counted(given, math.inf)
    trial, crossings, calls = counted(given, whole.memory.need_bytes(cut) + 50e3)
    last = trial.deepest
    assert last == cut
    assert trial.memory.saved_bytes[: last + 1] == whole.memory.saved_bytes[: last + 1]
    everything = measurements(whole, all_crossings, slowed=1.0, message_s=0.0, byte_s=0.0)
    found = measurements(trial, crossings, slowed=1.0, message_s=0.0, byte_s=0.0)
    for what in ("names", "layers", "weights_bytes"):
        assert getattr(found, what) == getattr(everything, what)
    for what in ("up_bytes", "down_bytes", "forward_s"):
        assert getattr(found, what)[: last + 1] == getattr(everything, what)[: last + 1]
    for number in range(last):  # on a ticking clock: how many cuts backward has passed
        assert trial.steps[0].parts(number)[1] == whole.steps[0].parts(number)[1]
    for values in (found.forward_s, found.backward_s, found.memory_bytes):
        assert all(math.isfinite(value) for value in values[: last + 1])
        assert all(math.isinf(value) for value in values[last + 1 :])
    assert all(math.isinf(value) for value in found.server_s)
    for mine, theirs in zip(found.up_bytes[last + 1 :], everything.up_bytes[last + 1 :], strict=True):
        assert mine == pytest.approx(theirs, rel=0.1, abs=700)  # by the tensors' sizes
    assert calls["convolution"] + calls["addmm"] == found.layers[last]
    assert all_calls["convolution"] + all_calls["addmm"] == found.layers[-1]


def test_layers_that_do_not_fit_get_no_memory() -> None:
    """Six layers of 36 MB, in a process that may have room for two."""
    given = recipe("broad")
    room_bytes = 1.3 * (Trial(given, math.inf).memory.need_bytes(2))
    trial, _ = tried(given, room_bytes)
    assert trial.deepest in (2, 3)
    state = trial.model.state_dict()
    # What nobody has written to is zero; what was filled is not.
    assert float(state["2.weight"].abs().max()) > 0
    assert float(state["7.weight"].abs().max()) == 0


def test_a_device_without_room_for_the_first_layers_says_so() -> None:
    with pytest.raises(
        StageError, match=r"not even the layers up to 0 fit: training them takes \d+ MB, 50 MB"
    ):
        tried(recipe("lenet"), room_bytes=BASE_BYTES + 20e6)
    with pytest.raises(StageError, match="90% of the device's memory"):
        measure_training(recipe("lenet"), cpus=0.5, capped=True, memory_bytes=60e6)


def test_adam_and_momentum_hold_more() -> None:
    needs = [
        Trial(recipe("broad", **changes), math.inf).memory.need_bytes(7)
        for changes in (
            {},
            {"momentum": 0.9},
            {"optimizer": "adam"},
            {"optimizer": "adam", "keep_optimizer": True},
        )
    ]
    weights = sum(value.numel() * 4 for value in build_model(recipe("broad")).state_dict().values())
    assert np.diff(needs) == pytest.approx([1.1 * weights, 1.1 * weights, 4.4 * weights], rel=1e-3)


def test_a_model_that_cannot_be_cut_says_why() -> None:
    with pytest.raises(CannotCutError, match="one layer with a weight matrix"):
        measure_training(recipe("one_layer"), cpus=1, capped=False, memory_bytes=None)


def test_a_capped_device_is_measured_by_its_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is no work: under a quota it does not count, elsewhere it does. What does count is worth 1 / cpus."""
    pause = threading.Event()
    real = Trial.batch

    def slow(self: Trial, samples: int | None = None) -> Any:
        pause.wait(0.1)
        return real(self, samples)

    monkeypatch.setattr(Trial, "batch", slow)
    given = recipe("lenet")
    capped = measure_training(given, cpus=0.5, capped=True, memory_bytes=None, budget_s=0)
    free = measure_training(given, cpus=0.5, capped=False, memory_bytes=None, budget_s=0)
    assert capped.forward_s[-1] < 0.1 < free.forward_s[-1]
    assert capped.send_s_per_byte == 4e-9
    assert free.send_s_per_byte == 2e-9


def test_sending_takes_longer_the_more_is_sent() -> None:
    message_s, byte_s = message_costs()
    assert 0 <= message_s < 0.1
    assert 1e-11 < byte_s < 1e-6


def test_a_profile_leaves_torch_as_it_was() -> None:
    state = torch.get_rng_state()
    tried(recipe("with_dropout"))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    yield
    torch.set_num_threads(1)
