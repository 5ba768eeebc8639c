"""When each device was heard of last, and what it said."""

from __future__ import annotations

from collections.abc import Collection

from edgeray.telemetry.records import DeviceSample
from policies.model import DeviceId

SILENT_S = 20.0
"""A node that has not reported for so long is lost; samples come every second."""


class Heard:
    """samples: the last of each device. returned: devices that were heard of while they were taken for lost."""

    def __init__(self) -> None:
        self.samples: dict[DeviceId, DeviceSample] = {}
        self.returned: set[DeviceId] = set()
        self._at_s: dict[DeviceId, float] = {}

    def joined(self, device: DeviceId, now_s: float) -> None:
        self.returned.discard(device)
        self._at_s[device] = now_s

    def take(self, sample: DeviceSample, now_s: float, here: Collection[DeviceId]) -> None:
        """here: the devices that are not lost."""
        device = DeviceId(sample.device)
        self.samples[device], self._at_s[device] = sample, now_s
        if device not in here:
            self.returned.add(device)

    def age_s(self, device: DeviceId, now_s: float) -> float:
        """How long ago it was heard of; 0 of one that never was."""
        return now_s - self._at_s.get(device, now_s)
