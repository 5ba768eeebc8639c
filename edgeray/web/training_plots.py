"""Charts of training: its course, where the seconds of a round go, what it sends and holds, and what points cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from edgeray.telemetry.training_movement import moved
from edgeray.telemetry.training_records import Round, TrainingRun
from edgeray.telemetry.training_runs import (
    Spent,
    clock_s,
    mean_sent_bytes,
    mean_spent,
    peak_server_bytes,
)
from edgeray.web.numbers import duration, figures, size
from edgeray.web.theme import Theme, new_figure, plain
from edgeray.web.training_rows import SPLIT_MODE, Shown, Words, words_of

MOST_CLIENTS = 16
"""In a panel; of more those that compute and send the longest are drawn."""
_WIDTH_IN = 8.2
_ROW_IN = 0.24
_DASHES = (0, (2, 2))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_COMPUTING, _TRANSFER, _OTHERS = "computing", "transfer", "waiting for others"
# Numbers of the theme's colours; waiting for others is drawn as a line's grey.
_PART_COLOURS = (0, 1, 2)
_COST_PARTS = (("processing", "process_cost"), ("transfers", "transfer_cost"), ("discards", "discard_cost"))
_PanelRows = tuple[Shown, list[tuple[str, Spent]]]
_TEXTS = {
    "accuracy": "accuracy on the test set",
    "loss": "training loss, mean over samples",
}


def draw_course(rows: Sequence[Shown], key: str, theme: Theme) -> Figure | None:
    """accuracy or loss after each round, against the seconds of training and against rounds (or cycles). None: nobody
    has any."""
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
    for axes, label in ((against_time, "seconds of training"), (against_rounds, _words(rows).rounds)):
        _style(axes, label, theme)
    against_rounds.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    against_rounds.tick_params(labelleft=False)
    against_rounds.set_ylim(against_time.get_ylim())
    against_time.set_ylabel(_TEXTS[key], color=theme.muted, fontsize=9)
    if key == "accuracy":
        against_time.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
    _key(against_time, theme, columns=4)
    return figure


def _words(rows: Sequence[Shown]) -> Words:
    return words_of(rows[0].run.mode if rows else None)


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
    words = _words(rows)
    axes.set_xlabel(f"seconds of a mean {words.round}, without the first", color=theme.muted, fontsize=9)
    figure.legend(
        handles=[
            *(axes.barh([0], [0], color=colour, label=part) for part, colour in _drawn_parts(panels, theme)),
            *_line_handles(axes, panels, theme),
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


def _drawn_parts(panels: Sequence[_PanelRows], theme: Theme) -> list[tuple[str, str]]:
    """The parts of a round and their colours; of other than split training, only those that take any time."""
    mode = panels[0][0].run.mode
    parts = _part_colours(words_of(mode), theme)
    if mode == SPLIT_MODE:
        return parts
    seconds = [_seconds(each) for _, spent in panels for _, each in spent]
    return [part for number, part in enumerate(parts) if any(each[number] > 0 for each in seconds)]


def _line_handles(axes: Any, panels: Sequence[_PanelRows], theme: Theme) -> list[Any]:
    """Of the lines that are drawn across panels."""
    handles: list[Any] = []
    if any(row.run.predicted_s is not None for row, _ in panels):
        handles += axes.plot([], [], color=theme.text, linewidth=1.6, label="predicted")
    if any(row.run.bound_s is not None for row, _ in panels):
        handles += axes.plot([], [], color=theme.muted, linewidth=1.6, linestyle=_DASHES, label="T_LB")
    return handles


def _busiest(run: TrainingRun) -> list[tuple[str, Spent]]:
    """The devices that are drawn, in the plan's order."""
    found = mean_spent(run)
    drawn = sorted(found, key=lambda device: found[device].idle_s)[:MOST_CLIENTS]
    return [(device, each) for device, each in found.items() if device in drawn]


