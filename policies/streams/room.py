"""Memory on the devices while streams are mapped one after the other."""

from __future__ import annotations

import numpy as np

from policies.streams.instance import Bools, StreamInstance

_CLOSE = 1e-12
"""Sums of floats that differ by no more are equal: what just fits, fits."""


class Room:
    """What is left of each device's memory. One instance of the re-identification model can serve many streams."""

    def __init__(self, instance: StreamInstance) -> None:
        self._instance = instance
        self._free = instance.memory * (1 + _CLOSE)
        self.identifying = np.zeros(len(instance.PS), dtype=np.bool_)

    @property
    def for_detector(self) -> Bools:
        """Shape (M,): where another detector fits."""
        return self._fits(self._instance.R_det)

    @property
    def for_new_model(self) -> Bools:
        """Where another instance of the re-identification model fits, beside those that are there."""
        return self._fits(self._instance.R_reid)

    @property
    def for_both(self) -> Bools:
        """Where a detector fits, and a re-identification, by the model that is there or a first one."""
        first = np.where(self.identifying, 0.0, self._instance.R_reid)
        fits: Bools = self._free >= self._instance.R_det + first
        return fits

    def detect(self, device: int) -> None:
        """Take a detector's memory."""
        self._free[device] -= self._instance.R_det

    def load_model(self, device: int) -> None:
        """Take a re-identification model's memory."""
        self._free[device] -= self._instance.R_reid
        self.identifying[device] = True

    def _fits(self, needed: float) -> Bools:
        fits: Bools = self._free >= needed
        return fits
