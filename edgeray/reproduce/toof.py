"""The experiments of TOOF, run again: regret and reward against time, and helpers with queues; claims judged.

Source: "Online optimal task offloading with one-bit feedback", sec. 5, Figs. 2 and 3. Words without numbers mean here:
much lower is half; converging to zero is three quarters of what it was after a tenth of the items, or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeray.reproduce.paper_page import Drawing, Line, judged
from edgeray.reproduce.paper_run import Paper, SeedTable, told_lines
from edgeray.reproduce.rules import ALL, Check, Claim, at_least, at_most, flat, within
from edgeray.reproduce.table import Estimate, estimate
from edgeray.simulator.offload import (
    CLAIRVOYANT,
    OPTIMAL,
    SITUATIONS,
    THEORY,
    OffloadRun,
    PaperOffload,
    simulate_bits,
)
from edgeray.simulator.offload_queues import simulate_queues

HELPERS = (5, 10)
ITEMS, QUICK_ITEMS, QUEUE_ITEMS, QUICK_QUEUE_ITEMS = 10_000, 4_000, 6_000, 2_000
SEEDS, QUICK_SEEDS = 20, 4
BITS = ("round-robin", "greedy", "toof", THEORY, "ecolog", OPTIMAL)
PLAIN = ("round-robin", "p2c", "jsq", "sed")
QUEUES = (*PLAIN, "toof", "hybrid", CLAIRVOYANT)
QUEUE_SEEDS = 5
SPECIFIED = {
    (5, "toof"): (0.044, 0.006), (5, "greedy"): (0.173, 0.014), (5, "round-robin"): (0.199, 0.010),
    (10, "toof"): (0.061, 0.007), (10, "greedy"): (0.238, 0.016), (10, "round-robin"): (0.263, 0.013),
}  # fmt: skip
"""Average regret over 10^4 items, 20 seeds, of our specification, and its standard error."""
MUCH, FALLS, CLOSE = 0.5, 0.75, 0.01
TENTH = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ToofTrial:
    """situation: "bits", or one of helpers with queues."""

    situation: str
    helpers: int
    seed: int
    policy: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToofRow:
    """A trial's run; met: the part of items that were happy, or in time."""

    situation: str
    helpers: int
    seed: int
    policy: str
    items: int
    regret: float
    reward: float
    met: float
    curve: tuple[tuple[int, float, float], ...]

    def near(self, items: float) -> tuple[int, float, float]:
        """The curve's point that is nearest to so many items."""
        return min(self.curve, key=lambda point: abs(point[0] - items))


def toof_trials(seeds: int, *, quick: bool) -> list[ToofTrial]:
    """The long ones first."""
    items, queued = (QUICK_ITEMS, QUICK_QUEUE_ITEMS) if quick else (ITEMS, QUEUE_ITEMS)
    bits = [
        ToofTrial(situation="bits", helpers=n, seed=seed, policy=policy, items=items)
        for n in reversed(HELPERS)
        for policy in BITS
        for seed in range(seeds)
    ]
    return bits + [
        ToofTrial(situation=situation, helpers=5, seed=seed, policy=policy, items=queued)
        for situation in SITUATIONS
        for policy in QUEUES
        for seed in range(min(seeds, QUEUE_SEEDS))
    ]


def compute(trial: ToofTrial) -> ToofRow:
    run: OffloadRun
    if trial.situation == "bits":
        run = simulate_bits(PaperOffload(helpers=trial.helpers), trial.policy, trial.items, trial.seed)
    else:
        settings = PaperOffload(model="queues", helpers=trial.helpers, situation=trial.situation)
        run = simulate_queues(settings, trial.policy, trial.items, trial.seed)
    return ToofRow(
        situation=trial.situation,
        helpers=trial.helpers,
        seed=trial.seed,
        policy=trial.policy,
        items=trial.items,
        regret=run.regret,
        reward=run.reward,
        met=run.met,
        curve=run.curve,
    )


class ToofTable(SeedTable[tuple[str, int, str], ToofRow]):
    """The rows by situation, helpers and policy."""

    def __init__(self, rows: Iterable[ToofRow]) -> None:
        super().__init__(rows, lambda row: (row.situation, row.helpers, row.policy))

    def of(
        self, situation: str, helpers: int, policies: Sequence[str], tell: Callable[..., float]
    ) -> Estimate | None:
        """The mean over seeds of what is told of the policies' rows of a seed."""
        return self.told([(situation, helpers, policy) for policy in policies], tell)

    def ratio(self, helpers: int, policy: str, other: str) -> Estimate | None:
        """Of average regrets at the end, in the paper's model."""
        return self.quotient(("bits", helpers, policy), ("bits", helpers, other), lambda row: row.regret)


