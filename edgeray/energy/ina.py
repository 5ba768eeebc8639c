"""Power sensors of boards (INA3221 on Jetsons, INA219 and its like), as the kernel's hwmon shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CHIPS = ("ina219", "ina220", "ina226", "ina230", "ina231", "ina3221")
TOTALS = ("VDD_IN", "POM_5V_IN", "5V_IN", "VIN")
"""Labels of the rail that all others hang on, as Jetsons name it; where there is none, all rails are summed."""
_W_OF_UW, _W_OF_MV_MA = 1e-6, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """One channel of a chip: its power in microwatts, or millivolts and milliamperes to be multiplied."""

    label: str
    power: Path | None
    voltage: Path | None = None
    current: Path | None = None

    def power_w(self) -> float:
        """Raises OSError or ValueError when it cannot be read."""
        if self.power is not None:
            return _number(self.power) * _W_OF_UW
        assert self.voltage is not None and self.current is not None, "one or the other"
        return _number(self.voltage) * _number(self.current) * _W_OF_MV_MA


class Ina:
    """Energy as the integral of power between samples, which is as good as they are frequent. Thread-safe.

    rails: that are summed. Raises OSError or ValueError when one cannot be read.
    """

    name = "ina"

    def __init__(self, rails: Sequence[Rail], clock: Callable[[], float] = time.monotonic) -> None:
        self.rails = tuple(rails)
        self._clock = clock
        self._lock = threading.Lock()
        self._energy_j = 0.0
        self._at_s, self._power_w = clock(), self._read_w()

    def energy_j(self) -> float:
        self.sample()
        return self._energy_j

    def sample(self) -> None:
        with self._lock:
            power_w, now_s = self._read_w(), self._clock()
            self._energy_j += max(0.0, (power_w + self._power_w) / 2 * (now_s - self._at_s))
            self._at_s, self._power_w = now_s, power_w

    def _read_w(self) -> float:
        return sum(rail.power_w() for rail in self.rails)


def ina_rails(root: Path) -> tuple[Rail, ...]:
    """The rails below root ("/sys") whose sum is what the board draws; empty where there is no such chip."""
    rails: list[Rail] = []
    for chip in sorted((root / "class" / "hwmon").glob("hwmon*")):
        if _text(chip / "name") in CHIPS:
            rails += _rails_of(chip)
    for total in TOTALS:
        whole = [rail for rail in rails if rail.label == total]
        if whole:
            return tuple(whole[:1])
    return tuple(rails)


def _rails_of(chip: Path) -> list[Rail]:
    """Chips with several channels number each channel's voltage and current alike; the single channel of the others has
    its shunt's voltage as 0 and the bus' as 1. An INA3221 also sums its shunts, which is no rail: it has no voltage."""
    found = []
    for number in range(1, 4):
        label = _text(chip / f"in{number}_label") or f"{chip.name} channel {number}"
        power = chip / f"power{number}_input"
        voltage, current = chip / f"in{number}_input", chip / f"curr{number}_input"
        rail = Rail(label=label, power=power)
        if not _reads(rail):
            rail = Rail(label=label, power=None, voltage=voltage, current=current)
        if _reads(rail):
            found.append(rail)
    return found


def _reads(rail: Rail) -> bool:
    try:
        rail.power_w()
    except (OSError, ValueError):  # no such channel, or one that is switched off
        return False
    return True


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
