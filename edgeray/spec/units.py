"""Numbers with units as people write them: "2GB", "10Mbps", "5ms". The only place where they are parsed."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NUMBER_AND_UNIT = re.compile(
    r"\s*([-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ/]*)\s*"
)


class UnitError(ValueError):
    """A quantity is wrong. problem completes "it ..."; the reader adds where it stands."""

    def __init__(self, problem: str, *, expected: str, remedy: str) -> None:
        super().__init__(f"{problem}; expected {expected}; {remedy}")
        self.problem = problem
        self.expected = expected
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A kind of number. units: factors to the first, the base unit, which bare numbers and maximum have."""

    name: str
    example: str
    units: Mapping[str, float]
    maximum: float
    zero: bool = True

    @property
    def expected(self) -> str:
        sign = "not negative" if self.zero else "above 0"
        most = format_quantity(self, self.maximum)
        return f"{self.name}, {sign}, at most {most}, such as {self.example}"

    def parse(self, value: Any) -> float:
        """The value in the base unit. Raises UnitError that says what is wrong with it."""
        number = self._number(value)
        if math.isnan(number):
            raise self._error("is not a number (NaN)", "write a number")
        if number < 0:
            raise self._error("is negative", "write a number that is not negative")
        if number == 0 and not self.zero:
            raise self._error("is zero", f"write {self.name} above 0")
        if math.isinf(number):
            raise self._error("is infinite", "leave the key out where there is no limit")
        if number > self.maximum:
            remedy = f"check the unit: a bare number is in {next(iter(self.units)) or 'ones'}"
            raise self._error(f"is absurd: more than {format_quantity(self, self.maximum)}", remedy)
        return number

    def _number(self, value: Any) -> float:
        if isinstance(value, str):
            return self._from_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error("is no number", f"write a number, such as {self.example}")
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf

    def _from_text(self, text: str) -> float:
        if text.strip().lower().lstrip("+-.") in ("nan", "inf", "infinity"):
            return float(text.strip().lower().replace(".", ""))
        match = _NUMBER_AND_UNIT.fullmatch(text)
        if match is None:
            raise self._error("is no number with a unit", f"write, for example, {self.example}")
        number, unit = match.groups()
        if unit and unit not in self.units:
            raise self._error(f"has the unknown unit '{unit}'", self._unit_remedy(unit))
        return float(number) * self.units[unit or next(iter(self.units))]

    def _unit_remedy(self, unit: str) -> str:
        known = [name for name in self.units if name]
        for name in known:
            if name.casefold() == unit.casefold():
                return f"did you mean '{name}'? capital and small letters differ (b is a bit, B a byte)"
        return f"use one of {', '.join(known)}" if known else "write the number without a unit"

    def _error(self, problem: str, remedy: str) -> UnitError:
        return UnitError(problem, expected=self.expected, remedy=remedy)


BYTES = Quantity(
    name="bytes",
    example="5MB",
    units={
        "B": 1,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "TB": 1e12,
        "PB": 1e15,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
        "TiB": 2.0**40,
    },
    maximum=1e18,
)
BITS = Quantity(
    name="bits",
    example="40Mbit",
    units={"bit": 1, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9, "Tbit": 1e12},
    maximum=1e19,
)
BITS_PER_S = Quantity(
    name="bits per second",
    example="10Mbps",
    units={
        "bps": 1,
        "kbps": 1e3,
        "Kbps": 1e3,
        "Mbps": 1e6,
        "Gbps": 1e9,
        "Tbps": 1e12,
        "bit/s": 1,
        "kbit/s": 1e3,
        "Mbit/s": 1e6,
        "Gbit/s": 1e9,
    },
    maximum=1e13,
    zero=False,
)
SECONDS = Quantity(
    name="seconds", example="5ms", units={"s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}, maximum=3600
)
TASK_SECONDS = Quantity(
    name="seconds per item",
    example="2s",
    units={"s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60, "h": 3600},
    maximum=1e7,
)
VIRTUAL_SECONDS = Quantity(name="seconds", example="90s", units=TASK_SECONDS.units, maximum=3.6e7)
ITEMS_PER_S = Quantity(
    name="items per second", example="30", units={"/s": 1, "fps": 1}, maximum=1e6, zero=False
)
FLOP = Quantity(
    name="FLOP per item",
    example="5GFLOP",
    units={"FLOP": 1, "kFLOP": 1e3, "MFLOP": 1e6, "GFLOP": 1e9, "TFLOP": 1e12},
    maximum=1e18,
)
FLOP_PER_S = Quantity(
    name="FLOP per second",
    example="50GFLOPS",
    units={
        "FLOPS": 1,
        "kFLOPS": 1e3,
        "MFLOPS": 1e6,
        "GFLOPS": 1e9,
        "TFLOPS": 1e12,
        "FLOP/s": 1,
        "MFLOP/s": 1e6,
        "GFLOP/s": 1e9,
        "TFLOP/s": 1e12,
    },
    maximum=1e18,
)
CPUS = Quantity(name="CPU cores", example="0.5", units={"": 1}, maximum=4096, zero=False)
GPUS = Quantity(name="GPUs", example="1", units={"": 1}, maximum=1024)


def format_quantity(quantity: Quantity, value: float) -> str:
    """The value in the largest decimal unit that keeps it at 1 or above, seven digits."""
    base = next(iter(quantity.units))
    if value == 0:
        return f"0{base}"
    decimal = [unit for unit in quantity.units if unit == base or ("i" not in unit and "/" not in unit)]
    fitting = [unit for unit in decimal if quantity.units[unit] <= abs(value)]
    unit = (
        max(fitting, key=quantity.units.__getitem__)
        if fitting
        else min(decimal, key=quantity.units.__getitem__)
    )
    return f"{value / quantity.units[unit]:.7g}{unit}"


def parse_bytes(value: Any) -> float:
    """Bytes from "2GB", "2GiB" or a number of bytes. Raises UnitError."""
    return BYTES.parse(value)


def parse_bps(value: Any) -> float:
    """Bits per second from "10Mbps" or a number of bits per second. Raises UnitError."""
    return BITS_PER_S.parse(value)


def parse_seconds(value: Any) -> float:
    """Seconds from "5ms" or a number of seconds. Raises UnitError."""
    return SECONDS.parse(value)


def format_bytes(value: float) -> str:
    return format_quantity(BYTES, value)


def format_bps(value: float) -> str:
    return format_quantity(BITS_PER_S, value)
