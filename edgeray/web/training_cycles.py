"""What a comparison of batch training shows: cycles to an accuracy, iterations, and learners against predictions."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from edgeray.telemetry.training_cycles import (
    MODE,
    LearnerCycle,
    cycles_to,
    late_count,
    learner_cycles,
    median_iterations,
)
from edgeray.telemetry.training_records import TrainingComparison
from edgeray.telemetry.training_runs import last_known
from edgeray.web.numbers import MISSING, accuracy, duration, figures, percent, policy_label, quotient
from edgeray.web.summary import listed
from edgeray.web.training_rows import (
    Column,
    Shown,
    accuracy_sentences,
    count_text,
    ended_well,
    failure_sentences,
    fault_sentences,
    figure_table,
    filled,
    off_prediction_sentence,
    rounds_column,
    shown,
    signed,
    words_of,
)

BASELINE = "eta"
"""Equal batches for all: what the others are held against, where it ran."""
TOLERANCE = 0.10
"""What the project promises of a learner's predicted seconds."""
_WORDS = words_of(MODE)


def cycle_baseline(rows: Sequence[Shown], row: Shown) -> Shown | None:
    """The same training under BASELINE, else under the first policy, of those that ended well with an accuracy."""
    same = [
        other
        for other in ended_well(rows)
        if other.run.app == row.run.app and last_known(other.run.rounds, "accuracy") is not None
    ]
    return next((other for other in same if other.run.policy == BASELINE), same[0] if same else None)


def to_baselines(rows: Sequence[Shown], row: Shown) -> int | None:
    """Cycles until the accuracy that the baseline ended with is reached; None where it is not."""
    base = cycle_baseline(rows, row)
    reached = None if base is None else last_known(base.run.rounds, "accuracy")
    return None if reached is None else cycles_to(row.run.rounds, reached)


def of_its_cycles(rows: Sequence[Shown], row: Shown) -> float | None:
    """The same over all the baseline's cycles."""
    base = cycle_baseline(rows, row)
    return None if base is None else quotient(to_baselines(rows, row), base.run.rounds[-1]["number"])


def best_of_cycles(rows: Sequence[Shown]) -> list[Shown]:
    """Those that ended well: fewest cycles to the baseline's accuracy first; of as many, the higher accuracy first."""

    def key(row: Shown) -> tuple[float, float, float]:
        count = to_baselines(rows, row)
        last = last_known(row.run.rounds, "accuracy")
        return (
            float("inf") if count is None else count,
            -(last or 0.0),
            -(median_iterations(row.run.rounds) or 0.0),
        )

    return sorted(ended_well(rows), key=key)


def cycle_columns(rows: Sequence[Shown]) -> list[Column]:
    """The figures of each row; those that nobody has are left out."""
    bases = {policy_label(base.run.policy) for row in rows if (base := cycle_baseline(rows, row)) is not None}
    whose = f"{bases.pop()}'s" if len(bases) == 1 else "baseline's"
    offs = [row.run.off_prediction for row in rows]
    runs = [row.run for row in rows]

    def column(short: str | None, heading: str, cells: Sequence[str]) -> Column:
        return Column(short=short, heading=heading, cells=tuple(cells))

    return filled(
        [
            column("cycle", "measured", [duration(run.median_round_s) for run in runs]),
            column(None, "predicted", [duration(run.predicted_s) for run in runs]),
            Column(
                short="off",
                heading="off prediction",
                cells=tuple(map(signed, offs)),
                bad=frozenset(n for n, off in enumerate(offs) if off is not None and abs(off) > TOLERANCE),
            ),
            column("tau", "iterations (τ)", [count_text(median_iterations(run.rounds)) for run in runs]),
            column("late", "late", [str(late_count(run.rounds)) if run.rounds else MISSING for run in runs]),
            column("accuracy", "accuracy", [accuracy(last_known(run.rounds, "accuracy")) for run in runs]),
            column(
                f"to {whose}",
                f"cycles to {whose} accuracy",
                [MISSING if (count := to_baselines(rows, row)) is None else str(count) for row in rows],
            ),
            column("of its", f"of {whose} cycles", [percent(of_its_cycles(rows, row)) for row in rows]),
            column(None, "loss", [figures(last_known(run.rounds, "loss")) for run in runs]),
            rounds_column(rows, _WORDS),
        ]
    )


def render_cycle_table(comparison: TrainingComparison) -> RenderableType:
    """For the terminal, narrow enough for 80 columns."""
    rows = shown(comparison)
    title = f"{comparison.app} on {comparison.cluster}: median seconds of a cycle"
    return figure_table(title, rows, cycle_columns(rows), best_of_cycles(rows)[:1])


def cycle_sentences(comparison: TrainingComparison) -> list[str]:
    """The summary, most important first."""
    rows = shown(comparison)
    done = ended_well(rows)
    if not done:
        return ["No policy's training came to its end.", *failure_sentences(rows)]
    return [
        *_to_baseline(rows),
        *_iterations(done),
        *_learners(done),
        *off_prediction_sentence(done, TOLERANCE, _WORDS),
        *accuracy_sentences(rows, _WORDS),
        *fault_sentences(rows, _WORDS),
        *failure_sentences(rows),
    ]


def _to_baseline(rows: Sequence[Shown]) -> Iterator[str]:
    """Cycles to the baseline's accuracy, by those that are no baseline."""
    for row in best_of_cycles(rows):
        base = cycle_baseline(rows, row)
        if base is None or base is row:
            continue
        reached = last_known(base.run.rounds, "accuracy") or 0.0
        count, asked = cycles_to(row.run.rounds, reached), row.run.rounds[-1]["number"]
        theirs = f"{base.name}'s accuracy ({accuracy(reached)})"
        if count is None:
            last = accuracy(last_known(row.run.rounds, "accuracy"))
            yield f"{row.name} does not reach {theirs} in {asked} cycles; it ends at {last}."
            continue
        first = cycles_to(base.run.rounds, reached)
        itself = (
            "" if first in (None, base.run.rounds[-1]["number"]) else f"; {base.name} first after {first}"
        )
        yield f"{row.name} reaches {theirs} after {count} of its {asked} cycles{itself}."


def _iterations(done: Sequence[Shown]) -> Iterator[str]:
    counts = [(row.name, count) for row in done if (count := median_iterations(row.run.rounds)) is not None]
    if len(counts) < 2:
        return
    most, least = max(count for _, count in counts), min(count for _, count in counts)
    if most == least:
        yield f"All make {count_text(most)} iterations in a cycle (median)."
        return
    names = [name for name, count in counts if count == most]
    others = listed([f"{name} {count_text(count)}" for name, count in counts if count < most])
    verb = "makes" if len(names) == 1 else "make"
    yield f"{listed(names)} {verb} most iterations in a cycle, {count_text(most)} (median); {others}."


def _learners(done: Sequence[Shown]) -> Iterator[str]:
    """How far learners are from what was predicted for them, by policy."""
    told = [f"{row.name} {_off(cycles)}" for row in done if (cycles := learner_cycles(row.run))]
    if told:
        yield (
            "A learner's seconds against those predicted for it in the same cycle, the first cycle and late learners "
            f"left out: {'; '.join(told)}."
        )


def _off(cycles: Sequence[LearnerCycle]) -> str:
    worst = max(cycles, key=lambda each: abs(each.off))
    middle = statistics.median(abs(each.off) for each in cycles)
    return f"{percent(middle)} off (median), {signed(worst.off)} at worst ({worst.device} in cycle {worst.number})"
