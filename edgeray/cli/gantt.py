"""A timetable as a chart of text: one line a device, and one a link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.text import Text

from edgeray.cli.console import seconds_text

MOST_LINES = 24
"""Of devices, and of links: the busiest are shown."""
LEAST_CELLS = 20
_SHADES = " ░▒▓█"
_STYLES = ("cyan", "green")


class Bar(NamedTuple):
    """What occupies a device or a link from start_s to end_s."""

    start_s: float
    end_s: float
    name: str


def gantt(job: dict[str, Any], width: int) -> Text:
    """The timetable of a one-shot job's plan (as plan_json tells it), as wide as the terminal.

    A task or transfer that is too short for its name shows by how much of a character's time it fills.
    """
    devices: dict[str, list[Bar]] = {}
    for row in job["tasks"]:
        devices.setdefault(row["device"], []).append(Bar(row["start_s"], row["end_s"], row["task"]))
    links: dict[str, list[Bar]] = {}
    for row in job["flows"]:
        for ends in zip(row["route"], row["route"][1:], strict=False):
            links.setdefault("-".join(sorted(ends)), []).append(
                Bar(row["start_s"], row["end_s"], row["from"])
            )
    labels = max((len(name) for name in (*devices, *links)), default=0) + 1
    cells = max(LEAST_CELLS, width - labels - 2)
    chart = Text()
    for lines, word in ((devices, "devices"), (links, "links")):
        shown = sorted(sorted(lines, key=lambda name: (-_busy_s(lines[name]), name))[:MOST_LINES])
        for name in shown:
            chart.append(f"{name:<{labels}}│").append_text(
                _line(lines[name], job["makespan_s"], cells)
            ).append("│\n")
        if len(lines) > len(shown):
            chart.append(f"… {len(lines) - len(shown)} more {word}, less busy than these\n")
    end = seconds_text(job["makespan_s"])
    return chart.append(" " * labels + " 0 s" + end.rjust(cells - 3))


def _busy_s(bars: Sequence[Bar]) -> float:
    return sum(bar.end_s - bar.start_s for bar in bars)


def _line(bars: Sequence[Bar], makespan_s: float, cells: int) -> Text:
    """One device or link: bars with their names where they fit, shades where they do not."""
    scale = cells / makespan_s if makespan_s > 0 else 0.0
    filled = [0.0] * cells
    text = [""] * cells
    styles = [""] * cells
    for number, bar in enumerate(sorted(bars)):
        from_cell, to_cell = bar.start_s * scale, bar.end_s * scale
        first, last = round(from_cell), min(cells, round(to_cell))
        if last - first > len(bar.name):
            text[first:last] = (bar.name + "━" * cells)[: last - first - 1] + "╸"
        else:
            first, last = int(from_cell), min(cells, int(to_cell) + 1)
            for cell in range(first, last):
                filled[cell] += max(0.0, min(to_cell, cell + 1) - max(from_cell, cell))
        styles[first:last] = [_STYLES[number % len(_STYLES)]] * (last - first)
    line = Text()
    for cell in range(cells):
        shade = _SHADES[min(len(_SHADES) - 1, round(filled[cell] * (len(_SHADES) - 1)))]
        line.append(text[cell] or shade, style=styles[cell])
    return line
