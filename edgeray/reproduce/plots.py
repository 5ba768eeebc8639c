"""One experiment as a line chart: a line a policy, with its confidence band."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from edgeray.reproduce.experiments import BOUND, POLICIES, Experiment
from edgeray.reproduce.table import MEAN, Table
from edgeray.web.numbers import policy_label
from edgeray.web.theme import Theme, new_figure

_WIDTH_IN, _HEIGHT_IN = 8.2, 4.4
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw_experiment(table: Table, experiment: Experiment, theme: Theme) -> Figure:
    """Means over the seeds; waiting on a logarithmic axis, because policies differ there by decades."""
    column = "total_waiting_s" if experiment.waiting else MEAN
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN, theme)
    axes = figure.add_axes((0.09, 0.13, 0.88, 0.72), facecolor=theme.surface)
    for number, policy in enumerate(POLICIES):
        _line(axes, table, experiment, policy, column, theme.series[number], _MARKERS[number])
    if not experiment.waiting:
        _line(axes, table, experiment, BOUND, column, theme.muted, "")
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
    if experiment.name == "f":
        axes.set_xscale("log")
    axes.set_xticks(experiment.x, [f"{x:g}" for x in experiment.x])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(experiment.axis, color=theme.muted, fontsize=9)
    what = (
        "mean waiting time, s, logarithmic" if experiment.waiting else "items/s, mean of all submitted jobs"
    )
    axes.set_ylabel(what, color=theme.muted, fontsize=9)
    axes.grid(color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=theme.muted, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=theme.text,
        borderpad=0.2,
    )
    return figure


def _line(
    axes: Any, table: Table, experiment: Experiment, policy: str, column: str, colour: str, marker: str
) -> None:
    cells = [cell.bound() for cell in experiment.cells] if policy == BOUND else experiment.cells
    told = [
        (x, value)
        for x, cell in zip(experiment.x, cells, strict=True)
        if (value := table.value(cell, policy, column)) is not None
    ]
    if not told:
        return
    xs = [x for x, _ in told]
    axes.plot(
        xs,
        [value.mean for _, value in told],
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1.8,
        linestyle=(0, (4, 3)) if policy == BOUND else "-",
        label="upper bound" if policy == BOUND else policy_label(policy),
        zorder=3,
    )
    # What lies below 0 has no place on a logarithmic axis.
    least = min(value.mean for _, value in told) / 2 if experiment.waiting else 0.0
    if all(value.known for _, value in told):
        axes.fill_between(
            xs,
            [max(value.low, least) for _, value in told],
            [value.high for _, value in told],
            color=colour,
            alpha=0.16,
            linewidth=0,
            zorder=2,
        )
