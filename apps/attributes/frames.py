"""The camera, and the pictures that travel between tasks: raw arrays, or JPEG as one-dimensional arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeray.assets import asset

Picture = npt.NDArray[np.uint8]  # (height, width, 3) BGR, or (bytes,) JPEG
Boxes = npt.NDArray[np.float32]  # (n, 4): left, top, right, bottom in pixels of the full frame
Item = dict[str, Any]

cv2.setNumThreads(1)  # a task is measured and placed as the work of one core


def to_jpeg(picture: Picture, quality: int) -> Picture:
    """Encode a raw picture; a JPEG stays as it is, so that nothing is encoded twice."""
    if picture.ndim == 1:
        return picture
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape} as JPEG")
    return np.asarray(data, np.uint8).reshape(-1)


def to_pixels(picture: Picture) -> Picture:
    """Decode a JPEG; a raw picture stays as it is."""
    if picture.ndim == 3:
        return picture
    pixels = cv2.imdecode(picture, cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{picture.size} bytes that are no JPEG")
    return np.asarray(pixels, np.uint8)


def cut(picture: Picture, box: npt.NDArray[np.float32], margin: float = 0.0) -> Picture:
    """Copy a box out of a raw picture, widened on each side by margin x its size.

    What lies outside the picture repeats its border, so that a crop always has the same layout.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    grow = np.array([-width, -height, width, height], np.float32) * margin
    left, top, right, bottom = np.round(box + grow).astype(int)
    columns = np.clip(np.arange(left, max(right, left + 1)), 0, picture.shape[1] - 1)
    rows = np.clip(np.arange(top, max(bottom, top + 1)), 0, picture.shape[0] - 1)
    return np.asarray(picture[rows[:, None], columns], np.uint8)


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
