"""Describe each person by numbers that stay alike while that person moves through the picture."""

from __future__ import annotations

import numpy as np
from colours import band
from frames import Item

from edgeray.vision import appearance
from edgeray.vision.pictures import to_pixels


class Embed:
    """What each person looks like: see `edgeray.vision.appearance`. Travels as float16: 3 KB a person."""

    def __init__(self) -> None:
        self._embed = appearance.Embed()

    def __call__(self, item: Item) -> Item:
        features = self._embed([band(to_pixels(crop), 0, 1, 0, 1) for crop in item["crops"]])
        kept = {key: item[key] for key in ("frame", "time_s", "people")}
        return {**kept, "features": features.astype(np.float16)}
