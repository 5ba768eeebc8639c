"""The figures of MEL again: local iterations against learners and against the cycle, and accuracy against cycles, which
`mel_training` trains; claims judged.

Source: Mohammad, Sorour 2019, "Adaptive Task Allocation for Mobile Edge Learning", sec. V, Table I, Figs. 1 and 2, as
our specification reads them. Words without numbers mean here: significantly larger is twice; much lower is an iteration
less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgeray.reproduce.mel_rows import (
    CYCLES_S,
    DIVERSE_SAMPLES,
    LEARNERS,
    NUMERICAL,
    POLICIES,
    SPEEDS_HZ,
    TRAINED,
    MelRow,
    MelTable,
    MelTrial,
    Placed,
    compute,
    mel_trials,
)
from edgeray.reproduce.mel_training import (
    TRAINING_NOTES,
    trained,
    training_aims,
    training_claims,
    training_drawings,
    training_trials,
)
from edgeray.reproduce.paper_page import Drawing, judged
from edgeray.reproduce.paper_run import Paper, because, exact, line, told_lines
from edgeray.reproduce.rules import ALL, MOST, Check, Claim, at_least, at_most, flat, within
from edgeray.reproduce.table import Estimate
from edgeray.web.numbers import percent

SEEDS, QUICK_SEEDS = 50, 10
LARGER, LEAST_MORE, SAME, DOMINATES = 2.0, 1.0, 1e-9, 0.01
LIMIT = (1 + SPEEDS_HZ[0] / SPEEDS_HZ[1]) / 2
"""Adaptive over equal batches where sending takes no time: the mean speed over the slowest, 2.214."""


def _claims(table: MelTable) -> list[Claim | None]:
    return [
        _numbers(table, (10, 60), 7, 3, "a", "It follows from Table I as our specification reads it."),
        _numbers(table, (20, 30), 6, 1, "a", NEVER_SIX),
        because(
            judged(
                "gain-233", "a", "7 updates in place of 3 are a gain of 233 % (K = 10, T = 60 s).",
                "it is 2.33 times as many", "ratio",
                flat([within(_at((10, 60)), table.gain((10, 60)), 2.325, 2.335)]), ALL,
            ), "7 / 3 = 2.33 is a gain of 133 %.",
        ),
        because(
            judged(
                "gain-600", "a", "6 updates in place of 1 are a gain of 600 % (K = 20, T = 30 s).",
                "it is 6 times as many", "ratio",
                flat([within(_at((20, 30)), table.gain((20, 30)), 5.995, 6.005)]), ALL,
            ), NEVER_SIX,
        ),
        judged(
            "larger", "a", "The optimised scheme achieves a significantly larger number of updates than ETA.",
            "twice ETA's or more, where ETA manages any", "ratio",
            flat(at_least(_at(place), table.gain(place), LARGER, 1.0) for place in table.places()), MOST,
        ),
        judged(
            "grows-k", "a", "tau increases with the number of learners.",
            "no scheme's is less than with fewer learners", "rate", _grows_by_learners(table), ALL,
        ),
        judged(
            "grows-t", "b", "tau increases with the cycle time.",
            "no scheme's is less than in a shorter cycle", "rate", _grows_by_cycle(table), ALL,
        ),
        because(
            judged(
                "identical", "b", "UB-analytical and the numerical solution are identical everywhere.",
                "tau* differs by a part in 10^9 or less, and tau by nothing", "rate",
                flat(_apart(table, place) for place in table.places()), ALL,
            ), "Ours is Brent's root finder in place of OPTI's interior point method.",
        ),
        because(
            judged(
                "half-time", "a",
                "ETA in T = 60 s is actually much lower than the proposed scheme in T = 30 s: half the time.",
                "the proposed scheme's iterations in 30 s are one more than ETA's in 60 s, or better", "rate",
                flat(at_least(f"{n} learners", table.more((n, 30), "mel", (n, 60), "eta"), LEAST_MORE)
                     for n in table.counts(CYCLES_S[0])), ALL,
            ), HALF,
        ),
        because(
            judged(
                "half-nodes", "b",
                "ETA with K = 20 is actually much lower than the proposed scheme with K = 10: half the nodes.",
                "the proposed scheme's iterations with 10 learners are one more than ETA's with 20, or better", "rate",
                flat(at_least(f"{t} s", table.more((10, t), "mel", (20, t), "eta"), LEAST_MORE)
                     for t in table.cycles(LEARNERS[0])), ALL,
            ), HALF,
        ),
        judged(
            "feasible", "", "The rounded expressions of Theorem 1 were always already feasible, in the paper's setting.",
            "all of them fit the cycle", "part", _feasible(table), ALL,
        ),
        *training_claims(table),
    ]  # fmt: skip


NEVER_SIX = (
    "6 and 1 do not follow from Table I with equal channels: twice the learners in half the time do the same on half the "
    f"samples each. Nor from any equal channels with these two speeds: there tau* is at most {LIMIT:.3f} times ETA's, "
    "which for tau = 6 is 2 or more."
)
HALF = (
    f"Half of {LIMIT:.3f}, the most that adaptive batches gain on these speeds, is {LIMIT / 2:.2f}: ahead by a tenth, "
    "which rounding down often leaves nothing of."
)


def _numbers(
    table: MelTable, place: tuple[int, int], mel: int, eta: int, figure: str, reason: str
) -> Claim | None:
    checks = flat(
        within(f"{policy} (paper: {number})", table.tau(place, policy), number, number)
        for policy, number in (("mel", mel), ("eta", eta))
    )
    said = f"K = {place[0]}, T = {place[1]} s: tau = {mel} by the optimised scheme, {eta} by ETA."
    return because(
        judged(f"k{place[0]}-t{place[1]}", figure, said, "it is that number", "rate", checks, ALL), reason
    )


def _grows_by_learners(table: MelTable) -> tuple[Check, ...]:
    return flat(
        at_least(f"{policy}, {t} s, {n} to {m} learners", table.more((m, t), policy, (n, t), policy), 0.0)
        for policy in ("eta", "mel")
        for t in CYCLES_S
        for n, m in _steps(table.counts(t))
    )


def _grows_by_cycle(table: MelTable) -> tuple[Check, ...]:
    return flat(
        at_least(f"{policy}, {n} learners, {s} to {t} s", table.more((n, t), policy, (n, s), policy), 0.0)
        for policy in ("eta", "mel")
        for n in LEARNERS
        for s, t in _steps(table.cycles(n))
    )


def _apart(table: MelTable, place: tuple[int, int]) -> list[Check]:
    def apart(a: MelRow, b: MelRow) -> float | None:
        if b.tau == 0:  # it told no root above 0
            return float(a.tau)
        return max(abs(a.relaxed / b.relaxed - 1), float(abs(a.tau - b.tau)))

    return at_most(_at(place), table.of(apart, place, "mel", place, NUMERICAL), SAME)


def _feasible(table: MelTable) -> tuple[Check, ...]:
    fixed = [row for place in table.places() if (row := table.row(place, "mel")) is not None and row.tau > 0]
    part = exact(sum(row.feasible for row in fixed) / len(fixed)) if fixed else None

    return flat(
        [
            at_least("all at 50 m", part, 1.0),
            *(
                at_least(f"anywhere within 50 m, {_at(place)}", _part_in_time(table, "area", place), 1.0)
                for place in table.places("area")
            ),
        ]
    )


def _part_in_time(table: MelTable, placed: Placed, place: tuple[int, int]) -> Estimate | None:
    """Of the draws in which some plan fits (mel-exact), those in which mel's does."""
    rows, best = (table.by_seed((placed, *place, policy)) for policy in ("mel", "mel-exact"))
    possible = [seed for seed, row in best.items() if row.feasible and seed in rows]
    return exact(sum(rows[seed].feasible for seed in possible) / len(possible)) if possible else None


