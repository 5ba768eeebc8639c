"""Offers from telemetry: numbers by hand, features in their range, and what is not known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.bandit.offers import FEATURES, Helpers, Item, Usual, make_offer, sent_since, unseen


def helpers(**changes: list[float]) -> Helpers:
    told = {
        "queue": [2.0, 0.0],
        "rate_per_s": [4.0, 8.0],
        "unseen": [1.0, 0.0],
        "cpus": [1.0, 2.0],
        "bps": [1e6, 2e6],
        "work": [math.nan, math.nan],
    }
    return Helpers(**{name: np.array(value) for name, value in {**told, **changes}.items()})


ITEM = Item(size_bytes=25_000, complexity=3.0, deadline_s=2.0)
USUAL = Usual(items=10, size_bytes=50_000, complexity=2.0)


def test_by_hand() -> None:
    offer = make_offer(helpers(), ITEM, USUAL)
    assert offer.queue.tolist() == [3, 0]
    assert offer.transfer_s.tolist() == [0.2, 0.1]
    assert offer.predicted_s.tolist() == pytest.approx([(3 * 2 + 3) / 4 + 0.2, 3 / 8 + 0.1])
    assert (offer.size, offer.complexity, offer.deadline_s) == (0.5, 1.5, 2.0)
    expected = [[3 / 8, 0.5, 1 / 3, 0.6, 0.5], [0, 1, 1 / 3, 0.6, 1]]
    assert offer.features * math.sqrt(5) == pytest.approx(np.array(expected))


def test_work_that_is_known_goes_before_items_that_are_counted() -> None:
    offer = make_offer(helpers(work=[1.5, math.nan], queue=[2.0, 4.0]), ITEM, USUAL)
    assert offer.queue.tolist() == [3, 4]
    assert offer.predicted_s.tolist() == pytest.approx([(1.5 + 3) / 4 + 0.2, (4 * 2 + 3) / 8 + 0.1])
    known = make_offer(helpers(work=[1.5, 0.0]), ITEM, USUAL)
    assert (known.features == make_offer(helpers(), ITEM, USUAL).features).all(), "TOOF's are the paper's"


def test_a_rate_that_nobody_told_is_guessed_by_processors() -> None:
    offer = make_offer(helpers(rate_per_s=[4.0, math.nan]), ITEM, USUAL)
    assert offer.predicted_s[1] == pytest.approx(3 / 8 + 0.1)
    without = make_offer(helpers(rate_per_s=[4.0, math.nan], cpus=[math.nan, math.nan]), ITEM, USUAL)
    assert np.isnan(without.predicted_s).tolist() == [False, True]


def test_while_nobody_told_a_rate_the_least_busy_for_its_processors_is_taken_to_be_in_time() -> None:
    unknown = [math.nan, math.nan]
    offer = make_offer(helpers(rate_per_s=unknown, queue=[1.0, 4.0], unseen=[0.0, 0.0]), ITEM, USUAL)
    work = np.array([1.0, 4.0]) * USUAL.complexity + ITEM.complexity
    took_s = offer.predicted_s - offer.transfer_s
    assert took_s.min() == pytest.approx(ITEM.deadline_s / 2)
    assert took_s[1] / took_s[0] == pytest.approx(
        work[1] / 2 / work[0]
    )  # it has two processors, the other one
    for nothing in (helpers(rate_per_s=unknown, cpus=unknown), helpers(rate_per_s=unknown, queue=unknown)):
        blind = make_offer(nothing, ITEM, USUAL)
        assert np.isnan(blind.predicted_s).all() and np.isnan(blind.features[:, 1]).all()


def test_queues_that_are_not_known_stay_unknown_and_none_is_below_0() -> None:
    offer = make_offer(helpers(queue=[math.nan, 1.0], unseen=[3.0, -4.0]), ITEM, USUAL)
    assert math.isnan(offer.queue[0]) and math.isnan(offer.predicted_s[0])
    assert offer.queue[1] == 0


numbers = st.one_of(st.floats(0, 1e12), st.just(math.nan), st.just(math.inf))


@given(
    rows=st.lists(st.tuples(*[numbers] * 6), min_size=1, max_size=6),
    size=st.floats(0, 1e9),
    complexity=st.floats(0, 1e9),
)
def test_features_are_unknown_or_at_most_1_long(
    rows: list[tuple[float, ...]], size: float, complexity: float
) -> None:
    columns = np.array(rows).T
    item = Item(size_bytes=size, complexity=complexity, deadline_s=1.0)
    known = Helpers(
        queue=columns[0],
        rate_per_s=columns[1],
        unseen=columns[2],
        cpus=columns[3],
        bps=columns[4],
        work=columns[5],
    )
    x = make_offer(known, item, Usual().after(item)).features
    assert x.shape == (len(rows), FEATURES)
    there = x[~np.isnan(x)]
    assert (there >= 0).all() and (there <= 1 / math.sqrt(FEATURES) + 1e-12).all()


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=30))
def test_the_usual_item_is_the_mean(items: list[tuple[float, float]]) -> None:
    usual = Usual()
    for size, complexity in items:
        usual = usual.after(Item(size_bytes=size, complexity=complexity, deadline_s=1.0))
    assert usual.items == len(items)
    assert usual.size_bytes == pytest.approx(sum(size for size, _ in items) / len(items), abs=1e-6)
    assert usual.complexity == pytest.approx(sum(c for _, c in items) / len(items), abs=1e-6)


def test_what_was_sent_since_and_what_came_back() -> None:
    sent = [1.0, 2.0, 3.0, 3.0, 4.0]
    assert [sent_since(sent, at_s) for at_s in (0.5, 1.0, 2.5, 3.0, 9.0)] == [5, 4, 3, 1, 0]
    assert sent_since([], 0.0) == 0
    # At 2.5 two were there; since then three were sent and three came back.
    assert unseen(sent, [2.6, 3.1, 3.9], 2.5) == 0
    assert unseen(sent, [2.6, 3.1, 3.9], 3.5) == 0
