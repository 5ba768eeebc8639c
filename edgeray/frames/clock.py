"""The time that frames go by; tests have one of their own."""

from __future__ import annotations

import threading
import time


class Clock:
    """This machine's monotonic clock."""

    def now(self) -> float:
        """Seconds, from some time on."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, by_s: float | None = None) -> None:
        """With the condition held: wait until it is notified, or until that time; None: for ever."""
        condition.wait(None if by_s is None else max(0.0, by_s - self.now()))
