"""Where a person went: visits to cameras, from what devices saw and whom they took it for. Pure.

The answer depends on what was seen alone: not on the order of the rows, nor on rows that are there twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

GAP_S = 5.0
Track = tuple[str, int]
"""Camera, and the track's number there; it keeps it when the camera's stream moves to another device."""


class Seen(NamedTuple):
    """A track on one frame, taken at at_s. device: that detected it. person: whom it was taken for then.

    A NamedTuple because there are hundreds of thousands.
    """

    device: str
    camera: str
    track: int
    frame: int
    at_s: float
    person: int | None

    @property
    def of(self) -> Track:
        return self.camera, self.track


class Named(NamedTuple):
    """Re-identification's answer at at_s."""

    camera: str
    track: int
    person: int
    at_s: float
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A person before one camera, without a break of more than gap_s, detected by one device.

    frames: on which they were seen.
    """

    person: int
    camera: str
    device: str
    from_s: float
    to_s: float
    tracks: tuple[int, ...]
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """All visits of a person, summed up."""

    person: int
    visits: int
    cameras: tuple[str, ...]
    first_s: float
    last_s: float


def trajectory(
    seen: Iterable[Seen], named: Iterable[Named], *, person: int | None = None, gap_s: float = GAP_S
) -> tuple[Visit, ...]:
    """The visits of a person, or of everybody, in order of time.

    A track is one person all along, also before its first answer: the one that re-identification named last; where
    it never answered, the one that the last frame was said to show. A frame that two devices have done, since the
    first went away, counts as the one's whose id is the smaller.

    Complexity: O(n log n).
    """
    rows = list(seen)
    persons = persons_of(named, rows)
    of_person: dict[int, list[Seen]] = defaultdict(list)
    for row in rows:
        who = persons.get(row.of)
        if who is not None and person in (None, who):
            of_person[who].append(row)
    return in_order(visit for who in of_person for visit in visits_of(who, of_person[who], gap_s))


def persons_of(named: Iterable[Named], seen: Iterable[Seen]) -> dict[Track, int]:
    """Who each track is; tracks that nobody has named are left out."""
    best: dict[Track, tuple[float, float, int]] = {}
    for row in named:
        said = row.at_s, row.similarity, row.person
        track = row.camera, row.track
        if track not in best or said > best[track]:
            best[track] = said
    last: dict[Track, tuple[float, int, int]] = {}
    for look in seen:
        if look.person is None or look.of in best:
            continue
        shown = look.at_s, look.frame, look.person
        if look.of not in last or shown > last[look.of]:
            last[look.of] = shown
    found = {track: said[-1] for track, said in best.items()}
    return found | {track: shown[-1] for track, shown in last.items()}


def visits_of(person: int, seen: Iterable[Seen], gap_s: float = GAP_S) -> list[Visit]:
    """The visits of a person, camera by camera, of all sightings of their tracks."""
    once: dict[tuple[str, float, int, int], str] = {}
    for device, camera, track, frame, at_s, _ in seen:
        key = camera, at_s, frame, track
        before = once.get(key)
        if before is None or device < before:
            once[key] = device
    visits: list[Visit] = []
    current: list[tuple[tuple[str, float, int, int], str]] = []
    for look in sorted(once.items()):
        if current and _is_another(current[-1], look, gap_s):
            visits.append(_visit(person, current))
            current = []
        current.append(look)
    return [*visits, _visit(person, current)] if current else visits


def in_order(visits: Iterable[Visit]) -> tuple[Visit, ...]:
    """Visits in order of time."""
    return tuple(sorted(visits, key=lambda v: (v.from_s, v.to_s, v.camera, v.person, v.device)))


def summary(visits: Sequence[Visit]) -> Person:
    """One person's visits, at least one, summed up."""
    return Person(
        person=visits[0].person,
        visits=len(visits),
        cameras=tuple(sorted({visit.camera for visit in visits})),
        first_s=min(visit.from_s for visit in visits),
        last_s=max(visit.to_s for visit in visits),
    )


def summaries(visits: Iterable[Visit]) -> tuple[Person, ...]:
    """Everybody, by number."""
    of_person: Mapping[int, list[Visit]] = defaultdict(list)
    for visit in visits:
        of_person[visit.person].append(visit)
    return tuple(summary(of_person[person]) for person in sorted(of_person))


def _is_another(
    before: tuple[tuple[str, float, int, int], str],
    look: tuple[tuple[str, float, int, int], str],
    gap_s: float,
) -> bool:
    (camera, at_s, *_), device = before
    return camera != look[0][0] or device != look[1] or look[0][1] - at_s > gap_s


def _visit(person: int, looks: Sequence[tuple[tuple[str, float, int, int], str]]) -> Visit:
    (camera, from_s, *_), device = looks[0]
    return Visit(
        person=person,
        camera=camera,
        device=device,
        from_s=from_s,
        to_s=looks[-1][0][1],
        tracks=tuple(sorted({track for (_, _, _, track), _ in looks})),
        frames=len({(at_s, frame) for (_, at_s, frame, _), _ in looks}),
    )
