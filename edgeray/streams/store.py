"""A device's store: what its edge has seen, numbered, so that the head can be brought what it lacks."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from edgeray.errors import FlowError, StageError
from edgeray.streams.database import CAMERAS, insert, open_to_write, transaction
from edgeray.streams.records import KINDS, Batch, FrameResult, Identity, Record, Row, Sighting, row_of

__all__ = ["Batch", "DeviceStore", "FrameResult", "Identity", "Record", "Sighting", "Synchroniser"]

BATCH_ROWS = 1000

_SCHEMA = (
    "CREATE TABLE about (device TEXT NOT NULL, epoch TEXT NOT NULL)",
    CAMERAS,
    """CREATE TABLE sightings (
        seq INTEGER PRIMARY KEY, camera INTEGER NOT NULL, frame INTEGER NOT NULL, at_s REAL NOT NULL,
        track INTEGER NOT NULL, person INTEGER,
        box_left REAL NOT NULL, box_top REAL NOT NULL, box_right REAL NOT NULL, box_bottom REAL NOT NULL)""",
    """CREATE TABLE identities (
        seq INTEGER PRIMARY KEY, camera INTEGER NOT NULL, track INTEGER NOT NULL, person INTEGER NOT NULL,
        similarity REAL NOT NULL, at_s REAL NOT NULL, features BLOB NOT NULL)""",
    """CREATE TABLE frames (
        seq INTEGER PRIMARY KEY, camera INTEGER NOT NULL, frame INTEGER NOT NULL, at_s REAL NOT NULL,
        latency_s REAL NOT NULL, people INTEGER NOT NULL)""",
)
_LAST = " UNION ALL ".join(f"SELECT max(seq) AS seq FROM {kind.table}" for kind in KINDS)  # noqa: S608 (our own names)
_SINCE = tuple(
    f"SELECT seq, {number}, name, {', '.join(kind.columns)} FROM {kind.table} "  # noqa: S608 (our own names)
    "JOIN cameras ON cameras.id = camera WHERE seq > ? AND seq <= ?"
    for number, kind in enumerate(KINDS)
)


class DeviceStore:
    """An append-only log in an SQLite file. Rows have numbers 1, 2, ... without a gap, over all kinds.

    epoch: a random name made with the file: when a file was lost, the next one begins at 1 in a new epoch. Thread-safe.
    Other processes may read the file (`edgeray.streams.reading`). Raises StageError for a damaged file, or another
    device's.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._db = open_to_write(path, _SCHEMA)
        self._lock = threading.Lock()
        with transaction(self._db):
            about = self._db.execute("SELECT device, epoch FROM about").fetchone()
            if about is None:
                about = device, secrets.token_hex(8)
                self._db.execute("INSERT INTO about VALUES (?, ?)", about)
        self.device, self.epoch = map(str, about)
        if self.device != device:
            self._db.close()
            raise StageError(
                f"{path}: the store is that of {self.device}\n"
                f"  expected: a store of {device}, or none\n"
                "  remedy:   move the file away; a new one is begun"
            )

    @property
    def last(self) -> int:
        """The number of the newest row; 0 when there is none."""
        with self._lock:
            return last_seq(self._db)

    def add(self, records: Iterable[Record]) -> int:
        """Append records, all or none of them; they are on the disk when this returns. The number of the newest row.

        Raises ValueError for a record that holds no number where there should be one, say NaN.
        """
        rows = [row_of(record) for record in records]
        with self._lock, transaction(self._db):
            before = last_seq(self._db)
            insert(self._db, enumerate(rows, before + 1))
        return before + len(rows)

    def since(self, seq: int, limit: int = BATCH_ROWS) -> Batch:
        """The rows after number seq, at most so many."""
        numbered: list[tuple[int, Row]] = []
        with self._lock, transaction(self._db, "BEGIN"):
            for statement in _SINCE:
                rows = self._db.execute(statement, (seq, seq + limit))
                numbered += [(number, tuple(row)) for number, *row in rows]
        numbered.sort(key=lambda each: each[0])
        rows_in_order = tuple(row for _, row in numbered)
        return Batch(device=self.device, epoch=self.epoch, first=seq + 1, rows=rows_in_order)

    def last_frame(self, camera: str) -> int:
        """The newest frame of a camera that is in here; -1 when there is none."""
        with self._lock:
            (frame,) = self._db.execute(
                "SELECT max(frame) FROM frames JOIN cameras ON cameras.id = camera WHERE name = ?", (camera,)
            ).fetchone()
        return -1 if frame is None else int(frame)

    def close(self) -> None:
        with self._lock:
            self._db.close()


class Synchroniser:
    """The rule by which a store's rows come to the head: from the number that the head acknowledged last, in batches.

    One batch is under way at a time: `next_batch` gives the same rows until they are acknowledged, so that what was
    lost is sent again. The head's word counts, also where it has less than it had (its archive was lost) or more (this
    process is new, and begins at 0). Ask every few seconds, and after each acknowledgement, until there is none.
    Thread-safe.
    """

    def __init__(self, store: DeviceStore, batch_rows: int = BATCH_ROWS) -> None:
        self._store, self._batch_rows = store, batch_rows
        self._seq = 0

    def next_batch(self) -> Batch | None:
        """What the head is to be sent now; None while it has everything."""
        batch = self._store.since(self._seq, self._batch_rows)
        return batch if batch.rows else None

    def acknowledged(self, epoch: str, seq: int) -> None:
        """The head has all rows of the epoch up to this number. Another file's epoch counts for nothing.

        Raises FlowError when it has more rows of this epoch than were ever written.
        """
        if epoch != self._store.epoch:
            return
        if not 0 <= seq <= self._store.last:
            raise FlowError(
                f"the head has {seq} rows of the store of {self._store.device}, which has {self._store.last}: "
                "an old copy of the file was put back\n  remedy:   move the file away; a new one is begun"
            )
        self._seq = seq


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of a store's newest row; 0 when there is none."""
    (seq,) = connection.execute(f"SELECT max(seq) FROM ({_LAST})").fetchone()  # noqa: S608 (our own names)
    return int(seq or 0)
