"""How fast a source may go."""

from __future__ import annotations

import threading
import time


class Pace:
    """Spaces items 1/rate apart; rate None lets them go at once. A late item is not caught up with a burst."""

    def __init__(self, own_per_s: float | None, granted_per_s: float | None) -> None:
        self._own_per_s = own_per_s
        self._granted_per_s = granted_per_s
        self._due_s = 0.0

    def grant(self, granted_per_s: float | None) -> None:
        """A new granted rate; it holds from the next item on."""
        self._granted_per_s = granted_per_s

    @property
    def rate_per_s(self) -> float | None:
        rates = [rate for rate in (self._own_per_s, self._granted_per_s) if rate is not None]
        return min(rates) if rates else None

    def wait(self, stop: threading.Event) -> None:
        """Wait until the next item is due, or stop is set."""
        rate = self.rate_per_s
        if rate is None or rate <= 0:
            return
        now_s = time.monotonic()
        period_s = 1 / rate
        # Half a period of slack: a thread that woke late does not lose the time for good.
        self._due_s = max(self._due_s + period_s, now_s - period_s / 2)
        if self._due_s > now_s:
            stop.wait(self._due_s - now_s)
