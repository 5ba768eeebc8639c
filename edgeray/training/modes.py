"""In which order the server works on what the clients sent: the four server modes.

    nonpipe            every client's half in memory; forwards and backwards first come, first served
    splitpipe-rw       one half in memory, read from disk for a batch and written back after it
    splitpipe-bf       every half in memory; one queue of stages for all clients, backward before forward
    run-to-completion  every half in memory; a client's forward and backward back to back

The weights that come out are the same bits in every mode: clients share no weights within a round.
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
from edgeray.training.half import Batch, Half
from edgeray.training.halves import HalfMaker, Halves, HalvesInMemory, HalvesOnDisk
from edgeray.training.messages import Backward

ModeName = Literal["nonpipe", "splitpipe-rw", "splitpipe-bf", "run-to-completion"]
MODES: tuple[ModeName, ...] = get_args(ModeName)


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work that was done for a client. answer: its gradients, if its batch is through."""

    client: str
    answer: Backward | None


class Mode(Protocol):
    """What waits for the server, and what is next."""

    def add(self, client: str, batch: Batch) -> None:
        """A client's batch has come. It has none here yet."""
        ...

    @property
    def pending(self) -> bool:
        """Is there anything to do?"""
        ...

    def step(self) -> Step:
        """Do the next piece of work; only while pending."""
        ...

    def drop(self, client: str) -> None:
        """Forget what waits for this client."""
        ...


class _Queue:
    """Batches in the order they came. None in place of a batch: it is with the client's half already."""

    def __init__(self, halves: Halves) -> None:
        self._halves = halves
        self._waiting: deque[tuple[str, Batch | None]] = deque()

    def add(self, client: str, batch: Batch) -> None:
        self._waiting.append((client, batch))

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def drop(self, client: str) -> None:
        self._waiting = deque(entry for entry in self._waiting if entry[0] != client)


class BackToBack(_Queue):
    """First come, first served, a client's forward and backward as one piece: run-to-completion, splitpipe-rw."""

    def step(self) -> Step:
        client, batch = self._waiting.popleft()
        assert batch is not None, "a batch is through in one step"
        with self._halves.borrow(client) as half:
            _forward(half, batch)
            _backward(half)
            return Step(client, half.answer())


class FirstCome(_Queue):
    """Forwards and backwards in one queue: a backward waits behind the forwards that came before it: nonpipe."""

    def step(self) -> Step:
        client, batch = self._waiting.popleft()
        with self._halves.borrow(client) as half:
            if batch is None:
                _backward(half)
                return Step(client, half.answer())
            _forward(half, batch)
        self._waiting.append((client, None))
        return Step(client, None)


class BackwardFirst(_Queue):
    """Stage by stage, backward before forward, else first come, first served: splitpipe-bf."""

    def __init__(self, halves: Halves) -> None:
        super().__init__(halves)
        self._backwards: deque[str] = deque()

    @property
    def pending(self) -> bool:
        return bool(self._waiting or self._backwards)

    def drop(self, client: str) -> None:
        super().drop(client)
        self._backwards = deque(one for one in self._backwards if one != client)

    def step(self) -> Step:
        if self._backwards:
            client = self._backwards.popleft()
            with self._halves.borrow(client) as half:
                if half.backward():
                    return Step(client, half.answer())
            self._backwards.append(client)
            return Step(client, None)
        client, batch = self._waiting.popleft()
        with self._halves.borrow(client) as half:
            if batch is not None:
                half.begin(batch)
            if half.forward():
                self._backwards.append(client)
            else:
                self._waiting.append((client, None))
        return Step(client, None)


def _forward(half: Half, batch: Batch) -> None:
    half.begin(batch)
    while not half.forward():
        pass


def _backward(half: Half) -> None:
    while not half.backward():
        pass


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
