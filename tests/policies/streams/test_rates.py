"""Frame rates that are fair: what holds for every instance, and the same found by linear programs one after the other."""

from __future__ import annotations

from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from policies.streams.rates import busiest, frame_rates

Floats = npt.NDArray[np.float64]
CLOSE = 1e-6


@st.composite
def instances(draw: st.DrawFn, most_streams: int = 7) -> tuple[Floats, Floats]:
    """Seconds of each resource, with ties and with nothing; caps, some of them infinite."""
    streams, resources = draw(st.integers(1, most_streams)), draw(st.integers(1, 5))
    seconds = st.sampled_from([0.0, 0.0, 0.05, 0.1, 0.1, 0.25, 1.0]) | st.floats(0.001, 2)
    rows = draw(
        st.lists(
            st.lists(seconds, min_size=resources, max_size=resources), min_size=streams, max_size=streams
        )
    )
    caps = st.sampled_from([np.inf, np.inf, 1.0, 5.0, 15.0]) | st.floats(0.01, 40)
    return np.array(rows), np.array(draw(st.lists(caps, min_size=streams, max_size=streams)))


def finite(rates: Floats) -> Floats:
    return np.where(np.isfinite(rates), rates, 0.0)


@given(instances())
@settings(deadline=None)
def test_no_resource_and_no_camera_gives_more_than_it_has(instance: tuple[Floats, Floats]) -> None:
    usage, most = instance
    rates = frame_rates(usage, most)
    assert (finite(rates) @ usage <= 1 + CLOSE).all()
    assert (rates <= most * (1 + CLOSE)).all()
    needless = (usage == 0).all(axis=1) & np.isinf(most)
    assert (np.isinf(rates) == needless).all(), (
        "only who needs nothing and has no rate of its own has no bounds"
    )
    assert (rates > 0).all(), "nobody starves"


@given(instances())
@settings(deadline=None)
def test_nobody_can_have_more_unless_one_that_is_no_faster_has_less(instance: tuple[Floats, Floats]) -> None:
    """Whoever is below its camera's rate uses something that is full, and is among the fastest of those who use it."""
    usage, most = instance
    rates = frame_rates(usage, most)
    full = finite(rates) @ usage >= 1 - CLOSE
    for stream in np.flatnonzero(np.isfinite(rates) & (rates < most * (1 - CLOSE))).tolist():
        binding = np.flatnonzero(full & (usage[stream] > 0)).tolist()
        assert any(rates[usage[:, r] > 0].max() <= rates[stream] * (1 + CLOSE) for r in binding)


@given(instances(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_streams_and_resources_does_not_matter(
    instance: tuple[Floats, Floats], random: Random
) -> None:
    usage, most = instance
    streams, resources = list(range(usage.shape[0])), list(range(usage.shape[1]))
    random.shuffle(streams)
    random.shuffle(resources)
    shuffled = frame_rates(usage[streams][:, resources], most[streams])
    assert shuffled == pytest.approx(frame_rates(usage, most)[streams], rel=CLOSE)


@given(instances())
@settings(deadline=None)
def test_what_goes_in_is_left_as_it_was(instance: tuple[Floats, Floats]) -> None:
    usage, most = instance
    before = usage.copy(), most.copy()
    frame_rates(usage, most)
    assert (usage == before[0]).all() and (most == before[1]).all()


@given(instances(most_streams=5))
@settings(deadline=None, max_examples=60)
def test_linear_programs_find_the_same(instance: tuple[Floats, Floats]) -> None:
    usage, most = instance
    rates = frame_rates(usage, most)
    assert rates == pytest.approx(by_programs(usage, most), rel=1e-5, abs=1e-7)


def by_programs(usage: Floats, most: Floats) -> Floats:
    """Raise the least of the rates as far as it goes, fix those that cannot have more, and again with the others."""
    streams = len(usage)
    rates, open_ = np.zeros(streams), np.ones(streams, dtype=bool)
    for stream in np.flatnonzero((usage == 0).all(axis=1)).tolist():
        rates[stream], open_[stream] = most[stream], False
    while open_.any():
        level = _most_of(usage, most, rates, open_, None)
        stuck = [
            s
            for s in np.flatnonzero(open_).tolist()
            if _most_of(usage, most, rates, open_, s, level) < level * (1 + 1e-7) + 1e-9
        ]
        assert stuck
        rates[stuck], open_[stuck] = level, False
    return rates


def _most_of(
    usage: Floats,
    most: Floats,
    fixed: Floats,
    open_: npt.NDArray[np.bool_],
    of: int | None,
    level: float = 0.0,
) -> float:
    """The most that one open stream can have while all others have this level; of None: the highest level for all."""
    streams = len(usage)
    goal = np.zeros(streams + 1)
    goal[streams if of is None else of] = -1
    rows, bounds = [np.append(column, 0.0) for column in usage.T], [1.0] * usage.shape[1]
    for stream in np.flatnonzero(open_).tolist() if of is None else ():
        above = np.zeros(streams + 1)
        above[streams], above[stream] = 1, -1
        rows.append(above)
        bounds.append(0.0)
    each = [
        (level, None if np.isinf(most[s]) else max(most[s], level)) if open_[s] else (finite(fixed)[s],) * 2
        for s in range(streams)
    ]
    found = linprog(goal, A_ub=np.array(rows), b_ub=np.array(bounds) + 1e-12, bounds=[*each, (0, None)])
    assert found.status == 0, found.message
    return float(-found.fun)


def test_by_hand_one_processor_and_a_slow_camera() -> None:
    """Three streams of 0.1 s on one processor: 10 / 3 each, unless one camera gives 2 only; then the others have 4."""
    usage = np.full((3, 1), 0.1)
    assert frame_rates(usage, np.full(3, np.inf)) == pytest.approx(np.full(3, 10 / 3))
    assert frame_rates(usage, np.array([2.0, np.inf, np.inf])) == pytest.approx([2, 4, 4])
    assert frame_rates(usage, np.array([2.0, 3.0, 50.0])) == pytest.approx([2, 3, 5])


def test_by_hand_two_processors() -> None:
    """a and b share one until it is full at 4 each; c goes on over what b leaves of the other: (1 - 0.4) / 0.1."""
    usage = np.array([[0.05, 0.0], [0.2, 0.1], [0.0, 0.1]])
    assert frame_rates(usage, np.full(3, np.inf)) == pytest.approx([4, 4, 6])


def test_no_streams_have_no_rates() -> None:
    assert frame_rates(np.zeros((0, 3)), np.zeros(0)).tolist() == []
    assert busiest(np.zeros((0, 3)), np.zeros(0)) is None


def test_the_busiest_is_what_is_used_most() -> None:
    usage = np.array([[0.1, 0.3, 0.0], [0.2, 0.0, 0.0]])
    assert busiest(usage, np.array([1.0, 1.0])) == 0, "0.3 s each a second: the first of them"
    assert busiest(usage, np.array([2.0, 0.5])) == 1
    assert busiest(usage, np.array([np.inf, 1.0])) == 0, "who has no bounds needs nothing"
    assert busiest(np.zeros((2, 3)), np.array([1.0, 1.0])) is None
