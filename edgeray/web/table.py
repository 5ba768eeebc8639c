"""A comparison as a table for the terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry.records import Comparison, JobRun, PolicyRun
from edgeray.web.numbers import duration, figures, known, percent, policy_label, times
from edgeray.web.summary import gain_over_baseline, plan_error, ratio_to_bound


def render_table(comparison: Comparison) -> Table:
    """One row a policy, narrow enough for 80 columns.

    Mean, geometric mean and minimum in items/s a job; planned mean, and how far off it the mean is; the mean
    over that of the best of LR and BR, and of the upper bound; the worst job's p95 latency; failed jobs.
    """
    table = Table(
        title=escape(
            f"{comparison.app} on {comparison.cluster}: items/s a job, {comparison.seconds:g} s each"
        ),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("policy", min_width=6)
    for heading in ("mean", "geo", "min", "plan", "off", "LR/BR", "bound", "p95", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = max((run.mean_per_s for run in comparison.runs), default=0.0)
    for run in comparison.runs:
        style = "bold green" if run.mean_per_s == best > 0 else None
        table.add_row(*_cells(comparison, run), style=style)
    return table


def _cells(comparison: Comparison, run: PolicyRun) -> tuple[str, ...]:
    error = plan_error(run.planned_mean_per_s, run.mean_per_s)
    failed = sum(1 for job in run.jobs if job.failure is not None)
    return (
        escape(policy_label(run.policy)),
        figures(run.mean_per_s),
        figures(run.geometric_mean_per_s),
        figures(run.minimum_per_s),
        figures(run.planned_mean_per_s),
        percent(error),
        times(gain_over_baseline(comparison, run)),
        percent(ratio_to_bound(run)),
        duration(worst_p95_s(run.jobs)),
        f"[red]{failed}/{len(run.jobs)}[/red]" if failed else "0",
    )


def worst_p95_s(jobs: tuple[JobRun, ...]) -> float | None:
    """The highest p95 latency of the jobs that have one."""
    return max((p95 for job in jobs if (p95 := known(job.latency_p95_s)) is not None), default=None)
