"""The tracker on made-up people, whose true paths are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgeray.vision.motion import Motion
from edgeray.vision.tracking import Track, Tracker, cheapest_pairs, distances, height_ratios, reach

Person = tuple[float, float]


def see(
    tracker: Tracker,
    number: int,
    people: Sequence[Person],
    scores: Sequence[float] | None = None,
    rate: float = 10,
) -> tuple[Track, ...]:
    """People at (x, y), 40 x 100 pixels, in picture number."""
    boxes = np.array([(x - 20, y - 50, x + 20, y + 50) for x, y in people], np.float32).reshape(-1, 4)
    given = np.full(len(people), 0.9, np.float32) if scores is None else np.array(scores, np.float32)
    return tracker.update(boxes, given, number / rate)


def ids(tracks: Sequence[Track]) -> list[int]:
    return [track.id for track in tracks]


def test_an_id_comes_with_the_third_sighting_and_is_said_to_be_new_once() -> None:
    tracker = Tracker()
    found = [see(tracker, n, [(100 + 3 * n, 200)])[0] for n in range(6)]
    assert ids(found) == [0, 0, 1, 1, 1, 1]
    assert [track.first for track in found] == [False, False, True, False, False, False]
    assert found[4].box == (92.0, 150.0, 132.0, 250.0)
    assert found[4].score == pytest.approx(0.9)


def test_confirm_says_how_many_sightings() -> None:
    tracker = Tracker(confirm=1)
    assert see(tracker, 0, [(100, 200)])[0].first


@pytest.mark.parametrize("rate", [10, 3])
def test_people_who_cross_keep_their_ids(rate: float) -> None:
    tracker = Tracker()
    step = 40 / rate
    found = [
        see(tracker, n, [(100 + step * n, 200), (340 - step * n, 230)], rate=rate)
        for n in range(round(6 * rate))
    ]
    assert [ids(tracks) for tracks in found[2:]] == [[1, 2]] * (len(found) - 2)


def test_tracks_come_in_the_order_of_the_boxes() -> None:
    tracker = Tracker(confirm=1)
    assert ids(see(tracker, 0, [(100, 200), (400, 200)])) == [1, 2]
    assert ids(see(tracker, 1, [(400, 200), (100, 200)])) == [2, 1]


def test_somebody_behind_a_post_keeps_the_id_until_forget_s() -> None:
    tracker = Tracker(forget_s=2.0)
    for n in range(10):
        see(tracker, n, [(100 + 4 * n, 200)])
    for n in range(10, 22):
        assert see(tracker, n, []) == ()
    assert ids(see(tracker, 22, [(100 + 4 * 22, 200)])) == [1]
    for n in range(23, 46):
        see(tracker, n, [])
    found = [see(tracker, n, [(280, 200)])[0] for n in range(46, 49)]
    assert ids(found) == [0, 0, 2]


def test_one_false_sighting_gets_no_id_and_uses_none_up() -> None:
    tracker = Tracker()
    see(tracker, 0, [(100, 200), (500, 300)])
    assert [ids(see(tracker, n, [(100, 200)])) for n in range(1, 4)] == [[0], [1], [1]]
    assert len(tracker.state()["people"]) == 1


def test_a_box_of_low_score_goes_on_with_a_track_but_begins_none() -> None:
    tracker = Tracker(start_score=0.3)
    for n in range(3):
        see(tracker, n, [(100, 200)])
    assert ids(see(tracker, 3, [(100, 200), (500, 200)], scores=[0.15, 0.15])) == [1]
    assert [ids(see(tracker, n, [(500, 200)], scores=[0.15])) for n in range(4, 9)] == [[]] * 5


def test_a_sure_box_is_chosen_before_a_weak_one() -> None:
    tracker = Tracker(confirm=1)
    see(tracker, 0, [(100, 200)])
    (track,) = see(tracker, 1, [(100, 200), (110, 200)], scores=[0.2, 0.9])
    assert track.id == 1
    assert track.score == pytest.approx(0.9)


def test_nobody_jumps_across_the_picture_or_doubles_in_height() -> None:
    tracker = Tracker(confirm=1)
    see(tracker, 0, [(100, 200)])
    assert ids(see(tracker, 1, [(500, 200)])) == [2]
    double = np.array([[60, 100, 140, 300]], np.float32)
    assert ids(tracker.update(double, np.array([0.9], np.float32), 0.2)) == [3]


def street(seed: int, pictures: int = 80) -> list[tuple[Any, Any]]:
    """Boxes and scores of people who walk at random, some of whom are not found in some pictures."""
    random = np.random.default_rng(seed)
    places = random.uniform((50, 100), (700, 500), (6, 2))
    speeds = random.uniform(-8, 8, (6, 2))
    shown = []
    for _ in range(pictures):
        places = places + speeds
        centres = (places + random.normal(0, 2, places.shape))[random.random(6) < 0.8]
        half = np.array([18, 45]) + random.normal(0, 1, (len(centres), 2))
        boxes = np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)
        shown.append((boxes, random.uniform(0.1, 1, len(boxes)).astype(np.float32)))
    return shown


@pytest.mark.parametrize("seed", range(4))
def test_a_tracker_that_moves_goes_on_to_the_bit(seed: int) -> None:
    shown = street(seed)
    stays, moves = Tracker(), Tracker()
    for number, (boxes, scores) in enumerate(shown):
        expected = stays.update(boxes, scores, number / 10)
        if number % 7 == 3:  # as JSON, since it travels as plain data
            moves = Tracker.of(json.loads(json.dumps(moves.state())))
        assert moves.update(boxes, scores, number / 10) == expected
    assert moves.state() == stays.state()
    assert stays.state()["ids"] > 3


def test_a_state_keeps_what_the_tracker_was_told() -> None:
    told = Tracker(confirm=1, forget_s=0.05, max_cost=0.5, start_score=0.6).state()
    tracker = Tracker.of(told)
    assert tracker.state() == told
    assert ids(see(tracker, 0, [(100, 200)])) == [1]
    assert see(tracker, 1, [(400, 200)], scores=[0.5]) == ()
    assert ids(see(tracker, 2, [(100, 200)])) == [2]


@pytest.mark.parametrize(("max_cost", "ids_then"), [(0.9, [1]), (0.2, [2])])
def test_max_cost_says_how_far_from_the_prediction_a_box_may_be(max_cost: float, ids_then: list[int]) -> None:
    tracker = Tracker(confirm=1, max_cost=max_cost)
    see(tracker, 0, [(100, 200)])
    assert ids(see(tracker, 1, [(120, 200)])) == ids_then


def test_motion_learns_a_speed_and_predicts_with_it() -> None:
    box = np.array([80, 150, 120, 250], np.float32)
    motion = Motion(box, 0.0)
    for n in range(1, 30):
        motion.predict(n / 10)
        motion.correct(box + np.array([4, -2, 4, -2], np.float32) * n)
    assert motion.velocity == pytest.approx([40, -20], rel=0.05)
    motion.predict(3.9)
    assert motion.box == pytest.approx([80 + 156, 150 - 78, 120 + 156, 250 - 78], abs=3)
    assert motion.time_s == 3.9


def test_pairs_of_boxes_are_measured_by_hand() -> None:
    first = np.array([[0, 0, 10, 20]], np.float32)
    second = np.array([[30, 40, 40, 60], [0, 0, 10, 10]], np.float32)
    assert distances(first, second).tolist() == [[50, 5]]
    assert height_ratios(first, second).tolist() == [[1, 2]]
    assert reach(second, np.array([0, 0.5, 9], np.float32)).tolist() == [[10, 5], [20, 10], [30, 15]]


def test_the_cheapest_pairs_are_cheap_together_and_none_too_dear() -> None:
    cost = np.array([[0.1, 0.2], [0.15, 0.8]], np.float32)
    assert cheapest_pairs(cost, 0.9) == [(0, 1), (1, 0)]
    assert cheapest_pairs(cost, 0.16) == [(1, 0)]
