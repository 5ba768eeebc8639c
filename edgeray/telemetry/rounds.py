"""The rounds of a job that trains while it runs: its server writes them as lines, this reads them in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeray.errors import BadInputError
from edgeray.telemetry.training_records import Round

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView

ROUNDS = "rounds.jsonl"
PIECE_BYTES = 256 * 1024
SERVER = "server"
"""The task of a job that trains which keeps its rounds."""


class RoundsReader:
    """All rounds of one job so far, in order. call: `Client.call`."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.rounds: list[Round] = []
        self._call = call
        self._offset = 0
        self._begun = b""  # a line of which the end has not been written yet

    def read(self, view: JobView) -> Sequence[Round]:
        """Those that are new. Raises ClusterError when the server's device is gone."""
        device = server_device(view.plan)
        if device is None:
            return ()
        known = self.rounds[-1]["number"] if self.rounds else 0
        if not self._take(self._new_bytes(view.job, device)):
            # The server was killed, and a round that does not count was taken out again: what is read lies elsewhere.
            self._offset, self._begun, self.rounds = 0, b"", []
            self._take(self._new_bytes(view.job, device))
        return [each for each in self.rounds if each["number"] > known]

    def _new_bytes(self, job: str, device: str) -> bytes:
        found = b""
        while True:
            try:
                piece: bytes = self._call("read_output", job, device, ROUNDS, self._offset, PIECE_BYTES)
            except BadInputError:  # there is no such file before the first round
                return found
            self._offset += len(piece)
            found += piece
            if len(piece) < PIECE_BYTES:
                return found

    def _take(self, data: bytes) -> bool:
        """Keep the rounds of all whole lines. False: they do not go on after those before."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            try:
                each: Round = json.loads(line)
            except ValueError:
                return False
            if self.rounds and each["number"] != self.rounds[-1]["number"] + 1:
                return False
            self.rounds.append(each)
        return True


def server_device(plan: Mapping[str, Any] | None) -> str | None:
    """Where the server of a job that trains runs; None before it has a plan.

    That of fog training, whose rounds nobody plans, is known by its task alone."""
    known: Mapping[str, Any] = plan or {}
    device: str | None = (known.get("rounds") or {}).get("server") or known.get("placement", {}).get(SERVER)
    return device


def rounds_done(rounds: Sequence[Round]) -> int:
    """The number of the last one; of a job that went on after another, those before are counted in."""
    return int(rounds[-1]["number"]) if rounds else 0


def write_rounds(rounds: Sequence[Round], folder: Path) -> Path:
    """Keep the rounds as a file, as the server does; the folder is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ROUNDS
    path.write_text("".join(json.dumps(each) + "\n" for each in rounds), encoding="utf-8")
    return path
