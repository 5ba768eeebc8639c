"""What jobs of frames in tests run: packets that come when a test says so, and work that waits when it says so."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WAITS_S = 0.002

coming: defaultdict[str, deque[list[Any]]] = defaultdict(deque)
"""By user, what comes next; None ends its source."""
worked: deque[Any] = deque()
"""Packets on which work was done, by whoever."""
may_work = threading.Event()
"""Of those in `held`."""
held: set[Any] = set()
holding = threading.Event()
"""Somebody waits with one of these."""


def reset() -> None:
    coming.clear()
    worked.clear()
    held.clear()
    may_work.clear()
    holding.clear()


class Scripted:
    """The packets that a test puts in `coming`; empty lists until then, and one packet to be measured first."""

    def __init__(self, user: str) -> None:
        self._user = user

    def __iter__(self) -> Iterator[list[Any]]:
        yield [f"{self._user} first"]
        while True:
            if not coming[self._user]:
                threading.Event().wait(WAITS_S)
                yield []
                continue
            packets = coming[self._user].popleft()
            if packets is None:
                return
            yield packets


def work(packet: Any) -> str:
    if packet == "bad":
        raise ValueError("a bad packet")
    if packet in held:
        holding.set()
        may_work.wait(30)
    worked.append(packet)
    return f"done with {packet}"


class Written:
    """Work that writes what it does."""

    def __init__(self, folder: str) -> None:
        self._file = (Path(folder) / "packets.txt").open("a", encoding="utf-8", buffering=1)

    def __call__(self, packet: Any) -> None:
        self._file.write(f"{packet}\n")

    def close(self) -> None:
        self._file.close()


class Blocks:
    """So many blocks of bytes at once, for ever."""

    def __init__(self, size: int, at_once: int) -> None:
        self._blocks = [bytes(size)] * at_once

    def __iter__(self) -> Iterator[list[Any]]:
        while True:
            yield self._blocks
