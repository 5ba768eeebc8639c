"""The camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from edgeray.assets import asset
from edgeray.vision.pictures import to_jpeg

Item = dict[str, Any]


class Camera:
    """Plays a video as a camera would, from the start again when it ends, until so many frames are out.

    video: the name of an asset, or a path or URL that OpenCV opens. encoding: "raw" or "jpeg".
    """

    def __init__(self, video: str, frames: int, encoding: str = "raw", quality: int = 80) -> None:
        if encoding not in ("raw", "jpeg"):
            raise ValueError(f'encoding {encoding!r}; expected "raw" or "jpeg"')
        own = "://" in video or Path(video).exists()
        self._video = video if own else str(asset(video))
        self._frames = frames
        self._quality = quality if encoding == "jpeg" else None

    def __call__(self) -> Iterator[Item]:
        number = 0
        while number < self._frames:
            video = cv2.VideoCapture(self._video)
            frames_per_s = video.get(cv2.CAP_PROP_FPS) or 10.0
            first = number
            try:
                while number < self._frames:
                    more, picture = video.read()
                    if not more:
                        break
                    image = picture if self._quality is None else to_jpeg(picture, self._quality)
                    yield {"frame": number, "time_s": number / frames_per_s, "image": image}
                    number += 1
            finally:
                video.release()
            if number == first:
                raise ValueError(f"{self._video} holds no frame that OpenCV can read")