def _claims(table: ToofTable) -> list[Claim | None]:
    def each(what: Callable[[int], list[Check]]) -> tuple[Check, ...]:
        return flat(what(n) for n in HELPERS)

    def gap(more: ToofRow, less: ToofRow, items: float) -> float:
        return more.near(items)[2] - less.near(items)[2]

    def falls(row: ToofRow) -> float:
        return row.regret / row.near(TENTH * row.items)[1]

    return [
        judged(
            "converges", "2", "TOOF's average regret shows the tendency of converging to zero.",
            "at the end it is three quarters of that after a tenth of the items, or less", "ratio",
            each(lambda n: at_most(f"{n} helpers", table.of("bits", n, ["toof"], falls), FALLS, 1.0)), ALL,
        ),
        judged(
            "much-lower", "2", "TOOF achieves much lower regret than round-robin and greedy.",
            "half of the other's or less", "ratio",
            flat(
                at_most(f"over {other}, {n} helpers", table.ratio(n, "toof", other), MUCH, 1.0)
                for n in HELPERS for other in ("round-robin", "greedy")
            ), ALL,
        ),
        judged(
            "over-greedy", "3", "TOOF's reward gets ahead of greedy's and keeps widening the gap.",
            "its lead in average reward at the end is more than 0, and more than after a tenth of the items", "rate",
            each(lambda n: at_least(
                f"lead at the end, {n} helpers",
                table.of("bits", n, ["toof", "greedy"], lambda a, b: gap(a, b, a.items)), 0.0,
            ) + at_least(
                f"lead gained since a tenth, {n} helpers",
                table.of(
                    "bits", n, ["toof", "greedy"],
                    lambda a, b: gap(a, b, a.items) - gap(a, b, TENTH * a.items),
                ), 0.0,
            )), ALL,
        ),
        judged(
            "approaches", "3", "The reward of TOOF approaches the optimal one.",
            "what it lacks in average reward is less at the end than after a tenth of the items", "rate",
            each(lambda n: at_most(
                f"change of the lack, {n} helpers",
                table.of(
                    "bits", n, [OPTIMAL, "toof"],
                    lambda a, b: gap(a, b, a.items) - gap(a, b, TENTH * a.items),
                ), 0.0,
            )), ALL,
        ),
        judged(
            "theory-loose", "2", "The theory's radius may not be tight: only its order is taken for the experiments.",
            "with the practical radius regret is half of that with the theory's, or less", "ratio",
            each(lambda n: at_most(f"{n} helpers", table.ratio(n, "toof", THEORY), MUCH, 1.0)), ALL,
        ),
    ]  # fmt: skip


def _aims(table: ToofTable) -> list[Claim | None]:
    def beyond(situation: str, other: str) -> list[Check]:
        value = table.of(situation, 5, ["hybrid", other], lambda a, b: a.met - b.met)
        return at_least(f"beyond {other}, {situation}", value, -CLOSE)

    def regret(helpers: int, policy: str) -> list[Check]:
        mean, off = SPECIFIED[helpers, policy]
        rows = table.by_seed(("bits", helpers, policy))
        if any(row.items != ITEMS for row in rows.values()):
            return []
        value = table.of("bits", helpers, [policy], lambda row: row.regret)
        # Both are means over 20 draws of helpers: two standard errors of their difference.
        return within(f"{policy}, {helpers} helpers", value, mean - 2.8 * off, mean + 2.8 * off)

    return [
        judged(
            "specified", "2", "Average regrets are those of our specification (10^4 items).",
            "within two standard errors of the difference of two such means", "rate",
            flat(regret(n, policy) for n, policy in SPECIFIED), ALL, aim=True,
        ),
        judged(
            "hybrid", "", "With queues and deadlines, hybrid meets as many as the best queue policy.",
            "what it meets is no more than a hundredth of all items less than the other's", "rate",
            flat(beyond(situation, other) for situation in SITUATIONS for other in PLAIN), ALL, aim=True,
        ),
    ]  # fmt: skip


def _drawings(table: ToofTable) -> list[Drawing]:
    drawn = []
    for helpers in HELPERS:
        for figure, column, what in (("2", 1, "average regret"), ("3", 2, "average reward")):
            lines = [
                Line(label=policy, points=_curve(table.by_seed(("bits", helpers, policy)), column))
                for policy in BITS
                if column == 2 or policy != OPTIMAL
            ]
            drawn.append(
                Drawing(
                    name=f"{figure}-{helpers}",
                    figure=figure,
                    title=f"Fig. {figure}: {what} against time, {helpers} helpers",
                    axis="items",
                    what=what,
                    lines=told_lines(lines),
                    from_zero=column == 1,
                )
            )
    return drawn


def _curve(rows: dict[int, ToofRow], column: int) -> tuple[tuple[float, Estimate], ...]:
    curves = [row.curve for row in rows.values()]
    return tuple(
        (float(points[0][0]), estimate([float(point[column]) for point in points]))
        for points in zip(*curves, strict=True)
    )


NOTES = (
    "Five features of an item at a helper, uniform in 0 … 1 and divided by √5: length and complexity are the item's, CPU "
    "frequency the helper's, queue length and channel quality are drawn; theta has the signs - - - + + and length 1. "
    "The paper states the signs and no more.",
    "TOOF's radius: 0.03 times the sum of log det over all helpers, lambda 3; the theory's is Proposition 1's, with "
    "delta over the number of helpers. Greedy is TOOF with Z frozen at lambda 1.",
    "The same seed gives each policy the same helpers, the same items and the same luck.",
    "Helpers with queues: 5 helpers whose rates differ 3 times, load 0.7, deadline 0.6 s; telemetry each 0.2 s. "
    "throttled: the fastest helper goes on at a quarter of the rate that it tells; stale: telemetry is 3 s old; "
    "fails-fast: each item fails on the fastest helper within 2 ms. Regret there is against a clairvoyant that "
    "knows when each helper would be done; it is greedy, and no bound. What has come back is taken off old queues. "
    "Work under way and speeds are the dispatcher's own measurement.",
    "A reward is 1 for a happy item and -1 for another; regret is in x·theta.",
)

TOOF = Paper(
    title="The experiments of TOOF, run again",
    source="Online optimal task offloading with one-bit feedback, Figs. 2 and 3",
    seeds=SEEDS,
    quick_seeds=QUICK_SEEDS,
    trials=toof_trials,
    compute=compute,
    table=ToofTable,
    claims=_claims,
    aims=_aims,
    drawings=_drawings,
    notes=NOTES,
)
