"""Which points devices of fog training collect, and how they are split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.errors import BadInputError
from edgeray.training.fog.collected import Collector, collected_points, split


@given(
    points=st.integers(0, 1000),
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda given: sum(given) > 0),
    dither=st.floats(0, 1, exclude_max=True),
)
def test_a_split_loses_and_doubles_nothing_and_is_off_by_less_than_a_point(
    points: int, weights: list[float], dither: float
) -> None:
    fractions = [weight / sum(weights) for weight in weights]
    parts = split(points, fractions, dither)
    assert sum(parts) == points
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(part - fraction * points) < 1 + 1e-6
        assert part >= 0


@given(parts=st.lists(st.integers(0, 50), min_size=1, max_size=6), dither=st.floats(0, 1, exclude_max=True))
def test_whole_parts_are_kept_as_they_are(parts: list[int], dither: float) -> None:
    points = sum(parts)
    fractions = [part / points for part in parts] if points else [1.0]
    assert split(points, fractions, dither) == (parts if points else [0])


def test_a_split_is_right_on_average() -> None:
    """3 points, of which a tenth stays: nothing as a rule, and a point three times in ten."""
    grid = (np.arange(1000) + 0.5) / 1000
    kept = [split(3, [0.1, 0.9], float(dither))[0] for dither in grid]
    assert set(kept) == {0, 1}
    assert np.mean(kept) == pytest.approx(0.3, abs=2e-3)


def test_counts_are_uniform_from_none_to_twice_the_mean() -> None:
    counts = [collected_points(3, seed=1, device="e1", interval=t) for t in range(7000)]
    found = np.bincount(counts, minlength=7)
    assert len(found) == 7
    assert np.abs(found - 1000).max() < 5 * np.sqrt(1000 * 6 / 7)  # 5 standard deviations
    assert counts != [collected_points(3, seed=1, device="e2", interval=t) for t in range(7000)]


def test_points_are_met_once_before_any_comes_again() -> None:
    samples = np.arange(100, 125)
    collector = Collector(samples, 3, seed=5, device="e1")
    intervals = [collector.points(t) for t in range(30)]
    met = np.concatenate(intervals)
    assert [len(points) for points in intervals] == [
        collected_points(3, seed=5, device="e1", interval=t) for t in range(30)
    ]
    assert len(met) > 50
    first, second = met[:25], met[25:50]
    assert sorted(first) == sorted(second) == list(samples)
    assert list(first) != list(second)


def test_an_interval_has_the_same_points_whoever_asks_and_when() -> None:
    samples = np.arange(7)
    one, other = (Collector(samples, 4, seed=5, device="e1") for _ in range(2))
    later = one.points(9)
    assert np.array_equal(later, [*map(other.points, range(10))][9])
    assert np.array_equal(one.points(0), other.points(0))
    assert one.dither(3) == other.dither(3) != one.dither(4)


def test_nobody_collects_points_of_no_samples() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert len(Collector(nothing, 0, seed=0, device="e1").points(3)) == 0
    with pytest.raises(BadInputError, match="e1 has no samples of which to collect 2 points"):
        Collector(nothing, 2, seed=0, device="e1")
