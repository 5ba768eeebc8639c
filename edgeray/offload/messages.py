"""What a dispatcher and its helpers tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeray.dataplane.codec import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Dispatcher to helper. number: 1, 2, ... of the job. turn: another one each time that their line is opened anew;
    what waits there of an earlier turn was given up, and is not to be done. complexity: work, in the job's unit."""

    number: int
    turn: int
    complexity: float
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Helper to dispatcher: how it is. queue: items of this turn that wait or are being done, of those up to number seen.

    turn: of the newest item that came; 0 for none. rate_per_s: units of complexity that it does a second; None as long
    as it has done nothing.
    """

    turn: int
    seen: int
    queue: int
    rate_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Helper to dispatcher. error: what the work raised, None when it did not; then value is what it returned."""

    number: int
    turn: int
    value: Any
    error: str | None
    telemetry: Telemetry


def size_bytes(value: Any) -> int:
    """What a value takes when it is sent. Raises whatever pickle does for one that cannot be."""
    return sum(memoryview(frame).nbytes for frame in encode(value))
