"""What simulations tell: numbers for `--json`, rows for a CSV file, and tables for a person."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.cli.console import seconds_text, stdout
from edgeray.simulator import Outcome, SimulatedJob
from edgeray.telemetry.runs import geometric_mean
from edgeray.web.numbers import figures, percent

MOST_JOBS = 24
"""In a table; of more the first and the last are shown."""
MOST_LOADED = 8
"""Devices, and links: the busiest are shown."""
_COLUMNS = (
    "job", "policy", "mode", "phase", "submitted_s", "placed_s", "started_s", "ended_s", "waited_s", "items",
    "throughput_per_s", "planned_per_s", "latency_p50_s", "latency_p95_s", "makespan_s", "planned_makespan_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One simulation. policy: that of --policies, or None. bound_per_s: no policy's mean is above, where known."""

    policy: str | None
    outcome: Outcome
    bound_per_s: float | None

    @property
    def name(self) -> str:
        return self.policy or ", ".join(dict.fromkeys(job.policy for job in self.outcome.jobs))


def run_json(run: Run) -> dict[str, Any]:
    return {"policy": run.policy, "summary": summary(run), **run.outcome.as_json()}


def summary(run: Run) -> dict[str, Any]:
    """Streams: mean, geometric mean and minimum of items/s, where a job that never ran counts as 0. One-shot jobs:
    mean makespan of those that ended, against their plans and their lower bounds."""
    jobs = run.outcome.jobs
    streams = [job for job in jobs if job.mode == "stream"]
    told: dict[str, Any] = {
        "jobs": len(jobs),
        "never_placed": sum(job.placed_s is None for job in jobs),
        "waited_mean_s": _mean([job.waited_s for job in jobs if job.waited_s is not None]),
    }
    if streams:
        rates = [job.throughput_per_s for job in streams]
        mean = sum(rates) / len(rates)
        told |= {
            "mean_per_s": mean,
            "geometric_mean_per_s": geometric_mean(rates),
            "minimum_per_s": min(rates),
            "planned_mean_per_s": sum(job.planned_per_s or 0.0 for job in streams) / len(streams),
            "bound_per_s": run.bound_per_s,
            "of_bound": mean / run.bound_per_s if run.bound_per_s else None,
        }
    if len(streams) < len(jobs):
        done = [job for job in jobs if job.makespan_s is not None]
        told |= {
            "once_jobs": len(jobs) - len(streams),
            "once_done": len(done),
            "makespan_mean_s": _mean([job.makespan_s for job in done]),
            "planned_makespan_mean_s": _mean([job.planned_makespan_s for job in done]),
            "above_bound": _above_bound(done),
        }
    return told


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _above_bound(jobs: Sequence[SimulatedJob]) -> float | None:
    """The mean of makespan / lower bound, less 1."""
    pairs = [(job.makespan_s, bound_s(job)) for job in jobs]
    return _mean([made_s / least_s - 1 for made_s, least_s in pairs if made_s is not None and least_s])


def bound_s(job: SimulatedJob) -> float | None:
    """No schedule of the one-shot job is shorter, by its last plan."""
    return job.plan.timetable.bound_s if job.plan is not None and job.plan.timetable is not None else None


