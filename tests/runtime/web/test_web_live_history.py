"""The ring of the page's numbers, and the half an hour of a big cluster in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeray.web.live.history import KEPT_S, History

KEPT_MOST_BYTES = 300e6


def test_values_come_back_second_by_second() -> None:
    history = History(kept_s=60)
    for second in range(100, 110):
        history.record(second + 0.3, {"a": float(second), "b": None})
    read = history.read(["a", "b", "never"], now_s=110.5, seconds=5, points=5)
    assert read.series == {"a": [105.0, 106.0, 107.0, 108.0, 109.0], "b": [None] * 5, "never": [None] * 5}
    assert (read.step_s, read.end_age_s) == (1, pytest.approx(0.5))


def test_long_ranges_are_means_of_steps_that_do_not_move() -> None:
    history = History(kept_s=60)
    for second in range(100, 130):
        history.record(second, {"a": float(second % 2)})
    first = history.read(["a"], now_s=130.0, seconds=20, points=5)
    assert (first.step_s, first.series["a"]) == (4, [0.5] * 5)
    history.record(130, {"a": 1.0})
    assert history.read(["a"], now_s=131.0, seconds=20, points=5).series == first.series


def test_what_was_not_measured_stays_empty_and_does_not_count() -> None:
    history = History(kept_s=60)
    history.record(100, {"a": 4.0})
    history.record(103, {"a": 8.0})
    assert history.read(["a"], now_s=104, seconds=4, points=4).series["a"] == [4.0, None, None, 8.0]
    assert history.read(["a"], now_s=104, seconds=4, points=1).series["a"] == [6.0]


def test_the_ring_forgets() -> None:
    history = History(kept_s=60)
    history.record(100, {"a": 1.0, "b": 1.0})
    history.record(159, {"b": 2.0})
    assert history.read(["a"], now_s=160.0, seconds=60, points=60).series["a"] == [1.0] + [None] * 59
    assert history.read(["b"], now_s=160.0 + 60, seconds=60, points=60).series["b"] == [None] * 60
    history.read(["b"], now_s=160.0 + 120, seconds=60, points=60)
    assert len(history) == 0


@pytest.mark.parametrize("now_s", [2000.0, 2001.5, 2005.9])
def test_all_of_it_can_be_read_wherever_steps_begin(now_s: float) -> None:
    """As the page asks: half an hour in 300 steps of six seconds, none of them cut short."""
    history = History()
    for second in range(int(now_s) + 1):
        history.record(second, {"a": float(second // 6)})
    read = history.read(["a"], now_s=now_s, seconds=KEPT_S, points=300)
    last = int(now_s) // 6 - 1
    assert (read.step_s, read.series["a"]) == (6, [float(step) for step in range(last - 299, last + 1)])


def test_a_gap_longer_than_the_ring_leaves_nothing_of_before() -> None:
    history = History(kept_s=60)
    for second in range(100, 160):
        history.record(second, {"a": 1.0})
    history.record(100_000, {"a": 3.0})
    values = history.read(["a"], now_s=100_001, seconds=60, points=60).series["a"]
    assert [value for value in values if value is not None] == [3.0]


def test_of_too_many_series_the_one_that_is_silent_longest_goes() -> None:
    history = History(kept_s=60, most_series=100)
    for number in range(150):
        history.record(100 + number / 10, {f"s{number}": 1.0})
    assert len(history) == 100
    read = history.read(["s0", "s149"], now_s=116, seconds=20, points=20).series
    assert set(read["s0"]) == {None}
    assert 1.0 in read["s149"]


def test_half_an_hour_of_ten_devices_stays_small() -> None:
    """10 devices, 20 links, 100 flows, 10 cameras at one value a second, through the server's own code."""
    made = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("live_memory.py"))],
        check=True,
        capture_output=True,
        text=True,
    )
    told = json.loads(made.stdout)
    assert (told["links"], told["flows"], told["streams"]) == (20, 100, 10)
    assert told["series"] >= 10 * 2 + 20 * 2 + 100 * 2 + 10 * 4
    assert told["filled"] == told["steps"] == 300
    assert told["peak_bytes"] < KEPT_MOST_BYTES
    # After five minutes everything is there: what comes then takes no more room.
    assert told["end_bytes"] - told["early_bytes"] < 20e6
