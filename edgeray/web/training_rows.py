"""What the reports of all kinds of training share: their rows, their words, and how a table of figures is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table

from edgeray.telemetry import training_cycles, training_movement
from edgeray.telemetry.training_records import TrainingComparison, TrainingRun
from edgeray.telemetry.training_runs import faults, last_known, seconds_to
from edgeray.web.numbers import MISSING, accuracy, duration, percent, policy_label
from edgeray.web.summary import TELLABLE, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A job under a policy, under the name by which a page or a table calls it."""

    name: str
    run: TrainingRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How a kind of training is called, and one of its rounds. waiting: for what its devices wait in a round. foreseen:
    what of its numbers was not measured."""

    kind: str
    round: str
    waiting: str
    foreseen: str

    @property
    def rounds(self) -> str:
        return f"{self.round}s"


SPLIT_MODE = "loop"
_WORDS = {
    SPLIT_MODE: Words(
        kind="split training",
        round="round",
        waiting="server and its queue",
        foreseen="what is called planned, predicted or T_LB was reckoned before, from measurements of each layer on each "
        "type of device.",
    ),
    training_cycles.MODE: Words(
        kind="batch training",
        round="cycle",
        waiting="waiting for the server",
        foreseen="what is called predicted was reckoned when a cycle began, from what was measured in those before it; "
        "of the first, from measurements of each type of device.",
    ),
    training_movement.MODE: Words(
        kind="fog training",
        round="round",
        waiting="waiting for points",
        foreseen="where a job declares what points cost, costs are what it declares, for points that were counted.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A figure of each row, as text. short: its heading on a terminal; None: it is not shown there. bad: rows where it is
    outside of what was promised, by their numbers."""

    short: str | None
    heading: str
    cells: tuple[str, ...]
    bad: frozenset[int] = frozenset()


def mode_of(comparison: TrainingComparison) -> str | None:
    """Of all its jobs; None where there are none."""
    return next((run.mode for policy in comparison.runs for run in policy.jobs), None)


def words_of(mode: str | None) -> Words:
    return _WORDS[mode or SPLIT_MODE]


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


def ended_well(rows: Sequence[Shown]) -> list[Shown]:
    """Those whose training came to its end, in their order."""
    return [row for row in rows if row.run.failure is None and row.run.rounds]


def common_accuracy(rows: Sequence[Shown]) -> float | None:
    """An accuracy that every job which ended well has reached: the lowest of their best; None when one has none."""
    best = [
        max((each["accuracy"] for each in row.run.rounds if each["accuracy"] is not None), default=None)
        for row in ended_well(rows)
    ]
    known = [value for value in best if value is not None]
    return min(known) if known and len(known) == len(best) else None


def accuracy_sentences(rows: Sequence[Shown], words: Words) -> Iterator[str]:
    """Between what the last accuracies lie, and who reaches an accuracy that all reach soonest and last."""
    done = ended_well(rows)
    reached = common_accuracy(rows)
    ends = [value for row in done if (value := last_known(row.run.rounds, "accuracy")) is not None]
    if reached is None or len(ends) < 2:
        return
    counts = {len(row.run.rounds) for row in done}
    after = f"After {counts.pop()} {words.rounds} each" if len(counts) == 1 else "At their ends"
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


def off_prediction_sentence(rows: Sequence[Shown], tolerance: float, words: Words) -> Iterator[str]:
    """How far the measured rounds of those that ended well are from their predictions."""
    errors = [(row, error) for row in rows if (error := row.run.off_prediction) is not None]
    off = [f"{row.name} ({error * 100:+.0f} %)" for row, error in errors if abs(error) > tolerance]
    if off:
        yield f"The measured {words.round} is more than {percent(tolerance)} off its prediction for {listed(off)}."
    elif errors:
        worst = max(0.001, *(abs(error) for _, error in errors))
        yield f"The measured {words.round} meets its prediction within {percent(worst)} for every policy that ran."


def fault_sentences(rows: Sequence[Shown], words: Words) -> Iterator[str]:
    for row in rows:
        count = sum(1 for _ in faults(row.run))
        if count:
            times_told = "once" if count == 1 else f"{count} times"
            yield f"{row.name}: a device was dropped from its {words.round} {times_told}; which and why is told below."


def failure_sentences(rows: Sequence[Shown]) -> Iterator[str]:
    for row in rows:
        if row.run.failure is not None:
            yield f"{row.name}: {row.run.job} failed: {row.run.failure}"


def signed(fraction: float | None) -> str:
    """A fraction as per cent, with its sign unless it is 0: +4.2 %."""
    text = percent(fraction)
    if text.lstrip("-") == percent(0.0):
        return percent(0.0)
    return f"+{text}" if fraction is not None and fraction > 0 else text


def count_text(value: float | None) -> str:
    """A number of something, such as samples; a median may be half of one."""
    if value is None:
        return MISSING
    return f"{value:g}" if value < 1e5 else f"{value:.0f}"


def filled(columns: Sequence[Column]) -> list[Column]:
    """Those that have a figure of any row."""
    return [column for column in columns if any(cell != MISSING for cell in column.cells)]


def rounds_column(rows: Sequence[Shown], words: Words) -> Column:
    """How many of the rounds asked for were done."""
    return Column(
        short=words.rounds,
        heading=words.rounds,
        cells=tuple(f"{len(row.run.rounds)}/{row.run.rounds_asked}" for row in rows),
        bad=frozenset(number for number, row in enumerate(rows) if row.run.failure is not None),
    )


def figure_table(
    title: str, rows: Sequence[Shown], columns: Sequence[Column], best: Sequence[Shown]
) -> Table:
    """For the terminal: one row a job and policy, the best in green, bad figures in red."""
    table = plain_table(title, long_names=True)
    drawn = [column for column in columns if column.short is not None]
    for column in drawn:
        table.add_column(column.short or "", justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = (
            f"[red]{escape(column.cells[number])}[/red]" if number in column.bad else column.cells[number]
            for column in drawn
        )
        table.add_row(escape(row.name), *cells, style="bold green" if row in best else None)
    return table


def plain_table(title: str, *, long_names: bool = False) -> Table:
    """An empty table of policies for the terminal. long_names: there is room for them, and where not they are broken."""
    table = Table(
        title=escape(title),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=not long_names,
    )
    table.add_column("policy", min_width=6, overflow="fold" if long_names else "ellipsis")
    return table
