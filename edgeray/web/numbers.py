"""Numbers as people read them. None and not-a-number become a dash: not measured, or not defined."""

from __future__ import annotations

import math
from typing import Any

MISSING = "–"
_LABELS = {
    "lr": "LR",
    "br": "BR",
    "tp": "TP",
    "otfs": "OTFS",
    "otfa": "OTFA",
    "heft": "HEFT",
    "cpop": "CPoP",
    "peft": "PEFT",
}
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def known(value: float | None) -> float | None:
    """The value, or None where it is no finite number."""
    return value if value is not None and math.isfinite(value) else None


def finite(value: Any) -> Any:
    """Plain JSON: what is no finite number becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def quotient(part: float | None, whole: float | None) -> float | None:
    """part / whole; None where either is unknown or whole is 0."""
    part, whole = known(part), known(whole)
    if part is None or whole is None or whole <= 0:
        return None
    return part / whole


def figures(value: float | None) -> str:
    """Three significant figures, never with an exponent: 0.0123, 4.56, 78.9, 1234."""
    value = known(value)
    if value is None:
        return MISSING
    value = float(f"{value:.3g}") if abs(value) < 1000 else value
    if value == 0:
        return "0"
    decimals = max(0, min(2 - math.floor(math.log10(abs(value))), 4))
    return f"{value:.{decimals}f}"


def rate(value_bps: float | None) -> str:
    """Bits per second with a decimal prefix: 3.20 Mbps."""
    return _prefixed(value_bps, "bps")


def capacity(value_bps: float | None) -> str:
    """A link's nominal bits per second, as written in a cluster file: 12 Mbps."""
    text = rate(value_bps)
    number, space, unit = text.partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + unit


def size(value_bytes: float | None) -> str:
    """Bytes with a decimal prefix: 256 MB."""
    return _prefixed(value_bytes, "B")


def duration(value_s: float | None) -> str:
    """Seconds, or milliseconds below one second."""
    value_s = known(value_s)
    if value_s is None:
        return MISSING
    return f"{figures(value_s)} s" if value_s >= 1 else f"{figures(value_s * 1e3)} ms"


def percent(fraction: float | None) -> str:
    """A fraction as whole per cent; below 10 % with one decimal, unless that is 0."""
    fraction = known(fraction)
    if fraction is None:
        return MISSING
    per_cent = fraction * 100
    text = f"{per_cent:.1f}" if abs(per_cent) < 9.95 else f"{per_cent:.0f}"
    return f"{text.removesuffix('.0')} %"


def accuracy(fraction: float | None) -> str:
    """A fraction as per cent with one decimal: 85.1 %."""
    fraction = known(fraction)
    return MISSING if fraction is None else f"{fraction * 100:.1f} %"


def times(ratio: float | None) -> str:
    """A ratio: 2.31×."""
    return MISSING if known(ratio) is None else f"{ratio:.2f}×"


def policy_label(name: str) -> str:
    """A policy's name as the literature writes it."""
    return _LABELS.get(name, name)


def _prefixed(value: float | None, unit: str) -> str:
    value = known(value)
    if value is None:
        return MISSING
    for factor, prefix in _PREFIXES:
        # 999.6 k would round to "1000 k": go up a prefix there.
        if abs(value) >= factor * 0.9995:
            return f"{figures(value / factor)} {prefix}{unit}"
    return f"{figures(value)} {unit}"
