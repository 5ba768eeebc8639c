"""What only the head's edge does: it knows who is who, keeps what all edges have stored, and sees the job's end."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeray.errors import FlowError
from edgeray.streams.archive import Archive
from edgeray.streams.messages import Ask, Ended, Finish, Finished, Kept, Known, Stored
from edgeray.vision.gallery import Gallery, Match
from policies.model import CameraId, DeviceId

log = logging.getLogger(__name__)

GALLERY_FILE = "gallery.npz"
AWAY_S = 120.0
"""A camera whose device is lost is waited for so long after all others have ended."""


class Head:
    """Thread-safe. folder: where the gallery is kept, so that a head that is started again knows everybody.

    edges: of the job, this one included. cameras: of the job; watched: those of them that are watched now. The job is
    over when all have ended; one whose device is away is waited for, AWAY_S long.
    """

    def __init__(
        self,
        archive: Archive,
        gallery: Mapping[str, Any],
        folder: Path,
        *,
        tell: Callable[[DeviceId, Any], None],
        edges: Sequence[DeviceId],
        cameras: Sequence[CameraId],
        watched: Callable[[], Sequence[CameraId]],
    ) -> None:
        self.finished = threading.Event()
        self._archive, self._tell, self._edges, self._watched = archive, tell, tuple(edges), watched
        self._cameras = tuple(cameras)
        self._away_since_s: float | None = None
        self._file = folder / GALLERY_FILE
        self._lock = threading.Lock()
        self._gallery = load_gallery(self._file, gallery)
        self._answers: dict[tuple[CameraId, int], tuple[float, Match]] = {}
        self._ended: set[CameraId] = set()
        self._done: set[str] = set()

    def take(self, device: DeviceId, message: Ask | Stored | Ended | Finished) -> None:
        match message:
            case Ask():
                self._tell(device, self._who(message))
            case Stored():
                if message.batch.device != device:
                    raise FlowError(f"{device} brings rows of the store of {message.batch.device}")
                seq = self._archive.take(message.batch)
                self._tell(device, Kept(epoch=message.batch.epoch, seq=seq))
            case Ended():
                with self._lock:
                    self._ended.add(message.camera)
            case Finished():
                with self._lock:
                    self._done.add(message.device)
        self._look_for_the_end()

    def tick(self) -> None:
        """Once a second: what was not heard is said again."""
        if self.over:
            for device in self._edges:
                if device not in self._done:
                    self._tell(device, Finish())

    def missing(self) -> list[DeviceId]:
        """Edges that have not brought everything."""
        with self._lock:
            return [device for device in self._edges if device not in self._done]

    def _who(self, ask: Ask) -> Known:
        """A question that comes again has the answer that it had: it was lost on the way."""
        with self._lock:
            asked_s, found = self._answers.get((ask.camera, ask.track), (None, None))
            if found is None or asked_s != ask.at_s:
                found = self._identify(ask)
                self._answers[ask.camera, ask.track] = ask.at_s, found
        return Known(
            camera=ask.camera,
            track=ask.track,
            person=found.person,
            similarity=found.similarity,
            features=ask.features,
        )

    def _identify(self, ask: Ask) -> Match:
        beside = [self._answers.get((ask.camera, track)) for track in ask.beside]
        present = {known[1].person for known in beside if known is not None}
        found = self._gallery.identify(ask.features, camera=str(ask.camera), time_s=ask.at_s, present=present)
        if found.new:
            save_gallery(self._gallery, self._file)
        return found

    @property
    def over(self) -> bool:
        """Whether all cameras have ended, or those that have not have been away for long."""
        watched, now_s = self._watched(), time.monotonic()
        with self._lock:
            left = [camera for camera in self._cameras if camera not in self._ended]
            if any(camera in watched for camera in left):
                self._away_since_s = None
                return False
            if self._away_since_s is None:
                self._away_since_s = now_s
            return not left or now_s - self._away_since_s >= AWAY_S

    def _look_for_the_end(self) -> None:
        if self.over and not self.missing():
            self.finished.set()


def load_gallery(file: Path, options: Mapping[str, Any]) -> Gallery:
    """The gallery in a file; a new one where there is none. Features are arrays, all else is JSON: nothing is run."""
    if not file.exists():
        return Gallery(**options)
    with np.load(file, allow_pickle=False) as arrays:
        told = json.loads(str(arrays["told"]))
        for person in told["people"]:
            person["looks"] = arrays[f"looks-{person['number']}"]
    return Gallery.of({**told, **{name: value for name, value in options.items() if name in told}})


def save_gallery(gallery: Gallery, file: Path) -> None:
    """Replace the file in one step: a kill leaves the old one or the new one."""
    state = gallery.state()
    looks = {f"looks-{person['number']}": person["looks"] for person in state["people"]}
    told = {
        **state,
        "people": [{k: v for k, v in person.items() if k != "looks"} for person in state["people"]],
    }
    fresh = file.with_name(f"{file.stem}.new.npz")
    np.savez(fresh, told=np.array(json.dumps(told)), **looks)
    fresh.replace(file)
