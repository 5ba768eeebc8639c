"""One interface for all that tells energy."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """name: what tells the energy, for whoever reads the number. Thread-safe."""

    @property
    def name(self) -> str: ...

    def energy_j(self) -> float:
        """Since the meter was made; never less than before. Raises OSError when its sensor cannot be read any more."""
        ...

    def sample(self) -> None:
        """Read the sensor now; to be called several times a second, without which power is not known in between.

        Raises OSError.
        """
        ...


class PartOf:
    """An equal part of what another meter tells: of users that are alike on one device."""

    def __init__(self, meter: Meter, parts: int) -> None:
        self.name = meter.name if parts == 1 else f"{meter.name} / {parts}"
        self._meter, self._parts = meter, parts

    def energy_j(self) -> float:
        return self._meter.energy_j() / self._parts

    def sample(self) -> None:
        self._meter.sample()
