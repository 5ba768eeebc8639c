"""Pictures as they travel: raw arrays, or JPEG as one-dimensional arrays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]  # (height, width, 3) BGR, or (bytes,) JPEG
Boxes = npt.NDArray[np.float32]  # (n, 4): left, top, right, bottom in pixels of the full frame

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
