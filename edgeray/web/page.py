"""What every page shares: the templates with their filters, and pictures for a light and a dark screen."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from edgeray.web import numbers
from edgeray.web.theme import DARK, LIGHT, Theme, png


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One figure as data URIs, for a light and a dark screen. alternative: what it shows, in words."""

    light: str
    dark: str
    alternative: str


def environment() -> Environment:
    """The templates of edgeray.web; values are escaped, and a missing one is an error."""
    made = Environment(
        loader=PackageLoader("edgeray.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("figures", "rate", "capacity", "size", "duration", "percent", "times", "accuracy"):
        made.filters[name] = getattr(numbers, name)
    made.filters["label"] = numbers.policy_label
    return made


def picture(draw: Callable[[Theme], Figure | None], path: Path, alternative: str) -> Picture | None:
    """Draw for both themes; the light one is also saved as a file. None when there is nothing to draw."""
    light, dark = draw(LIGHT), draw(DARK)
    if light is None or dark is None:
        return None
    data = png(light)
    path.write_bytes(data)
    return Picture(light=_data_uri(data), dark=_data_uri(png(dark)), alternative=alternative)


def _data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
