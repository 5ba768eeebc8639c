"""People as bright squares that walk over a dark street: their video, and code that finds them and knows them apart."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeray.vision.pictures import Boxes, Picture

WIDTH, HEIGHT, SIDE = 128, 96, 24
COLOURS = {"red": (40, 40, 250), "green": (40, 250, 40), "blue": (250, 40, 40), "white": (250, 250, 250)}
"""Blue, green, red."""
Walk = Mapping[str, tuple[int, int, int]]
"""By colour: the first frame on which somebody is, the first on which nobody is, and the row that is walked along."""


def film(file: Path, frames: int, walk: Walk, *, per_s: float) -> Path:
    """A video of these people, who walk to the right, and stand at its edge."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), per_s, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(street(number, walk))
    writer.release()
    return file


def street(number: int, walk: Walk) -> Picture:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for colour, (first, last, row) in walk.items():
        if first <= number < last:
            column = min(10 + row // 2 + number // 4, WIDTH - SIDE)
            picture[row : row + SIDE, column : column + SIDE] = COLOURS[colour]
    return picture


def detect(picture: Picture) -> tuple[Boxes, npt.NDArray[np.float32]]:
    """What is bright is somebody."""
    bright = (picture.max(axis=2) > 128).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    found = [stats[at] for at in range(1, count) if stats[at][cv2.CC_STAT_AREA] > SIDE * SIDE / 2]
    boxes = np.array([[left, top, left + width, top + height] for left, top, width, height, _ in found])
    return boxes.reshape(-1, 4).astype(np.float32), np.ones(len(found), np.float32)


def embed(crops: Sequence[Picture]) -> npt.NDArray[np.float32]:
    """By colour: what is not bright is set aside."""
    rows = [crop[crop.max(axis=2) > 128].mean(axis=0) - 100 for crop in crops]
    found = np.array(rows, np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


Gate = threading.Event
may_detect = Gate()


def detect_at_a_gate(picture: Picture) -> tuple[Boxes, npt.NDArray[np.float32]]:
    """As detect, once it may: it is as slow as a test wants."""
    assert may_detect.wait(30)
    return detect(picture)


class Broken:
    """A detector whose code raises."""

    def __call__(self, picture: Picture) -> tuple[Boxes, npt.NDArray[np.float32]]:
        raise ValueError(f"a picture of {picture.shape[1]} columns")
