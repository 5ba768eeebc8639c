"""Charts of split training: its course, where the seconds of a round go, and what it sends and holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgeray.telemetry.training_records import Round, TrainingRun
from edgeray.telemetry.training_runs import (
    Spent,
    clock_s,
    mean_sent_bytes,
    mean_spent,
    peak_server_bytes,
)
from edgeray.web.numbers import duration, size
from edgeray.web.theme import Theme, new_figure, plain
from edgeray.web.training_summary import Shown

MOST_CLIENTS = 16
"""In a panel; of more those that compute and send the longest are drawn."""
_WIDTH_IN = 8.2
_ROW_IN = 0.24
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PARTS = ("computing", "transfer", "server and its queue", "waiting for others")
# Numbers of the theme's colours; waiting for others is drawn as a line's grey.
_PART_COLOURS = (0, 1, 2)
_TEXTS = {
    "accuracy": "accuracy on the test set",
    "loss": "training loss, mean over samples",
}


def draw_course(rows: Sequence[Shown], key: str, theme: Theme) -> Figure | None:
    """accuracy or loss after each round, against the seconds of training and against rounds. None: nobody has any."""
    lines = [(n, row, points) for n, row in enumerate(rows) if (points := _points(row.run.rounds, key))]
    if not lines:
        return None
    key_in = 0.4 + 0.22 * ((len(lines) - 1) // 4)
    height = 3.5 + key_in
    figure = new_figure(_WIDTH_IN, height, theme)
    below, tall = 0.5 / height, (height - key_in - 0.5) / height
    against_time = figure.add_axes((0.085, below, 0.53, tall), facecolor=theme.surface)
    against_rounds = figure.add_axes((0.665, below, 0.325, tall), facecolor=theme.surface)
    for number, row, points in lines:
        style: dict[str, Any] = {
            "color": theme.series[number % len(theme.series)],
            "marker": _MARKERS[number % len(_MARKERS)],
            "markersize": 4,
            "linewidth": 1.7,
            "linestyle": "-" if number < len(theme.series) else (0, (4, 2)),
            "zorder": 3,
        }
        seconds, numbers, values = zip(*points, strict=True)
        against_time.plot(seconds, values, label=plain(row.name), **style)
        against_rounds.plot(numbers, values, **style)
    for axes, label in ((against_time, "seconds of training"), (against_rounds, "rounds")):
        _style(axes, label, theme)
    against_rounds.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    against_rounds.tick_params(labelleft=False)
    against_rounds.set_ylim(against_time.get_ylim())
    against_time.set_ylabel(_TEXTS[key], color=theme.muted, fontsize=9)
    if key == "accuracy":
        against_time.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
    _key(against_time, theme, columns=4)
    return figure


def _points(rounds: Sequence[Round], key: str) -> list[tuple[float, int, float]]:
    return [
        (passed_s, each["number"], each[key])
        for each, passed_s in zip(rounds, clock_s(rounds), strict=True)
        if each[key] is not None
    ]


def draw_rounds(rows: Sequence[Shown], theme: Theme) -> Figure | None:
    """A panel a policy, a row a device: where the seconds of its mean round went; the prediction and the bound as
    lines. None when there was no round."""
    panels = [(row, spent) for row in rows if (spent := _busiest(row.run))]
    if not panels:
        return None
    gap_in = 0.52
    height = 0.8 + sum(len(spent) * _ROW_IN + gap_in for _, spent in panels)
    figure = new_figure(_WIDTH_IN, height, theme)
    right_s = max(_right_s(row, spent) for row, spent in panels) * 1.03
    below_in = height - 0.25
    for row, spent in panels:
        panel_in = len(spent) * _ROW_IN
        below_in -= panel_in + gap_in
        area = (0.13, (below_in + 0.1) / height, 0.855, panel_in / height)
        axes = figure.add_axes(area, facecolor=theme.surface)
        axes.set_xlim(0, right_s)
        _panel(axes, row, spent, theme)
        if row is not panels[-1][0]:
            axes.tick_params(labelbottom=False)
    axes.set_xlabel("seconds of a mean round, without the first", color=theme.muted, fontsize=9)
    figure.legend(
        handles=[
            *(axes.barh([0], [0], color=colour, label=part) for part, colour in _part_colours(theme)),
            *axes.plot([], [], color=theme.text, linewidth=1.6, label="predicted"),
            *axes.plot([], [], color=theme.muted, linewidth=1.6, linestyle=(0, (2, 2)), label="T_LB"),
        ],
        loc="upper left",
        bbox_to_anchor=(0.005, 1.0),
        ncols=7,
        columnspacing=1.1,
        handlelength=1.4,
        frameon=False,
        fontsize=8.5,
        labelcolor=theme.text,
    )
    return figure


def _busiest(run: TrainingRun) -> list[tuple[str, Spent]]:
    """The devices that are drawn, in the plan's order."""
    found = mean_spent(run)
    drawn = sorted(found, key=lambda device: found[device].idle_s)[:MOST_CLIENTS]
    return [(device, each) for device, each in found.items() if device in drawn]


