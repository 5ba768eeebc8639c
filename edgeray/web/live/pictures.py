"""The newest picture of a camera, fetched only while somebody looks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from edgeray.errors import ClusterError
from edgeray.web.live.telemetry import Ask

FRESH_S = 0.3
"""Several browsers that look at one camera share a picture for so long."""
WAIT_S = 2.0
_KEPT = 64
_WORKERS = 4


class Pictures:
    """At most one call for a picture of each camera, at most four in all: calls that hang do not pile up."""

    def __init__(self, ask: Ask, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="picture")
        self._asked: dict[tuple[str, str], Future[Any]] = {}
        self._last: OrderedDict[tuple[str, str], tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, job: str, camera: str) -> Any:
        """The camera's newest picture with boxes, None where there is none yet. Raises ClusterError when the device
        does not answer in time."""
        key = (job, camera)
        with self._lock:
            at_s, value = self._last.get(key, (0.0, None))
            if key in self._last and self._clock() - at_s < FRESH_S:
                return value
            future = self._asked.get(key)
            if future is None:
                future = self._asked[key] = self._pool.submit(self._fetch, key)
        try:
            return future.result(timeout=WAIT_S)
        except FutureTimeout as error:
            raise ClusterError(f"no picture of {camera} within {WAIT_S:.0f} s") from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, key: tuple[str, str]) -> Any:
        try:
            value = self._ask("view", *key)
            with self._lock:
                self._last[key] = (self._clock(), value)
                self._last.move_to_end(key)
                while len(self._last) > _KEPT:
                    self._last.popitem(last=False)
            return value
        finally:
            with self._lock:
                del self._asked[key]
