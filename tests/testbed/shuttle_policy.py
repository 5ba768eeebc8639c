"""A policy of a test's own: every camera's people are found on the next device each time it is asked."""

from __future__ import annotations

from policies.model import Streams
from policies.streams.instance import Ints, StreamInstance, StreamPlan, stream_plan
from policies.streams.mapping import StreamMapping
from policies.streams.reading import Watched


class Shuttle(StreamMapping):
    """It counts how often it was asked, which no policy that is used in earnest may: it would not be repeatable."""

    def __init__(self) -> None:
        super().__init__("shuttle", self._next)
        self._asked = 0

    def _next(self, instance: StreamInstance) -> StreamPlan:
        import numpy as np

        able = np.flatnonzero(np.isfinite(instance.detect_s).all(axis=0))
        self._asked += 1
        x = able[(np.arange(len(instance.streams)) + self._asked) % len(able)]
        return stream_plan(self.name, instance, x, np.roll(x, 1))

    def _pays(self, seen: Watched, now: tuple[Ints, Ints], then: tuple[Ints, Ints], streams: Streams) -> bool:
        return True
