"""What a job of fog training says beside its recipe: told to its tasks as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fog:
    """Clients are named by their tasks.

    collect: points that each client collects in an interval, on average: 0 to twice as many, all as likely. links:
    pairs that may send points to each other. link_bps: of each of these, what a link can carry at most. intervals: of
    interval_s seconds each, aggregate of them a round (tau).
    process: the declared cost of processing a point, by client; link: of sending one, by sender and receiver; None:
    costs are measured seconds. discard: of a point that nobody processes (f). perfect: what is collected is known
    beforehand.
    """

    collect: Mapping[str, int]
    links: tuple[tuple[str, str], ...]
    link_bps: tuple[float, ...]
    intervals: int
    interval_s: float
    aggregate: int
    process: Mapping[str, float] | None = None
    link: Mapping[str, Mapping[str, float]] | None = None
    discard: float
    perfect: bool = False

    @property
    def clients(self) -> tuple[str, ...]:
        return tuple(self.collect)

    @property
    def rounds(self) -> int:
        return -(-self.intervals // self.aggregate)

    def intervals_of(self, round_number: int) -> range:
        """Those of a round, counted from 0 over all rounds. round_number: from 1."""
        first = (round_number - 1) * self.aggregate
        return range(first, min(first + self.aggregate, self.intervals))

    def as_args(self) -> dict[str, Any]:
        """Plain JSON; `Fog.of` makes it again."""
        return asdict(self)

    @staticmethod
    def of(args: Mapping[str, Any]) -> Fog:
        links = tuple((a, b) for a, b in args["links"])
        return Fog(**{**args, "links": links, "link_bps": tuple(args["link_bps"])})
