"""The last half an hour of every number that the page draws, one value a second."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

KEPT_S = 1800
MOST_SERIES = 4096
# So much is kept beyond what can be read: steps begin at whole multiples, so the oldest one reaches further back.
_SPARE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Series, oldest value first; None where nothing was measured. step_s: between two values, each a mean.

    end_age_s: how long ago the last step ended.
    """

    step_s: int
    end_age_s: float
    series: Mapping[str, list[float | None]]


class History:
    """A ring of kept_s seconds (and a few more) by series, in one array: 7 kB a series.

    A series that was silent for the whole ring is forgotten; of more than most_series the longest silent one goes.
    """

    def __init__(self, kept_s: int = KEPT_S, most_series: int = MOST_SERIES) -> None:
        self._kept_s = kept_s
        self._ring_s = kept_s + _SPARE_S
        self._most = most_series
        self._values = np.full((64, self._ring_s), np.nan, dtype=np.float32)
        self._rows: dict[str, int] = {}
        self._written_s: dict[str, int] = {}
        self._free = list(range(63, -1, -1))
        self._second: int | None = None
        self._lock = threading.Lock()

    def record(self, at_s: float, values: Mapping[str, float | None]) -> None:
        """Set the values of one second; a later call in the same second replaces them. at_s: a clock that only rises."""
        with self._lock:
            self._advance(int(at_s))
            for name, value in values.items():
                if value is not None:
                    row = self._row(name)  # first: it may make the array larger
                    self._values[row, int(at_s) % self._ring_s] = value
                    self._written_s[name] = int(at_s)

    def read(self, names: Sequence[str], *, now_s: float, seconds: int, points: int) -> Excerpt:
        """The last seconds of some series in at most points steps. An unknown series has None everywhere."""
        seconds = max(1, min(seconds, self._kept_s))
        step = -(-seconds // max(1, points))
        with self._lock:
            self._advance(int(now_s))
            # Steps begin at whole multiples, so that a value already drawn never changes.
            end = int(now_s) // step * step
            steps = min(seconds, self._ring_s - 1 - (int(now_s) - end)) // step
            columns = np.arange(end - steps * step, end) % self._ring_s
            series = {name: self._steps(name, columns, step) for name in names}
        return Excerpt(step_s=step, end_age_s=now_s - end, series=series)

    def __len__(self) -> int:
        return len(self._rows)

    def _steps(self, name: str, columns: np.ndarray, step: int) -> list[float | None]:
        if name not in self._rows:
            return [None] * (len(columns) // step)
        picked = self._values[self._rows[name], columns].reshape(-1, step).astype(np.float64)
        known = ~np.isnan(picked)
        counts = known.sum(axis=1)
        sums = np.where(known, picked, 0.0).sum(axis=1)
        # Five figures are more than a chart shows; a float32 as JSON has seventeen.
        return [float(f"{s / n:.5g}") if n else None for s, n in zip(sums, counts, strict=True)]

    def _advance(self, second: int) -> None:
        """Empty the seconds that nobody recorded; the time of a clock that stood still or was late changes nothing."""
        if self._second is None:
            self._second = second
        passed = min(second - self._second, self._ring_s)
        if passed <= 0:
            return
        self._values[:, np.arange(second - passed + 1, second + 1) % self._ring_s] = np.nan
        self._second = second
        for name in [name for name, at in self._written_s.items() if at <= second - self._ring_s]:
            self._forget(name)

    def _row(self, name: str) -> int:
        row = self._rows.get(name)
        if row is not None:
            return row
        if len(self._rows) >= self._most:
            self._forget(min(self._written_s, key=lambda known: self._written_s[known]))
        if not self._free:
            more = len(self._values)
            self._values = np.concatenate([self._values, np.full_like(self._values, np.nan)])
            self._free = list(range(2 * more - 1, more - 1, -1))
        self._rows[name] = self._free.pop()
        return self._rows[name]

    def _forget(self, name: str) -> None:
        row = self._rows.pop(name)
        del self._written_s[name]
        self._values[row] = np.nan
        self._free.append(row)
