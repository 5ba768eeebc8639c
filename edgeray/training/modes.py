"""In which order the server works on what the clients sent: the four server modes.

    nonpipe            every client's half in memory; forwards and backwards first come, first served
    splitpipe-rw       one half in memory, read from disk for a batch and written back after it
    splitpipe-bf       every half in memory; one queue of stages for all clients, backward before forward
    run-to-completion  every half in memory; a client's forward and backward back to back

What waits is a batch, or a piece of one where batches are cut. The weights that come out are the same bits in every
mode: clients share no weights within a round.
Source: Zhang 2024, thesis, section 4.4.3 (SplitPipe-RW, SplitPipe-BF); run-to-completion is ours.
Departures: one thread computes (torch itself uses the cores), so the order is what makes the modes. The published
-BF cuts the server's layers where clients' cuts are; here at the stages that the server is given. With a single
stage there is nothing between a client's forward and backward, and -BF is run-to-completion. -RW keeps saved
activations in memory, so the batch runs back to back while its half is loaded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from edgeray.errors import BadInputError
from edgeray.training.half import Half, Piece
from edgeray.training.halves import HalfMaker, Halves, HalvesInMemory, HalvesOnDisk
from edgeray.training.messages import Backward

ModeName = Literal["nonpipe", "splitpipe-rw", "splitpipe-bf", "run-to-completion"]
MODES: tuple[ModeName, ...] = get_args(ModeName)


@dataclass(frozen=True, slots=True)
class Step:
    """Work that was done for a client. answer: the gradients of a piece of its batch that is through."""

    client: str
    answer: Backward | None


class Mode(Protocol):
    """What waits for the server, and what is next."""

    def add(self, client: str, piece: Piece) -> None:
        """A piece of a client's batch has come: the next one, or the first, of the next batch, if none is here."""
        ...

    @property
    def pending(self) -> bool:
        """Is there anything to do?"""
        ...

    def step(self) -> Step:
        """Do what is next; only while pending."""
        ...

    def drop(self, client: str) -> None:
        """Forget what waits for this client."""
        ...


class _Queue:
    """Pieces in the order they came."""

    def __init__(self, halves: Halves) -> None:
        self._halves = halves
        self._waiting: deque[tuple[str, Piece]] = deque()

    def add(self, client: str, piece: Piece) -> None:
        self._waiting.append((client, piece))

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def drop(self, client: str) -> None:
        self._waiting = deque(entry for entry in self._waiting if entry[0] != client)


class BackToBack(_Queue):
    """First come, first served, forward and backward as one: run-to-completion, splitpipe-rw."""

    def step(self) -> Step:
        client, piece = self._waiting.popleft()
        with self._halves.borrow(client) as half:
            _forward(half, piece)
            return Step(client, _backward(half, piece))


class FirstCome(_Queue):
    """Forwards and backwards in one queue: a backward waits behind the forwards that came before it: nonpipe."""

    def step(self) -> Step:
        client, piece = self._waiting.popleft()
        with self._halves.borrow(client) as half:
            if piece.outputs:
                return Step(client, _backward(half, piece))
            _forward(half, piece)
        self._waiting.append((client, piece))
        return Step(client, None)


class BackwardFirst(_Queue):
    """Stage by stage, backward before forward, else first come, first served: splitpipe-bf."""

    def __init__(self, halves: Halves) -> None:
        super().__init__(halves)
        self._backwards: deque[tuple[str, Piece]] = deque()

    @property
    def pending(self) -> bool:
        return bool(self._waiting or self._backwards)

    def drop(self, client: str) -> None:
        super().drop(client)
        self._backwards = deque(entry for entry in self._backwards if entry[0] != client)

    def step(self) -> Step:
        backward = bool(self._backwards)
        client, piece = (self._backwards if backward else self._waiting).popleft()
        with self._halves.borrow(client) as half:
            if not backward:
                (self._backwards if half.forward(piece) else self._waiting).append((client, piece))
            elif half.backward(piece):
                return Step(client, half.answer(piece))
            else:
                self._backwards.append((client, piece))
        return Step(client, None)


def _forward(half: Half, piece: Piece) -> None:
    while not half.forward(piece):
        pass


def _backward(half: Half, piece: Piece) -> Backward:
    while not half.backward(piece):
        pass
    return half.answer(piece)


def make_mode(name: str, maker: HalfMaker, folder: Path) -> tuple[Mode, Halves]:
    """A server mode by name, and its store of halves. folder: for the files of splitpipe-rw.

    Raises BadInputError for an unknown name.
    """
    if name == "splitpipe-rw":
        on_disk = HalvesOnDisk(maker, folder)
        return BackToBack(on_disk), on_disk
    kinds: dict[str, type[BackToBack] | type[FirstCome] | type[BackwardFirst]] = {
        "nonpipe": FirstCome,
        "splitpipe-bf": BackwardFirst,
        "run-to-completion": BackToBack,
    }
    if name not in kinds:
        raise BadInputError(
            f"there is no server mode {name!r}\n  expected: {', '.join(MODES)}\n  remedy:   name one of them"
        )
    in_memory = HalvesInMemory(maker)
    return kinds[name](in_memory), in_memory
