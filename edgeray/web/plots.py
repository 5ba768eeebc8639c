"""Charts that hold the policies against each other: throughput and latency."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from edgeray.telemetry.records import Comparison
from edgeray.web.numbers import duration, figures, known, policy_label
from edgeray.web.theme import Theme, new_figure, plain

_WIDTH_IN = 8.2
_ROW_IN = 0.5


def draw_throughput(comparison: Comparison, theme: Theme) -> Figure:
    """Measured mean throughput as bars, planned as ticks, each job as a dot, the upper bound as a line."""
    runs = comparison.runs
    figure, axes = _policy_rows(theme, [run.policy for run in runs], "items/s, mean of the jobs")
    top = 0.0
    for row, run in enumerate(runs):
        colour = theme.series[0]
        axes.barh(row, run.mean_per_s, height=0.5, color=colour, zorder=2)
        planned = known(run.planned_mean_per_s)
        if planned is not None:
            axes.plot([planned, planned], [row - 0.36, row + 0.36], color=theme.text, linewidth=2.2, zorder=4)
        jobs = [job.measured_per_s for job in run.jobs] if len(run.jobs) > 1 else []
        axes.plot(
            jobs,
            [row] * len(jobs),
            "o",
            markersize=5,
            markerfacecolor=theme.surface,
            markeredgecolor=theme.series[1],
            zorder=3,
        )
        end = max([run.mean_per_s, planned or 0.0, *jobs])
        axes.text(
            1.015,
            row,
            figures(run.mean_per_s),
            transform=axes.get_yaxis_transform(),
            va="center",
            color=theme.text,
            fontsize=10,
            fontweight="bold",
        )
        top = max(top, end)
    bounds = [bound for run in runs if (bound := known(run.bound_per_s)) is not None]
    if bounds:
        axes.axvline(max(bounds), color=theme.muted, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
        top = max(top, max(bounds))
    axes.set_xlim(0, top * 1.05 or 1.0)
    _throughput_key(axes, theme, jobs=any(len(run.jobs) > 1 for run in runs), bound=bool(bounds))
    return figure


def _throughput_key(axes: Any, theme: Theme, *, jobs: bool, bound: bool) -> None:
    handles = [
        axes.barh([0], [0], color=theme.series[0], label="measured"),
        *axes.plot([], [], "|", color=theme.text, markersize=11, markeredgewidth=2.2, label="planned"),
    ]
    if jobs:
        handles += axes.plot(
            [],
            [],
            "o",
            markerfacecolor=theme.surface,
            markeredgecolor=theme.series[1],
            label="one job, measured",
        )
    if bound:
        handles += axes.plot([], [], color=theme.muted, linestyle=(0, (4, 3)), label="upper bound")
    _key(axes, handles, theme)


def draw_latency(comparison: Comparison, theme: Theme) -> Figure | None:
    """Median, p95 and p99 of the time from source to end, a line a job. None when no job has any."""
    runs = comparison.runs
    if not any(known(job.latency_p50_s) for run in runs for job in run.jobs):
        return None
    most_jobs = max(len(run.jobs) for run in runs)
    figure, axes = _policy_rows(
        theme,
        [run.policy for run in runs],
        "from the source to the end of the job, logarithmic",
        row_in=max(_ROW_IN, 0.15 + 0.13 * min(most_jobs, 12)),
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    for row, run in enumerate(runs):
        for number, job in enumerate(run.jobs):
            marks = [known(job.latency_p50_s), known(job.latency_p95_s), known(job.latency_p99_s)]
            points = [mark for mark in marks if mark is not None and mark > 0]
            at = row + (number - (len(run.jobs) - 1) / 2) * min(0.24, 0.7 / len(run.jobs))
            axes.plot(points, [at] * len(points), color=theme.series[0], linewidth=2.5, alpha=0.55, zorder=2)
            for mark, style in zip(marks, _LATENCY_STYLES, strict=True):
                if mark is not None and mark > 0:
                    axes.plot(mark, at, style[1], color=theme.series[style[2]], markersize=6.5, zorder=3)
    handles = [
        axes.plot([], [], marker, color=theme.series[colour], label=label)[0]
        for label, marker, colour in _LATENCY_STYLES
    ]
    _key(axes, handles, theme)
    return figure


# Label, marker, and number of the colour.
_LATENCY_STYLES = (("median", "o", 0), ("p95", "D", 4), ("p99", "s", 1))


def _policy_rows(
    theme: Theme, policies: list[str], label: str, *, row_in: float = _ROW_IN
) -> tuple[Figure, Any]:
    """A chart with one level row a policy, named at the left."""
    height = len(policies) * row_in + 1.0
    figure = new_figure(_WIDTH_IN, height, theme)
    axes = figure.add_axes((0.14, 0.55 / height, 0.78, 1 - 0.95 / height), facecolor=theme.surface)
    axes.set_ylim(len(policies) - 0.4, -0.6)
    axes.set_xlabel(label, color=theme.muted, fontsize=9)
    axes.grid(axis="x", color=theme.line, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.muted, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_yticks(range(len(policies)), [plain(policy_label(policy), 14) for policy in policies])
    for name in axes.get_yticklabels():
        name.set(fontsize=10.5, fontweight="bold", color=theme.text)
    return figure, axes


def _key(axes: Any, handles: list[Any], theme: Theme) -> None:
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=theme.text,
        borderpad=0.2,
    )
