"""Cutting models: where, bit for bit the same training, what is refused and why, and what each cut costs."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeray.errors import CannotCutError
from edgeray.training.cutting import (
    Cut,
    Split,
    candidate_cuts,
    measure_cuts,
    pareto,
    self_test,
    split,
)
from edgeray.training.models import cnn, lenet, mlp, mobilenet_v2
from edgeray.training.models.resnet import ResNet
from edgeray.training.models.vgg import VGG


def residual() -> nn.Module:
    return ResNet((1, 1), classes=10, channels=1, stem="cifar", width=8)


def narrow_vgg() -> nn.Module:
    return VGG(((4, 4), (8,), (8,)), classes=10, channels=1, stem="cifar")


def narrow_mobilenet() -> nn.Module:
    return mobilenet_v2(10, 1, "cifar", width=0.2)


class Gate(nn.Module):
    """Control flow that depends on data: torch.export cannot trace it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Chain(nn.Module):
    """Modules one behind the other in front, whatever forward likes behind."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 5), nn.ReLU(inplace=True), Gate(), nn.Linear(5, 5), nn.BatchNorm1d(5)
        )
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        logits: Tensor = self.last(torch.relu(y) + y)
        return logits


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "lenet": (lenet, (1, 28, 28), 5),
    "mlp": (mlp, (1, 28, 28), 4),
    "cnn": (cnn, (1, 28, 28), 4),
    "residual": (residual, (1, 12, 12), 10),
    "mobilenet": (narrow_mobilenet, (1, 8, 8), 53),
    "vgg": (narrow_vgg, (1, 16, 16), 5),
    "chain": (Chain, (6,), 3),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_cut_trains_as_the_whole_model_to_the_last_bit(name: str) -> None:
    factory, shape, layers = MODELS[name]
    model = factory()
    cuts = candidate_cuts(model, torch.randn(4, *shape))
    assert [cut.index for cut in cuts] == list(range(len(cuts)))
    assert [cut.layers for cut in cuts] == list(range(1, layers + 1))
    odd_last_batch = torch.randn(3, *shape)
    for cut in cuts if name != "mobilenet" else cuts[::6]:
        self_test(model, cut, odd_last_batch)


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_share_the_models_state_by_its_names(name: str) -> None:
    factory, shape, _ = MODELS[name]
    model = factory()
    for cut in candidate_cuts(model, torch.randn(4, *shape))[::4]:
        parts = split(model, cut)
        state = parts.state()
        assert state.keys() == model.state_dict().keys()
        assert all(state[key].data_ptr() == value.data_ptr() for key, value in model.state_dict().items())
        assert parts.head.state_dict().keys() & (parts.tail or nn.Module()).state_dict().keys() == set()
        sent = sum(v.numel() * v.element_size() for v in parts.head.state_dict().values())
        assert sent == cut.head_bytes
        weights = sum(p.numel() * p.element_size() for p in parts.head.parameters())
        assert weights == cut.head_parameter_bytes


@pytest.mark.parametrize("name", MODELS)
def test_a_cut_says_what_crosses_it(name: str) -> None:
    factory, shape, _ = MODELS[name]
    model, example = factory(), torch.randn(4, *shape)
    *parted, whole = candidate_cuts(model, example)
    for cut in parted:
        crossing = split(model, cut).head(example)
        assert tuple(tuple(tensor.shape) for tensor in crossing) == cut.output_shapes
        assert sum(tensor.numel() * 4 for tensor in crossing) == cut.output_bytes
    assert whole.whole
    assert whole.output_bytes == 0
    parts = split(model, whole)
    assert parts.tail is None
    (logits,) = parts.head(example)
    assert logits.shape[0] == 4


def test_inside_of_a_residual_block_two_tensors_cross() -> None:
    cuts = candidate_cuts(residual(), torch.randn(2, 1, 12, 12))
    crossing = {cut.name: len(cut.output_shapes) for cut in cuts}
    assert crossing["stages.0.0.conv2"] == 2
    assert crossing["stages.0.0.downsample.0"] == 1


@pytest.mark.parametrize("factory", [lenet, residual, Chain])
def test_parts_can_be_pickled_and_copied(factory: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = factory()
    example = torch.randn(4, 6) if factory is Chain else torch.randn(4, 1, 28, 28)
    cut = candidate_cuts(model, example)[1]
    parts = split(model, cut)
    expected = copy.deepcopy(model)(example)
    for made in (pickle.loads(pickle.dumps(parts)), copy.deepcopy(parts)):
        assert made.state().keys() == model.state_dict().keys()
        for key, value in made.state().items():
            assert torch.equal(value, model.state_dict()[key])
            assert value.data_ptr() != model.state_dict()[key].data_ptr()
        assert torch.equal(made.tail(*made.head(example)), expected)


def test_a_cut_fits_another_model_of_the_same_architecture() -> None:
    example = torch.randn(4, 1, 28, 28)
    cut = candidate_cuts(lenet(), example)[2]
    other = lenet()
    parts = split(other, cut)
    assert parts.tail is not None
    assert torch.equal(parts.tail(*parts.head(example)), other(example))


def test_the_model_stays_as_it_was() -> None:
    model = residual()
    model.get_submodule("stages.0").eval()
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    example = torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    cuts = candidate_cuts(model, example)
    self_test(model, cuts[2], example)
    measure_cuts(model, cuts, example, repeats=1)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_part_is_not_evaluated() -> None:
    parts = split(residual(), candidate_cuts(residual(), torch.randn(2, 1, 12, 12))[1])
    with pytest.raises(RuntimeError, match="load its state into the whole model"):
        parts.head.eval()


class RandomFactor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(x) * random.random())
        return logits


def test_the_self_test_catches_what_tracing_made_a_constant() -> None:
    model = RandomFactor()
    cuts = candidate_cuts(model, torch.randn(4, 4))
    with pytest.raises(CannotCutError, match=r"behind first: the output differs in \d of 8 numbers"):
        self_test(model, cuts[0], torch.randn(4, 4))


class Detached(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.detach() for tensor in self.part(x))


class Twice(Detached):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        self.part(x)
        return tuple(self.part(x))


class Rounded(Detached):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor * (1 + 2**-22) for tensor in self.part(x))


@dataclass(frozen=True)
class Broken:
    """A trace whose heads do something else, too."""

    good: Cut
    wrap: Callable[[nn.Module], nn.Module]

    def split(self, model: nn.Module, position: int) -> Split:
        parts = self.good.trace.split(model, position)
        return Split(head=self.wrap(parts.head), tail=parts.tail)

    def watched(self, *_: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("wrap", "what"),
    [
        (Detached, r"the gradient of conv1\.weight is missing"),
        (Twice, r"the buffer bn1\.running_mean differs"),
        (Rounded, "the output differs"),
    ],
)
def test_the_self_test_catches_a_wrong_split(wrap: Callable[[nn.Module], nn.Module], what: str) -> None:
    model, batch = residual(), torch.randn(2, 1, 12, 12)
    cut = candidate_cuts(model, batch)[0]
    self_test(model, cut, batch)
    with pytest.raises(CannotCutError, match=what):
        self_test(model, replace(cut, trace=Broken(cut, wrap)), batch)


def test_dropout_draws_in_both_parts_as_in_the_whole() -> None:
    model = nn.Sequential(
        nn.Linear(6, 9), nn.Dropout(0.4), nn.Linear(9, 9), nn.ReLU(), nn.Dropout(0.4), nn.Linear(9, 2)
    )
    cuts = candidate_cuts(model, torch.randn(4, 6))
    assert [cut.name for cut in cuts] == ["0", "2", "5"]
    for cut in cuts:
        self_test(model, cut, torch.randn(5, 6))


class Skipping(nn.Module):
    """Where modules follow each other, but the input is used once more behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(4, 4), Gate(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.gate(self.first(x)) + x)
        return logits


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(x))
        return logits


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.last(x)


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (Skipping, r"torch\.export cannot trace it: .*data-dependent(.|\n)*behind gate: the output differs"),
        (Tied, r"weight has been used, and is used again behind"),
        (Several, "does not return one tensor"),
        (lambda: nn.Linear(4, 4), "one layer with a weight matrix"),
        (lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4)), "fails on the example of shape"),
    ],
)
def test_a_model_that_cannot_be_cut_says_why(
    factory: Callable[[], nn.Module], why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CannotCutError, match=why):
        candidate_cuts(factory(), torch.randn(4, 4))
    assert capfd.readouterr() == ("", "")


