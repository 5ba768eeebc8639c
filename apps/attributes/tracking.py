"""Follow people from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from frames import Item

from edgeray.vision.inference import Tensor, iou
from edgeray.vision.motion import Motion
from edgeray.vision.tracking import FORBIDDEN, cheapest_pairs, distances, reach

_HEADINGS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")


@dataclass(slots=True, eq=False)
class _Person:
    """One track. seen_s: when the person was last seen."""

    id: int
    motion: Motion
    feature: Tensor
    seen: int
    seen_s: float


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
            person.motion.predict(now_s)
        predicted = np.array([person.motion.box for person in self._people], np.float32).reshape(-1, 4)
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
            "speed_px_s": np.array([np.linalg.norm(person.motion.velocity) for person in found], np.float32),
            "heading": [_heading(person.motion.velocity) for person in found],
        }

    def _match(
        self, predicted: Tensor, boxes: Tensor, features: Tensor, now_s: float
    ) -> list[tuple[int, int]]:
        if not len(predicted) or not len(boxes):
            return []
        looks = np.stack([person.feature for person in self._people])
        cost = 0.5 * (1 - iou(predicted, boxes)) + 0.5 * (1 - looks @ features.T)
        unseen_s = np.array([now_s - person.seen_s for person in self._people], np.float32)
        cost[distances(predicted, boxes) > reach(boxes, unseen_s)] = FORBIDDEN
        return cheapest_pairs(cost, self._max_cost)

    def _start(self, box: Tensor, feature: Tensor, now_s: float) -> _Person:
        person = _Person(id=0, motion=Motion(box, now_s), feature=feature, seen=1, seen_s=now_s)
        self._people.append(person)
        return person

    def _update(self, person: _Person, box: Tensor, feature: Tensor, now_s: float) -> _Person:
        person.motion.correct(box)
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


def _heading(velocity: npt.NDArray[np.float32]) -> str:
    """The direction on the screen; "standing" under 8 px/s, by which a still person's box jitters."""
    if float(np.linalg.norm(velocity)) < 8:
        return "standing"
    angle = np.arctan2(velocity[1], velocity[0])  # y grows downwards
    return _HEADINGS[round(float(angle) / (np.pi / 4)) % 8]