def _aims(table: MelTable) -> list[Claim | None]:
    def relaxed(place: tuple[int, int]) -> list[Check]:
        value = table.of(
            lambda a, b: a.relaxed / b.relaxed if b.relaxed > 0 else None, place, "mel", place, "eta"
        )
        return within(_at(place), value, LIMIT * (1 - DOMINATES), LIMIT * (1 + DOMINATES))

    def beyond(placed: Placed, place: tuple[int, int]) -> list[Check]:
        value = table.told(
            [(placed, *place, "mel-exact"), (placed, *place, "mel")],
            lambda ours, theirs: float(ours.tau < theirs.tau * theirs.feasible),
        )
        return at_most(f"{placed}, {_at(place)}", value, 0.0)

    return [
        judged(
            "dominates", "b", f"Where computing dominates, tau* is {LIMIT:.3f} times ETA's, before rounding.",
            "within a hundredth", "ratio",
            flat(relaxed(place) for place in table.places()), ALL, aim=True,
        ),
        because(
            judged(
                "exact", "", "mel-exact makes as many iterations as mel wherever mel's plan fits, or more.",
                "in no draw does it make fewer", "part",
                flat(beyond(placed, place) for placed in _PLACED for place in table.places(placed)), ALL, aim=True,
            ), _late(table),
        ),
        *training_aims(table),
    ]  # fmt: skip


