"""How the commands speak: stdout for what was asked for, stderr for everything else."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

stdout = Console(soft_wrap=True)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """One line of progress."""
    stderr.print(text, markup=False)


def print_json(value: Any) -> None:
    """One object on stdout, nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def bytes_text(value: float | None) -> str:
    """12 B, 1.3 kB, 4.0 MB."""
    if value is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""


def bps_text(value: float | None) -> str:
    """80 bps, 1.25 Mbps."""
    if value is None:
        return "-"
    for unit in ("bps", "kbps", "Mbps", "Gbps"):
        if abs(value) < 1000 or unit == "Gbps":
            return f"{value:.3g} {unit}"
        value /= 1000
    return ""


def seconds_text(value: float | None) -> str:
    """1.2 ms, 3.4 s."""
    if value is None:
        return "-"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
