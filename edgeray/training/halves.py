"""Where the server keeps the clients' halves during a round: all in memory, or one there and the rest on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edgeray.training.half import Half
from edgeray.training.messages import Loss
from edgeray.training.optimizers import Optimizer, OptimizerState
from edgeray.training.saved import SavedActivations
from edgeray.training.settings import Settings
from edgeray.training.weights import load_weights, part_of, weights_of

StagesOf = Callable[[int], Sequence[nn.Module]]
"""The layers after a cut, as modules that follow each other; asked once for each cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a client's half came to in a round."""

    weights: dict[str, Tensor]
    optimizer: dict[str, dict[str, Tensor]]


class Halves(Protocol):
    """The halves of one round. peak_bytes: the most weights and optimizer state in memory at once."""

    @property
    def peak_bytes(self) -> int: ...

    def open(
        self, client: str, cut: int, weights: Mapping[str, Tensor], optimizer: OptimizerState | None
    ) -> None:
        """The client takes part, from these weights on."""
        ...

    @contextmanager
    def borrow(self, client: str) -> Iterator[Half]:
        """Work with the client's half."""
        ...

    def trained(self, client: str) -> Trained:
        """A copy of what came of the half so far."""
        ...

    def losses(self, client: str) -> tuple[float, int]:
        """The sum of the half's losses so far, and of how many samples."""
        ...

    def drop(self, client: str) -> None:
        """Forget the client's half. Unknown clients: no effect."""
        ...

    def clear(self) -> None:
        """The round is over: forget all."""
        ...


class HalfMaker:
    """Makes halves of one training run, all alike but for their cut and weights."""

    def __init__(
        self, stages_of: StagesOf, *, loss: Loss, settings: Settings, saved: SavedActivations
    ) -> None:
        self._stages_of = stages_of
        self._loss = loss
        self._settings = settings
        self._saved = saved
        self._stages: dict[int, tuple[nn.Module, ...]] = {}

    def stages(self, cut: int) -> tuple[nn.Module, ...]:
        """The layers after a cut; those of different cuts may share weights."""
        if cut not in self._stages:
            self._stages[cut] = tuple(self._stages_of(cut))
        return self._stages[cut]

    def half(
        self, stages: Sequence[nn.Module], weights: Mapping[str, Tensor], optimizer: OptimizerState | None
    ) -> Half:
        """A half of these modules, which get the weights."""
        load_weights(stages, weights)
        made = Optimizer(stages, self._settings, optimizer)
        return Half(stages, made, loss=self._loss, settings=self._settings, saved=self._saved)


class HalvesInMemory:
    """Every client's half has its own modules. They are kept from round to round while the cut stays."""

    def __init__(self, maker: HalfMaker) -> None:
        self._maker = maker
        self._modules: dict[tuple[str, int], tuple[nn.Module, ...]] = {}
        self._halves: dict[str, Half] = {}
        self._peak_bytes = 0

    @property
    def peak_bytes(self) -> int:
        self._weigh()
        return self._peak_bytes

    def open(
        self, client: str, cut: int, weights: Mapping[str, Tensor], optimizer: OptimizerState | None
    ) -> None:
        modules = self._modules.get((client, cut))
        if modules is None:
            self._forget(client)
            modules = self._modules[client, cut] = deepcopy(self._maker.stages(cut))
        self._halves[client] = self._maker.half(modules, weights, optimizer)

    @contextmanager
    def borrow(self, client: str) -> Iterator[Half]:
        yield self._halves[client]

    def trained(self, client: str) -> Trained:
        return _trained(self._halves[client])

    def losses(self, client: str) -> tuple[float, int]:
        return self._halves[client].loss_sum, self._halves[client].samples

    def drop(self, client: str) -> None:
        self._weigh()
        self._halves.pop(client, None)
        self._forget(client)

    def clear(self) -> None:
        self._halves.clear()
        self._peak_bytes = 0

    def _forget(self, client: str) -> None:
        self._modules = {key: modules for key, modules in self._modules.items() if key[0] != client}

    def _weigh(self) -> None:
        self._peak_bytes = max(self._peak_bytes, sum(half.size_bytes() for half in self._halves.values()))


@dataclass(slots=True)
class _Stored:
    cut: int
    path: Path
    loss_sum: float = 0.0
    samples: int = 0


class HalvesOnDisk:
    """The halves of one cut share its modules; whoever's turn it is has its weights and optimizer state read into
    them, and written back afterwards, with the gradients of a batch that is not complete. folder: for the files; they
    are gone with clear()."""

    def __init__(self, maker: HalfMaker, folder: Path) -> None:
        self._maker = maker
        self._folder = folder
        self._stored: dict[str, _Stored] = {}
        self._peak_bytes = 0

    @property
    def peak_bytes(self) -> int:
        return self._peak_bytes

    def open(
        self, client: str, cut: int, weights: Mapping[str, Tensor], optimizer: OptimizerState | None
    ) -> None:
        self._stored[client] = _Stored(cut, self._folder / f"half-{len(self._stored)}.pt")
        self._write(client, part_of(weights, self._maker.stages(cut)), optimizer or {}, {})

    @contextmanager
    def borrow(self, client: str) -> Iterator[Half]:
        stored = self._stored[client]
        half = self._read(stored)
        yield half
        stored.loss_sum, stored.samples = half.loss_sum, half.samples
        self._peak_bytes = max(self._peak_bytes, half.size_bytes())
        self._write(client, weights_of(half.stages), half.optimizer.state(), half.optimizer.gradients())

    def trained(self, client: str) -> Trained:
        return _trained(self._read(self._stored[client]))

    def losses(self, client: str) -> tuple[float, int]:
        return self._stored[client].loss_sum, self._stored[client].samples

    def drop(self, client: str) -> None:
        stored = self._stored.pop(client, None)
        if stored is not None:
            stored.path.unlink()

    def clear(self) -> None:
        for client in tuple(self._stored):
            self.drop(client)
        self._peak_bytes = 0

    def _read(self, stored: _Stored) -> Half:
        content = torch.load(stored.path, weights_only=True)
        half = self._maker.half(self._maker.stages(stored.cut), content["weights"], content["optimizer"])
        half.optimizer.set_gradients(content["gradients"])
        half.loss_sum, half.samples = stored.loss_sum, stored.samples
        return half

    def _write(
        self,
        client: str,
        weights: Mapping[str, Tensor],
        optimizer: OptimizerState,
        gradients: Mapping[str, Tensor],
    ) -> None:
        content = {"weights": dict(weights), "optimizer": dict(optimizer), "gradients": dict(gradients)}
        torch.save(content, self._stored[client].path)


def _trained(half: Half) -> Trained:
    return Trained(weights=weights_of(half.stages), optimizer=half.optimizer.state())
