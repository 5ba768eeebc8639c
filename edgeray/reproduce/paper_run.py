"""What `reproduce` does alike for toof, djos, mel and fog: trials, their rows by seed, and findings for a page."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from edgeray.reproduce.paper_page import Drawing, Line, PaperFindings, in_processes
from edgeray.reproduce.rules import Claim
from edgeray.reproduce.table import Estimate, estimate, estimate_ratio


class Seeded(Protocol):
    """A row that tells its seed."""

    @property
    def seed(self) -> int: ...


Trial = TypeVar("Trial")
Row = TypeVar("Row", bound=Seeded)
Key = TypeVar("Key", bound=Hashable)
Rows = TypeVar("Rows")
"""Whatever a paper's claims are judged by: a table of its rows."""


class SeedTable(Generic[Key, Row]):
    """Rows by key and seed. A value that no row tells is None."""

    def __init__(self, rows: Iterable[Row], key: Callable[[Row], Key]) -> None:
        self._rows: dict[Key, dict[int, Row]] = {}
        for row in rows:
            self._rows.setdefault(key(row), {})[row.seed] = row

    def keys(self) -> Iterable[Key]:
        return self._rows.keys()

    def by_seed(self, key: Key) -> dict[int, Row]:
        return self._rows.get(key, {})

    def told(self, keys: Sequence[Key], tell: Callable[..., float]) -> Estimate | None:
        """The mean of what is told of the keys' rows of a seed, over the seeds that have them all."""
        values = [tell(*rows) for rows in self._together(keys)]
        return estimate(values) if values else None

    def quotient(self, key: Key, other: Key, tell: Callable[[Row], float]) -> Estimate | None:
        """One key's value over another's, seed by seed."""
        pairs = self._together((key, other))
        if not pairs:
            return None
        return estimate_ratio([tell(mine) for mine, _ in pairs], [tell(theirs) for _, theirs in pairs])

    def _together(self, keys: Sequence[Key]) -> list[tuple[Row, ...]]:
        each = [self.by_seed(key) for key in keys]
        seeds = sorted(set.intersection(*(set(rows) for rows in each)))
        return [tuple(rows[seed] for rows in each) for seed in seeds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper(Generic[Trial, Row, Rows]):
    """A paper's experiments. trials: of so many seeds, and quick. compute: in another process, so a module's function.
    claims, aims: None where no row tells of one."""

    title: str
    source: str
    seeds: int
    quick_seeds: int
    trials: Callable[..., Sequence[Trial]]
    compute: Callable[[Trial], Row]
    table: Callable[[Iterable[Row]], Rows]
    claims: Callable[[Rows], Iterable[Claim | None]]
    aims: Callable[[Rows], Iterable[Claim | None]]
    drawings: Callable[[Rows], Iterable[Drawing]]
    notes: tuple[str, ...]

    def run(
        self, seeds: int | None, processes: int, progress: Callable[[int, int], None], *, quick: bool
    ) -> PaperFindings:
        """Compute all, and judge. progress: is told how many trials are done, and of how many."""
        count = seeds if seeds is not None else self.quick_seeds if quick else self.seeds
        rows = in_processes(self.compute, self.trials(count, quick=quick), processes, progress)
        return self.find(rows, seeds=count, quick=quick)

    def find(self, rows: Sequence[Row], *, seeds: int, quick: bool) -> PaperFindings:
        """Judge rows that are there."""
        table = self.table(rows)
        return PaperFindings(
            title=self.title,
            source=self.source,
            seeds=seeds,
            quick=quick,
            rows=tuple(rows),
            claims=tuple(claim for claim in self.claims(table) if claim is not None),
            aims=tuple(claim for claim in self.aims(table) if claim is not None),
            drawings=tuple(self.drawings(table)),
            notes=self.notes,
        )


def line(label: str, points: Iterable[tuple[float, Estimate | None]]) -> Line:
    """A line of what is told."""
    return Line(label=label, points=tuple((x, value) for x, value in points if value is not None))


def told_lines(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Those that have points."""
    return tuple(each for each in lines if each.points)


def exact(value: float) -> Estimate:
    """Of what is computed, with nothing drawn: it has no band."""
    return Estimate(mean=value, low=value, high=value)


def because(claim: Claim | None, reason: str) -> Claim | None:
    """The same with a sentence of why ours differs from the paper's, or agrees."""
    return claim if claim is None else replace(claim, why=f"{claim.why} {reason}")
