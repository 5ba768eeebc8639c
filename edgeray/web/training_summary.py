"""What a comparison of training shows: as sentences that claim no more than one run can show, and as a table."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry import training_cycles, training_movement
from edgeray.telemetry.training_records import TrainingComparison
from edgeray.telemetry.training_runs import last_known
from edgeray.web.numbers import accuracy, duration, figures, percent, quotient, times
from edgeray.web.summary import TELLABLE, listed
from edgeray.web.training_costs import cheapest, cost_sentences, render_cost_table
from edgeray.web.training_cycles import best_of_cycles, cycle_sentences, render_cycle_table
from edgeray.web.training_rows import (
    SPLIT_MODE,
    Shown,
    accuracy_sentences,
    failure_sentences,
    fault_sentences,
    mode_of,
    off_prediction_sentence,
    plain_table,
    shown,
    words_of,
)

BASELINES = ("vanilla-fl", "adaptive-fl")
"""Whole models on the devices, the first one of these that ran is what the others are held against."""
PREDICTION_TOLERANCE = 0.15
"""What the project promises of a predicted round."""
_WORDS = words_of(SPLIT_MODE)


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


def best(rows: list[Shown], mode: str | None) -> list[Shown]:
    """Those that ended well, the best first: of split training by seconds of a round, of batch training by cycles to the
    baseline's accuracy, of fog training by cost."""
    if mode == training_cycles.MODE:
        return best_of_cycles(rows)
    return cheapest(rows) if mode == training_movement.MODE else ranked(rows)


def training_sentences(comparison: TrainingComparison) -> list[str]:
    """The summary, most important first."""
    mode = mode_of(comparison)
    if mode == training_cycles.MODE:
        return cycle_sentences(comparison)
    if mode == training_movement.MODE:
        return cost_sentences(comparison)
    rows = shown(comparison)
    done = ranked(rows)
    if not done:
        return ["No policy's training came to its end.", *failure_sentences(rows)]
    return [
        _leader(rows),
        *off_prediction_sentence(done, PREDICTION_TOLERANCE, _WORDS),
        *accuracy_sentences(rows, _WORDS),
        *_below_bound(rows),
        *fault_sentences(rows, _WORDS),
        *failure_sentences(rows),
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


def _below_bound(rows: list[Shown]) -> Iterator[str]:
    """A round under the bound would show that what was measured of the layers, or of the links, is wrong."""
    for row in ranked(rows):
        if row.run.above_bound is not None and row.run.above_bound < 0:
            below = percent(-row.run.above_bound)
            yield f"{row.name} is {below} under the bound: its layers or links were faster than they were measured."


def render_training_table(comparison: TrainingComparison) -> RenderableType:
    """One row a job and policy, narrow enough for 80 columns."""
    mode = mode_of(comparison)
    if mode == training_cycles.MODE:
        return render_cycle_table(comparison)
    return render_cost_table(comparison) if mode == training_movement.MODE else _split_table(comparison)


def _split_table(comparison: TrainingComparison) -> Table:
    rows = shown(comparison)
    table = plain_table(f"{comparison.app} on {comparison.cluster}: median seconds of a round")
    for heading in ("round", "predicted", "off", "T_LB", "of T_LB", "faster", "accuracy", "loss", "rounds"):
        table.add_column(heading, justify="right", no_wrap=True)
    top = ranked(rows)[:1]
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
            style="bold green" if row in top else None,
        )
    return table


def failure_lines(comparison: TrainingComparison) -> list[str]:
    """Why what failed did, a line each."""
    return list(failure_sentences(shown(comparison)))
