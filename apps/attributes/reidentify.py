"""Describe each person by numbers that stay alike while that person moves through the picture."""

from __future__ import annotations

import cv2
import numpy as np
from colours import band
from frames import Item, Picture, to_pixels
from inference import Tensor, load

_SIZE = (64, 128)  # width, height: what re-identification commonly uses
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # ImageNet's, RGB
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_STRIPES = 4
_BINS = (8, 3, 3)  # hue, saturation, value


class Embed:
    """MobileNetV2's 1280 features and a histogram of four stripes, each of length 1, weighted alike.

    The inner product of two people's features is the mean of the two cosines, in [0, 1] for alike pictures.
    They travel as float16: 3 KB a person.
    """

    def __init__(self) -> None:
        self._session = load("mobilenetv2-features.onnx")

    def __call__(self, item: Item) -> Item:
        people = [band(to_pixels(crop), 0, 1, 0, 1) for crop in item["crops"]]
        features = np.zeros((0, 1280 + _STRIPES * int(np.prod(_BINS))), np.float16)
        if people:
            deep = self._session.run(None, {"images": _batch(people)})[0]
            deep /= np.linalg.norm(deep, axis=1, keepdims=True)
            stripes = np.stack([stripe_histogram(person) for person in people])
            features = (np.concatenate([deep, stripes], axis=1) * np.sqrt(0.5)).astype(np.float16)
        return {**{key: item[key] for key in ("frame", "time_s", "people")}, "features": features}


def _batch(people: list[Picture]) -> Tensor:
    resized = np.stack([cv2.resize(person, _SIZE, interpolation=cv2.INTER_LINEAR) for person in people])
    rgb = resized[..., ::-1].astype(np.float32) / 255
    return np.ascontiguousarray(((rgb - _MEAN) / _DEVIATION).transpose(0, 3, 1, 2))


def stripe_histogram(person: Picture) -> Tensor:
    """Square roots of four HSV histograms, one a horizontal stripe; length 1 (Hellinger's kernel)."""
    hsv = cv2.cvtColor(cv2.resize(person, _SIZE), cv2.COLOR_BGR2HSV)
    middle = hsv[:, _SIZE[0] // 5 : _SIZE[0] * 4 // 5]  # the sides show the background
    stripes = np.array_split(middle, _STRIPES)
    counts = [cv2.calcHist([s], [0, 1, 2], None, list(_BINS), [0, 180, 0, 256, 0, 256]) for s in stripes]
    flat = np.concatenate([count.ravel() for count in counts])
    return np.asarray(np.sqrt(flat / flat.sum()), np.float32)
