"""The app of frames: bursts of real pictures, and work on each of them."""

from __future__ import annotations

import importlib.util
import json
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "apps" / "frames" / "tasks.py"
MARKS = Path(__file__).parents[2] / "oracles" / "vtest-people.json"


def overlap(one: list[float], other: list[float]) -> float:
    """Of two boxes: intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    """Under a name of its own: other apps have a module of this name, too."""
    spec = importlib.util.spec_from_file_location("frames_app_tasks", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bursts_are_drawn_and_pictures_go_on(tasks: ModuleType) -> None:
    camera = tasks.Bursts("gate", mean=1.0, burst=4, seed=1, size=[192, 144])
    items = list(islice(camera, 60))
    assert {len(item) for item in items} == {0, 4}
    packets = [packet for item in items for packet in item]
    assert [packet["number"] for packet in packets] == list(range(len(packets)))
    assert 20 < len(packets) < 120, "60 on average"
    assert {packet["camera"] for packet in packets} == {"gate"}
    again = list(islice(tasks.Bursts("gate", mean=1.0, burst=4, seed=1, size=[192, 144]), 60))
    assert [len(item) for item in again] == [len(item) for item in items], "the same seed draws the same"
    assert tasks.to_pixels(packets[0]["image"]).shape == (144, 192, 3)
    camera.close()


def test_people_are_found_and_written(tasks: ModuleType, tmp_path: Path) -> None:
    """On the first picture three are marked by hand: each box found is around one of them, and no two are the same."""
    (packets,) = islice(tasks.Bursts("gate", mean=2, burst=2), 1)
    work = tasks.FindPeople(str(tmp_path / "results"))
    found = [work(packet) for packet in packets]
    work.close()
    lines = [json.loads(line) for line in (tmp_path / "results" / "people.jsonl").read_text().splitlines()]
    assert [(line["camera"], line["number"], len(line["boxes"])) for line in lines] == [
        ("gate", number, count) for number, count in enumerate(found)
    ]
    marked = [mark["box"] for mark in json.loads(MARKS.read_text())["frames"]["0"]]
    seen = [
        number for box in lines[0]["boxes"] for number, mark in enumerate(marked) if overlap(box, mark) > 0.4
    ]
    assert len(seen) == len(set(seen)) == len(lines[0]["boxes"]) >= 2


def test_a_covered_camera_is_less_sharp(tasks: ModuleType) -> None:
    (packets,) = islice(tasks.Bursts("gate", mean=1, burst=1), 1)
    blurred = tasks.cv2.GaussianBlur(tasks.to_pixels(packets[0]["image"]), (0, 0), 5)
    assert tasks.sharpness(packets[0]) > 10 * tasks.sharpness({"image": blurred})


def test_a_mean_beyond_the_burst_is_refused(tasks: ModuleType) -> None:
    with pytest.raises(ValueError, match="mean 5 and burst 4"):
        tasks.Bursts("gate", mean=5, burst=4)
