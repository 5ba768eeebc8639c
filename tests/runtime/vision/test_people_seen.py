"""Detector, appearance and pictures on the real video and on made-up boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgeray.streams.sources import SourceSpec, open_source
from edgeray.vision.appearance import LENGTH, Embed, stripe_histogram
from edgeray.vision.inference import iou, suppress
from edgeray.vision.people import Detect, ssd_anchors
from edgeray.vision.pictures import Picture, cut, to_jpeg, to_pixels

B = (501, 157, 530, 233)  # as tests/oracles/vtest-people.json has them, frames 0 and 300
C = (254, 220, 283, 308)


@pytest.fixture(scope="module")
def street() -> Picture:
    (shot,) = open_source(SourceSpec(source="vtest.avi", frames=1))
    return shot.picture


@pytest.fixture(scope="module")
def detect() -> Detect:
    return Detect(min_score=0.3)


@pytest.fixture(scope="module")
def embed() -> Embed:
    return Embed()


def array(*boxes: tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_people_are_boxes_in_the_pictures_pixels_the_surest_first(street: Picture, detect: Detect) -> None:
    boxes, scores = detect(street)
    assert boxes.dtype == scores.dtype == np.float32
    assert boxes.shape == (len(scores), 4)
    assert (np.diff(scores) <= 0).all()
    assert scores.min() >= 0.3
    assert (iou(array(B, C), boxes).max(axis=1) > 0.5).all()
    assert (np.triu(iou(boxes, boxes), 1) <= 0.45).all()


def test_boxes_go_with_the_pictures_size(street: Picture, detect: Detect) -> None:
    half = np.ascontiguousarray(street[::2, ::2])
    boxes, _ = detect(half)
    assert (iou(array(B, C) / np.float32(2), boxes).max(axis=1) > 0.45).all()


def test_a_lower_score_only_adds_boxes(street: Picture, detect: Detect) -> None:
    sure, _ = detect(street)
    more, _ = Detect(min_score=0.1)(street)
    assert len(more) > len(sure)
    assert more[: len(sure)] == pytest.approx(sure)


def test_nobody_is_on_an_empty_lawn(street: Picture, detect: Detect) -> None:
    boxes, scores = detect(np.ascontiguousarray(street[330:450, 20:140]))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_anchors_are_as_many_and_as_large_as_the_network_has_them() -> None:
    anchors = ssd_anchors()
    assert anchors.shape == (1917, 4)
    assert anchors[0] == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert anchors[-1] == pytest.approx([0.5, 0.5, np.sqrt(0.95), np.sqrt(0.95)])


def test_features_are_unit_rows_the_same_in_a_batch_as_alone(street: Picture, embed: Embed) -> None:
    crops = [cut(street, np.array(box, np.float32)) for box in (B, C)]
    together = embed(crops)
    assert together.shape == (2, LENGTH)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert together == pytest.approx(np.concatenate([embed([crop]) for crop in crops]), abs=1e-4)
    assert embed([]).shape == (0, LENGTH)


def test_somebody_looks_more_like_himself_mirrored_than_like_another(street: Picture, embed: Embed) -> None:
    first, second = (cut(street, np.array(box, np.float32)) for box in (B, C))
    looks = embed([first, np.ascontiguousarray(first[:, ::-1]), second])
    assert looks[0] @ looks[1] > 0.85
    assert looks[0] @ looks[2] < 0.75


def test_stripes_tell_a_red_coat_over_black_from_the_reverse() -> None:
    person = np.zeros((128, 64, 3), np.uint8)
    person[:64] = (20, 20, 200)
    upside_down = np.ascontiguousarray(person[::-1])
    first, second = stripe_histogram(person), stripe_histogram(upside_down)
    assert first @ first == pytest.approx(1)
    assert first @ second == 0


def test_overlap_and_suppression_by_hand() -> None:
    boxes = array((0, 0, 10, 10), (5, 0, 15, 10), (20, 0, 30, 10), (0, 0, 10, 9))
    assert iou(boxes[:1], boxes).tolist() == [[1, pytest.approx(1 / 3), 0, pytest.approx(0.9)]]
    scores = np.array([0.5, 0.4, 0.3, 0.9], np.float32)
    assert suppress(boxes, scores, 0.5).tolist() == [3, 1, 2]
    assert suppress(boxes, scores, 0.2).tolist() == [3, 2]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_a_crop_repeats_the_border_and_has_the_margin() -> None:
    picture = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    assert (cut(picture, np.array([1, 2, 4, 5], np.float32)) == picture[2:5, 1:4]).all()
    over = cut(picture, np.array([-2, 0, 2, 2], np.float32))
    assert (over[:, :3] == picture[:2, :1]).all()
    assert cut(picture, np.array([2, 2, 4, 4], np.float32), 0.5).shape == (4, 4, 3)
    assert cut(picture, np.array([2, 2, 2, 2], np.float32)).shape == (1, 1, 3)


def test_pictures_become_jpeg_once_and_come_back(street: Picture) -> None:
    packed = to_jpeg(street, 90)
    assert packed.ndim == 1
    assert len(packed) < street.size / 8
    assert to_jpeg(packed, 10) is packed
    back = to_pixels(packed)
    assert np.abs(back.astype(int) - street).mean() < 4
    assert to_pixels(street) is street
    with pytest.raises(ValueError, match="3 bytes that are no JPEG"):
        to_pixels(np.array([1, 2, 3], np.uint8))
