"""SQLite files that outlive a kill: one process writes, others read meanwhile."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from edgeray.errors import StageError
from edgeray.streams.records import KINDS, Row

FOLDER = "streams"
"""Of a job's folder on a device: its store, and on the head the archive."""
STORE, ARCHIVE = f"{FOLDER}/store.sqlite", f"{FOLDER}/archive.sqlite"

VERSION = 1
BUSY_S = 5.0
CAMERAS = "CREATE TABLE cameras (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"


def open_to_write(path: Path, schema: Sequence[str]) -> sqlite3.Connection:
    """The file, made with these statements when it is new. Raises StageError for one that is damaged.

    What was committed is on the disk: a head acknowledges it, and a device counts on that, so neither may forget it
    when its power fails (synchronous=FULL).
    """
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            version = _version(connection)
            if version == 0:
                for statement in schema:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StageError(
            f"{path}: {error}\n"
            f"  expected: a store of this version of EdgeRay ({VERSION}), or none\n"
            "  remedy:   move the file away; a new one is begun"
        ) from error
    return connection


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection | None]:
    """One unchanging view of a file that another process may be writing; None when nothing is stored there yet."""
    if not path.exists():
        yield None
        return
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    with closing(connection), transaction(connection, "BEGIN"):
        yield connection if _version(connection) == VERSION else None


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """All of it or nothing."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def insert(
    connection: sqlite3.Connection,
    numbered: Iterable[tuple[int, Row]],
    *,
    before: Sequence[tuple[str, int]] = (),
) -> None:
    """Put rows by their sequence numbers into the tables of their kinds. before: further columns, and their values."""
    of_kind: dict[int, list[Row]] = defaultdict(list)
    cameras: dict[str, int] = {}
    values = tuple(value for _, value in before)
    for seq, (kind, camera, *rest) in numbered:
        if camera not in cameras:
            cameras[camera] = _camera(connection, camera)
        of_kind[kind].append((*values, seq, cameras[camera], *rest))
    for kind, rows in of_kind.items():
        columns = [*(column for column, _ in before), "seq", "camera", *KINDS[kind].columns]
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO {KINDS[kind].table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 (our own names)
            rows,
        )


def _camera(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO cameras (name) VALUES (?)", (name,))
    (number,) = connection.execute("SELECT id FROM cameras WHERE name = ?", (name,)).fetchone()
    return int(number)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
