"""The state of a training run on disk, after each round: one file, replaced as a whole."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeray.errors import BadInputError
from edgeray.training.optimizers import OptimizerState
from edgeray.training.settings import Settings

FILE = "checkpoint.pt"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that the rounds to come depend on. round_number: of the last one that was finished. optimizers: by client,
    where settings keep them. Random numbers need no more than settings.seed: see draws.py."""

    round_number: int
    settings: Settings
    weights: Mapping[str, Tensor]
    optimizers: Mapping[str, OptimizerState] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint: whenever this is cut off, the one before or this one is there, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE}.partial"
    content = {
        "version": _VERSION,
        "round": checkpoint.round_number,
        "settings": asdict(checkpoint.settings),
        "weights": dict(checkpoint.weights),
        "optimizers": {client: dict(state) for client, state in checkpoint.optimizers.items()},
    }
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, after a file was renamed."""
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def load_checkpoint(folder: Path) -> Checkpoint:
    """The folder's checkpoint. Runs no code out of the file.

    Raises BadInputError when there is none, or it cannot be read.
    """
    path = folder / FILE
    try:
        content = torch.load(path, weights_only=True)
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}, expected {_VERSION}")
        return Checkpoint(
            round_number=content["round"],
            settings=Settings(**content["settings"]),
            weights=content["weights"],
            optimizers=content["optimizers"],
        )
    except FileNotFoundError:
        raise BadInputError(
            f"{path}: there is no checkpoint\n  expected: one of an earlier run\n"
            "  remedy:   start without resuming, or name that run's folder"
        ) from None
    except (OSError, RuntimeError, pickle.UnpicklingError, LookupError, TypeError, ValueError) as error:
        raise BadInputError(
            f"{path}: this checkpoint cannot be read: {error}\n  expected: a file that EdgeRay wrote\n"
            "  remedy:   remove it and start anew"
        ) from error


def check_same_settings(folder: Path, saved: Settings, asked: Settings) -> None:
    """Raises BadInputError when a run would go on with other settings than it began with."""
    check_same(folder / FILE, asdict(saved), asdict(asked))


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """The same for anything that a run began with, by name, as it is kept in a file."""
    for name in before:
        if before[name] != now.get(name):
            raise BadInputError(
                f"{path}: the run began with {name} {before[name]!r}, the job now has {now.get(name)!r}\n"
                f"  expected: what the run began with\n"
                f"  remedy:   set {name} back, or start without resuming"
            )


def check_same_model(folder: Path, saved: Checkpoint, model: nn.Module) -> None:
    """Raises BadInputError when the checkpoint's weights are not the model's, by name and shape."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in saved.weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise BadInputError(
                f"{folder / FILE}: the checkpoint is of another model: weight {name} has shape "
                f"{found.get(name, 'none')} there, {expected.get(name, 'none')} in the job's model\n"
                "  expected: the model that the run began with\n"
                "  remedy:   set it back, or start without resuming"
            )
