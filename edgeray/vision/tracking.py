"""Follow people from picture to picture, by where they are: what they look like is asked once per person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from edgeray.vision.inference import Tensor, iou
from edgeray.vision.motion import Motion, Noise
from edgeray.vision.pictures import Boxes

FORBIDDEN = 1e6  # finite, since the assignment must always have a solution

_JITTER, _ACCELERATION, _SPEED = 0.05, 0.2, 0.6  # of a person's height; see Noise
_UNSEEN_COST_PER_S = 0.1  # of two people, the one seen last is the likelier
_MOST_HEIGHT_RATIO = 1.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One person in one picture. id: 0 until confirmed. first: confirmed by this very picture. box: as detected."""

    id: int
    box: tuple[float, float, float, float]
    score: float
    first: bool


@dataclass(slots=True, eq=False)
class _Person:
    id: int
    motion: Motion
    seen: int
    seen_s: float


class Tracker:
    """Gives people ids that last: Kalman prediction, then the cheapest assignment of boxes to people.

    Source: Bewley et al. 2016, "Simple Online and Realtime Tracking"; Zhang et al. 2022, "ByteTrack", section 3:
    boxes of low score go on with a track but begin none.
    Departures: distance, as a part of how far somebody can have come, weighs as much as overlap, since boxes of far
    people at a few frames a second do not overlap; noise goes with a person's height; who was confirmed is kept a while
    out of sight, and chosen before those who are not confirmed yet.
    confirm: sightings in a row until a person gets an id. forget_s: unseen for so long, a track ends. max_cost: of a box
    for a person; 0 is the predicted box itself, 1 one out of reach. start_score: from which a box may be somebody new.
    """

    def __init__(
        self, confirm: int = 3, forget_s: float = 2.0, max_cost: float = 0.9, start_score: float = 0.3
    ) -> None:
        self._confirm = confirm
        self._forget_s = forget_s
        self._max_cost = max_cost
        self._start_score = start_score
        self._people: list[_Person] = []
        self._ids = 0

    def update(self, boxes: Boxes, scores: Tensor, time_s: float) -> tuple[Track, ...]:
        """Take a picture's boxes (n, 4) and scores (n,) in; time_s is the picture's, later than the one before.

        Returns a track for each box, in their order, but for those below start_score that go on with none.
        """
        for person in self._people:
            person.motion.predict(time_s)
        owners = self._owners(boxes, scores, time_s)
        tracks = []
        for index, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            if index not in owners and score < self._start_score:
                continue
            owners[index] = person = self._see(owners.get(index), box, time_s)
            first = person.id == 0 and person.seen >= self._confirm
            if first:
                self._ids += 1
                person.id = self._ids
            left, top, right, bottom = (float(edge) for edge in box)
            tracks.append(
                Track(id=person.id, box=(left, top, right, bottom), score=float(score), first=first)
            )
        found = set(map(id, owners.values()))
        self._people = [p for p in self._people if id(p) in found or self._lasts(p, time_s)]
        return tuple(tracks)

    def _owners(self, boxes: Boxes, scores: Tensor, time_s: float) -> dict[int, _Person]:
        """Whom each box belongs to, by its index: confirmed people choose first, sure boxes before others."""
        known = [person for person in self._people if person.id]
        tentative = [person for person in self._people if not person.id]
        sure = [index for index, score in enumerate(scores) if score >= self._start_score]
        weak = [index for index, score in enumerate(scores) if score < self._start_score]
        owners = self._match(known, boxes, sure, time_s)
        left = [person for person in known if person not in owners.values()]
        owners |= self._match(left, boxes, weak, time_s)
        owners |= self._match(tentative, boxes, [index for index in sure if index not in owners], time_s)
        return owners

    def _match(
        self, people: list[_Person], boxes: Boxes, chosen: list[int], time_s: float
    ) -> dict[int, _Person]:
        if not people or not chosen:
            return {}
        found = boxes[chosen]
        predicted = np.stack([person.motion.box for person in people])
        unseen_s = np.array([time_s - person.seen_s for person in people], np.float32)
        part = distances(predicted, found) / reach(found, unseen_s)
        cost = 0.5 * (1 - iou(predicted, found)) + 0.5 * part + _UNSEEN_COST_PER_S * unseen_s[:, None]
        cost[(part > 1) | (height_ratios(predicted, found) > _MOST_HEIGHT_RATIO)] = FORBIDDEN
        return {chosen[column]: people[row] for row, column in cheapest_pairs(cost, self._max_cost)}

    def _see(self, person: _Person | None, box: Tensor, time_s: float) -> _Person:
        if person is None:
            height = float(box[3] - box[1])
            noise = Noise(
                jitter_px=_JITTER * height,
                acceleration_px_s2=_ACCELERATION * height,
                speed_px_s=_SPEED * height,
            )
            person = _Person(id=0, motion=Motion(box, time_s, noise), seen=0, seen_s=time_s)
            self._people.append(person)
        else:
            person.motion.correct(box)
        person.seen, person.seen_s = person.seen + 1, time_s
        return person

    def _lasts(self, person: _Person, time_s: float) -> bool:
        """Whether a track that was not seen now is kept; one that was never confirmed is not."""
        return person.id > 0 and time_s - person.seen_s <= self._forget_s

    def state(self) -> dict[str, Any]:
        """Plain numbers and lists, from which `of` goes on as this one would, to the bit."""
        return {
            "confirm": self._confirm,
            "forget_s": self._forget_s,
            "max_cost": self._max_cost,
            "start_score": self._start_score,
            "ids": self._ids,
            "people": [
                {"id": p.id, "motion": p.motion.state(), "seen": p.seen, "seen_s": p.seen_s}
                for p in self._people
            ],
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Tracker:
        """A tracker that goes on where the one of the state was."""
        tracker = cls(state["confirm"], state["forget_s"], state["max_cost"], state["start_score"])
        tracker._ids = state["ids"]
        tracker._people = [
            _Person(id=p["id"], motion=Motion.of(p["motion"]), seen=p["seen"], seen_s=p["seen_s"])
            for p in state["people"]
        ]
        return tracker


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Between the centres of each pair of boxes: (n, 4) and (m, 4) give (n, m), pixels."""
    centres = (first[:, None, :2] + first[:, None, 2:] - second[None, :, :2] - second[None, :, 2:]) / 2
    return np.asarray(np.linalg.norm(centres, axis=2), np.float32)


def reach(boxes: Boxes, unseen_s: Tensor) -> Tensor:
    """How far from the prediction somebody can be, who is now in box m and was unseen for unseen_s[n]: (n, m), pixels.

    Half the box's height, and up to a height and a half after a second.
    """
    heights = boxes[None, :, 3] - boxes[None, :, 1]
    return np.asarray(heights * (0.5 + np.clip(unseen_s, 0, 1)[:, None]), np.float32)


def height_ratios(first: Tensor, second: Tensor) -> Tensor:
    """The larger height over the smaller of each pair of boxes: (n, 4) and (m, 4) give (n, m)."""
    heights = [np.maximum(boxes[:, 3] - boxes[:, 1], 1) for boxes in (first, second)]
    ratio = heights[0][:, None] / heights[1][None]
    return np.asarray(np.maximum(ratio, 1 / ratio), np.float32)


def cheapest_pairs(cost: Tensor, max_cost: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the cheapest assignment; pairs that cost more than max_cost are no pairs."""
    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if cost[r, c] <= max_cost]
