"""Which sensor this device has."""

from __future__ import annotations

from pathlib import Path

from edgeray.energy.ina import Ina, ina_rails
from edgeray.energy.meter import Meter
from edgeray.energy.rapl import Rapl, rapl_zones


def find_meter(root: Path = Path("/sys")) -> Meter | None:
    """A meter of a sensor that can be read here, that of the board first, then that of the processor; None: none.

    A sensor measures a whole machine: emulated devices that share one cannot be told apart by it.
    """
    rails = ina_rails(root)
    if rails:
        return Ina(rails)
    zones = rapl_zones(root)
    return Rapl(zones) if zones else None
