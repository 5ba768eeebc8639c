"""What is under way, and how fast: numbers by hand, and helpers whose truth is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.bandit.backlog import KEEP, Backlog


def done_in(*took_s: float, work: float = 1.0) -> Backlog:
    """A helper that did items of this work one after the other, each as soon as the one before was back."""
    backlog, now_s = Backlog(), 0.0
    for number, seconds in enumerate(took_s):
        backlog.send(number, work, now_s, 0.0)
        now_s += seconds
        backlog.back(number, now_s)
    return backlog


def test_by_hand() -> None:
    backlog = Backlog()
    assert math.isnan(backlog.rate_per_s) and backlog.left(3, 5.0) == 0
    backlog.send(1, 4.0, 0.0, 1.0)
    backlog.send(2, 2.0, 0.5, 1.0)
    assert (backlog.left(2, 0.5), backlog.left(1, 0.5), backlog.left(9, 0.5)) == (6, 2, 6)
    assert backlog.left(2, 100.0) == 6, "nobody knows yet how fast it is"
    backlog.back(1, 3.0)
    assert backlog.rate_per_s == 4 / 2, "it came at 1 and went at 3"
    assert backlog.left(1, 3.25) == 2 - 0.25 * 2
    assert backlog.left(1, 9.0) == 2 - 2 / 2, (
        "half of it at most, for that is the mean where times do not vary"
    )
    backlog.back(2, 4.5)
    assert backlog.rate_per_s == pytest.approx((KEEP * 4 + 2) / (KEEP * 2 + 1.5))
    assert backlog.left(5, 9.0) == 0


@given(
    st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=25),
    st.floats(0.1, 50),
    st.floats(0, 60),
)
def test_a_helper_of_constant_speed_is_seen_through(
    items: list[tuple[float, float, float]], rate: float, later_s: float
) -> None:
    """Its speed, and what it has left but for half of an item, after any items with any ways and any gaps."""
    backlog, now_s, free_s = Backlog(), 0.0, 0.0
    ends: list[tuple[float, int, float]] = []

    def come_back(until_s: float) -> None:
        while ends and ends[0][0] <= until_s:
            end_s, number, _ = ends.pop(0)
            backlog.back(number, end_s)

    for number, (work, gap_s, part) in enumerate(items):
        now_s += gap_s
        come_back(now_s)
        transfer_s = part * work / rate  # no more than the work takes: what is longer is doubted
        backlog.send(number, work, now_s, transfer_s)
        free_s = max(free_s, now_s + transfer_s) + work / rate
        ends.append((free_s, number, work))
    now_s += later_s
    come_back(now_s)
    if not math.isnan(backlog.rate_per_s):
        assert backlog.rate_per_s == pytest.approx(rate, rel=1e-6)
    whole = sum(work for _, _, work in ends)
    left = backlog.left(len(ends), now_s)
    if not ends:
        assert left == 0
        return
    first_end_s, _, first = ends[0]
    truly = whole - first + min(first, (first_end_s - now_s) * rate)
    assert truly - 1e-6 <= left <= whole + 1e-6
    if not math.isnan(backlog.rate_per_s):
        assert left <= truly + first / 2 + 1e-6


def test_a_small_item_counts_for_little() -> None:
    """It was done in no time, by what a quota had left; a mean of rates would have the helper three times as fast."""
    backlog = Backlog()
    backlog.send(1, 1.0, 0.0, 0.0)
    backlog.back(1, 0.1)
    backlog.send(2, 9.0, 1.0, 0.0)
    backlog.back(2, 10.0)
    assert backlog.rate_per_s == pytest.approx(1.1, rel=0.01)


def test_what_failed_says_nothing_of_speed_and_nothing_is_behind_it() -> None:
    backlog = done_in(2.0)
    backlog.send(7, 3.0, 2.0, 0.0)
    backlog.send(8, 1.0, 2.0, 0.0)
    backlog.back(7, 2.01, done=False)
    assert (backlog.rate_per_s, backlog.left(2, 2.01)) == (0.5, 1)
    backlog.back(99, 50.0)
    assert backlog.rate_per_s == 0.5, "99 is an item that it never had"
    assert backlog.left(1, 2.21) == pytest.approx(1 - 0.2 * 0.5)


def test_what_is_lost_is_gone_and_its_speed_stays() -> None:
    backlog = done_in(2.0)
    backlog.send(5, 3.0, 2.0, 0.0)
    backlog.clear()
    assert (backlog.rate_per_s, backlog.left(1, 2.5)) == (0.5, 0)


def test_where_times_vary_less_is_taken_to_be_done() -> None:
    def taken_off(*took_s: float) -> float:
        backlog = done_in(*took_s)
        backlog.send(99, 1.0, 100.0, 0.0)
        return 1.0 - backlog.left(1, 1000.0)

    alike, unlike, wild = taken_off(*[1.0] * 20), taken_off(*[0.5, 1.5] * 10), taken_off(*[0.1, 4.0] * 10)
    assert alike == 0.5
    assert unlike == pytest.approx((1 - 0.25) / 2, abs=0.05), "(1 - c^2) / 2, where c is 1 / 2"
    assert 0 <= wild < 0.15


@pytest.mark.parametrize("transfer_s", [1000.0, math.inf])
def test_a_way_that_is_faster_than_it_is_said_to_be_makes_nobody_infinitely_fast(transfer_s: float) -> None:
    backlog = Backlog()
    backlog.send(1, 3.0, 0.0, transfer_s)
    backlog.back(1, 2.0)
    assert backlog.rate_per_s == 3.0, "half of the time is taken for its way"


def test_a_way_that_is_not_known_takes_no_time() -> None:
    backlog = Backlog()
    backlog.send(1, 3.0, 0.0, math.nan)
    backlog.back(1, 2.0)
    assert backlog.rate_per_s == 1.5


def test_results_whose_times_go_back_do_no_harm() -> None:
    """Replicas tell how long ago an item was done."""
    backlog = done_in(2.0)
    backlog.send(5, 1.0, 2.0, 0.0)
    backlog.send(6, 1.0, 2.0, 0.0)
    backlog.back(5, 4.0)
    backlog.back(6, 3.5)
    assert backlog.rate_per_s == pytest.approx((KEEP**2 + KEEP + 1) / (2 * (KEEP**2 + KEEP)))


@pytest.mark.parametrize("seconds", [0.0, 5e-324, 1e-184, 1e-9])
def test_results_that_are_back_at_once_are_no_fault(seconds: float) -> None:
    """Whatever a clock says between two of them: the next one, which takes its time, counts."""
    backlog = Backlog()
    for number, now_s in enumerate((seconds, 2 * seconds, 1.0)):
        backlog.send(number, 1.0, 0.0, 0.0)
        backlog.back(number, now_s)
    assert 0 < backlog.rate_per_s < 10
    assert backlog.left(1, 2.0) == 0.0