def _seconds(each: Spent) -> tuple[float, ...]:
    """In the order of _PARTS."""
    return each.compute_s, each.transfer_s, each.server_s, each.idle_s


def _right_s(row: Shown, spent: Sequence[tuple[str, Spent]]) -> float:
    lines = [each for each in (row.run.predicted_s, row.run.bound_s) if each is not None]
    return max(*(sum(_seconds(each)) for _, each in spent), *lines, 1e-6)


def _panel(axes: Any, row: Shown, spent: Sequence[tuple[str, Spent]], theme: Theme) -> None:
    for number, (_, each) in enumerate(spent):
        left_s = 0.0
        for seconds, (_, colour) in zip(_seconds(each), _part_colours(theme), strict=True):
            axes.barh(number, seconds, left=left_s, height=0.72, color=colour, zorder=2)
            left_s += seconds
    for value_s, colour, style in (
        (row.run.predicted_s, theme.text, "-"),
        (row.run.bound_s, theme.muted, (0, (2, 2))),
    ):
        if value_s is not None:
            axes.axvline(value_s, color=colour, linewidth=1.6, linestyle=style, zorder=4)
    _rows(axes, [device for device, _ in spent], theme)
    hidden = len(mean_spent(row.run)) - len(spent)
    more = f", {hidden} devices that wait longer are left out" if hidden else ""
    title = f"{plain(row.name)}: median round {duration(row.run.median_round_s)}{more}"
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=theme.text, pad=4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))


def _part_colours(theme: Theme) -> list[tuple[str, str]]:
    return list(zip(_PARTS, (*(theme.series[n] for n in _PART_COLOURS), theme.line), strict=True))


def draw_loads(rows: Sequence[Shown], theme: Theme) -> Figure | None:
    """Bytes of a round, to and from the server, and the server's memory at its peak, a row a policy."""
    loads = [
        (row, sent, peaks)
        for row in rows
        if (sent := mean_sent_bytes(row.run.rounds)) and (peaks := peak_server_bytes(row.run.rounds))
    ]
    if not loads:
        return None
    height = len(loads) * 0.42 + 1.0
    figure = new_figure(_WIDTH_IN, height, theme)
    names = [row.name for row, _, _ in loads]
    for left, title, labels, pairs, colours in (
        (0.19, "sent in a round", ("to the server", "from the server"), [s for _, s, _ in loads], (0, 1)),
        (
            0.63,
            "server memory: the peaks of both",
            ("activations", "halves"),
            [p for _, _, p in loads],
            (2, 3),
        ),
    ):
        area = (left, 0.5 / height, 0.355, 1 - 0.95 / height)
        axes = figure.add_axes(area, facecolor=theme.surface)
        for number, pair in enumerate(pairs):
            start = 0.0
            for value, colour, label in zip(pair, colours, labels, strict=True):
                told = label if number == 0 else None
                axes.barh(
                    number, value, left=start, height=0.6, color=theme.series[colour], label=told, zorder=2
                )
                start += value
        _rows(axes, names, theme)
        if left > 0.5:
            axes.tick_params(labelleft=False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
        axes.set_xlabel(title, color=theme.muted, fontsize=9)
        _key(axes, theme, columns=2)
    return figure


def _rows(axes: Any, names: Sequence[str], theme: Theme) -> None:
    axes.set_ylim(len(names) - 0.5, -0.5)
    _style(axes, "", theme)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(names)), [plain(name, 18) for name in names])
    for label in axes.get_yticklabels():
        label.set(color=theme.text)


def _style(axes: Any, label: str, theme: Theme) -> None:
    axes.set_xlabel(label, color=theme.muted, fontsize=9)
    axes.grid(color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=theme.muted, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _key(axes: Any, theme: Theme, *, columns: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=theme.text,
        borderpad=0.2,
    )
