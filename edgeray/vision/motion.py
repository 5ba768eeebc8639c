"""Where a person's box will be: a Kalman filter, and its state as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeray.vision.inference import Tensor


class Motion:
    """A constant-velocity Kalman filter over (x, y, width, height, x speed, y speed); pixels and pixels a second.

    time_s: the time that it stands for.
    """

    def __init__(self, box: Tensor, time_s: float) -> None:
        self.time_s = time_s
        self._filter = cv2.KalmanFilter(6, 4)
        self._filter.measurementMatrix = np.eye(4, 6, dtype=np.float32)
        self._filter.measurementNoiseCov = np.diag(np.array([4, 4, 16, 16], np.float32))
        self._filter.errorCovPost = np.diag(np.array([4, 4, 16, 16, 900, 900], np.float32))
        self._filter.statePost = np.concatenate([_measured(box), np.zeros((2, 1), np.float32)])

    @property
    def box(self) -> Tensor:
        x, y, width, height = self._filter.statePost[:4, 0]
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)

    @property
    def velocity(self) -> npt.NDArray[np.float32]:
        """(2,), pixels a second."""
        return np.asarray(self._filter.statePost[4:, 0], np.float32)

    def predict(self, time_s: float) -> None:
        """Advance to a time, with white acceleration noise of 40 px/s^2."""
        step_s, self.time_s = time_s - self.time_s, time_s
        transition = np.eye(6, dtype=np.float32)
        transition[0, 4] = transition[1, 5] = step_s
        self._filter.transitionMatrix = transition
        position, speed = (40 * step_s**2 / 2) ** 2, (40 * step_s) ** 2
        noise = np.array([position, position, 4 * step_s, 4 * step_s, speed, speed], np.float32)
        self._filter.processNoiseCov = np.diag(noise)
        self._filter.predict()  # OpenCV makes the prediction the estimate too, until a measurement corrects it

    def correct(self, box: Tensor) -> None:
        """Take a measured box in. Only right after predict: OpenCV corrects what was predicted last."""
        self._filter.correct(_measured(box))

    def state(self) -> dict[str, Any]:
        """Plain numbers, from which `of` goes on as this one would, to the bit."""
        return {
            "time_s": self.time_s,
            "mean": self._filter.statePost[:, 0].tolist(),
            "covariance": self._filter.errorCovPost.tolist(),
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Motion:
        motion = cls(np.zeros(4, np.float32), float(state["time_s"]))
        motion._filter.statePost = np.array(state["mean"], np.float32).reshape(6, 1)
        motion._filter.errorCovPost = np.array(state["covariance"], np.float32).reshape(6, 6)
        return motion


def _measured(box: Tensor) -> Tensor:
    size = box[2:] - box[:2]
    return np.concatenate([(box[:2] + box[2:]) / 2, size]).astype(np.float32).reshape(4, 1)
