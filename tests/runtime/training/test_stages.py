"""Stages: the server's layers of a client in several parts, for splitpipe-bf."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgeray.training.cutting import candidate_cuts, split
from edgeray.training.draws import Draws
from edgeray.training.half import Piece
from edgeray.training.halves import HalfMaker
from edgeray.training.messages import Forward
from edgeray.training.models import lenet
from edgeray.training.models.resnet import ResNet
from edgeray.training.modes import MODES, make_mode
from edgeray.training.saved import SavedActivations
from edgeray.training.settings import Settings
from edgeray.training.stages import stages_of
from edgeray.training.weights import weights_of
from tests.runtime.training.cases import assert_equal_bits


def _network() -> nn.Module:
    return nn.Sequential(ResNet((1, 2), classes=4, channels=1, stem="cifar", width=4), nn.Dropout(0.2))


class _Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(6, 6) for _ in range(4)))

    def forward(self, inputs: Tensor) -> Tensor:
        out = self.layers(inputs)
        return out if float(out.detach().sum()) < 1e9 else -out


@pytest.mark.parametrize(
    ("make", "shape"), [(_network, (3, 1, 8, 8)), (lenet, (3, 1, 28, 28)), (_Untraceable, (3, 6))]
)
def test_stages_one_behind_the_other_are_the_tail(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(1)
    model, batch = make(), torch.randn(*shape)
    cuts = candidate_cuts(model, batch)
    counts = set()
    for most in (1, 2, 100):
        stages = stages_of(model, cuts, most)
        for cut in cuts[:-1]:
            tensors = split(model, cut).head(batch)
            whole, parted = deepcopy(model), deepcopy(model)
            expected = _step([split(whole, cut).tail], tensors)
            pieces = stages_of(parted, cuts, most)(cut.index)
            assert_equal_bits({"logits": _step(pieces, tensors)}, {"logits": expected})
            assert_equal_bits(_gradients(parted), _gradients(whole))
            assert_equal_bits(parted.state_dict(), whole.state_dict())
            names = [name for stage in pieces for name in stage.state_dict()]
            assert sorted(names) == sorted(split(model, cut).tail.state_dict())
            counts.add((most, len(pieces)))
        assert stages(len(cuts) - 1) == ()
    if make is _Untraceable:
        assert {count for _, count in counts} == {1}
    else:
        assert {(1, 1), (2, 2), (100, len(cuts) - 1)} <= counts


def _step(stages: list[nn.Module] | tuple[nn.Module, ...], tensors: tuple[Tensor, ...]) -> Tensor:
    values = tuple(one.detach().requires_grad_(one.requires_grad) for one in tensors)
    with Draws(5).drawing():
        for stage in stages:
            out = stage(*values)
            values = out if isinstance(out, tuple) else (out,)
    values[0].sum().backward()
    return values[0].detach()


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def test_stages_keep_about_as_much_each() -> None:
    model = nn.Sequential(*(layer for _ in range(12) for layer in (nn.Linear(6, 6), nn.ReLU())))
    cuts = candidate_cuts(model, torch.randn(2, 6))
    parts = stages_of(model, cuts, 3)(2)
    assert [sum(1 for name in part.state_dict() if "weight" in name) for part in parts] == [3, 3, 3]


def test_backward_first_over_stages_keeps_less_and_trains_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, batch, labels = _network(), torch.randn(3, 1, 8, 8), torch.tensor([0, 3, 1])
    cuts = candidate_cuts(model, batch)
    (sent,) = split(model, cuts[0]).head(batch)
    peaks, weights = {}, {}
    for name in MODES:
        saved = SavedActivations()
        loss = nn.functional.cross_entropy
        maker = HalfMaker(stages_of(model, cuts), loss=loss, settings=Settings(), saved=saved)
        mode, halves = make_mode(name, maker, tmp_path)
        first = weights_of([model])
        for client in "abcdef":
            halves.open(client, 0, first, None)
            mode.add(client, Piece(_forward(sent), labels, Draws(ord(client))))
        while mode.pending:
            mode.step()
        peaks[name] = saved.peak_bytes
        weights[name] = halves.trained("f").weights
        halves.clear()
        model.load_state_dict(first)
    assert peaks["nonpipe"] > peaks["splitpipe-bf"] > peaks["run-to-completion"] > 0
    for name in MODES:
        assert_equal_bits(weights[name], weights["nonpipe"])


def _forward(sent: Tensor) -> Forward:
    return Forward(
        epoch=0, batch=0, activations=(sent.detach(),), differentiable=(True,), labels=None, draws=None
    )
