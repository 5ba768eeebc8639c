"""Find people in a frame, and cut them out."""

from __future__ import annotations

from frames import Item

from edgeray.vision import people
from edgeray.vision.pictures import cut, to_jpeg, to_pixels

MARGIN = 0.1  # of a person's box, kept around each crop: the feet need ground under them


class Detect:
    """Finds people with SSDLite-MobileNetV2 and passes the frame on as JPEG with their boxes.

    min_score: probability from which a box counts. quality: of the JPEG, where the camera sent a raw frame.
    """

    def __init__(self, min_score: float = 0.3, overlap: float = 0.45, quality: int = 80) -> None:
        self._find = people.Detect(min_score, overlap)
        self._quality = quality

    def __call__(self, item: Item) -> Item:
        boxes, scores = self._find(to_pixels(item["image"]))
        return {**item, "image": to_jpeg(item["image"], self._quality), "people": boxes, "scores": scores}


class Crop:
    """Cuts the people out of the frame; the frame itself goes no further this way. encoding: of the crops."""

    def __init__(self, encoding: str = "raw", quality: int = 90) -> None:
        self._quality = quality if encoding == "jpeg" else None

    def __call__(self, item: Item) -> Item:
        pixels = to_pixels(item["image"])
        crops = [cut(pixels, box, MARGIN) for box in item["people"]]
        if self._quality is not None:
            crops = [to_jpeg(crop, self._quality) for crop in crops]
        return {"frame": item["frame"], "time_s": item["time_s"], "people": item["people"], "crops": crops}
