"""Checkpoints: a run that stops and resumes comes to the same bits as one that does not."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeray.errors import BadInputError
from edgeray.training import checkpoint as module
from edgeray.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeray.training.settings import Settings
from tests.runtime.training.cases import Data, assert_equal_bits, join, make_server, residual, train

DATA = {"a": Data(1), "b": Data(2, samples=8)}


def _rounds(folder: Path, settings: Settings, cuts: dict[str, int], *, resume: bool) -> dict[str, Any]:
    """Two rounds of a server that is then gone without a word, as one that is killed."""
    server = make_server(residual, settings, checkpoints=folder)
    if resume:
        server.resume()
    clients = [join(server, residual, name, DATA[name], cuts[name]) for name in DATA]
    for _ in range(2):
        server.run_round()
    server.close()
    for client in clients:
        client.thread.join(30)
    return dict(server.weights)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(learning_rate=0.1, momentum=0.9, seed=5),
        Settings(learning_rate=0.1, momentum=0.9, seed=5, keep_optimizer=True),
        Settings(optimizer="adam", learning_rate=0.01, seed=5, keep_optimizer=True, epochs=2),
    ],
    ids=["afresh", "momentum", "adam"],
)
def test_two_rounds_and_two_more_are_four(tmp_path: Path, settings: Settings) -> None:
    """Also when the cuts are others after the restart."""
    _rounds(tmp_path, settings, {"a": 2, "b": 4}, resume=False)
    torch.rand(3)  # where torch's own generator stands does not matter
    found = _rounds(tmp_path, settings, {"a": 3, "b": 6}, resume=True)
    expected = train(residual, DATA, {"a": 2, "b": 4}, settings, rounds=4)[0]
    assert_equal_bits(found, expected)
    assert load_checkpoint(tmp_path).round_number == 4


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = Checkpoint(
        round_number=7,
        settings=Settings(seed=9, compress="int8"),
        weights={"w": torch.randn(3), "n": torch.tensor(4)},
        optimizers={"a": {"w": {"momentum_buffer": torch.randn(3)}}},
    )
    save_checkpoint(tmp_path / "new", saved)
    found = load_checkpoint(tmp_path / "new")
    assert (found.round_number, found.settings) == (7, saved.settings)
    assert_equal_bits(found.weights, saved.weights)
    assert_equal_bits(found.optimizers["a"]["w"], saved.optimizers["a"]["w"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["checkpoint.pt"]


def test_one_that_is_cut_off_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def checkpoint(number: int) -> Checkpoint:
        return Checkpoint(round_number=number, settings=Settings(), weights={"w": torch.ones(2) * number})

    save_checkpoint(tmp_path, checkpoint(1))

    def killed(content: object, file: Any) -> None:
        file.write(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.torch, "save", killed)
        save_checkpoint(tmp_path, checkpoint(2))
    assert load_checkpoint(tmp_path).round_number == 1
    save_checkpoint(tmp_path, checkpoint(3))
    assert load_checkpoint(tmp_path).round_number == 3


def test_it_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append("replace"), replace(self, to))[1])
    save_checkpoint(tmp_path, Checkpoint(round_number=1, settings=Settings(), weights={}))
    assert done == ["fsync", "replace", "fsync"]


def test_what_cannot_be_resumed_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="there is no checkpoint"):
        load_checkpoint(tmp_path)
    with pytest.raises(BadInputError, match="no folder of checkpoints"):
        make_server(residual, Settings()).resume()
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(BadInputError, match="cannot be read"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, Checkpoint(round_number=1, settings=Settings(seed=1), weights={}))
    with pytest.raises(BadInputError, match="began with seed 1, the job now has 2"):
        make_server(residual, Settings(seed=2), checkpoints=tmp_path).resume()


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Checkpoint(round_number=1, settings=Settings(), weights={"x": torch.ones(1)}))
    with pytest.raises(BadInputError, match="of another model"):
        make_server(residual, Settings(), checkpoints=tmp_path).resume()


class _Runs:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("code-ran",)


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"version": 1, "weights": _Runs()}, tmp_path / "checkpoint.pt")
    with pytest.raises(BadInputError, match="cannot be read"):
        load_checkpoint(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps(_Runs(), protocol=2))
    with pytest.raises(BadInputError, match="cannot be read"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "code-ran").exists()