def write_csv(runs: Sequence[Run], folder: Path) -> Path:
    """One row a job and run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "jobs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("run", *_COLUMNS))
        for run in runs:
            writer.writerows(
                (run.name, *(getattr(job, name) for name in _COLUMNS)) for job in run.outcome.jobs
            )
    return path


def print_run(run: Run, title: str) -> None:
    """The jobs, and what was loaded most. title: follows how many jobs there are of what sort."""
    for mode, word, columns in (
        ("stream", "stream", _STREAM_COLUMNS),
        ("once", "one-shot job", _ONCE_COLUMNS),
    ):
        rows = [job for job in run.outcome.jobs if job.mode == mode]
        if rows:
            stdout.print(_jobs_table(rows, columns, f"{len(rows)} {word}{'s'[: len(rows) - 1]} {title}"))
    _print_loads("busiest devices", run.outcome.device_busy)
    _print_loads("most loaded links", run.outcome.link_load)
    for text in _sentences(run):
        stdout.print(text, markup=False, highlight=False)


def _jobs_table(jobs: Sequence[SimulatedJob], columns: Columns, title: str) -> Table:
    """One row a job; columns in which no job has anything to tell are left out."""
    policies = {job.policy for job in jobs}
    if len(policies) > 1:
        columns = (("policy", lambda job: job.policy), *columns)
    rows = [(str(job.job), *(cell(job) for _, cell in columns)) for job in jobs]
    told = [n for n in range(len(columns) + 1) if any(row[n] != "-" for row in rows)]
    half = MOST_JOBS // 2
    if len(rows) > MOST_JOBS:
        rows[half:-half] = [(f"… {len(rows) - 2 * half} more", *[""] * len(columns))]
    title = title if len(policies) > 1 else f"{jobs[0].policy}: {title}"
    table = Table(
        title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for n in told:
        heading = "job" if n == 0 else columns[n - 1][0]
        table.add_column(heading, no_wrap=heading != "bound by")
    for row in rows:
        table.add_row(*(escape(row[n]) for n in told))
    return table


def _what_binds(job: SimulatedJob) -> str:
    return "-" if job.plan is None else job.plan.bottleneck


def _arrived(job: SimulatedJob) -> str:
    return seconds_text(job.submitted_s) if job.submitted_s else "-"


def _waited(job: SimulatedJob) -> str:
    if job.waited_s is None:
        return "to the end"
    return seconds_text(job.waited_s) if job.waited_s else "-"


Columns = tuple[tuple[str, Callable[[SimulatedJob], str]], ...]
_FIRST_COLUMNS: Columns = (("state", lambda job: job.phase), ("arrived", _arrived), ("waited", _waited))
_STREAM_COLUMNS: Columns = (
    *_FIRST_COLUMNS,
    ("items", lambda job: str(job.items)),
    ("items/s", lambda job: figures(job.throughput_per_s)),
    ("planned", lambda job: "-" if job.planned_per_s is None else figures(job.planned_per_s)),
    ("p50", lambda job: seconds_text(job.latency_p50_s)),
    ("p95", lambda job: seconds_text(job.latency_p95_s)),
    ("bound by", _what_binds),
)
_ONCE_COLUMNS: Columns = (
    *_FIRST_COLUMNS,
    ("makespan", lambda job: seconds_text(job.makespan_s)),
    ("planned", lambda job: seconds_text(job.planned_makespan_s)),
    ("bound", lambda job: seconds_text(bound_s(job))),
    ("bound by", _what_binds),
)


def _print_loads(title: str, loads: Mapping[Any, float]) -> None:
    busiest = sorted(loads.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_LOADED]
    told = ", ".join(f"{name} {percent(part)}" for name, part in busiest if part > 0)
    more = sum(part > 0 for part in loads.values()) - MOST_LOADED
    if told:
        text = f"{title}: {told}" + (f" and {more} more" if more > 0 else "")
        stdout.print(text, markup=False, highlight=False)


def _sentences(run: Run) -> list[str]:
    told = summary(run)
    texts = [*_why(run.outcome.jobs)]
    if "mean_per_s" in told:
        bound = (
            ""
            if told["of_bound"] is None
            else f", {percent(told['of_bound'])} of what any policy could reach"
        )
        texts.append(
            f"items/s a job: mean {figures(told['mean_per_s'])}{bound}, geometric mean "
            f"{figures(told['geometric_mean_per_s'])}, minimum {figures(told['minimum_per_s'])}"
        )
    if "once_jobs" in told:
        above = told["above_bound"]
        texts.append(
            f"makespan: mean {seconds_text(told['makespan_mean_s'])}, {told['once_done']} of "
            f"{told['once_jobs']} done"
            + ("" if above is None else f", {percent(above)} above the lower bound")
        )
    return texts


def _why(jobs: Sequence[SimulatedJob]) -> Iterator[str]:
    """How many jobs were never placed or failed, and what was said of the first."""
    for what, some in (
        ("never placed", [job for job in jobs if job.placed_s is None]),
        ("failed", [job for job in jobs if job.phase == "failed"]),
    ):
        if some:
            yield f"{what}: {len(some)} of {len(jobs)} jobs, the first is {some[0].job}: {some[0].detail}"


def print_side_by_side(runs: Sequence[Run], title: str) -> None:
    """One row a policy."""
    told = [summary(run) for run in runs]
    table = Table(
        title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    columns: list[tuple[str, Callable[[dict[str, Any]], str]]] = []
    if any("mean_per_s" in row for row in told):
        columns += [
            ("mean", lambda row: figures(row["mean_per_s"])),
            ("geo", lambda row: figures(row["geometric_mean_per_s"])),
            ("min", lambda row: figures(row["minimum_per_s"])),
            ("planned", lambda row: figures(row["planned_mean_per_s"])),
            ("of bound", lambda row: percent(row["of_bound"])),
        ]
    if any("once_jobs" in row for row in told):
        columns += [
            ("makespan", lambda row: seconds_text(row["makespan_mean_s"])),
            ("planned", lambda row: seconds_text(row["planned_makespan_mean_s"])),
            ("above bound", lambda row: percent(row["above_bound"])),
            ("done", lambda row: f"{row['once_done']}/{row['once_jobs']}"),
        ]
    columns += [
        ("waited", lambda row: seconds_text(row["waited_mean_s"])),
        ("never placed", lambda row: str(row["never_placed"])),
    ]
    table.add_column("policy")
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for run, row in zip(runs, told, strict=True):
        table.add_row(escape(run.name), *(cell(row) for _, cell in columns))
    stdout.print(table)
