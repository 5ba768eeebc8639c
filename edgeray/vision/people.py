"""Find people in a picture."""

from __future__ import annotations

import numpy as np

from edgeray.vision.inference import Tensor, load, suppress, tensor
from edgeray.vision.pictures import Boxes, Picture

_GRIDS = (19, 10, 5, 3, 2, 1)
_SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_VARIANCES = np.array([0.1, 0.1, 0.2, 0.2], np.float32)


def ssd_anchors() -> Tensor:
    """The 1917 anchors (centre y, centre x, height, width), in fractions of the frame.

    Source: Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 2.2, with the TensorFlow Object
    Detection API's reduced lowest layer (scales 0.1, 0.2, 0.2).
    """
    layers = []
    for index, grid in enumerate(_GRIDS):
        if index == 0:
            shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        else:
            scale = _SCALES[index]
            between = float(np.sqrt(scale * _SCALES[index + 1]))
            shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)] + [(between, 1.0)]
        sizes = np.array([(scale / ratio**0.5, scale * ratio**0.5) for scale, ratio in shapes])
        steps = (np.arange(grid) + 0.5) / grid
        layer = np.empty((grid, grid, len(shapes), 4), np.float32)
        layer[..., 0] = steps[:, None, None]
        layer[..., 1] = steps[None, :, None]
        layer[..., 2:] = sizes
        layers.append(layer.reshape(-1, 4))
    return np.concatenate(layers)


class Detect:
    """Finds people with SSDLite-MobileNetV2, at 300 x 300 pixels.

    min_score: probability from which a box counts; low, since a tracker asks more of whom it has not seen before.
    overlap: intersection over union from which two boxes are one person.
    """

    def __init__(self, min_score: float = 0.1, overlap: float = 0.45) -> None:
        self._session = load("ssdlite-pedestrian.onnx")
        self._anchors = ssd_anchors()
        self._min_score = min_score
        self._overlap = overlap

    def __call__(self, picture: Picture) -> tuple[Boxes, Tensor]:
        """picture: (height, width, 3) BGR. Returns boxes (n, 4) in its pixels and scores (n,), the surest first."""
        outputs = self._session.run(None, {"images": tensor(picture, (300, 300), 2 / 255, 127.5)})
        codes = np.concatenate([boxes.reshape(-1, 4) for boxes in outputs[0::2]])
        logits = np.concatenate([scores.reshape(-1, 2)[:, 1] for scores in outputs[1::2]])
        likely = np.flatnonzero(logits > np.log(self._min_score / (1 - self._min_score)))
        boxes = _decode(codes[likely], self._anchors[likely], picture.shape[1], picture.shape[0])
        scores = 1 / (1 + np.exp(-logits[likely]))
        kept = suppress(boxes, scores, self._overlap)
        return boxes[kept], scores[kept]


def _decode(codes: Tensor, anchors: Tensor, width: int, height: int) -> Boxes:
    """SSD's box coding: offsets in anchor sizes, logarithms of size ratios."""
    codes = codes * _VARIANCES
    centres = anchors[:, :2] + codes[:, :2] * anchors[:, 2:]
    sizes = anchors[:, 2:] * np.exp(codes[:, 2:])
    top_left, bottom_right = centres - sizes / 2, centres + sizes / 2
    boxes = np.concatenate([top_left[:, ::-1], bottom_right[:, ::-1]], axis=1)
    return np.asarray(np.clip(boxes, 0, 1) * np.array([width, height] * 2), np.float32)
