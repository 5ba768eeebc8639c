"""Name the colour of clothes, ground and vehicles from their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from frames import Item
from people import MARGIN

from edgeray.vision.pictures import Picture, to_pixels

NAMES = (
    "black",
    "grey",
    "white",
    "brown",
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
)

# Hue in OpenCV's half degrees: each name up to its bound; the circle closes with red.
_HUE_BOUNDS = ((7, "red"), (20, "orange"), (33, "yellow"), (83, "green"), (100, "cyan"), (128, "blue"))
_HUE_BOUNDS_END = ((148, "purple"), (171, "pink"), (180, "red"))


def _hue_table() -> npt.NDArray[np.intp]:
    table = np.empty(180, np.intp)
    start = 0
    for bound, name in (*_HUE_BOUNDS, *_HUE_BOUNDS_END):
        table[start:bound] = NAMES.index(name)
        start = bound
    return table


_HUES = _hue_table()


def name_pixels(pixels: Picture) -> npt.NDArray[np.intp]:
    """The index in NAMES of each pixel's colour, by fixed bounds in HSV; dark orange and red are brown."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    hue, saturation, value = hsv[..., 0], hsv[..., 1].astype(int), hsv[..., 2].astype(int)
    named: npt.NDArray[np.intp] = _HUES[hue]
    named[((hue < 20) | (hue >= 171)) & (value < 130)] = NAMES.index("brown")
    # The darker a pixel, the less its hue means: sensor noise alone saturates it.
    pale = (saturation < 40) | (saturation * value < 5200)
    named[pale] = np.where(value[pale] > 185, NAMES.index("white"), NAMES.index("grey"))
    named[value < 62] = NAMES.index("black")
    return named


def most_common(pixels: Picture) -> tuple[str, float]:
    """The colour that most pixels have, and their fraction; ("unknown", 0) of no pixels."""
    if pixels.size == 0:
        return "unknown", 0.0
    counts = np.bincount(name_pixels(pixels).ravel(), minlength=len(NAMES))
    best = int(counts.argmax())
    return NAMES[best], float(counts[best] / counts.sum())


def band(crop: Picture, top: float, bottom: float, left: float, right: float) -> Picture:
    """Part of a crop, in fractions of the person's box (the margin around it lies outside 0..1)."""
    height, width = crop.shape[:2]

    def at(fraction: float, size: int) -> int:
        return round((fraction + MARGIN) / (1 + 2 * MARGIN) * size)

    return crop[at(top, height) : at(bottom, height), at(left, width) : at(right, width)]


def _labels(key: str, item: Item, found: Sequence[tuple[str, float]]) -> Item:
    return {"frame": item["frame"], key: [name for name, _ in found], f"{key}_share": [s for _, s in found]}


def upper(item: Item) -> Item:
    """Colour of the clothes over the trunk: rows 18-48 % and the middle half of the columns."""
    return _labels(
        "upper", item, [most_common(band(to_pixels(c), 0.18, 0.48, 0.25, 0.75)) for c in item["crops"]]
    )


def lower(item: Item) -> Item:
    """Colour of the clothes over the legs: rows 52-84 % and the middle 40 % of the columns."""
    return _labels(
        "lower", item, [most_common(band(to_pixels(c), 0.52, 0.84, 0.3, 0.7)) for c in item["crops"]]
    )


def ground(item: Item) -> Item:
    """What a person stands on: "grass" where the strip beside and under the feet is mostly green."""
    return _labels("ground", item, [_surface(to_pixels(crop)) for crop in item["crops"]])


def _surface(crop: Picture) -> tuple[str, float]:
    strip = band(crop, 0.97, 1 + MARGIN, -MARGIN, 1 + MARGIN)
    if strip.size == 0:
        return "unknown", 0.0
    hsv = cv2.cvtColor(strip, cv2.COLOR_BGR2HSV)
    green = (hsv[..., 0] > 28) & (hsv[..., 0] < 83) & (hsv[..., 1] > 60)
    share = float(green.mean())
    return ("grass", share) if share > 0.5 else ("paving", 1 - share)
