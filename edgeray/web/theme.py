"""Colours and text for the pictures, in a light and a dark version, and how a picture becomes a PNG."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOTS_PER_INCH = 144
_LONGEST = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """series: colours that people with colour-blindness tell apart, in this order."""

    name: str
    surface: str
    text: str
    muted: str
    line: str
    card: str
    accent: str
    series: tuple[str, ...]


LIGHT = Theme(
    name="light",
    surface="#ffffff",
    text="#16181d",
    muted="#666b76",
    line="#d5d8de",
    card="#f4f5f7",
    accent="#2a6fdb",
    series=("#2a78d6", "#eb6834", "#1baf7a", "#8a4fd0", "#eda100", "#e0457b", "#0b7a75", "#7a6a53"),
)
DARK = Theme(
    name="dark",
    surface="#16181d",
    text="#eceef2",
    muted="#9aa1ad",
    line="#3a3f4a",
    card="#22262e",
    accent="#5b9cf5",
    series=("#4f9bf0", "#f0844f", "#2cc48d", "#a97be6", "#f0b429", "#f0709b", "#3fb8b0", "#b8a488"),
)


def new_figure(width_in: float, height_in: float, theme: Theme) -> Figure:
    """An empty figure on the theme's surface, apart from pyplot's global state."""
    figure = Figure(figsize=(width_in, height_in), facecolor=theme.surface)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the tables have it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def plain(text: str, longest: int = _LONGEST) -> str:
    """A name that a picture can show: one line, shortened, and never read as a formula."""
    line = "".join(char if char.isprintable() else " " for char in text)
    if len(line) > longest:
        line = f"{line[: longest - 1]}…"
    return line.replace("$", r"\$")
