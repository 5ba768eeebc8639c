"""A job that goes on after another one's checkpoint, or is told why it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeray.errors import BadInputError
from edgeray.training.build import build_model, settings_of
from edgeray.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeray.training.recipe import Recipe
from edgeray.training.run_files import RunFiles
from tests.runtime.training.cases import assert_equal_bits
from tests.runtime.training.task_cases import (
    Net,
    expected_weights,
    model_of,
    one_at_a_time,
    recipe_of,
    records,
    rounds_of,
)


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    one_at_a_time(monkeypatch)
    made = Net(tmp_path, ("a", "b"))
    yield made
    made.stop()


def _run(net: Net, recipe: Recipe, cuts: dict[str, int], *, pieces: int = 1, **more: Any) -> None:
    plan = rounds_of(recipe, cuts, pieces)
    clients = [net.client(device, recipe, plan) for device in "ab"]
    net.server(recipe, plan, **more).wait()
    for client in clients:
        client.wait()


@pytest.mark.parametrize("keep_optimizer", [False, True])
def test_two_rounds_and_two_more_are_four(net: Net, keep_optimizer: bool) -> None:
    """Also where the second job's plan has other cuts."""
    _run(net, recipe_of("a", "b", rounds=2, keep_optimizer=keep_optimizer), {"a": 0, "b": 2}, job="first")
    whole = recipe_of("a", "b", rounds=4, keep_optimizer=keep_optimizer)
    _run(net, whole, {"a": 1, "b": 4}, job="second", resume="first")
    assert_equal_bits(model_of(net.folder, "second"), expected_weights(whole))
    assert [row["number"] for row in records(net.folder, "first")] == [1, 2]
    assert [row["number"] for row in records(net.folder, "second")] == [3, 4]
    assert load_checkpoint(net.folder / "first" / "checkpoints").round_number == 2


def test_a_run_goes_on_with_as_many_pieces_as_it_began_with(net: Net) -> None:
    """Whatever the new plan says: its bits depend on them."""
    _run(net, recipe_of("a", "b", rounds=1), {"a": 0, "b": 2}, pieces=2, job="first")
    _run(net, recipe_of("a", "b", rounds=2), {"a": 0, "b": 2}, pieces=3, job="second", resume="first")
    _run(net, recipe_of("a", "b", rounds=2), {"a": 0, "b": 2}, pieces=2, job="at once")
    assert_equal_bits(model_of(net.folder, "second"), model_of(net.folder, "at once"))


def _left_by(folder: Path, recipe: Recipe, rounds: int = 2) -> nn.Module:
    """The files of a job that has done so many rounds."""
    model = build_model(recipe)
    files = RunFiles(folder, folder / "results", recipe)
    files.begin(model, None)
    checkpoint = Checkpoint(round_number=rounds, settings=settings_of(recipe), weights=model.state_dict())
    save_checkpoint(files.next, checkpoint)
    (files.next / "checkpoint.pt").replace(folder / "checkpoints" / "checkpoint.pt")
    return model


def _begin(
    folder: Path, recipe: Recipe, resume: str | None, model: nn.Module | None = None
) -> Checkpoint | None:
    return RunFiles(folder, folder / "results", recipe).begin(model or build_model(recipe), resume)


