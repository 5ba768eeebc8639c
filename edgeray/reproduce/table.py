"""What the rows say: means over the seeds with confidence bands, and ratios on the same networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from edgeray.reproduce.experiments import BOUND, Cell, Experiment
from edgeray.reproduce.rows import Row

CONFIDENCE = 0.95
MEAN = "mean_per_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds. low, high: its confidence band; infinitely wide where one seed, or a zero, tells none."""

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a band."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean, with Student's t interval of 95 %."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1 or not math.isfinite(mean):
        return Estimate(mean=mean, low=-math.inf, high=math.inf)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * spread / math.sqrt(count)
    return Estimate(mean=mean, low=mean - half, high=mean + half)


def estimate_ratio(parts: Sequence[float], wholes: Sequence[float]) -> Estimate:
    """Geometric mean of the ratios, so that a/b and b/a agree; its band is that of their logarithms."""
    if any(value <= 0 for value in (*parts, *wholes)):
        whole = math.fsum(wholes)
        mean = math.fsum(parts) / whole if whole > 0 else math.inf if any(parts) else math.nan
        return Estimate(mean=mean, low=0.0, high=math.inf)
    logs = estimate([math.log(part / whole) for part, whole in zip(parts, wholes, strict=True)])
    return Estimate(mean=math.exp(logs.mean), low=math.exp(logs.low), high=_exp(logs.high))


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


class Table:
    """The rows of some experiments. Values that no row tells are None."""

    def __init__(self, rows: Iterable[Row], experiments: Mapping[str, Experiment]) -> None:
        self.experiments = experiments
        self._rows: dict[tuple[Cell, str], dict[int, Row]] = {}
        for row in rows:
            self._rows.setdefault((row.trial.cell, row.trial.policy), {})[row.trial.seed] = row

    def points(self, name: str) -> Iterator[tuple[float, Cell]]:
        """x and cell of each point of an experiment; none of one that was not run."""
        experiment = self.experiments.get(name)
        if experiment is not None:
            yield from zip(experiment.x, experiment.cells, strict=True)

    def value(self, cell: Cell, policy: str, column: str = MEAN) -> Estimate | None:
        values = self.by_seed(cell, policy, column)
        return estimate([values[seed] for seed in sorted(values)]) if values else None

    def ratio(
        self,
        cell: Cell,
        policy: str,
        others: Sequence[str],
        column: str = MEAN,
        best: Callable[[Iterable[float]], float] = max,
    ) -> Estimate | None:
        """policy's value over the best of the others', network by network."""
        mine = self.by_seed(cell, policy, column)
        theirs = [self.by_seed(cell.bound() if o == BOUND else cell, o, column) for o in others]
        seeds = [seed for seed in sorted(mine) if all(seed in values for values in theirs)]
        if not seeds or not theirs:
            return None
        return estimate_ratio(
            [mine[seed] for seed in seeds], [best(values[seed] for values in theirs) for seed in seeds]
        )

    def headroom(self, cell: Cell, policy: str, column: str = MEAN) -> Estimate | None:
        """The upper bound over policy's value: no other policy does so many times better."""
        most, mine = self.by_seed(cell.bound(), BOUND), self.by_seed(cell, policy, column)
        seeds = [seed for seed in sorted(mine) if seed in most]
        if not seeds:
            return None
        return estimate_ratio([most[seed] for seed in seeds], [mine[seed] for seed in seeds])

    def growth(
        self, first: Cell, last: Cell, policy: str, column: str = MEAN, over: str | None = None
    ) -> Estimate | None:
        """policy's value at last over that at first, seed by seed; over: relative to how this one's changes."""
        before, after = self.by_seed(first, policy, column), self.by_seed(last, policy, column)
        if over is not None:
            before = _quotients(before, self.by_seed(first, over, column))
            after = _quotients(after, self.by_seed(last, over, column))
        seeds = [seed for seed in sorted(before) if seed in after]
        if not seeds:
            return None
        return estimate_ratio([after[seed] for seed in seeds], [before[seed] for seed in seeds])

    def by_seed(self, cell: Cell, policy: str, column: str = MEAN) -> dict[int, float]:
        """The column's known values."""
        rows = self._rows.get((cell, policy), {})
        told = {seed: getattr(row, column) for seed, row in rows.items()}
        return {seed: value for seed, value in told.items() if value is not None}


def _quotients(parts: Mapping[int, float], wholes: Mapping[int, float]) -> dict[int, float]:
    return {seed: parts[seed] / wholes[seed] for seed in parts if wholes.get(seed, 0.0) > 0}
