"""What a device draws: read from a sensor where it has one, else by a model of declared powers that says so."""

from edgeray.energy.declared import DeclaredPower
from edgeray.energy.find import find_meter
from edgeray.energy.ina import Ina
from edgeray.energy.meter import Meter, PartOf
from edgeray.energy.rapl import Rapl

__all__ = ["DeclaredPower", "Ina", "Meter", "PartOf", "Rapl", "find_meter"]
