"""Describe each person by numbers that stay alike while that person moves through pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgeray.vision.inference import Tensor, load
from edgeray.vision.pictures import Picture

_SIZE = (64, 128)  # width, height: what re-identification commonly uses
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # ImageNet's, RGB
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_STRIPES = 4
_BINS = (8, 3, 3)  # hue, saturation, value
_DEEP = 1280
_HALF = np.float32(np.sqrt(0.5))

LENGTH = _DEEP + _STRIPES * int(np.prod(_BINS))


class Embed:
    """MobileNetV2's 1280 features and a histogram of four stripes, each of length 1, weighted alike.

    The inner product of two people's features is the mean of the two cosines, in [0, 1] for alike pictures.
    """

    def __init__(self) -> None:
        self._session = load("mobilenetv2-features.onnx")

    def __call__(self, crops: Sequence[Picture]) -> Tensor:
        """crops: raw pictures of one person each, without a margin. Returns unit rows, (n, LENGTH); one inference."""
        if not crops:
            return np.zeros((0, LENGTH), np.float32)
        people = [cv2.resize(crop, _SIZE, interpolation=cv2.INTER_LINEAR) for crop in crops]
        deep = self._session.run(None, {"images": _batch(people)})[0]
        deep /= np.linalg.norm(deep, axis=1, keepdims=True)
        stripes = np.stack([stripe_histogram(person) for person in people])
        return np.asarray(np.concatenate([deep, stripes], axis=1) * _HALF, np.float32)


def _batch(people: Sequence[Picture]) -> Tensor:
    rgb = np.stack(people)[..., ::-1].astype(np.float32) / 255
    return np.ascontiguousarray(((rgb - _MEAN) / _DEVIATION).transpose(0, 3, 1, 2))


def stripe_histogram(person: Picture) -> Tensor:
    """Square roots of four HSV histograms, one a horizontal stripe; length 1 (Hellinger's kernel)."""
    hsv = cv2.cvtColor(person, cv2.COLOR_BGR2HSV)
    middle = hsv[:, hsv.shape[1] // 5 : hsv.shape[1] * 4 // 5]  # the sides show the background
    stripes = np.array_split(middle, _STRIPES)
    counts = [cv2.calcHist([s], [0, 1, 2], None, list(_BINS), [0, 180, 0, 256, 0, 256]) for s in stripes]
    flat = np.concatenate([count.ravel() for count in counts])
    return np.asarray(np.sqrt(flat / flat.sum()), np.float32)