def _late(table: MelTable) -> str:
    """How often mel's rounded batches are late outside the paper's setting."""
    parts = [
        f"{percent(1 - part.mean)} with {n} learners"
        for n, t in table.places("diverse")
        if (part := _part_in_time(table, "diverse", (n, t))) is not None
    ]
    return (
        f"Where learners differ widely and a plan exists, mel's is late in {', '.join(parts) or 'no draw'}."
    )


_PLACED: tuple[Placed, ...] = ("edge", "area", "diverse")


def _drawings(table: MelTable) -> list[Drawing]:
    by_learners = [
        ("a", t, f"T = {t} s", "learners K", [(n, (n, t)) for n in table.counts(t)]) for t in CYCLES_S
    ]
    by_cycle = [("b", n, f"K = {n}", "cycle T, s", [(t, (n, t)) for t in table.cycles(n)]) for n in LEARNERS]
    drawn = [
        Drawing(
            name=f"{figure}-{fixed}",
            figure=figure,
            title=f"Fig. 1 ({figure}): local iterations, {title}",
            axis=axis,
            what="iterations in a cycle, tau",
            lines=told_lines(
                line(policy, ((x, table.tau(place, policy)) for x, place in points)) for policy in POLICIES
            ),
        )
        for figure, fixed, title, axis, points in (*by_learners, *by_cycle)
    ]
    return [*drawn, *training_drawings(table)]


def _steps(values: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(values))


def _at(place: tuple[int, int]) -> str:
    return f"K = {place[0]}, T = {place[1]} s"


NOTES = (
    "Table I, with what it leaves open as our specification found it from K = 10, T = 60 s: 1.8 cycles a floating point "
    "operation, 8 bits a feature, nothing of the model that grows with the batch (S_d = 0), noise over the node's 5 MHz. "
    "Half of the learners compute at 2.4 GHz, half at 0.7 GHz; all are at 50 m, so that all channels are equal.",
    "Figure 1 has nothing drawn at random: its numbers are exact, without bands. Seeds are draws of where learners are "
    f"(anywhere within 50 m), and of {DIVERSE_SAMPLES} samples a learner for some whose coefficients differ widely, for "
    "what is said of feasibility.",
    "tau of mel is told as the paper tells it, whether or not the rounded batches fit; mel-exact is the largest tau "
    "for which whole batches fit.",
    *TRAINING_NOTES,
)


def trials(seeds: int, *, quick: bool) -> list[MelTrial]:
    """Training first: it takes longest."""
    return [*training_trials(seeds, quick=quick), *mel_trials(seeds, quick=quick)]


def row_of(trial: MelTrial) -> MelRow:
    return trained(trial) if trial.placed in TRAINED else compute(trial)


MEL = Paper(
    title="The experiments of MEL, computed again",
    source="Mohammad, Sorour 2019, Adaptive Task Allocation for Mobile Edge Learning, Figs. 1 and 2",
    seeds=SEEDS,
    quick_seeds=QUICK_SEEDS,
    trials=trials,
    compute=row_of,
    table=MelTable,
    claims=_claims,
    aims=_aims,
    drawings=_drawings,
    notes=NOTES,
)