def _seconds(each: Spent) -> tuple[float, ...]:
    """In the order of _part_colours."""
    return each.compute_s, each.transfer_s, each.server_s, each.idle_s


def _right_s(row: Shown, spent: Sequence[tuple[str, Spent]]) -> float:
    lines = [each for each in (row.run.predicted_s, row.run.bound_s) if each is not None]
    return max(*(sum(_seconds(each)) for _, each in spent), *lines, 1e-6)


def _panel(axes: Any, row: Shown, spent: Sequence[tuple[str, Spent]], theme: Theme) -> None:
    words = words_of(row.run.mode)
    for number, (_, each) in enumerate(spent):
        left_s = 0.0
        for seconds, (_, colour) in zip(_seconds(each), _part_colours(words, theme), strict=True):
            axes.barh(number, seconds, left=left_s, height=0.72, color=colour, zorder=2)
            left_s += seconds
    for value_s, colour, style in (
        (row.run.predicted_s, theme.text, "-"),
        (row.run.bound_s, theme.muted, _DASHES),
    ):
        if value_s is not None:
            axes.axvline(value_s, color=colour, linewidth=1.6, linestyle=style, zorder=4)
    _rows(axes, [device for device, _ in spent], theme)
    hidden = len(mean_spent(row.run)) - len(spent)
    more = f", {hidden} devices that wait longer are left out" if hidden else ""
    title = f"{plain(row.name)}: median {words.round} {duration(row.run.median_round_s)}{more}"
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=theme.text, pad=4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))


def _part_colours(words: Words, theme: Theme) -> list[tuple[str, str]]:
    colours = (*(theme.series[n] for n in _PART_COLOURS), theme.line)
    return list(zip((_COMPUTING, _TRANSFER, words.waiting, _OTHERS), colours, strict=True))


def draw_loads(rows: Sequence[Shown], theme: Theme) -> Figure | None:
    """Bytes of a round, to and from the server, a row a policy; of split training also the server's memory at its
    peak."""
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
    charts: list[tuple[float, str, tuple[str, str], Sequence[tuple[float, float]], tuple[int, int]]] = [
        (
            0.19,
            f"sent in a {_words(rows).round}",
            ("to the server", "from the server"),
            [s for _, s, _ in loads],
            (0, 1),
        ),
        (
            0.63,
            "server memory: the peaks of both",
            ("activations", "halves"),
            [p for _, _, p in loads],
            (2, 3),
        ),
    ]
    drawn = charts if rows[0].run.mode == SPLIT_MODE else charts[:1]
    for left, title, labels, pairs, colours in drawn:
        area = (left, 0.5 / height, 0.355 if len(drawn) > 1 else 0.795, 1 - 0.95 / height)
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


def draw_costs(rows: Sequence[Shown], theme: Theme) -> Figure | None:
    """What points cost, by parts, a row a policy. None: no round tells of points, or all was free."""
    costs = [(row, found) for row in rows if (found := moved(row.run.rounds)) is not None]
    if not any(found.cost > 0 for _, found in costs):
        return None
    height = len(costs) * 0.42 + 1.0
    figure = new_figure(_WIDTH_IN, height, theme)
    axes = figure.add_axes((0.19, 0.5 / height, 0.795, 1 - 0.95 / height), facecolor=theme.surface)
    for number, (_, found) in enumerate(costs):
        start = 0.0
        for colour, (label, of) in zip(theme.series, _COST_PARTS, strict=False):
            value = getattr(found, of)
            told = label if number == 0 else None
            axes.barh(number, value, left=start, height=0.6, color=colour, label=told, zorder=2)
            start += value
        axes.annotate(
            figures(start),
            (start, number),
            (4, 0),
            textcoords="offset points",
            va="center",
            color=theme.text,
            fontsize=9,
        )
    _rows(axes, [row.name for row, _ in costs], theme)
    axes.set_xlim(0, max(found.cost for _, found in costs) * 1.1)
    axes.set_xlabel("cost", color=theme.muted, fontsize=9)
    _key(axes, theme, columns=3)
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
