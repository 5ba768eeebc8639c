"""The tracker on made-up people, whose true paths are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

APP = "attributes"


@pytest.fixture
def track(app_path: Path) -> Any:
    from tracking import Track

    return Track(confirm=3, forget_s=2.0)


def frame(number: int, people: list[tuple[float, float, int]]) -> dict[str, Any]:
    """People at (x, y) who look like kind, 40 x 100 pixels."""
    boxes = [(x - 20, y - 50, x + 20, y + 50) for x, y, _ in people]
    looks = np.eye(4, dtype=np.float16)[[kind for _, _, kind in people]]
    return {
        "frame": number,
        "time_s": number / 10,
        "people": np.array(boxes, np.float32).reshape(-1, 4),
        "features": looks.reshape(-1, 4),
    }


def test_an_id_comes_with_the_third_sighting(track: Any) -> None:
    ids = [int(track(frame(n, [(100 + 3 * n, 200, 0)]))["ids"][0]) for n in range(5)]
    assert ids == [0, 0, 1, 1, 1]


def test_people_who_cross_keep_their_ids(track: Any) -> None:
    ids = []
    for n in range(60):
        found = track(frame(n, [(100 + 4 * n, 200, 0), (340 - 4 * n, 205, 1)]))
        ids.append(found["ids"].tolist())
    assert all(pair == [1, 2] for pair in ids[2:])
    assert found["heading"] == ["right", "left"]
    assert found["speed_px_s"] == pytest.approx([40, 40], rel=0.1)


def test_somebody_who_passes_behind_a_post_keeps_the_id(track: Any) -> None:
    for n in range(10):
        track(frame(n, [(100 + 4 * n, 200, 0)]))
    for n in range(10, 22):
        assert len(track(frame(n, []))["ids"]) == 0
    assert track(frame(22, [(100 + 4 * 22, 200, 0)]))["ids"].tolist() == [1]


def test_somebody_who_comes_after_forget_s_is_new(track: Any) -> None:
    for n in range(10):
        track(frame(n, [(100, 200, 0)]))
    for n in range(10, 35):
        track(frame(n, []))
    ids = [track(frame(n, [(100, 200, 0)]))["ids"].tolist() for n in range(35, 38)]
    assert ids == [[0], [0], [2]]


def test_one_false_sighting_gets_no_id_and_uses_none_up(track: Any) -> None:
    track(frame(0, [(100, 200, 0), (500, 300, 1)]))
    ids = [track(frame(n, [(100, 200, 0)]))["ids"].tolist() for n in range(1, 5)]
    assert ids == [[0], [1], [1], [1]]


def test_a_still_person_stands_and_somebody_far_away_is_another(track: Any) -> None:
    jitter = np.random.default_rng(1).normal(0, 0.7, (20, 2))
    for n, (dx, dy) in enumerate(jitter):
        found = track(frame(n, [(100 + dx, 200 + dy, 0)]))
    assert found["heading"] == ["standing"]
    assert track(frame(20, [(500, 200, 0)]))["ids"].tolist() == [0]
