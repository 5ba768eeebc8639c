"""Where devices stand on the page's map, in pixels."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from edgeray.web.layout import device_positions

PIXELS_PER_INCH = 96.0
BOX_IN = (1.75, 1.4)
"""Every device's box: its id, its type, two bars and what is placed there."""
# Left free around each box, for the lines and what is written beside them.
_ROOM_IN = (0.8, 0.45)
_MANY = 40
_SMALL_BOX_IN = (0.95, 0.5)


class Topology:
    """Computes a network's picture once, and again when it changes."""

    def __init__(self) -> None:
        self._key: Any = None
        self._drawn: dict[str, Any] = {}
        self._lock = threading.Lock()

    def of(self, network: Mapping[str, Any]) -> dict[str, Any]:
        """width, height; box: of each device; centres by device. The same network always gets the same picture."""
        ends = sorted((link["ends"][0], link["ends"][1]) for link in network["links"].values())
        key = (sorted(network["devices"]), ends)
        with self._lock:
            if key != self._key:
                self._key, self._drawn = key, _drawn(key[0], ends)
            return self._drawn


def _drawn(devices: list[str], ends: list[tuple[str, str]]) -> dict[str, Any]:
    box = BOX_IN if len(devices) <= _MANY else _SMALL_BOX_IN
    roomy = (box[0] + _ROOM_IN[0], box[1] + _ROOM_IN[1])
    centres, (width, height) = device_positions(dict.fromkeys(devices, roomy), ends)
    return {
        "width": round(width * PIXELS_PER_INCH),
        "height": round(height * PIXELS_PER_INCH),
        "box": [round(side * PIXELS_PER_INCH) for side in box],
        # Pictures on a screen count y downwards.
        "centres": {
            device: [round(x * PIXELS_PER_INCH, 1), round((height - y) * PIXELS_PER_INCH, 1)]
            for device, (x, y) in centres.items()
        },
    }
