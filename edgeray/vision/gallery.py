"""Everybody seen so far, by what they look like: who is this?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeray.vision.inference import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """person: from 1. similarity: to the most alike whom it could be, in [-1, 1]; 0 where nobody could be it."""

    person: int
    similarity: float
    new: bool


@dataclass(slots=True, kw_only=True)
class _Person:
    """looks: the newest last. cameras: where each was seen. seen_s: when last."""

    looks: list[Tensor] = field(default_factory=list)
    cameras: list[str] = field(default_factory=list)
    seen_s: float = 0.0


class Gallery:
    """Numbers people: the most alike of those known, or somebody new below the threshold.

    A person is as alike as the most alike of its kept features is.
    threshold: apps/reid/README.md says how the default was chosen. keep: features a person at most; the oldest of the
    camera with the most goes first, so that no camera crowds out another. most: so many people are known at most; who
    was not seen for longest is forgotten, and no number is given twice.
    """

    def __init__(self, threshold: float = 0.67, keep: int = 20, most: int = 2000) -> None:
        if keep < 1 or most < 1:
            raise ValueError(f"keep {keep}, most {most}; expected: at least 1 of each")
        self._threshold = threshold
        self._keep = keep
        self._most = most
        self._people: dict[int, _Person] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._people)

    def identify(self, features: Tensor, *, camera: str, time_s: float, present: Collection[int]) -> Match:
        """Say who it is, and remember how they looked.

        features: (d,), a unit row. present: whom that camera sees at this moment as somebody else; they cannot be it.
        """
        best, similarity = self._nearest(features, present)
        new = best is None or similarity < self._threshold
        if best is None or new:
            self._last += 1
            best = self._last
            self._people[best] = _Person()
        self._remember(self._people[best], features, camera, time_s)
        while len(self._people) > self._most:
            del self._people[min(self._people, key=lambda number: (self._people[number].seen_s, number))]
        return Match(person=best, similarity=similarity, new=new)

    def _nearest(self, features: Tensor, present: Collection[int]) -> tuple[int | None, float]:
        best, similarity = None, 0.0
        for number, person in self._people.items():
            if number in present:
                continue
            alike = float((np.stack(person.looks) @ features).max())
            if best is None or alike > similarity:  # of two alike, the one met first
                best, similarity = number, alike
        return best, similarity

    def _remember(self, person: _Person, features: Tensor, camera: str, time_s: float) -> None:
        person.looks.append(np.array(features, np.float32))
        person.cameras.append(camera)
        person.seen_s = max(person.seen_s, time_s)
        if len(person.looks) > self._keep:
            crowded = max(sorted(set(person.cameras)), key=person.cameras.count)
            oldest = person.cameras.index(crowded)
            del person.looks[oldest], person.cameras[oldest]

    def state(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; features as (n, d) arrays. `of` goes on as this one would."""
        return {
            "threshold": self._threshold,
            "keep": self._keep,
            "most": self._most,
            "last": self._last,
            "people": [
                {
                    "number": number,
                    "looks": np.stack(person.looks),
                    "cameras": list(person.cameras),
                    "seen_s": person.seen_s,
                }
                for number, person in self._people.items()
            ],
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Gallery:
        """A gallery that goes on where the one of the state was."""
        gallery = cls(state["threshold"], state["keep"], state["most"])
        gallery._last = state["last"]
        for kept in state["people"]:
            looks = [np.array(row, np.float32) for row in kept["looks"]]
            gallery._people[kept["number"]] = _Person(
                looks=looks, cameras=list(kept["cameras"]), seen_s=kept["seen_s"]
            )
        return gallery
