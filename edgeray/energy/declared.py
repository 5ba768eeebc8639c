"""Energy by declared powers: a model, for devices without a sensor, and for comparisons with published numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class DeclaredPower:
    """idle_w all the time, local_w more while it computes, send_w more while it sends.

    It knows only what it is told: seconds of computing, and seconds in which the sender is on. Thread-safe.
    """

    name = "declared"

    def __init__(
        self, *, idle_w: float, local_w: float, send_w: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.idle_w, self.local_w, self.send_w = idle_w, local_w, send_w
        self._clock, self._since_s = clock, clock()
        self._computing_s = self._sending_s = 0.0
        self._lock = threading.Lock()

    def computing(self, seconds: float) -> None:
        with self._lock:
            self._computing_s += seconds

    def sending(self, seconds: float) -> None:
        with self._lock:
            self._sending_s += seconds

    def energy_j(self) -> float:
        idle_s = self._clock() - self._since_s
        with self._lock:
            return self.idle_w * idle_s + self.local_w * self._computing_s + self.send_w * self._sending_s

    def sample(self) -> None:
        """There is nothing to read."""
