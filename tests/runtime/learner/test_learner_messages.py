"""Bits as plain values: what arrives is what was told, and what is none is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from learner_cases import HELPERS, feedback

from edgeray.errors import FlowError
from edgeray.learner.messages import Feedback, feedback_of, offer_of, plain_feedback, plain_offer, wrong_with
from policies.bandit.model import Offer

ANY = st.floats(width=64)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    n, d = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rows = arrays(np.float64, n, elements=ANY)
    return Offer(
        features=draw(arrays(np.float64, (n, d), elements=ANY)),
        queue=draw(rows),
        predicted_s=draw(rows),
        transfer_s=draw(rows),
        deadline_s=draw(FINITE),
        size=draw(FINITE),
        complexity=draw(FINITE),
    )


def same(one: Offer, other: Offer) -> bool:
    names = ("features", "queue", "predicted_s", "transfer_s", "deadline_s", "size", "complexity")
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in names)


@given(offer=offers())
def test_an_offer_arrives_as_it_was_also_over_json(offer: Offer) -> None:
    told = plain_offer(offer)
    assert same(offer_of(told), offer)
    assert same(offer_of(json.loads(json.dumps(told, allow_nan=False))), offer)


def test_feedback_arrives_as_it_was() -> None:
    for number in range(1, 40):
        bit = feedback(number)
        assert wrong_with(bit) is None
        found = feedback_of(json.loads(json.dumps(plain_feedback(bit), allow_nan=False)), number)
        assert same(found.offer, bit.offer)
        assert replace(found, offer=bit.offer) == bit


PLAIN = plain_feedback(feedback(1))
OFFER = PLAIN["offer"]


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {**PLAIN, "more": 1},
        {**PLAIN, "happy": 1},
        {**PLAIN, "helper": "z"},
        {**PLAIN, "helper": ["a"]},
        {**PLAIN, "helpers": list(HELPERS[:2])},
        {**PLAIN, "helpers": ["a", "a", "b"]},
        {**PLAIN, "helpers": ["a", 2, "b"]},
        {**PLAIN, "helpers": None},
        {**PLAIN, "decisions": -1},
        {**PLAIN, "decisions": True},
        {**PLAIN, "decisions": 10**9},
        {**PLAIN, "offer": [OFFER]},
        {**PLAIN, "offer": {**OFFER, "features": []}},
        {**PLAIN, "offer": {**OFFER, "features": [[], [], []]}},
        {**PLAIN, "offer": {**OFFER, "features": [[1.0], [1.0, 2.0], [1.0]]}},
        {**PLAIN, "offer": {**OFFER, "features": [[1.0], [[1.0]], [1.0]]}},
        {**PLAIN, "offer": {**OFFER, "features": [[1.0], ["nan"], [1.0]]}},
        {**PLAIN, "offer": {**OFFER, "queue": [1.0, 2.0]}},
        {**PLAIN, "offer": {**OFFER, "queue": [1.0, 2.0, True]}},
        {**PLAIN, "offer": {**OFFER, "queue": [1.0, 2.0, {}]}},
        {**PLAIN, "offer": {**OFFER, "queue": "123"}},
        {**PLAIN, "offer": {**OFFER, "deadline_s": None}},
        {**PLAIN, "offer": {**OFFER, "deadline_s": float("inf")}},
        {**PLAIN, "offer": {**OFFER, "size": "1"}},
        {**PLAIN, "offer": {key: value for key, value in OFFER.items() if key != "size"}},
    ],
)
def test_what_is_no_feedback_is_refused(wrong: Any) -> None:
    with pytest.raises(FlowError, match=r"feedback 7|offer"):
        feedback_of(wrong, 7)


def _with_offer(**changes: Any) -> Feedback:
    bit = feedback(1)
    return replace(bit, offer=replace(bit.offer, **changes))


@pytest.mark.parametrize(
    ("bit", "what"),
    [
        (replace(feedback(1), number=0), "number"),
        (replace(feedback(1), decisions=-1), "decisions"),
        (replace(feedback(1), helpers=()), "no row"),
        (replace(feedback(1), helpers=("a", "a", "b")), "names"),
        (replace(feedback(1), helper="z"), "no row"),
        (_with_offer(features=np.ones(3)), "features"),
        (_with_offer(features=np.ones((3, 0))), "features"),
        (_with_offer(features=np.ones((3, 2), dtype=int)), "features"),
        (_with_offer(queue=np.ones(2)), "queue"),
        (_with_offer(deadline_s=float("nan")), "deadline_s"),
        (_with_offer(size=float("inf")), "size"),
    ],
)
def test_what_no_learner_would_take_is_found_where_it_is_told(bit: Feedback, what: str) -> None:
    assert what in str(wrong_with(bit))
    if bit.offer.features.ndim == 2 and bit.number:
        with pytest.raises((FlowError, ValueError)):
            feedback_of({**plain_feedback(bit), "offer": plain_offer(bit.offer)}, 1)