class Loop(nn.Module):
    """How often its first module runs depends on the data: on the example, once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        nn.init.eye_(self.first.weight)
        nn.init.zeros_(self.first.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        while x.sum() > 0:
            x = self.first(x) - 1
        logits: Tensor = self.last(x)
        return logits


def test_a_tail_notices_when_forward_goes_another_way() -> None:
    model = Loop()
    cut = candidate_cuts(model, -torch.ones(4, 4))[0]
    parts = split(model, cut)
    assert parts.tail is not None
    assert torch.equal(parts.tail(-torch.ones(4, 4)), model.last(-torch.ones(4, 4)))
    with pytest.raises(CannotCutError, match="another way"):
        parts.tail(torch.ones(4, 4))


class Sized(nn.Module):
    """Gives its output the input's batch size. columns: of what the last layer takes; 3 makes two rows a sample."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(columns, 2)
        self.columns = columns

    def forward(self, x: Tensor) -> Tensor:
        rows = self.first(x).view(-1, self.columns)
        logits: Tensor = self.last(rows).view(x.size(0), -1)
        return logits


def test_the_batch_size_is_read_from_what_crosses() -> None:
    model = Sized(columns=6)
    cut, _whole = candidate_cuts(model, torch.randn(4, 4))
    self_test(model, cut, torch.randn(7, 4))
    with pytest.raises(CannotCutError, match=r"the size sym_size_int\S* is in use, and the tensors there"):
        candidate_cuts(Sized(columns=3), torch.randn(4, 4))


