"""What edges tell each other. Everything may come twice: what is answered is asked again when a connection broke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeray.vision.pictures import Picture
from policies.model import CameraId


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first word on each connection, by which either end knows that it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Camera to detector: this camera's frames come to you from now on, beginning with number first.

    state: where another detector left off, or as it was told last: behind the frame before first; None at the very
    beginning. turn: grows with each detector that a camera has had, so that what is late can be told.
    """

    camera: CameraId
    turn: int
    first: int
    state: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Camera to detector. number: from 0, none left out that was not dropped at the camera. at_s: Unix time at which it
    was taken. time_s: in the video. picture: pixels, or a JPEG where it left its device."""

    camera: CameraId
    turn: int
    number: int
    at_s: float
    time_s: float
    picture: Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Detector to camera: all frames up to this one are done. state: now and then, to begin again from, once all up to
    there is on the detector's disk."""

    camera: CameraId
    turn: int
    number: int
    state: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Camera to detector: no more frames come; say how far you are. Those that are not done go to another one."""

    camera: CameraId
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Detector to camera: the answer. state: None when it does not know the camera."""

    camera: CameraId
    turn: int
    state: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identify:
    """Detector to identifier: who is this? beside: tracks that the camera sees at the same time, who are others."""

    camera: CameraId
    track: int
    at_s: float
    crop: Picture
    beside: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Identifier to gallery: the same, by features."""

    camera: CameraId
    track: int
    at_s: float
    features: npt.NDArray[np.float32]
    beside: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Gallery to identifier, and on to the detector."""

    camera: CameraId
    track: int
    person: int
    similarity: float
    features: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Camera to server: its source has ended, and all its frames are done."""

    camera: CameraId


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Server to edges: all cameras have ended; bring what the head does not have yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Edge to server: the head has everything."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Edge to server: rows of its store. batch: see `edgeray.streams.store`."""

    batch: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Server to edge: the archive has all rows of the epoch up to this number."""

    epoch: str
    seq: int
