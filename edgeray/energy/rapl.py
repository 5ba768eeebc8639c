"""Energy counters of x86 processors, as the kernel's powercap shows them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_UJ = 1e-6


@dataclass(slots=True)
class _Counter:
    """file: energy_uj of a zone. range_uj: after this much it begins again at 0."""

    file: Path
    range_uj: int
    last_uj: int


class Rapl:
    """The sum of some zones: of processors and their memory, not of the whole device.

    zones: folders with energy_uj and max_energy_range_uj. Counters wrap around, at full power after a minute or more:
    whoever samples more often misses none. Thread-safe. Raises OSError or ValueError when a zone cannot be read.
    """

    name = "rapl"

    def __init__(self, zones: Sequence[Path]) -> None:
        self._lock = threading.Lock()
        self._energy_uj = 0
        self._counters = [
            _Counter(zone / "energy_uj", _number(zone / "max_energy_range_uj"), _number(zone / "energy_uj"))
            for zone in zones
        ]

    def energy_j(self) -> float:
        self.sample()
        return self._energy_uj * _UJ

    def sample(self) -> None:
        with self._lock:
            for counter in self._counters:
                now_uj = _number(counter.file)
                grown_uj = now_uj - counter.last_uj
                self._energy_uj += grown_uj if grown_uj >= 0 else grown_uj + counter.range_uj + 1
                counter.last_uj = now_uj


def rapl_zones(root: Path) -> tuple[Path, ...]:
    """Zones below root ("/sys") that together are all that RAPL knows, none counted twice; empty where it tells nothing.

    Packages and their DRAM, which no package counts in; the platform's zone (psys) only where there is no package. The
    zones of cores and of the graphics lie within packages. Most kernels let only root read them.
    """
    named = [
        (zone, name)
        for zone in sorted((root / "class" / "powercap").glob("intel-rapl:*"))
        if (name := _name(zone)) and _readable(zone)
    ]
    packages = [zone for zone, name in named if name.startswith("package")]
    memory = [zone for zone, name in named if name == "dram"]
    platform = [zone for zone, name in named if name == "psys"]
    return tuple(packages + memory) if packages else tuple(platform)


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _readable(zone: Path) -> bool:
    try:
        return _number(zone / "energy_uj") >= 0 and _number(zone / "max_energy_range_uj") > 0
    except (OSError, ValueError):
        return False


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
