"""Everybody who was seen, summed up by SQLite: `trajectory.summaries` of hours of rows, without holding them.

The page asks for it every few seconds on a device that has cameras to watch meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping

from edgeray.streams.trajectory import GAP_S, Person, Seen, Track

# A lane is what one person did before one camera: numbers sort faster than names.
_TABLES = (
    "CREATE TEMP TABLE who (camera TEXT, track INTEGER, lane INTEGER, PRIMARY KEY (camera, track)) WITHOUT ROWID",
    "CREATE TEMP TABLE fresh (device TEXT, camera TEXT, track INTEGER, frame INTEGER, at_s REAL)",
)
_FRESH = "SELECT lane, at_s, frame, track, device FROM temp.fresh JOIN temp.who USING (camera, track)"
_KEPT = """
    SELECT lane, kept.at_s, kept.frame, kept.track, device
    FROM temp.who JOIN cameras ON cameras.name = who.camera
    JOIN main.sightings AS kept ON kept.camera = cameras.id AND kept.track = who.track
    JOIN sources ON sources.id = kept.source"""
# As trajectory.visits_of: what two devices say of one frame counts as the smaller id's; a visit begins where there is
# none before, or one by another device, or too long ago.
_SUMS = """
    WITH looks AS (
        SELECT lane, at_s, frame, track, min(device) AS device FROM ({rows}) GROUP BY lane, at_s, frame, track),
    beside AS (
        SELECT lane, at_s, device, lag(at_s) OVER earlier AS before_s, lag(device) OVER earlier AS by
        FROM looks WINDOW earlier AS (PARTITION BY lane ORDER BY at_s, frame, track))
    SELECT lane, sum(by IS NULL OR by <> device OR at_s - before_s > ?), min(at_s), max(at_s)
    FROM beside GROUP BY lane ORDER BY lane"""


def everybody(
    archive: sqlite3.Connection | None,
    persons: Mapping[Track, int],
    fresh: Iterable[Seen],
    gap_s: float = GAP_S,
) -> tuple[Person, ...]:
    """All persons who were seen, by number. persons: who each track is. fresh: what the archive may lack.

    Leaves tables behind in the connection's own temporary database.
    """
    db = sqlite3.connect(":memory:") if archive is None else archive
    for statement in _TABLES:
        db.execute(statement)
    lanes = sorted({(who, camera) for (camera, _), who in persons.items()})
    lane_of = {lane: number for number, lane in enumerate(lanes)}
    db.executemany(
        "INSERT INTO temp.who VALUES (?, ?, ?)",
        ((camera, track, lane_of[who, camera]) for (camera, track), who in persons.items()),
    )
    db.executemany("INSERT INTO temp.fresh VALUES (?, ?, ?, ?, ?)", (look[:5] for look in fresh))
    rows = _FRESH if archive is None else f"{_FRESH} UNION ALL {_KEPT}"
    found: dict[int, list[tuple[str, int, float, float]]] = defaultdict(list)
    for lane, visits, first_s, last_s in db.execute(_SUMS.format(rows=rows), (gap_s,)):
        who, camera = lanes[lane]
        found[who].append((camera, visits, first_s, last_s))
    return tuple(
        Person(
            person=who,
            visits=sum(visits for _, visits, _, _ in cameras),
            cameras=tuple(camera for camera, *_ in cameras),
            first_s=min(first_s for _, _, first_s, _ in cameras),
            last_s=max(last_s for _, _, _, last_s in cameras),
        )
        for who, cameras in found.items()
    )
