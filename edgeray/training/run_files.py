"""What a training run leaves on the server's device, so that no finished round is lost, whenever the server is killed.

    results/rounds.jsonl       a RoundRecord as JSON a line, one a finished round
    results/model.pt           in the end: the model's state_dict, for torch.load(..., weights_only=True)
    checkpoints/checkpoint.pt  after each round, see checkpoint.py
    checkpoints/recipe.json    what the run began with
    checkpoints/record.json    the record of the last round
    checkpoints/next/          a round's checkpoint until its record is written
    scratch/                   while it trains: what the server mode keeps on disk

A round counts once its checkpoint has been renamed out of next/. Its record lies in record.json by then, and becomes
a line afterwards; so the lines only ever grow, and whoever reads them as they grow reads each round once.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from edgeray.errors import BadInputError
from edgeray.results import INDEX, Output
from edgeray.training.checkpoint import (
    FILE,
    Checkpoint,
    check_same,
    check_same_model,
    load_checkpoint,
    sync_folder,
)
from edgeray.training.recipe import Recipe
from edgeray.training.records import RoundRecord

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
RECIPE = "recipe.json"
RECORD = "record.json"
ROUNDS, MODEL = "rounds.jsonl", "model.pt"
_MAY_CHANGE = {"rounds", "test_samples", "server_mode", "patience_s"}
"""Of a recipe, when a run goes on: they change none of the rounds to come, or only how many there are."""


class RunFiles:
    """results: the folder of the job's results. next: the folder for the server's checkpoints. scratch: for what is gone
    with the server; begin() also removes what a killed one left there."""

    def __init__(self, output_dir: Path, results: Path, recipe: Recipe) -> None:
        self.next = output_dir / CHECKPOINTS / "next"
        self.scratch = output_dir / "scratch"
        self._jobs = output_dir.parent
        self._kept = output_dir / CHECKPOINTS
        self._results = results
        self._recipe = recipe

    def begin(self, model: nn.Module, resume: str | None) -> Checkpoint | None:
        """What the run goes on after, which lies in next, too; None: it is a new one.

        That is its own last checkpoint, of a server that was killed; else that of the job to resume. Raises
        BadInputError when that has none, or was another model's or recipe's, or has no round left to do.
        """
        found = self._own(model)
        shutil.rmtree(self.next, ignore_errors=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if found is None:
            shutil.rmtree(self._kept, ignore_errors=True)
            shutil.rmtree(self._results, ignore_errors=True)
        for folder in (self.next, self.scratch, self._results):
            folder.mkdir(parents=True, exist_ok=True)
        if found is not None:
            _link(self._kept / FILE, self.next / FILE)
        elif resume is not None:
            found = self._of_job(resume, model)
        _replace(self._kept / RECIPE, lambda file: file.write(_json(self._recipe.as_args())))
        self._mend_records(found.round_number if found else 0)
        return found

    def keep(self, record: RoundRecord) -> None:
        """The round is over and its checkpoint lies in next: from now on it counts."""
        line = _json(record.as_json()) + b"\n"
        _replace(self._kept / RECORD, lambda file: file.write(line))
        (self.next / FILE).replace(self._kept / FILE)
        sync_folder(self._kept)
        with (self._results / ROUNDS).open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def conclude(self, task: str, weights: Mapping[str, Tensor]) -> None:
        """Keep the trained weights, and enter all files into the index of results, as the task's."""
        _replace(self._results / MODEL, lambda file: torch.save(dict(weights), file))
        rows = [
            Output(
                task=task,
                kind="file",
                file=name,
                size_bytes=(self._results / name).stat().st_size,
                part=part,
                within="dict",
            )
            for part, name in (("model", MODEL), ("rounds", ROUNDS))
        ]
        _replace(self._results / INDEX, lambda file: file.write(_json([asdict(row) for row in rows])))

    def _own(self, model: nn.Module) -> Checkpoint | None:
        """This very run's checkpoint. A job's recipe never changes: what is of another one is of no use here."""
        if not (self._kept / FILE).exists():
            return None
        try:
            return self._checked(self._kept, model)
        except BadInputError as error:
            log.info("what another run left here is removed: %s", error)
            return None

    def _of_job(self, job: str, model: nn.Module) -> Checkpoint:
        folder = self._jobs / job / CHECKPOINTS
        if Path(job).name != job or not (folder / FILE).exists():
            raise BadInputError(
                f"{folder / FILE}: job {job} has left no checkpoint on this device\n"
                "  expected: a job that trained here and finished a round\n"
                "  remedy:   name such a job, or start without resuming"
            )
        found = self._checked(folder, model)
        if found.round_number >= self._recipe.rounds:
            raise BadInputError(
                f"{folder / FILE}: job {job} has done {found.round_number} rounds, the job asks for "
                f"{self._recipe.rounds}\n  expected: more, those done before included\n"
                "  remedy:   raise rounds, or start without resuming"
            )
        _link(folder / FILE, self.next / FILE)
        return found

    def _checked(self, folder: Path, model: nn.Module) -> Checkpoint:
        """The folder's checkpoint, if the run may go on after it."""
        path = folder / RECIPE
        try:
            before: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise BadInputError(
                f"{path}: what the run began with cannot be read: {error}\n"
                "  expected: a file that EdgeRay wrote\n  remedy:   start without resuming"
            ) from error
        now = json.loads(_json(self._recipe.as_args()))
        check_same(
            path, *({name: of[name] for name in of if name not in _MAY_CHANGE} for of in (before, now))
        )
        found = load_checkpoint(folder)
        check_same_model(folder, found, model)
        return found

    def _mend_records(self, last_round: int) -> None:
        """A server that was killed may have left the last line cut off, or not begun."""
        path = self._results / ROUNDS
        lines = [line for line in _lines(path) if line.endswith(b"\n")]
        missing = [
            line
            for line in _lines(self._kept / RECORD)
            if _round_of(line) == last_round and line not in lines
        ]
        _replace(path, lambda file: file.writelines([*lines, *missing]))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _round_of(line: bytes) -> int:
    number: int = json.loads(line)["number"]
    return number


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _replace(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that is there as a whole or as it was before."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)
