"""What a user measures of itself: how long a packet takes, how large it is, and how much of that holds in frames."""

from __future__ import annotations

NEWEST = 0.2
"""Of a running mean, how much the newest value counts."""
FALL, RISE, FORGET = 0.5, 0.05, 0.02


class Mean:
    """An exponentially weighted mean of positive values; None until the first."""

    def __init__(self) -> None:
        self.value: float | None = None
        self._least = float("inf")

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + NEWEST * (value - self.value)
        self._least = min(self._least, value)

    def forget(self) -> None:
        """Nothing new was measured: slowly back to the best that was, so that what was bad once is tried again."""
        if self.value is not None:
            self.value += FORGET * (self._least - self.value)


class Correction:
    """The part of what numbers promise that really was done in time, from frame to frame; 1 at first.

    Falls quickly where packets were not done in time, and rises slowly where all were: then more may have been possible.
    What is not tried is forgotten slowly, so that a channel that carried nothing is tried again: taking what was
    once so for what is would never send on it again.
    """

    def __init__(self) -> None:
        self.value = 1.0

    def frame(self, *, tried: int, done: int, promised: float) -> None:
        """After a frame: packets that were tried, that were done, and that the granted slots had promised to hold."""
        if tried == 0:
            self.value += FORGET * (1.0 - self.value)
        elif done >= tried:
            self.value += RISE * (1.0 - self.value)
        else:
            held = min(1.0, done / promised) if promised > 0 else 0.0
            self.value += FALL * (held - self.value)
