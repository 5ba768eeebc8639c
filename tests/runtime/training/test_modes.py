"""Server modes: their order of work, and what it makes of memory. That they train alike: test_rounds.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgeray.training.draws import Draws, batch_seed
from edgeray.training.half import Piece
from edgeray.training.halves import HalfMaker, Halves
from edgeray.training.messages import Forward
from edgeray.training.modes import MODES, Mode, make_mode
from edgeray.training.saved import SavedActivations
from edgeray.training.settings import Settings
from edgeray.training.weights import weights_of
from tests.runtime.training.cases import Data, cutter, residual, stages, train

CLIENTS = tuple(f"c{n}" for n in range(8))
CUT = 1


class _Bench:
    """A mode with eight clients' halves, all of whose batches have come before the server starts."""

    def __init__(self, name: str, folder: Path, *, staged: bool = True) -> None:
        model = residual()
        self.saved = SavedActivations()
        split = cutter(model)
        self.head = split(CUT).head
        self.maker = HalfMaker(
            stages(model) if staged else lambda cut: [split(cut).tail],
            loss=nn.functional.cross_entropy,
            settings=Settings(),
            saved=self.saved,
        )
        made: tuple[Mode, Halves] = make_mode(name, self.maker, folder)
        self.mode, self.halves = made
        for number, client in enumerate(CLIENTS):
            self.halves.open(client, CUT, weights_of([model]), None)
            self.mode.add(client, _batch(self.head, number))

    def run(self) -> list[str]:
        """The order in which clients are answered."""
        answered = []
        while self.mode.pending:
            step = self.mode.step()
            if step.answer is not None:
                answered.append(step.client)
        return answered


def _batch(head: nn.Module, number: int) -> Piece:
    data = Data(number)
    activations: tuple[Tensor, ...] = head(data.inputs)
    sent = Forward(
        epoch=0,
        batch=0,
        activations=tuple(one.detach() for one in activations),
        differentiable=(True,) * len(activations),
        labels=None,
        draws=None,
    )
    return Piece(sent, data.labels, Draws(batch_seed(0, 1, 0, CLIENTS[number], 0)))


@pytest.mark.parametrize("mode", MODES)
def test_every_client_is_answered_once_and_nothing_stays_saved(mode: str, tmp_path: Path) -> None:
    bench = _Bench(mode, tmp_path)
    assert bench.run() == list(CLIENTS)
    assert bench.saved.held_bytes == 0


def test_peak_of_saved_activations_by_mode(tmp_path: Path) -> None:
    peaks = {}
    for mode in MODES:
        bench = _Bench(mode, tmp_path)
        bench.run()
        peaks[mode] = bench.saved.peak_bytes
    assert peaks["nonpipe"] > peaks["splitpipe-bf"] > peaks["run-to-completion"] > 0
    assert peaks["splitpipe-rw"] == peaks["run-to-completion"]
    assert peaks["run-to-completion"] * len(CLIENTS) == peaks["nonpipe"]


def test_backward_first_over_one_stage_is_run_to_completion(tmp_path: Path) -> None:
    peaks = []
    for mode in ("splitpipe-bf", "run-to-completion"):
        bench = _Bench(mode, tmp_path, staged=False)
        bench.run()
        peaks.append(bench.saved.peak_bytes)
    assert peaks[0] == peaks[1]


def test_one_half_in_memory_where_the_rest_is_on_disk(tmp_path: Path) -> None:
    peaks = {}
    for mode in ("run-to-completion", "splitpipe-rw"):
        bench = _Bench(mode, tmp_path)
        bench.run()
        peaks[mode] = bench.halves.peak_bytes
    assert peaks["splitpipe-rw"] * len(CLIENTS) == peaks["run-to-completion"]
    assert len(list(tmp_path.iterdir())) == len(CLIENTS)
    bench.halves.drop(CLIENTS[0])
    assert len(list(tmp_path.iterdir())) == len(CLIENTS) - 1
    bench.halves.clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("steps", range(4))
def test_a_client_dropped_midway_leaves_nothing_behind(mode: str, steps: int, tmp_path: Path) -> None:
    bench = _Bench(mode, tmp_path)
    for _ in range(steps):
        bench.mode.step()
    for client in CLIENTS[:3]:
        bench.mode.drop(client)
        bench.halves.drop(client)
    assert set(bench.run()) <= set(CLIENTS[3:])
    assert bench.saved.held_bytes == 0


def test_the_record_tells_the_peaks_of_its_own_round() -> None:
    data = {"a": Data(1), "b": Data(2, samples=5)}
    records = train(residual, data, {"a": 2, "b": 2}, Settings(), mode="run-to-completion")[1]
    alone = train(residual, {"a": Data(1)}, {"a": 2}, Settings(), mode="nonpipe")[1]
    assert [record.peak_activation_bytes for record in records] == [alone[0].peak_activation_bytes] * 2
    assert [record.peak_half_bytes for record in records] == [2 * alone[0].peak_half_bytes] * 2
    assert records[0].as_json()["clients"][0]["client"] == "a"


def test_saved_bytes_are_those_of_the_activations() -> None:
    """A linear layer saves its input for its weights' gradient, ReLU its output; weights do not count, and what two
    layers save counts once."""
    saved = SavedActivations()
    layers = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2))
    inputs = torch.randn(5, 6, requires_grad=True)
    with saved.counting([layers]):
        out = layers(inputs)
    assert saved.held_bytes == saved.peak_bytes == 5 * 6 * 4 + 5 * 3 * 4
    out.sum().backward()
    assert saved.held_bytes == 0
    with saved.counting([layers]):
        out = layers(inputs)
    del out
    assert saved.held_bytes == 0
    assert saved.peak_bytes == 180
    saved.restart_peak()
    assert saved.peak_bytes == 0
