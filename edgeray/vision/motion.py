"""Where a person's box will be: a Kalman filter, and its state as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeray.vision.inference import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Standard deviations: of a measured box's centre (twice that of its sides; per root second, of how these change), of
    the acceleration, and of the speed that somebody begins with."""

    jitter_px: float = 2.0
    acceleration_px_s2: float = 40.0
    speed_px_s: float = 30.0


class Motion:
    """A constant-velocity Kalman filter over (x, y, width, height, x speed, y speed); pixels and pixels a second.

    time_s: the time that it stands for.
    """

    def __init__(self, box: Tensor, time_s: float, noise: Noise | None = None) -> None:
        self.time_s = time_s
        self._noise = noise or Noise()
        place, size = self._noise.jitter_px**2, (2 * self._noise.jitter_px) ** 2
        speed = self._noise.speed_px_s**2
        self._filter = cv2.KalmanFilter(6, 4)
        self._filter.measurementMatrix = np.eye(4, 6, dtype=np.float32)
        self._filter.measurementNoiseCov = np.diag(np.array([place, place, size, size], np.float32))
        self._filter.errorCovPost = np.diag(np.array([place, place, size, size, speed, speed], np.float32))
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
        """Advance to a time, with white noise of the acceleration."""
        step_s, self.time_s = time_s - self.time_s, time_s
        transition = np.eye(6, dtype=np.float32)
        transition[0, 4] = transition[1, 5] = step_s
        self._filter.transitionMatrix = transition
        acceleration = self._noise.acceleration_px_s2
        position, speed = (acceleration * step_s**2 / 2) ** 2, (acceleration * step_s) ** 2
        size = self._noise.jitter_px**2 * step_s
        noise = np.array([position, position, size, size, speed, speed], np.float32)
        self._filter.processNoiseCov = np.diag(noise)
        self._filter.predict()  # OpenCV makes the prediction the estimate too, until a measurement corrects it

    def correct(self, box: Tensor) -> None:
        """Take a measured box in. Only right after predict: OpenCV corrects what was predicted last."""
        self._filter.correct(_measured(box))

    def state(self) -> dict[str, Any]:
        """Plain numbers, from which `of` goes on as this one would, to the bit."""
        return {
            "time_s": self.time_s,
            "noise": asdict(self._noise),
            "mean": self._filter.statePost[:, 0].tolist(),
            "covariance": self._filter.errorCovPost.tolist(),
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Motion:
        motion = cls(np.zeros(4, np.float32), state["time_s"], Noise(**state["noise"]))
        motion._filter.statePost = np.array(state["mean"], np.float32).reshape(6, 1)
        motion._filter.errorCovPost = np.array(state["covariance"], np.float32).reshape(6, 6)
        return motion


def _measured(box: Tensor) -> Tensor:
    size = box[2:] - box[:2]
    return np.concatenate([(box[:2] + box[2:]) / 2, size]).astype(np.float32).reshape(4, 1)
