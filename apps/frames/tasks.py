"""Cameras that send bursts of pictures, and what is done with each: finding people, or a light look at its sharpness."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeray.streams.sources import SourceSpec, open_source
from edgeray.vision import people
from edgeray.vision.pictures import to_jpeg, to_pixels

Packet = dict[str, Any]


class Bursts:
    """A camera that sees nothing most of the time, and then takes some pictures in a row; JPEGs of a real video.

    Each item is `burst` pictures with probability mean / burst, else none, so that there are `mean` packets an item.
    source: an asset, a file, a URL or a device. size: width, height in pixels; None: the source's own. shift_s: where in
    a file it begins, which comes again when it ends. Raises ValueError for a mean that is no part of the burst.
    """

    def __init__(
        self,
        camera: str,
        source: str = "vtest.avi",
        mean: float = 1.0,
        burst: int = 4,
        seed: int = 0,
        size: list[int] | None = None,
        shift_s: float = 0.0,
        quality: int = 80,
    ) -> None:
        if burst < 1 or not 0 < mean <= burst:
            raise ValueError(
                f"mean {mean} and burst {burst}; expected: a burst of 1 or more, and 0 < mean <= burst"
            )
        told = {"source": source, "repeat": True, "shift_s": shift_s, "size": size}
        self._source = open_source(SourceSpec.of({name: value for name, value in told.items() if value}))
        self._camera, self._quality = camera, quality
        self._burst, self._chance = burst, mean / burst
        self._draw = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[list[Packet]]:
        shots = iter(self._source)
        while True:
            packets = []
            for _ in range(self._burst if self._draw.random() < self._chance else 0):
                shot = next(shots, None)
                if shot is None:  # a live source that has ended
                    return
                packets.append(
                    {
                        "camera": self._camera,
                        "number": shot.number,
                        "time_s": shot.time_s,
                        "image": to_jpeg(shot.picture, self._quality),
                    }
                )
            yield packets

    def close(self) -> None:
        self._source.close()


class FindPeople:
    """Finds people in a picture with SSDLite-MobileNetV2, and writes a line for each picture to people.jsonl.

    min_score: probability from which a box counts. Boxes are left, top, right, bottom in pixels of the picture.
    """

    def __init__(self, output: str, min_score: float = 0.3) -> None:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        self._find = people.Detect(min_score)
        self._file = (folder / "people.jsonl").open("a", encoding="utf-8", buffering=1)

    def __call__(self, packet: Packet) -> int:
        boxes, scores = self._find(to_pixels(packet["image"]))
        line = {
            "camera": packet["camera"],
            "number": packet["number"],
            "time_s": round(packet["time_s"], 3),
            "boxes": np.round(boxes, 1).tolist(),
            "scores": np.round(scores, 3).tolist(),
        }
        self._file.write(json.dumps(line) + "\n")
        return len(boxes)

    def close(self) -> None:
        self._file.close()


def sharpness(packet: Packet) -> float:
    """How sharp a picture is: the variance of its Laplacian. A camera that is out of focus, or covered, has little."""
    grey = cv2.cvtColor(to_pixels(packet["image"]), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
