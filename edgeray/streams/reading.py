"""What other processes read of stores and archives, while their owners write and after these have ended."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeray.streams.archive import Synced
from edgeray.streams.database import read_only
from edgeray.streams.everybody import everybody
from edgeray.streams.store import last_seq
from edgeray.streams.trajectory import (
    GAP_S,
    Named,
    Person,
    Seen,
    Track,
    Visit,
    in_order,
    persons_of,
    visits_of,
)

PAGE_ROWS = 5000
"""Of a store's rows at once: a few hundred kB on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a device has stored in the rows of its epoch up to number last. more: there are further rows."""

    device: str
    epoch: str
    last: int
    more: bool
    seen: tuple[Seen, ...]
    named: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The visits of the person who was asked for, in order of time; else, of everybody, who they are, by number.

    known: how many persons there are.
    """

    visits: tuple[Visit, ...]
    persons: tuple[Person, ...]
    known: int


def synced(archive: Path) -> tuple[Synced, ...]:
    """How far each epoch of each device has been brought to this archive."""
    with read_only(archive) as db:
        if db is None:
            return ()
        rows = db.execute("SELECT device, epoch, seq, at_s FROM sources ORDER BY id").fetchall()
    return tuple(Synced(device=d, epoch=e, seq=s, at_s=at) for d, e, s, at in rows)


def stored(store: Path, after: Mapping[str, int], limit: int = PAGE_ROWS) -> Part | None:
    """Who was seen by the rows behind the number that `after` has of the store's epoch, a page at a time.

    None when nothing is stored there yet.
    """
    with read_only(store) as db:
        about = None if db is None else db.execute("SELECT device, epoch FROM about").fetchone()
        if db is None or about is None:
            return None
        device, epoch = about
        first, newest = after.get(epoch, 0), last_seq(db)
        last = max(first, min(first + limit, newest))
        seen = db.execute(
            "SELECT name, track, frame, at_s, person FROM sightings JOIN cameras ON cameras.id = camera "
            "WHERE seq > ? AND seq <= ? ORDER BY seq",
            (first, last),
        ).fetchall()
        named = db.execute(
            "SELECT name, track, person, at_s, similarity FROM identities JOIN cameras ON cameras.id = camera "
            "WHERE seq > ? AND seq <= ? ORDER BY seq",
            (first, last),
        ).fetchall()
    return Part(
        device=device,
        epoch=epoch,
        last=last,
        more=last < newest,
        seen=tuple(Seen(device, *row) for row in seen),
        named=tuple(map(Named._make, named)),
    )


def find(archive: Path, parts: Sequence[Part], person: int | None, *, gap_s: float = GAP_S) -> Found:
    """`trajectory` of an archive, and of parts that may not have come there yet.

    Needs memory for the sightings of one person, and of tracks that nobody has named.
    """
    fresh: dict[Track, list[Seen]] = defaultdict(list)
    for part in parts:
        for look in part.seen:
            fresh[look.of].append(look)
    looks = [look for of_track in fresh.values() for look in of_track]
    with _archived(archive) as kept:
        named = [*kept.named(), *(row for part in parts for row in part.named)]
        persons = persons_of(named, [*kept.seen(kept.nameless()), *looks])
        if person is None:
            found = everybody(kept.db, persons, looks, gap_s)
            return Found(visits=(), persons=found, known=len(found))
        tracks = sorted(track for track, who in persons.items() if who == person)
        visits = _visits(person, tracks, kept, fresh, gap_s)
        known = {who for track, who in persons.items() if track in fresh or kept.has_seen(track)}
    return Found(visits=visits, persons=(), known=len(known))


def _visits(
    person: int, tracks: Sequence[Track], kept: _Archived, fresh: Mapping[Track, list[Seen]], gap_s: float
) -> tuple[Visit, ...]:
    def looks() -> Iterator[Seen]:
        yield from kept.seen(tracks)
        for track in tracks:
            yield from fresh.get(track, ())

    return in_order(visits_of(person, looks(), gap_s))


class _Archived:
    """One view of an archive; an empty one of an archive that is not there."""

    def __init__(self, db: sqlite3.Connection | None) -> None:
        self.db = db

    def named(self) -> list[Named]:
        return list(
            map(
                Named._make,
                self._rows(
                    "SELECT name, track, person, at_s, similarity "
                    "FROM identities JOIN cameras ON cameras.id = camera"
                ),
            )
        )

    def nameless(self) -> list[Track]:
        """Tracks that re-identification has not named here."""
        rows = self._rows(
            "SELECT name, track FROM (SELECT camera, track FROM sightings EXCEPT SELECT camera, track FROM identities) "
            "JOIN cameras ON cameras.id = camera"
        )
        return [(str(camera), int(track)) for camera, track in rows]

    def seen(self, tracks: Iterable[Track]) -> Iterator[Seen]:
        for camera, track in tracks:
            rows = self._rows(
                "SELECT device, ?1, track, frame, sightings.at_s, person "
                "FROM sightings JOIN sources ON sources.id = source "
                "WHERE camera = (SELECT id FROM cameras WHERE name = ?1) AND track = ?2",
                camera,
                track,
            )
            yield from map(Seen._make, rows)

    def has_seen(self, track: Track) -> bool:
        return next(self.seen((track,)), None) is not None

    def _rows(self, statement: str, *values: str | int) -> Iterable[tuple[Any, ...]]:
        return () if self.db is None else self.db.execute(statement, values)


@contextmanager
def _archived(archive: Path) -> Iterator[_Archived]:
    with read_only(archive) as db:
        yield _Archived(db)