def test_the_same_model_has_the_same_cuts_in_another_process() -> None:
    script = (
        "import torch; from edgeray.training.cutting import candidate_cuts;"
        "from edgeray.training.models import lenet;"
        "print(candidate_cuts(lenet(), torch.zeros(4, 1, 28, 28)))"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(candidate_cuts(lenet(), torch.zeros(4, 1, 28, 28)))


def test_pareto_keeps_what_no_other_beats() -> None:
    cuts = candidate_cuts(lenet(), torch.zeros(2, 1, 28, 28))
    costs = [(1, 9, 5), (2, 9, 5), (2, 3, 9), (2, 3, 9), (4, 1, 0)]
    assert [cut.index for cut in pareto(cuts, costs)] == [0, 2, 4]
    with pytest.raises(ValueError, match="expected \\(5, kinds\\)"):
        pareto(cuts, costs[:4])


@pytest.mark.parametrize("name", MODELS)
def test_backward_passes_the_cuts_in_reverse(name: str) -> None:
    """On a clock that ticks once a look; also where two tensors cross, of which the head goes on using one."""
    factory, shape, _ = MODELS[name]
    model = factory()
    cuts = candidate_cuts(model, torch.randn(4, *shape))
    ticks = itertools.count()
    times = measure_cuts(model, cuts, torch.randn(4, *shape), repeats=2, clock=lambda: float(next(ticks)))
    turn = len(cuts)
    for number, one in enumerate(times[:-1]):
        assert (one.head_forward_s, one.tail_forward_s) == (number + 1, turn - number - 1)
        assert (one.head_backward_s, one.tail_backward_s) == (number + 1, turn - number - 1)
    assert times[-1].head_forward_s == times[-1].head_backward_s == turn
    assert times[-1].tail_forward_s == times[-1].tail_backward_s == times[-1].tail_saved_bytes == 0


def test_saved_activations_of_lenet_are_those_that_backward_needs() -> None:
    model, batch = lenet(), torch.randn(4, 1, 28, 28)
    first, *_, last, whole = measure_cuts(model, candidate_cuts(model, batch), batch, repeats=1)
    image, maps, pooled, indices = 784 * 4, 6 * 784 * 4, 6 * 196 * 4, 6 * 196 * 8
    assert first.head_saved_bytes == 4 * (image + maps + indices)
    assert last.tail_saved_bytes == 4 * 84 * 4  # what the last layer took
    assert whole.head_saved_bytes == first.head_saved_bytes + first.tail_saved_bytes
    assert first.tail_saved_bytes > 4 * pooled
