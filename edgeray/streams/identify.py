"""The re-identification model of one edge: shared by all streams that are mapped to it, asked in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeray.errors import EdgeRayError, StageError
from edgeray.node.measure import TaskCounters
from edgeray.streams.messages import Ask, Identify, Known
from edgeray.streams.worker import Worker
from edgeray.vision.pictures import Picture
from policies.model import CameraId, DeviceId

Embed = Callable[[Sequence[Picture]], npt.NDArray[np.float32]]

BATCH = 16
"""Crops that go through the model together at most."""


class Identifier:
    """Crops in, features to the gallery, and its answer back to who asked. Thread-safe.

    model: makes it, when it is first needed. What is asked twice is computed once while it is under way.
    """

    def __init__(
        self,
        model: Callable[[], Embed],
        worker: Worker,
        tell: Callable[[DeviceId, Any], None],
        server: DeviceId,
    ) -> None:
        self.counters: dict[CameraId, TaskCounters] = {}
        self.batches = 0
        self._model, self._worker, self._tell, self._server = model, worker, tell, server
        self._lock = threading.Lock()
        self._waiting: dict[tuple[CameraId, int], Identify] = {}
        self._computing: set[tuple[CameraId, int]] = set()
        self._askers: dict[tuple[CameraId, int], DeviceId] = {}
        self._asked: dict[tuple[CameraId, int], Ask] = {}

    def take(self, device: DeviceId, request: Identify) -> None:
        key = request.camera, request.track
        with self._lock:
            self._askers[key] = device
            known = self._asked.get(key)
            if known is not None:
                self._tell(self._server, known)
                return
            if key in self._computing:
                return
            first = not self._waiting
            self._waiting[key] = request
        if first:
            self._worker.hurry(self._batch)

    def awaits(self, known: Known) -> bool:
        """Whether this is an answer to what it has asked the gallery."""
        with self._lock:
            return (known.camera, known.track) in self._asked

    def take_known(self, known: Known) -> None:
        """The gallery's answer."""
        key = known.camera, known.track
        with self._lock:
            self._asked.pop(key, None)
            asker = self._askers.pop(key, None)
        if asker is not None:
            self._tell(asker, known)

    def opened(self, device: DeviceId) -> None:
        """A connection stands anew: the gallery is asked again what it has not answered."""
        if device == self._server:
            with self._lock:
                for ask in self._asked.values():
                    self._tell(self._server, ask)

    def _batch(self) -> None:
        with self._lock:
            keys = list(self._waiting)[:BATCH]
            requests = [self._waiting.pop(key) for key in keys]
            self._computing = set(keys)
            more = bool(self._waiting)
        if more:
            self._worker.hurry(self._batch)
        began = time.perf_counter()
        features = self._features([request.crop for request in requests])
        each_s = (time.perf_counter() - began) / max(1, len(requests))
        self.batches += 1
        with self._lock:
            self._computing.clear()
            for request, row in zip(requests, features, strict=True):
                counters = self.counters.setdefault(request.camera, TaskCounters())
                counters.items += 1
                counters.busy_s += each_s
                counters.recent.append(each_s)
                ask = Ask(
                    camera=request.camera,
                    track=request.track,
                    at_s=request.at_s,
                    features=row,
                    beside=request.beside,
                )
                self._asked[request.camera, request.track] = ask
                self._tell(self._server, ask)

    def _features(self, crops: Sequence[Picture]) -> npt.NDArray[np.float32]:
        try:
            found = np.asarray(self._model()(crops), np.float32)
        except EdgeRayError:
            raise
        except Exception as error:
            raise StageError(f"identify raised {type(error).__name__}: {error}") from error
        if found.ndim != 2 or len(found) != len(crops):
            raise StageError(
                f"identify gave {found.shape} for {len(crops)} pictures, expected a row of features each"
            )
        return found
