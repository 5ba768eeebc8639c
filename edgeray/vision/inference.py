"""ONNX models on one thread: a stage's time per item must not depend on what else its device has."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from edgeray.assets import asset

Tensor = npt.NDArray[np.float32]


def load(model: str) -> Any:
    """Open an asset as an onnxruntime session with one thread that does not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(asset(model)), options, providers=["CPUExecutionProvider"])


def tensor(picture: npt.NDArray[np.uint8], size: tuple[int, int], scale: float, mean: float = 0.0) -> Tensor:
    """(pixels - mean) * scale as RGB, shape (1, 3, height, width); size is (width, height)."""
    blob = cv2.dnn.blobFromImage(picture, scale, size, (mean, mean, mean), swapRB=True)
    return np.asarray(blob, np.float32)


def suppress(boxes: Tensor, scores: Tensor, overlap: float) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of what stays, best first. overlap: intersection over union."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[iou(boxes[best][None], boxes[rest])[0] <= overlap]
    return np.array(kept, np.intp)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each pair of boxes: (n, 4) and (m, 4) give (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_first = np.prod(first[:, 2:] - first[:, :2], axis=1)
    area_second = np.prod(second[:, 2:] - second[:, :2], axis=1)
    union = area_first[:, None] + area_second[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)
