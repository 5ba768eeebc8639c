"""The gallery on made-up looks, and one person against another on the real video."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pytest

from edgeray.vision.gallery import Gallery, Match

Look = npt.NDArray[np.float32]


def look(kind: int, turned: float = 0.0) -> Look:
    """A unit row; two of one kind have the cosine of the difference in their turns as similarity."""
    row = np.zeros(16, np.float32)
    row[2 * kind], row[2 * kind + 1] = np.cos(turned), np.sin(turned)
    return row


def ask(
    gallery: Gallery, features: Look, camera: str = "gate", time_s: float = 0.0, present: Collection[int] = ()
) -> Match:
    return gallery.identify(features, camera=camera, time_s=time_s, present=present)


def test_people_are_numbered_from_one_and_known_again() -> None:
    gallery = Gallery(threshold=0.7)
    assert ask(gallery, look(0)) == Match(person=1, similarity=0.0, new=True)
    assert ask(gallery, look(1)) == Match(person=2, similarity=0.0, new=True)
    again = ask(gallery, look(0, 0.3), camera="door")
    assert (again.person, again.new) == (1, False)
    assert again.similarity == pytest.approx(np.cos(0.3))
    assert len(gallery) == 2


@pytest.mark.parametrize(("similarity", "person"), [(0.71, 1), (0.69, 2)])
def test_the_threshold_decides_who_is_new(similarity: float, person: int) -> None:
    gallery = Gallery(threshold=0.7)
    ask(gallery, look(0))
    found = ask(gallery, look(0, float(np.arccos(similarity))))
    assert (found.person, found.new) == (person, person == 2)
    assert found.similarity == pytest.approx(similarity, abs=1e-6)


def test_whom_the_camera_sees_beside_cannot_be_the_answer() -> None:
    gallery = Gallery(threshold=0.7)
    ask(gallery, look(0))
    ask(gallery, look(0), present={1})
    assert ask(gallery, look(0), present={1}).person == 2
    assert ask(gallery, look(0), present={1, 2}) == Match(person=3, similarity=0.0, new=True)
    assert ask(gallery, look(0)).person == 1  # of equals, the one met first


def test_a_person_is_as_alike_as_the_nearest_look() -> None:
    gallery = Gallery(threshold=0.7)
    ask(gallery, look(0))
    ask(gallery, look(0, 0.7))
    assert ask(gallery, look(0, 1.4)).similarity == pytest.approx(np.cos(0.7))
    assert len(gallery) == 1


def test_looks_are_kept_fairly_by_camera_the_oldest_go_first() -> None:
    gallery = Gallery(threshold=-1.0, keep=3)
    turns = [("door", 0.01), ("gate", 0.02), ("gate", 0.03), ("gate", 0.04), ("gate", 0.05)]
    for camera, turn in turns:
        ask(gallery, look(0, turn), camera=camera)
    (person,) = gallery.state()["people"]
    assert person["cameras"] == ["door", "gate", "gate"]
    assert person["looks"] == pytest.approx(np.stack([look(0, turn) for turn in (0.01, 0.04, 0.05)]))


def test_who_was_not_seen_for_longest_is_forgotten_and_no_number_comes_twice() -> None:
    gallery = Gallery(threshold=0.7, most=2)
    ask(gallery, look(0), time_s=1.0)
    ask(gallery, look(1), time_s=2.0)
    ask(gallery, look(0), time_s=3.0)
    assert ask(gallery, look(2), time_s=4.0).person == 3  # now 2 is forgotten
    assert ask(gallery, look(0), time_s=5.0).person == 1
    assert ask(gallery, look(1), time_s=6.0).person == 4
    assert len(gallery) == 2


def test_a_gallery_goes_on_from_its_state() -> None:
    random = np.random.default_rng(3)
    kinds, turns = random.integers(0, 8, 120), random.uniform(0, 1.5, 120)
    stays, moves = Gallery(threshold=0.8, keep=4, most=6), Gallery(threshold=0.8, keep=4, most=6)
    answers = []
    for number, (kind, turn) in enumerate(zip(kinds, turns, strict=True)):
        features, camera = look(int(kind), float(turn)), ("gate", "door")[number % 2]
        answers.append(ask(stays, features, camera, number / 10, {number % 5}))
        if number % 9 == 4:
            moves = Gallery.of(moves.state())
        assert ask(moves, features, camera, number / 10, {number % 5}) == answers[-1]
    assert {answer.new for answer in answers} == {True, False}
    assert len(stays) == 6


def test_what_it_remembers_is_its_own() -> None:
    gallery = Gallery(threshold=0.7)
    features = look(0)
    ask(gallery, features)
    features[:] = look(1)
    assert ask(gallery, look(0)).person == 1


@pytest.mark.parametrize(("keep", "most"), [(0, 1), (1, 0)])
def test_it_must_be_able_to_keep_something(keep: int, most: int) -> None:
    with pytest.raises(ValueError, match=f"keep {keep}, most {most}; expected: at least 1"):
        Gallery(keep=keep, most=most)
