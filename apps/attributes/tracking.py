"""Follow people from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from frames import Item
from inference import Tensor, iou
from scipy.optimize import linear_sum_assignment

_FORBIDDEN = 1e6  # finite, since the assignment must always have a solution
_HEADINGS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")


@dataclass(slots=True, eq=False)
class _Person:
    """One track: a constant-velocity Kalman filter over (x, y, width, height, x speed, y speed).

    filter_s: the time that the filter stands for. seen_s: when the person was last seen.
    """

    id: int
    filter: Any
    feature: Tensor
    seen: int
    seen_s: float
    filter_s: float

    @property
    def box(self) -> Tensor:
        x, y, width, height = self.filter.statePost[:4, 0]
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)

    @property
    def velocity(self) -> Tensor:
        return np.asarray(self.filter.statePost[4:, 0], np.float32)


class Track:
    """Gives people ids that last: Kalman prediction, then the cheapest assignment of people to tracks.

    Source: Wojke et al. 2017, "Simple Online and Realtime Tracking with a Deep Association Metric".
    Departures: overlap and appearance are weighed in one cost instead of a matching cascade, since people
    here are few; a track's appearance is a running mean.
    confirm: sightings until a person gets an id (0 before). forget_s: unseen for so long, a track ends.
    """

    def __init__(self, confirm: int = 3, forget_s: float = 2.0, max_cost: float = 0.7) -> None:
        self._confirm = confirm
        self._forget_s = forget_s
        self._max_cost = max_cost
        self._people: list[_Person] = []
        self._ids = 0

    def __call__(self, item: Item) -> Item:
        boxes, features, now_s = item["people"], item["features"].astype(np.float32), item["time_s"]
        for person in self._people:
            _predict(person.filter, now_s - person.filter_s)
            person.filter_s = now_s
        predicted = np.array([person.box for person in self._people], np.float32).reshape(-1, 4)
        owners: list[_Person | None] = [None] * len(boxes)
        for row, column in self._match(predicted, boxes, features, now_s):
            owners[column] = self._people[row]
        found = [
            self._start(box, feature, now_s) if owner is None else self._update(owner, box, feature, now_s)
            for owner, box, feature in zip(owners, boxes, features, strict=True)
        ]
        self._people = [p for p in self._people if p in found or self._lasts(p, now_s)]
        return {
            "frame": item["frame"],
            "ids": np.array([person.id for person in found], np.int32),
            "speed_px_s": np.array([np.linalg.norm(person.velocity) for person in found], np.float32),
            "heading": [_heading(person.velocity) for person in found],
        }

    def _match(
        self, predicted: Tensor, boxes: Tensor, features: Tensor, now_s: float
    ) -> list[tuple[int, int]]:
        """Pairs (track, box) of the cheapest assignment; pairs that cost more than max_cost are no pairs."""
        if not len(predicted) or not len(boxes):
            return []
        looks = np.stack([person.feature for person in self._people])
        cost = 0.5 * (1 - iou(predicted, boxes)) + 0.5 * (1 - looks @ features.T)
        centres = (
            predicted[:, None, :2] + predicted[:, None, 2:] - boxes[None, :, :2] - boxes[None, :, 2:]
        ) / 2
        unseen_s = np.array([now_s - person.seen_s for person in self._people], np.float32)
        heights = boxes[None, :, 3] - boxes[None, :, 1]
        reach = heights * (0.5 + np.clip(unseen_s, 0, 1)[:, None])  # the longer unseen, the farther
        cost[np.linalg.norm(centres, axis=2) > reach] = _FORBIDDEN
        rows, columns = linear_sum_assignment(cost)
        return [(r, c) for r, c in zip(rows, columns, strict=True) if cost[r, c] <= self._max_cost]

    def _start(self, box: Tensor, feature: Tensor, now_s: float) -> _Person:
        person = _Person(id=0, filter=_new_filter(box), feature=feature, seen=1, seen_s=now_s, filter_s=now_s)
        self._people.append(person)
        return person

    def _update(self, person: _Person, box: Tensor, feature: Tensor, now_s: float) -> _Person:
        person.filter.correct(_measured(box))
        mean = 0.9 * person.feature + 0.1 * feature
        person.feature = mean / np.linalg.norm(mean)
        person.seen, person.seen_s = person.seen + 1, now_s
        if person.id == 0 and person.seen >= self._confirm:
            self._ids += 1
            person.id = self._ids
        return person

    def _lasts(self, person: _Person, now_s: float) -> bool:
        """Whether a track that was not seen now is kept; one that was never confirmed is not."""
        return person.id > 0 and now_s - person.seen_s <= self._forget_s


def _measured(box: Tensor) -> Tensor:
    size = box[2:] - box[:2]
    return np.concatenate([(box[:2] + box[2:]) / 2, size]).astype(np.float32).reshape(4, 1)


def _new_filter(box: Tensor) -> Any:
    kalman = cv2.KalmanFilter(6, 4)
    kalman.measurementMatrix = np.eye(4, 6, dtype=np.float32)
    kalman.measurementNoiseCov = np.diag(np.array([4, 4, 16, 16], np.float32))
    kalman.errorCovPost = np.diag(np.array([4, 4, 16, 16, 900, 900], np.float32))
    kalman.statePost = np.concatenate([_measured(box), np.zeros((2, 1), np.float32)])
    return kalman


def _predict(kalman: Any, step_s: float) -> None:
    """Advance by step_s with white acceleration noise of 40 px/s^2."""
    transition = np.eye(6, dtype=np.float32)
    transition[0, 4] = transition[1, 5] = step_s
    kalman.transitionMatrix = transition
    position, speed = (40 * step_s**2 / 2) ** 2, (40 * step_s) ** 2
    noise = np.array([position, position, 4 * step_s, 4 * step_s, speed, speed], np.float32)
    kalman.processNoiseCov = np.diag(noise)
    kalman.predict()  # OpenCV makes the prediction the estimate too, until a measurement corrects it


def _heading(velocity: npt.NDArray[np.float32]) -> str:
    """The direction on the screen; "standing" under 8 px/s, by which a still person's box jitters."""
    if float(np.linalg.norm(velocity)) < 8:
        return "standing"
    angle = np.arctan2(velocity[1], velocity[0])  # y grows downwards
    return _HEADINGS[round(float(angle) / (np.pi / 4)) % 8]
