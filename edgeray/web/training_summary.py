"""What a comparison of split training shows: as sentences that claim no more than one run can show, and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry.training_records import TrainingComparison, TrainingRun
from edgeray.telemetry.training_runs import faults, last_known, seconds_to
from edgeray.web.numbers import accuracy, duration, figures, percent, policy_label, quotient, times
from edgeray.web.summary import TELLABLE, listed

BASELINES = ("vanilla-fl", "adaptive-fl")
"""Whole models on the devices, the first one of these that ran is what the others are held against."""
PREDICTION_TOLERANCE = 0.15
"""What the project promises of a predicted round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A job under a policy, under the name by which a page or a table calls it."""

    name: str
    run: TrainingRun


def shown(comparison: TrainingComparison) -> list[Shown]:
    """All jobs of all policies. One job a policy goes by the policy's name, several by their applications' too."""
    several = any(len(policy.jobs) > 1 for policy in comparison.runs)
    alike = any(len({run.app for run in policy.jobs}) < len(policy.jobs) for policy in comparison.runs)
    rows = []
    for policy in comparison.runs:
        for run in policy.jobs:
            name = policy_label(policy.policy)
            if several:
                name = f"{name}, {run.job if alike else run.app}"
            rows.append(Shown(name=name, run=run))
    return rows


def ranked(rows: list[Shown]) -> list[Shown]:
    """Those that ended well, the shortest round first."""
    done = [row for row in rows if row.run.failure is None and row.run.median_round_s is not None]
    return sorted(done, key=lambda row: row.run.median_round_s or 0.0)


def baseline(rows: list[Shown], row: Shown) -> Shown | None:
    """The same training under the first of BASELINES under which it ended well."""
    done = ranked(rows)
    for policy in BASELINES:
        for other in done:
            if other.run.policy == policy and other.run.app == row.run.app:
                return other
    return None


def gain(rows: list[Shown], row: Shown) -> float | None:
    """How many times as fast as the baseline's a round is."""
    base = baseline(rows, row)
    return None if base is None else quotient(base.run.median_round_s, row.run.median_round_s)


def common_accuracy(rows: list[Shown]) -> float | None:
    """An accuracy that every job which ended well has reached: the lowest of their best; None when one has none."""
    best = [
        max((each["accuracy"] for each in row.run.rounds if each["accuracy"] is not None), default=None)
        for row in ranked(rows)
    ]
    known = [value for value in best if value is not None]
    return min(known) if known and len(known) == len(best) else None


def training_sentences(comparison: TrainingComparison) -> list[str]:
    """The summary, most important first."""
    rows = shown(comparison)
    if not ranked(rows):
        return ["No policy's training came to its end.", *_failures(rows)]
    return [
        _leader(rows),
        *_against_prediction(rows),
        *_accuracy(rows),
        *_below_bound(rows),
        *_faults(rows),
        *_failures(rows),
    ]


def _leader(rows: list[Shown]) -> str:
    done = ranked(rows)
    top, shortest_s = done[0], done[0].run.median_round_s or 0.0
    peers = [row for row in done if (row.run.median_round_s or 0.0) <= shortest_s * (1 + TELLABLE)]
    if len(peers) > 1:
        names = listed([row.name for row in peers])
        text = f"{names} have the shortest round, {duration(shortest_s)}: one run does not tell {percent(TELLABLE)} apart"
    else:
        text = f"{top.name} has the shortest round, {duration(shortest_s)}"
    base, factor = baseline(rows, top), gain(rows, top)
    if base is not None and base not in peers and factor is not None:
        text += f", {times(factor)} as fast as {base.name} ({duration(base.run.median_round_s)})"
    above = top.run.above_bound
    return f"{text}." if above is None else f"{text}; that is {times(1 + above)} the bound on any round."


def _against_prediction(rows: list[Shown]) -> Iterator[str]:
    errors = [(row, error) for row in ranked(rows) if (error := row.run.off_prediction) is not None]
    off = [f"{row.name} ({error * 100:+.0f} %)" for row, error in errors if abs(error) > PREDICTION_TOLERANCE]
    if off:
        yield f"The measured round is more than {percent(PREDICTION_TOLERANCE)} off its prediction for {listed(off)}."
    elif errors:
        worst = max(0.001, *(abs(error) for _, error in errors))
        yield f"The measured round meets its prediction within {percent(worst)} for every policy that ran."


def _accuracy(rows: list[Shown]) -> Iterator[str]:
    done = ranked(rows)
    reached = common_accuracy(rows)
    ends = [value for row in done if (value := last_known(row.run.rounds, "accuracy")) is not None]
    if reached is None or len(ends) < 2:
        return
    counts = {len(row.run.rounds) for row in done}
    after = f"After {counts.pop()} rounds each" if len(counts) == 1 else "At their ends"
    yield f"{after}, accuracies lie between {accuracy(min(ends))} and {accuracy(max(ends))}."
    soonest = sorted(
        ((seconds, row.name) for row in done if (seconds := seconds_to(row.run.rounds, reached)) is not None),
    )
    (first_s, first), (last_s, last) = soonest[0], soonest[-1]
    if last_s > first_s * (1 + TELLABLE):
        yield (
            f"All reach {accuracy(reached)}: {first} soonest, after {duration(first_s)} of training, "
            f"and {last} last, after {duration(last_s)}."
        )


def _below_bound(rows: list[Shown]) -> Iterator[str]:
    """A round under the bound would show that what was measured of the layers, or of the links, is wrong."""
    for row in ranked(rows):
        if row.run.above_bound is not None and row.run.above_bound < 0:
            below = percent(-row.run.above_bound)
            yield f"{row.name} is {below} under the bound: its layers or links were faster than they were measured."


def _faults(rows: list[Shown]) -> Iterator[str]:
    for row in rows:
        count = sum(1 for _ in faults(row.run))
        if count:
            times_told = "once" if count == 1 else f"{count} times"
            yield f"{row.name}: a device was dropped from its round {times_told}; which and why is told below."


def _failures(rows: list[Shown]) -> Iterator[str]:
    for row in rows:
        if row.run.failure is not None:
            yield f"{row.name}: {row.run.job} failed: {row.run.failure}"


def render_training_table(comparison: TrainingComparison) -> Table:
    """One row a job and policy, narrow enough for 80 columns, and the failures' reasons below each other."""
    rows = shown(comparison)
    table = Table(
        title=escape(f"{comparison.app} on {comparison.cluster}: median seconds of a round"),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("policy", min_width=6)
    for heading in ("round", "predicted", "off", "T_LB", "of T_LB", "faster", "accuracy", "loss", "rounds"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = ranked(rows)[:1]
    for row in rows:
        run = row.run
        done = f"{len(run.rounds)}/{run.rounds_asked}"
        table.add_row(
            escape(row.name),
            duration(run.median_round_s),
            duration(run.predicted_s),
            percent(run.off_prediction),
            duration(run.bound_s),
            times(None if run.above_bound is None else 1 + run.above_bound),
            times(gain(rows, row)),
            accuracy(last_known(run.rounds, "accuracy")),
            figures(last_known(run.rounds, "loss")),
            done if run.failure is None else f"[red]{done}[/red]",
            style="bold green" if row in best else None,
        )
    return table


def failure_lines(comparison: TrainingComparison) -> list[str]:
    """Why what failed did, a line each."""
    return list(_failures(shown(comparison)))
