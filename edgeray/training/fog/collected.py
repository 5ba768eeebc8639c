"""Which points a device collects in which interval, and how they are split: the same in any process. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeray.errors import BadInputError
from edgeray.training.data import Indices, batch_order
from edgeray.training.draws import batch_seed

_DIGITS = 9  # of a point: what sums of fractions are off by


def collected_points(mean: int, *, seed: int, device: str, interval: int) -> int:
    """How many points a device collects in an interval, D_i(t): 0 to 2 * mean, all as likely."""
    return int(_generator(seed, device, interval).integers(0, 2 * mean, endpoint=True))


def dither(*, seed: int, device: str, interval: int) -> float:
    """A number in [0, 1) for `split`, drawn once for a device and interval."""
    generator = _generator(seed, device, interval)
    generator.integers(0, 1, endpoint=True)
    return float(generator.random())


def split(points: int, fractions: Sequence[float], dither: float) -> list[int]:
    """So many points by fractions that add up to 1, in whole points: none is lost or doubled.

    Each gets its part rounded up or down, and on average over the dither, which is uniform on [0, 1), exactly its part
    (systematic sampling); where parts are whole, those.
    """
    whole, part = np.divmod(np.round(np.cumsum(fractions) * points, _DIGITS), 1.0)
    ends = np.minimum(whole + (part + dither >= 1.0), points).astype(int)
    ends[-1] = points
    return [int(part) for part in np.diff(ends, prepend=0)]


class Collector:
    """A device's points. samples: its share of the data set, which it meets in random order, and then in another one.

    Raises BadInputError for points to collect of an empty share.
    """

    def __init__(self, samples: Indices, mean: int, *, seed: int, device: str) -> None:
        if mean and not len(samples):
            raise BadInputError(
                f"{device} has no samples of which to collect {mean} points\n  expected: one at least\n"
                "  remedy:   a larger data set, or fewer devices"
            )
        self.mean = mean
        self._samples = samples
        self._seed = seed
        self._device = device
        self._ends = [0]  # how many points had been collected before each interval
        self._orders: dict[int, Indices] = {}

    def points(self, interval: int) -> Indices:
        """The samples that are collected in an interval, by their indices in the data set."""
        while len(self._ends) <= interval + 1:
            number = len(self._ends) - 1
            count = collected_points(self.mean, seed=self._seed, device=self._device, interval=number)
            self._ends.append(self._ends[-1] + count)
        wanted = np.arange(self._ends[interval], self._ends[interval + 1])
        passes, places = np.divmod(wanted, max(1, len(self._samples)))
        parts = [self._order(number)[places[passes == number]] for number in np.unique(passes).tolist()]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def dither(self, interval: int) -> float:
        return dither(seed=self._seed, device=self._device, interval=interval)

    def _order(self, number: int) -> Indices:
        """Of the samples, when they are met for the time of this number."""
        if number not in self._orders:
            self._orders = {known: order for known, order in self._orders.items() if known == number - 1}
            (self._orders[number],) = batch_order(
                self._samples,
                len(self._samples),
                seed=self._seed,
                round_number=number,
                epoch=0,
                device=self._device,
            )
        return self._orders[number]


def _generator(seed: int, device: str, interval: int) -> np.random.Generator:
    return np.random.default_rng(batch_seed(seed, 0, interval, device, 0))
