"""What dispatchers learned, saved and put back; what they estimate; what is not known, comes and goes, or comes twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.bandit.ecolog import sigmoid, sigmoids
from policies.bandit.model import Dispatcher, Learning, Offer
from policies.bandit.registry import DISPATCHERS, make_dispatcher
from policies.bandit.toof import Optimal

LEARNING = ("greedy", "toof", "ecolog", "hybrid")
N, D = 3, 4


def made(name: str, helpers: int = N) -> Dispatcher:
    return make_dispatcher(name, helpers, D, np.random.default_rng(0))


def learner(name: str, helpers: int = N) -> Learning:
    found = made(name, helpers)
    assert isinstance(found, Learning)
    return found


def drawn(rng: np.random.Generator, helpers: int = N) -> Offer:
    return Offer(
        features=rng.random((helpers, D)),
        queue=5 * rng.random(helpers),
        predicted_s=0.2 + 2 * rng.random(helpers),
        transfer_s=0.1 * rng.random(helpers),
        deadline_s=1.0,
        size=0.5 + rng.random(),
    )


def taught(name: str, bits: int, seed: int = 1) -> Learning:
    dispatcher, rng = learner(name), np.random.default_rng(seed)
    for _ in range(bits):
        offer = drawn(rng)
        dispatcher.choose(offer)
        dispatcher.feedback(int(rng.integers(N)), offer, bool(rng.random() < 0.7))
    return dispatcher


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_those_that_learn_have_a_state_and_the_others_need_none() -> None:
    """Turns and draws of the others are not learned: after a restart they begin anywhere."""
    assert [name for name in DISPATCHERS if isinstance(made(name), Learning)] == list(LEARNING)


@pytest.mark.parametrize("name", LEARNING)
def test_a_state_is_whole_and_of_its_own(name: str) -> None:
    """Over JSON and back to the bit; whoever took it over leaves it alone."""
    first = taught(name, 120)
    state = json.loads(json.dumps(first.state(), allow_nan=False))
    second = learner(name)
    second.restore(state)
    assert second.state() == first.state() == state
    rng = np.random.default_rng(9)
    offer = drawn(rng)
    second.decided()
    second.feedback(1, offer, happy=False)
    assert first.state() == state != second.state()


@pytest.mark.parametrize("name", LEARNING)
def test_what_is_no_state_is_refused_and_changes_nothing(name: str) -> None:
    dispatcher = taught(name, 20)
    before = dispatcher.state()
    estimates = before["estimates"]
    wrong: list[Any] = [
        None,
        {},
        {**before, "estimates": None},
        {**before, "estimates": {key: value for key, value in estimates.items() if key != "Z"}},
        {**before, "estimates": {**estimates, "theta": 3.0}},
        {**before, "estimates": {**estimates, "theta": [["a"] * D] * N}},
        {**before, "estimates": {**estimates, "theta": [[1.0], [1.0, 2.0]]}},
        {**before, "estimates": {**estimates, "Z": estimates["Z"][:-1]}},
        {
            **before,
            "estimates": {**estimates, "inverse": np.full_like(estimates["inverse"], np.nan).tolist()},
        },
        {**before, "estimates": {**estimates, "ridge": 0.0}},
        {**before, "estimates": {**estimates, "ridge": True}},
        learner(name, N + 1).state(),
    ]
    for state in wrong:
        with pytest.raises(ValueError):
            dispatcher.restore(state)
        assert same(dispatcher.state(), before)


@pytest.mark.parametrize("name", ["toof", "ecolog", "hybrid"])
def test_a_copy_that_sees_decisions_and_bits_is_the_same_to_the_bit(name: str) -> None:
    """Decisions that were made elsewhere count by `decided`: what was learned fades with them."""
    here, rng = learner(name), np.random.default_rng(3)
    copy = learner(name)
    for number in range(200):
        offer = drawn(rng)
        here.choose(offer)
        copy.decided()
        if number % 4:
            here.feedback(number % N, offer, number % 3 > 0)
            copy.feedback(number % N, offer, number % 3 > 0)
    assert copy.state() == here.state()


@pytest.mark.parametrize("name", LEARNING)
@given(seed=st.integers(0, 10**6), helper=st.integers(0, N - 1), happy=st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_helper_learns_from_its_own_row_only(name: str, seed: int, helper: int, happy: bool) -> None:
    """So a learner elsewhere needs no more of an offer, and what is not known of others does no harm."""
    rng = np.random.default_rng(seed)
    offer, whole, part = drawn(rng), taught(name, 30), taught(name, 30)
    one = [helper] * N
    whole.feedback(helper, offer, happy)
    part.feedback(
        helper,
        replace(
            offer,
            features=np.where(np.arange(N)[:, None] == helper, offer.features, np.nan),
            queue=offer.queue[one],
            predicted_s=np.where(np.arange(N) == helper, offer.predicted_s, np.inf),
            transfer_s=offer.transfer_s[one],
        ),
        happy,
    )
    assert part.state() == whole.state()


@pytest.mark.parametrize("name", LEARNING)
def test_features_that_are_not_known_teach_nothing_of_themselves(name: str) -> None:
    """A NaN counts as 0, or as the mean: the same bit as with that value, and none that spreads."""
    rng = np.random.default_rng(5)
    offer = drawn(rng)
    unknown, known = offer.features.copy(), offer.features.copy()
    unknown[1, 2], known[1, 2] = np.nan, 0.0
    queue, mean_queue = offer.queue.copy(), offer.queue.copy()
    queue[1], mean_queue[1] = np.nan, 2.5  # queue / 5 - .5 is 0 there
    one, other = taught(name, 30), taught(name, 30)
    one.feedback(1, replace(offer, features=unknown, queue=queue), happy=True)
    other.feedback(1, replace(offer, features=known, queue=mean_queue), happy=True)
    assert one.state() == other.state()
    blank = replace(
        offer,
        features=np.full((N, D), np.nan),
        queue=np.full(N, np.nan),
        predicted_s=np.full(N, np.nan),
        transfer_s=np.full(N, np.nan),
    )
    one.feedback(0, blank, happy=False)
    json.dumps(one.state(), allow_nan=False)
    estimate = one.estimate(blank)
    assert estimate is not None and np.isfinite(estimate).all()


@pytest.mark.parametrize("name", LEARNING)
def test_who_leaves_and_joins_changes_nothing_of_those_who_stay(name: str) -> None:
    dispatcher, rng = taught(name, 60), np.random.default_rng(8)
    offer = drawn(rng)
    before = dispatcher.estimate(offer)
    assert before is not None
    dispatcher.resize([2, None, 0])
    moved = replace(
        offer,
        features=offer.features[[2, 1, 0]],
        queue=offer.queue[[2, 1, 0]],
        predicted_s=offer.predicted_s[[2, 1, 0]],
        transfer_s=offer.transfer_s[[2, 1, 0]],
    )
    after, fresh = dispatcher.estimate(moved), learner(name).estimate(moved)
    assert after is not None and fresh is not None
    assert after.tolist() == [before[2], fresh[1], before[0]]
    for _ in range(40):
        chosen = dispatcher.choose(drawn(rng))
        assert chosen is None or 0 <= chosen < N


@pytest.mark.parametrize("name", ["toof", "ecolog", "hybrid"])
def test_a_bit_that_is_learned_twice_is_not_the_same(name: str) -> None:
    """So whoever passes bits on has to see to it that each counts once."""
    once, twice = taught(name, 30), taught(name, 30)
    offer = drawn(np.random.default_rng(2))
    once.feedback(0, offer, happy=True)
    for _ in range(2):
        twice.feedback(0, offer, happy=True)
    assert once.state() != twice.state()


@pytest.mark.parametrize("name", ["toof", "ecolog", "hybrid"])
def test_estimates_come_to_what_happens(name: str) -> None:
    """One helper that is in time nine times in ten, one that is one time in ten. TOOF's reach 1/(1 + e^-1) at most."""
    rng, often = np.random.default_rng(4), (0.9, 0.1, 0.5)
    dispatcher = learner(name)
    offer = replace(drawn(rng), features=np.full((N, D), 0.5), predicted_s=np.ones(N))
    for number in range(1500):
        dispatcher.feedback(number % N, offer, bool(rng.random() < often[number % N]))
    found = dispatcher.estimate(offer)
    assert found is not None
    reach = 1 / (1 + math.exp(-1)) if name == "toof" else 1.0
    expected = np.clip(often, 1 - reach, reach)
    # 500 bits of each: 4 standard errors are 4 sqrt(.25 / 500) = .09 at most.
    assert np.abs(found - expected).max() < 0.09


def test_who_learns_nothing_estimates_nothing_and_who_knows_is_right() -> None:
    offer = drawn(np.random.default_rng(0))
    assert [made(name).estimate(offer) for name in DISPATCHERS if name not in LEARNING] == [None] * 4
    theta = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, -1.0]])
    short = replace(offer, features=offer.features / 4)
    estimate = Optimal(theta).estimate(short)
    assert estimate is not None
    assert estimate.tolist() == pytest.approx(
        [sigmoid(float(x @ t)) for x, t in zip(short.features, theta, strict=True)]
    )


@given(z=st.lists(st.floats(-800, 800), min_size=1))
def test_sigmoids_are_sigmoids(z: list[float]) -> None:
    assert sigmoids(np.array(z)).tolist() == pytest.approx([sigmoid(each) for each in z], rel=1e-14)
