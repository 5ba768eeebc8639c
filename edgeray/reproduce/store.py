"""Rows on disk: one JSON object a line, each written as soon as it is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from edgeray import __version__
from edgeray.reproduce.experiments import ARRIVALS_PER_S, HOLD_S, SETTLED_S, Trial
from edgeray.reproduce.rows import Row, row_of

NAME = "rows.jsonl"


def fingerprint() -> str:
    """Stands for the version and for the parameters that no row names; rows of another are not used."""
    parameters = {
        "version": __version__,
        "arrivals_per_s": ARRIVALS_PER_S,
        "hold_s": HOLD_S,
        "settled_s": SETTLED_S,
    }
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:12]


class Store:
    """The rows of a folder. again: start over.

    A line that was cut off, or that another version wrote, is dropped when the store is opened.
    """

    def __init__(self, folder: Path, *, again: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._fingerprint = fingerprint()
        self._rows: dict[Trial, Row] = {}
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        kept = []
        for line in [] if again else text.splitlines():
            row = self._parse(line)
            if row is not None:
                self._rows[row.trial] = row
                kept.append(line + "\n")
        if "".join(kept) != text:
            fresh = self._path.with_suffix(".new")
            fresh.write_text("".join(kept), encoding="utf-8")
            fresh.replace(self._path)

    @property
    def rows(self) -> Mapping[Trial, Row]:
        return self._rows

    def add(self, row: Row) -> None:
        self._rows[row.trial] = row
        line = json.dumps({"fingerprint": self._fingerprint, **row.as_dict()})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _parse(self, line: str) -> Row | None:
        try:
            fields = json.loads(line)
            if fields.pop("fingerprint") != self._fingerprint:
                return None
            return row_of(fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
