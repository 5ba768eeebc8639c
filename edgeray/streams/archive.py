"""The head's archive: all that devices have stored, as far as it has been brought."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeray.streams.database import CAMERAS, insert, open_to_write, transaction
from edgeray.streams.records import Batch, check_batch

# Sightings lie by track, since that is how they are asked for.
_SCHEMA = (
    """CREATE TABLE sources (
        id INTEGER PRIMARY KEY, device TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, at_s REAL NOT NULL,
        UNIQUE (device, epoch))""",
    CAMERAS,
    """CREATE TABLE sightings (
        source INTEGER NOT NULL, seq INTEGER NOT NULL, camera INTEGER NOT NULL, frame INTEGER NOT NULL,
        at_s REAL NOT NULL, track INTEGER NOT NULL, person INTEGER,
        box_left REAL NOT NULL, box_top REAL NOT NULL, box_right REAL NOT NULL, box_bottom REAL NOT NULL,
        PRIMARY KEY (camera, track, source, seq)) WITHOUT ROWID""",
    """CREATE TABLE identities (
        source INTEGER NOT NULL, seq INTEGER NOT NULL, camera INTEGER NOT NULL, track INTEGER NOT NULL,
        person INTEGER NOT NULL, similarity REAL NOT NULL, at_s REAL NOT NULL, features BLOB NOT NULL,
        PRIMARY KEY (source, seq))""",
    """CREATE TABLE frames (
        source INTEGER NOT NULL, seq INTEGER NOT NULL, camera INTEGER NOT NULL, frame INTEGER NOT NULL,
        at_s REAL NOT NULL, latency_s REAL NOT NULL, people INTEGER NOT NULL,
        PRIMARY KEY (source, seq)) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The archive has the rows of a device's epoch up to number seq; at_s: when it last heard of them (Unix)."""

    device: str
    epoch: str
    seq: int
    at_s: float


class Archive:
    """One SQLite file. Thread-safe; other processes may read the file (`edgeray.streams.reading`).

    Rule: of each device and epoch it holds the rows from 1 up to a number, without a gap. From a batch it takes the
    rows that follow on these; what it has is skipped, and a batch that begins further on is left alone, since the
    device sends it again from the number that `take` answers. So nothing is lost and nothing is there twice,
    whatever comes again, late, or not at all.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._db = open_to_write(path, _SCHEMA)
        self._clock = clock
        self._lock = threading.Lock()

    def take(self, batch: Batch) -> int:
        """Keep what is new; the number up to which all rows of this device's epoch are on the disk.

        Every value is checked. Raises FlowError for what is no batch; whether its sender is the device that it
        names is the caller's to check.
        """
        check_batch(batch)
        with self._lock, transaction(self._db):
            source, have = self._source(batch)
            if batch.first > have + 1:
                return have
            new = batch.rows[have + 1 - batch.first :]
            insert(self._db, enumerate(new, have + 1), before=(("source", source),))
            have += len(new)
            self._db.execute(
                "UPDATE sources SET seq = ?, at_s = ? WHERE id = ?", (have, self._clock(), source)
            )
        return have

    def synced(self) -> dict[str, Synced]:
        """How far each device's newest epoch has been brought."""
        with self._lock:
            rows = self._db.execute("SELECT device, epoch, seq, at_s FROM sources ORDER BY id").fetchall()
        return newest(Synced(device=d, epoch=e, seq=s, at_s=at) for d, e, s, at in rows)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _source(self, batch: Batch) -> tuple[int, int]:
        """The number by which its device and epoch are known here, and that of their newest row."""
        key = batch.device, batch.epoch
        self._db.execute(
            "INSERT OR IGNORE INTO sources (device, epoch, seq, at_s) VALUES (?, ?, 0, ?)",
            (*key, self._clock()),
        )
        source, have = self._db.execute(
            "SELECT id, seq FROM sources WHERE device = ? AND epoch = ?", key
        ).fetchone()
        return source, have


def newest(rows: Iterable[Synced]) -> dict[str, Synced]:
    """Of each device the epoch that was heard of last."""
    found: dict[str, Synced] = {}
    for row in rows:
        before = found.get(row.device)
        if before is None or row.at_s >= before.at_s:
            found[row.device] = row
    return dict(sorted(found.items()))
