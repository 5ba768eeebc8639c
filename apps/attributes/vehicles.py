"""Find vehicles, tell their type, and name their colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from colours import most_common
from frames import Item

from edgeray.vision.inference import Tensor, load, suppress, tensor
from edgeray.vision.pictures import Boxes, cut, to_jpeg, to_pixels

TYPES = {1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}  # COCO's classes; a van is a truck

_INPUT = 512  # pixels, both ways
_STRIDE = 4  # input pixels a heat map's cell


class Vehicles:
    """Finds vehicles with CenterNet-MobileNetV3 and cuts them out.

    Source: Zhou et al. 2019, "Objects as Points", sections 3-4: a peak of the heat map is an object.
    Departure: this network tells the distances to the four sides, not a size and an offset.
    """

    def __init__(
        self, min_score: float = 0.33, overlap: float = 0.5, encoding: str = "raw", quality: int = 90
    ) -> None:
        self._session = load("centernet-coco.onnx")
        self._min_score = min_score
        self._overlap = overlap
        self._quality = quality if encoding == "jpeg" else None

    def __call__(self, item: Item) -> Item:
        pixels = to_pixels(item["image"])
        heat, sides = self._session.run(None, {"images": tensor(pixels, (_INPUT, _INPUT), 1.0)})
        boxes, kinds, scores = _peaks(heat[0], sides[0], self._min_score)
        boxes *= np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float32) / _INPUT
        kept = suppress(boxes, scores, self._overlap)  # across types: one thing has one type
        crops = [cut(pixels, box) for box in boxes[kept]]
        if self._quality is not None:
            crops = [to_jpeg(crop, self._quality) for crop in crops]
        return {
            "frame": item["frame"],
            "vehicles": boxes[kept],
            "types": [TYPES[int(kind)] for kind in kinds[kept]],
            "scores": scores[kept],
            "crops": crops,
        }


def _peaks(heat: Tensor, sides: Tensor, min_score: float) -> tuple[Boxes, npt.NDArray[np.intp], Tensor]:
    """Local maxima of the vehicles' heat maps: boxes in input pixels, COCO classes, scores."""
    wanted = np.array(sorted(TYPES))
    maps = np.ascontiguousarray(heat[:, :, wanted])
    highest = cv2.dilate(maps, np.ones((3, 3), np.uint8))
    rows, columns, kinds = np.nonzero((maps >= min_score) & (maps == highest))
    centres = np.stack([columns, rows], axis=1).astype(np.float32) * _STRIDE
    distances = sides[rows, columns]
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
    return np.clip(boxes, 0, _INPUT).astype(np.float32), wanted[kinds], maps[rows, columns, kinds]


def paint(item: Item) -> Item:
    """Colour of each vehicle: of the lower middle of its box, away from windows, sky and road."""
    named = []
    for crop in item["crops"]:
        pixels = to_pixels(crop)
        height, width = pixels.shape[:2]
        named.append(most_common(pixels[height // 2 : height * 4 // 5, width // 8 : width * 7 // 8])[0])
    return {**{key: item[key] for key in ("frame", "vehicles", "types", "scores")}, "colours": named}
