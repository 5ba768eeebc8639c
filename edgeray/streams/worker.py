"""An edge's computing: one thread, that takes a frame of each waiting stream in turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from policies.model import CameraId

Job = Callable[[], None]


class Worker:
    """Re-identification goes first, since detectors wait for it with their next people; streams take turns, so that all
    get as many frames. Plans reckon with this (`policies.streams.rates`). Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent: deque[Job] = deque()
        self._streams: dict[CameraId, deque[Job]] = {}
        self._held: set[CameraId] = set()

    def add(self, camera: CameraId, job: Job) -> None:
        """Have a stream's next step done in its turn, after its earlier ones."""
        with self._changed:
            self._streams.setdefault(camera, deque()).append(job)
            self._changed.notify()

    def hurry(self, job: Job) -> None:
        """Have it done next."""
        with self._changed:
            self._urgent.append(job)
            self._changed.notify()

    def hold(self, camera: CameraId, held: bool) -> None:
        """Pass a stream over while it is held: it has asked for more than was answered."""
        with self._changed:
            (self._held.add if held else self._held.discard)(camera)
            self._changed.notify()

    def drop(self, camera: CameraId) -> None:
        """Forget what a stream has waiting."""
        with self._changed:
            self._streams.pop(camera, None)
            self._held.discard(camera)

    def waiting(self, camera: CameraId) -> int:
        with self._changed:
            return len(self._streams.get(camera, ()))

    def run(self, stop: threading.Event) -> None:
        """Until stop; see wake."""
        while (job := self._next(stop)) is not None:
            job()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self, stop: threading.Event) -> Job | None:
        with self._changed:
            while not stop.is_set():
                if self._urgent:
                    return self._urgent.popleft()
                for camera, jobs in self._streams.items():
                    if jobs and camera not in self._held:
                        job = jobs.popleft()
                        self._streams[camera] = self._streams.pop(camera)  # last in the next round
                        return job
                self._changed.wait()
        return None
