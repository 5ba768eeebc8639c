"""What edges remember of people, and how it travels: rows of plain values that are checked where they arrive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeray.errors import FlowError

Row = tuple[Any, ...]
"""A record as it is stored and travels: the number of its kind (see KINDS), its camera, its other values."""

MAX_ROWS = 10_000
"""Of one batch."""
_MAX_TEXT = 200
_MAX_COUNT = 2**53
_MAX_FEATURES_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One person on one frame. at_s: Unix time at which the frame was taken. person: None while nobody has said who it
    is. box: left, top, right, bottom, in pixels of the picture that was looked at."""

    camera: str
    frame: int
    at_s: float
    track: int
    person: int | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a track is, as re-identification answered at at_s. features: float16, little-endian."""

    camera: str
    track: int
    person: int
    similarity: float
    at_s: float
    features: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """One frame that was done, latency_s after it was taken at at_s, with so many people on it."""

    camera: str
    frame: int
    at_s: float
    latency_s: float
    people: int


Record = Sighting | Identity | FrameResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of one device's store, without a gap: numbers first to last of the epoch. last = first - 1: there are none.

    epoch: names the file, so that the numbers of a file that was lost are not taken for those of the next one.
    """

    device: str
    epoch: str
    first: int
    rows: tuple[Row, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def _is_text(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= _MAX_TEXT


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _is_number(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _is_count_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_features(value: Any) -> bool:
    return type(value) is bytes and len(value) <= _MAX_FEATURES_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record: the table that holds it, and of each value after the camera its column and its check."""

    table: str
    values: tuple[tuple[str, Callable[[Any], bool]], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column, _ in self.values)


SIGHTING, IDENTITY, FRAME = range(3)
KINDS = (
    Kind(
        table="sightings",
        values=(
            ("frame", _is_count),
            ("at_s", _is_number),
            ("track", _is_count),
            ("person", _is_count_or_none),
            ("box_left", _is_number),
            ("box_top", _is_number),
            ("box_right", _is_number),
            ("box_bottom", _is_number),
        ),
    ),
    Kind(
        table="identities",
        values=(
            ("track", _is_count),
            ("person", _is_count),
            ("similarity", _is_number),
            ("at_s", _is_number),
            ("features", _is_features),
        ),
    ),
    Kind(
        table="frames",
        values=(("frame", _is_count), ("at_s", _is_number), ("latency_s", _is_number), ("people", _is_count)),
    ),
)


def row_of(record: Record) -> Row:
    """The record as a row; numbers of numpy become Python's. Raises ValueError for one that no head would take."""
    row: Row
    match record:
        case Sighting():
            person = None if record.person is None else int(record.person)
            box = (float(value) for value in record.box)
            seen = int(record.frame), float(record.at_s), int(record.track), person
            row = (SIGHTING, record.camera, *seen, *box)
        case Identity():
            who = int(record.track), int(record.person), float(record.similarity)
            row = (IDENTITY, record.camera, *who, float(record.at_s), bytes(record.features))
        case FrameResult():
            times = float(record.at_s), float(record.latency_s)
            row = (FRAME, record.camera, int(record.frame), *times, int(record.people))
    wrong = _wrong_with(row)
    if wrong is not None:
        raise ValueError(f"{record}: {wrong}")
    return row


def check_batch(batch: Any) -> Batch:
    """The batch, if it is one, value by value: it came from another device. Raises FlowError."""
    if not isinstance(batch, Batch):
        raise FlowError(f"a device sent {type(batch).__name__} where rows of its store were expected")
    if not (_is_text(batch.device) and _is_text(batch.epoch) and _is_count(batch.first) and batch.first):
        raise FlowError("a device sent rows of its store that do not say which they are")
    if type(batch.rows) is not tuple or len(batch.rows) > MAX_ROWS:
        raise FlowError(f"{batch.device} sent no rows of its store, or more than {MAX_ROWS} at once")
    for number, row in enumerate(batch.rows, batch.first):
        wrong = _wrong_with(row)
        if wrong is not None:
            raise FlowError(f"{batch.device} sent row {number} of its store wrong: {wrong}")
    return batch


def _wrong_with(row: Any) -> str | None:
    if type(row) is not tuple or len(row) < 2 or type(row[0]) is not int or not 0 <= row[0] < len(KINDS):
        return "it is of no known kind"
    kind = KINDS[row[0]]
    if len(row) != 2 + len(kind.values):
        return f"it has {len(row)} values, {kind.table} have {2 + len(kind.values)}"
    if not _is_text(row[1]):
        return "it names no camera"
    for value, (column, is_right) in zip(row[2:], kind.values, strict=True):
        if not is_right(value):
            return f"{column} of {kind.table} cannot be {value!r:.50}"
    return None
