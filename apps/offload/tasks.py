"""Views of a street, of unequal work: a glance at the whole, or a close look at each quarter of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from edgeray.streams.sources import SourceSpec, open_source
from edgeray.vision import people
from edgeray.vision.inference import suppress
from edgeray.vision.pictures import Picture, cut, to_jpeg, to_pixels

View = dict[str, Any]
"""number: of the frame. time_s: in the video. size: (width, height) of the frame. grid: it is looked at in so many rows
and columns of tiles. picture: a JPEG."""

GLANCE, LOOK = 1, 2
"""Rows and columns of tiles: 1 or 4 pictures go through the detector."""
GLANCE_WIDTH = 384
"""The detector sees 300 x 300 pixels: a glance needs no more."""
MARGIN = 0.1
"""Tiles overlap by so much of their size on each side, or people between two would be cut in halves."""


def views(video: str = "vtest.avi", close: float = 0.3, quality: int = 85, seed: int = 0) -> Iterator[View]:
    """Frames of a video, over and over. close: the part of them that is looked at closely, drawn by the seed."""
    draws = np.random.default_rng(seed)
    source = open_source(SourceSpec(source=video, repeat=True))
    try:
        for shot in source:
            height, width = shot.picture.shape[:2]
            grid = LOOK if draws.random() < close else GLANCE
            picture = shot.picture if grid == LOOK else _smaller(shot.picture, GLANCE_WIDTH)
            yield {
                "number": shot.number,
                "time_s": shot.time_s,
                "size": (width, height),
                "grid": grid,
                "picture": to_jpeg(picture, quality),
            }
    finally:
        source.close()


def tiles(view: View) -> int:
    """How much work a view is: the pictures that go through the detector."""
    return int(view["grid"]) ** 2


class FindPeople:
    """Finds the people of a view: SSDLite-MobileNetV2 on each of its tiles, whoever shows in two of them counted once.

    device, broken: on these devices it raises at once, as a helper whose driver has gone would; for experiments.
    """

    def __init__(self, min_score: float = 0.3, device: str = "", broken: Sequence[str] = ()) -> None:
        self._broken = device in broken
        self._find = people.Detect(min_score)

    def __call__(self, view: View) -> dict[str, Any]:
        """boxes: (n, 4) left, top, right, bottom in pixels of the frame. scores: (n,). The surest first."""
        if self._broken:
            raise RuntimeError("this device is broken: the job says so")
        picture = to_pixels(view["picture"])
        found = [self._in_tile(picture, tile) for tile in _tiles(picture, view["grid"])]
        boxes = np.concatenate([boxes for boxes, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        kept = suppress(boxes, scores, 0.45)
        scale = view["size"][0] / picture.shape[1]
        return {
            "number": view["number"],
            "time_s": view["time_s"],
            "boxes": boxes[kept] * np.float32(scale),
            "scores": scores[kept],
        }

    def _in_tile(self, picture: Picture, tile: Any) -> tuple[Any, Any]:
        boxes, scores = self._find(cut(picture, tile))
        return boxes + np.tile(tile[:2], 2), scores


def _tiles(picture: Picture, grid: int) -> Iterator[Any]:
    """Left, top, right, bottom of each in whole pixels, within the picture."""
    height, width = picture.shape[:2]
    margin = MARGIN if grid > 1 else 0.0
    for row in range(grid):
        for column in range(grid):
            edges = np.array([column - margin, row - margin, column + 1 + margin, row + 1 + margin])
            pixels = edges * np.array([width, height, width, height]) / grid
            yield np.clip(np.round(pixels), 0, [width, height, width, height]).astype(np.float32)


def _smaller(picture: Picture, width: int) -> Picture:
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
