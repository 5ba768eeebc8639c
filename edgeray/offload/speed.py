"""How fast a helper says it is."""

from __future__ import annotations

NEWEST = 0.2
"""The part that the newest item has in it."""


class Speed:
    """Units of complexity a second: the inverse of an exponentially weighted mean of seconds a unit."""

    def __init__(self) -> None:
        self._s: float | None = None

    def add(self, seconds: float, complexity: float) -> None:
        """One item was done. Items without work tell nothing."""
        if complexity > 0 and seconds > 0:
            each_s = seconds / complexity
            self._s = each_s if self._s is None else self._s + NEWEST * (each_s - self._s)

    @property
    def per_s(self) -> float | None:
        return None if self._s is None else 1 / self._s
