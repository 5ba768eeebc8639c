"""What a comparison of fog training shows: what became of the points that devices collected, and what that cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from edgeray.telemetry.training_movement import MODE, moved
from edgeray.telemetry.training_records import TrainingComparison
from edgeray.telemetry.training_runs import last_known
from edgeray.web.numbers import accuracy, figures, percent, quotient
from edgeray.web.summary import TELLABLE
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
    rounds_column,
    shown,
    words_of,
)

BASELINES = ("local", "federated")
"""Policies that move nothing: the first of these that ran is what the others are held against, else the first policy."""
_WORDS = words_of(MODE)


def total_cost(row: Shown) -> float | None:
    """Of all its rounds; None where no round tells of points."""
    found = moved(row.run.rounds)
    return None if found is None else found.cost


def cheapest(rows: Sequence[Shown]) -> list[Shown]:
    """Those that ended well, the least total cost first."""
    done = [row for row in ended_well(rows) if total_cost(row) is not None]
    return sorted(done, key=lambda row: total_cost(row) or 0.0)


def cost_baseline(rows: Sequence[Shown], row: Shown) -> Shown | None:
    """The same training under the first of BASELINES, else under the first policy, of those that ended well."""
    same = [
        other for other in ended_well(rows) if other.run.app == row.run.app and total_cost(other) is not None
    ]
    by_policy = {other.run.policy: other for other in same}
    return next((by_policy[policy] for policy in BASELINES if policy in by_policy), same[0] if same else None)


def cost_columns(rows: Sequence[Shown]) -> list[Column]:
    """The figures of each row; those that nobody has are left out."""
    accuracies, rounds = _ends(rows)
    return filled([*_costs(rows), accuracies, *_points(rows), rounds])


def _costs(rows: Sequence[Shown]) -> list[Column]:
    def column(short: str, heading: str, of: str) -> Column:
        cells = tuple(
            figures(getattr(found, of) if (found := moved(row.run.rounds)) else None) for row in rows
        )
        return Column(short=short, heading=heading, cells=cells)

    return [
        column("cost", "total cost", "cost"),
        column("process", "of processing", "process_cost"),
        column("transfer", "of transfers", "transfer_cost"),
        column("discard", "of discards", "discard_cost"),
        Column(
            short="a point",
            heading="cost a point collected",
            cells=tuple(
                figures(found.of_collected(found.cost) if (found := moved(row.run.rounds)) else None)
                for row in rows
            ),
        ),
    ]


def _points(rows: Sequence[Shown]) -> list[Column]:
    found = [moved(row.run.rounds) for row in rows]

    def part(of: str) -> Column:
        cells = tuple(percent(each.of_collected(getattr(each, of)) if each else None) for each in found)
        return Column(short=of, heading=of, cells=cells)

    collected = tuple(count_text(None if each is None else each.collected) for each in found)
    return [
        Column(short="collected", heading="points collected", cells=collected),
        *(part(of) for of in ("processed", "sent", "discarded")),
    ]


def _ends(rows: Sequence[Shown]) -> list[Column]:
    ends = tuple(accuracy(last_known(row.run.rounds, "accuracy")) for row in rows)
    return [Column(short="accuracy", heading="accuracy", cells=ends), rounds_column(rows, _WORDS)]


def render_cost_table(comparison: TrainingComparison) -> RenderableType:
    """For the terminal: what it cost, and below where the points went; each narrow enough for 80 columns."""
    rows = shown(comparison)
    best = cheapest(rows)[:1]
    costs = figure_table(
        f"{comparison.app} on {comparison.cluster}: total cost and its parts",
        rows,
        filled([*_costs(rows), *_ends(rows)]),
        best,
    )
    points = filled(_points(rows))
    if not points:
        return costs
    return Group(costs, "", figure_table("points collected, and what became of them", rows, points, best))


def cost_sentences(comparison: TrainingComparison) -> list[str]:
    """The summary, most important first."""
    rows = shown(comparison)
    ranked = cheapest(rows)
    if not ranked:
        return ["No policy's training came to its end.", *failure_sentences(rows)]
    return [
        *_against_baseline(rows),
        *_parts(ranked[0]),
        *_unequal(ranked),
        *accuracy_sentences(rows, _WORDS),
        *fault_sentences(rows, _WORDS),
        *failure_sentences(rows),
    ]


def _against_baseline(rows: Sequence[Shown]) -> Iterator[str]:
    ranked = cheapest(rows)
    if len(ranked) == 1:
        yield f"{ranked[0].name} costs {figures(total_cost(ranked[0]))}."
    for row in ranked:
        base = cost_baseline(rows, row)
        if base is not None and base is not row:
            yield f"{row.name} {_more_or_less(row, base)}{_accuracies(row, base)}."


def _more_or_less(row: Shown, base: Shown) -> str:
    mine, theirs = total_cost(row), total_cost(base)
    both = f"({figures(mine)} against {figures(theirs)})"
    ratio = quotient(mine, theirs)
    if ratio is None:
        return f"cannot be held against {base.name} {both}"
    if abs(ratio - 1) <= TELLABLE:
        return f"costs as much as {base.name}, as far as one run tells {both}"
    return f"costs {percent(abs(ratio - 1))} {'less' if ratio < 1 else 'more'} than {base.name} {both}"


def _accuracies(row: Shown, base: Shown) -> str:
    mine, theirs = (last_known(each.run.rounds, "accuracy") for each in (row, base))
    if mine is None or theirs is None:
        return ""
    return f" at an accuracy of {accuracy(mine).removesuffix(' %')} against {accuracy(theirs)}"


def _parts(row: Shown) -> Iterator[str]:
    found = moved(row.run.rounds)
    if found is not None and found.collected:
        processed, sent, discarded = (
            percent(found.of_collected(points)) for points in (found.processed, found.sent, found.discarded)
        )
        yield (
            f"Of the {count_text(found.collected)} points collected, {row.name} sends {sent} to other devices, "
            f"processes {processed} and discards {discarded}."
        )


def _unequal(ranked: Sequence[Shown]) -> Iterator[str]:
    """Costs of unequal numbers of points do not compare."""
    counts = [found.collected for row in ranked if (found := moved(row.run.rounds)) is not None]
    if max(counts) > min(counts) * (1 + TELLABLE):
        yield (
            f"Policies collected between {count_text(min(counts))} and {count_text(max(counts))} points: "
            "the cost a point tells more than the total."
        )