def test_what_cannot_be_resumed_is_named(tmp_path: Path) -> None:
    recipe = recipe_of("a", "b")
    _left_by(tmp_path / "first", recipe)
    for job in ("none", "../first", "", ".."):
        with pytest.raises(
            BadInputError, match=r"(?s)checkpoint.pt: job .* has left no checkpoint.*expected.*remedy"
        ):
            _begin(tmp_path / "second", recipe, job)
    for changes, told in (
        ({"samples": 19}, "began with samples 20, the job now has 19"),
        ({"clients": ("a",)}, r"began with clients \['a', 'b'\], the job now has \['a'\]"),
        ({"learning_rate": 0.2}, "began with learning_rate 0.1, the job now has 0.2"),
        ({"model": "edgeray.training.models:vgg16"}, "began with model 'edgeray.training.models:lenet'"),
    ):
        with pytest.raises(
            BadInputError, match=rf"(?s)first/checkpoints/recipe.json: the run {told}.*remedy:   set"
        ):
            _begin(tmp_path / "second", recipe_of("a", "b", **changes), "first", nn.Linear(1, 1))
    with pytest.raises(
        BadInputError, match=r"(?s)first/checkpoints/checkpoint.pt: .* another model: weight 0.bias has"
    ):
        _begin(tmp_path / "second", recipe, "first", nn.Linear(1, 1))
    with pytest.raises(
        BadInputError, match=r"(?s)job first has done 2 rounds, the job asks for 2.*raise rounds"
    ):
        _begin(tmp_path / "second", recipe_of("a", "b", rounds=2), "first")
    (tmp_path / "first" / "checkpoints" / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(
        BadInputError, match=r"first/checkpoints/checkpoint.pt: this checkpoint cannot be read"
    ):
        _begin(tmp_path / "second", recipe, "first")
    (tmp_path / "first" / "checkpoints" / "recipe.json").unlink()
    with pytest.raises(BadInputError, match=r"recipe.json: what the run began with cannot be read"):
        _begin(tmp_path / "second", recipe, "first")


def test_what_changes_no_round_may_change(tmp_path: Path) -> None:
    _left_by(tmp_path / "first", recipe_of("a", "b"))
    now = recipe_of("a", "b", rounds=9, test_samples=0, server_mode="nonpipe", patience_s=None)
    found = _begin(tmp_path / "second", now, "first")
    assert found is not None
    assert found.round_number == 2
    assert (tmp_path / "second" / "checkpoints" / "next" / "checkpoint.pt").exists()


def test_a_job_goes_on_after_its_own_rounds_before_another_ones(tmp_path: Path) -> None:
    """A server that was killed is started again with what its job was submitted with."""
    recipe = recipe_of("a", "b", rounds=5)
    _left_by(tmp_path / "first", recipe)
    _left_by(tmp_path / "second", recipe, rounds=3)
    found = _begin(tmp_path / "second", recipe, "first")
    assert found is not None
    assert found.round_number == 3


def test_what_another_job_of_that_name_left_is_cleared(tmp_path: Path) -> None:
    """From before the state of a cluster was removed, say."""
    _left_by(tmp_path / "job", recipe_of("a", "b"))
    (tmp_path / "job" / "results" / "rounds.jsonl").write_text('{"number": 1}\n')
    (tmp_path / "job" / "results" / "model.pt").write_bytes(b"old")
    assert _begin(tmp_path / "job", recipe_of("a", "b", seed=9), None) is None
    assert (tmp_path / "job" / "results" / "rounds.jsonl").read_text() == ""
    assert not (tmp_path / "job" / "results" / "model.pt").exists()
    kept = json.loads((tmp_path / "job" / "checkpoints" / "recipe.json").read_text())
    assert kept["seed"] == 9


@pytest.mark.parametrize("cut_off", [0, 1, 20])
def test_a_line_that_was_cut_off_is_mended_where_it_ends(tmp_path: Path, cut_off: int) -> None:
    recipe = recipe_of("a", "b")
    _left_by(tmp_path / "job", recipe)
    lines = ['{"number": 1, "loss": 0.5}\n', '{"number": 2, "loss": 0.25}\n']
    (tmp_path / "job" / "checkpoints" / "record.json").write_text(lines[1])
    path = tmp_path / "job" / "results" / "rounds.jsonl"
    path.write_text("".join(lines)[: len("".join(lines)) - cut_off])
    assert _begin(tmp_path / "job", recipe, None) is not None
    assert path.read_text() == "".join(lines)


def test_the_model_that_is_left_can_be_loaded_without_edgeray(tmp_path: Path) -> None:
    recipe = recipe_of("a", "b")
    model = _left_by(tmp_path / "job", recipe)
    RunFiles(tmp_path / "job", tmp_path / "job" / "results", recipe).conclude("server", model.state_dict())
    other = build_model(recipe_of("a", "b", seed=8))
    other.load_state_dict(torch.load(tmp_path / "job" / "results" / "model.pt", weights_only=True))
    assert_equal_bits(other.state_dict(), model.state_dict())
