"""What is computed of MEL's figures: its setting, the rows by policy, and what they tell. Training is `mel_training`'s.

Source: Mohammad, Sorour 2019, "Adaptive Task Allocation for Mobile Edge Learning", sec. V, Table I, as our specification
reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeray.reproduce.paper_run import SeedTable, exact
from edgeray.reproduce.table import Estimate
from policies.batch.instance import BatchInstance, Floats, batch_instance
from policies.batch.registry import BATCH_POLICIES
from policies.batch.relaxed import most_iterations, most_iterations_by_search

Placed = Literal["edge", "area", "diverse", "digits", "clothes"]
"""edge: all at 50 m, as Table I has it. area: anywhere within. diverse: no radio, but coefficients that differ widely.
digits, clothes: all at 50 m, and really trained on these."""

SAMPLES, FEATURES, BITS = 60_000, 784, 8
MODEL_BITS, MODEL_FLOP, CYCLES_PER_FLOP = 8_974_080, 1_123_736, 1.8
SPEEDS_HZ = (2.4e9, 0.7e9)
"""Of half of the learners each."""
TRAINED: Mapping[Placed, int] = {"digits": 4_000, "clothes": 20_000}
"""Samples of each data set that are dealt out, in place of 60,000."""
RADIUS_M, BANDWIDTH_HZ, POWER_DBM, NOISE_DBM_HZ = 50.0, 5e6, 23.0, -174.0

K, QUICK_K = (4, 6, 8, 10, 14, 20, 26, 32, 40, 50), (4, 10, 20, 32, 50)
"""Even, for halves; the figure's own cannot be read in the paper's text."""
T_S, QUICK_T_S = (10, 20, 30, 40, 50, 60, 70, 80, 100, 120), (20, 30, 60, 90, 120)
CYCLES_S, LEARNERS = (30, 60), (10, 20)
"""Of Fig. 1 (a), and of (b)."""
NUMERICAL = "numerical"
POLICIES = ("eta", "mel", NUMERICAL, "mel-exact")
DIVERSE_K, DIVERSE_SAMPLES, DIVERSE_S = (5, 10, 20), 50, 60
"""Learners, samples for each of them, and seconds of a cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MelTrial:
    placed: Placed
    learners: int
    cycle_s: int
    seed: int
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MelRow:
    """tau: iterations of the plan, whether or not it fits. relaxed: before rounding; of mel-exact, which rounds nothing,
    its own. feasible: whether the whole batches fit the cycle. accuracies: after each cycle of training, with spaces."""

    placed: Placed
    learners: int
    cycle_s: int
    seed: int
    policy: str
    tau: int
    relaxed: float
    feasible: bool
    accuracies: str = ""

    @property
    def curve(self) -> tuple[float, ...]:
        """Accuracy after each cycle."""
        return tuple(map(float, self.accuracies.split()))


def mel_trials(seeds: int, *, quick: bool) -> list[MelTrial]:
    """Only what is drawn has more than one seed."""
    counts, cycles = (QUICK_K, QUICK_T_S) if quick else (K, T_S)
    places = {(n, t) for n in counts for t in CYCLES_S} | {(n, t) for n in LEARNERS for t in cycles}
    trials = [
        MelTrial(placed="edge", learners=n, cycle_s=t, seed=0, policy=policy)
        for n, t in sorted(places)
        for policy in POLICIES
    ]
    drawn: list[tuple[Placed, int, int]] = [("area", n, t) for n in LEARNERS for t in CYCLES_S]
    drawn += [("diverse", n, DIVERSE_S) for n in DIVERSE_K]
    return trials + [
        MelTrial(placed=placed, learners=n, cycle_s=t, seed=seed, policy=policy)
        for placed, n, t in drawn
        for policy in ("mel", "mel-exact")
        for seed in range(seeds)
    ]


def compute(trial: MelTrial) -> MelRow:
    instance = instance_of(trial)
    if trial.policy == NUMERICAL:
        relaxed = most_iterations_by_search(instance)
        tau = int(relaxed) if relaxed >= 1 else 0
        feasible = tau >= 1
    else:
        plan = BATCH_POLICIES[trial.policy](instance)
        tau, feasible = plan.tau, plan.feasible
        bounds = {"eta": equal_iterations, "mel": most_iterations}
        relaxed = bounds[trial.policy](instance) if trial.policy in bounds else float(tau)
    return MelRow(
        placed=trial.placed,
        learners=trial.learners,
        cycle_s=trial.cycle_s,
        seed=trial.seed,
        policy=trial.policy,
        tau=tau,
        relaxed=relaxed,
        feasible=feasible,
    )


def instance_of(trial: MelTrial) -> BatchInstance:
    """The same seed gives each policy the same learners."""
    rng = np.random.default_rng([trial.learners, trial.cycle_s, trial.seed])
    n, cycle_s = trial.learners, float(trial.cycle_s)
    if trial.placed == "diverse":
        sending_s = rng.uniform(0, 1.3 * cycle_s, n) * (rng.random(n) < 0.7)
        return batch_instance(
            rng.uniform(0.01, 0.2, n), rng.uniform(0, 0.3, n), sending_s, n * DIVERSE_SAMPLES, cycle_s
        )
    part = rng.random(n) if trial.placed == "area" else np.ones(n)
    samples = TRAINED.get(trial.placed, SAMPLES)
    return radio_instance(RADIUS_M * np.sqrt(part), cycle_s, samples)  # uniform over a disc


def radio_instance(distances_m: Floats, cycle_s: float, samples: int = SAMPLES) -> BatchInstance:
    """Table I for learners so far away; the first half of them is fast. Fewer samples than the paper's stand for as many
    of its own each: they take so much longer, and tau is what it is with 60,000."""
    loss_db = 7 + 2.1 * np.log10(np.maximum(distances_m, 1.0))
    noise_dbm = NOISE_DBM_HZ + 10 * math.log10(BANDWIDTH_HZ)
    rates_bps = BANDWIDTH_HZ * np.log2(1 + 10 ** ((POWER_DBM - loss_db - noise_dbm) / 10))
    n = len(distances_m)
    speeds_hz = np.repeat(SPEEDS_HZ, [(n + 1) // 2, n // 2])
    return batch_instance(
        MODEL_FLOP * CYCLES_PER_FLOP / speeds_hz * (SAMPLES / samples),
        FEATURES * BITS / rates_bps * (SAMPLES / samples),
        2 * MODEL_BITS / rates_bps,
        samples,
        cycle_s,
    )


def equal_iterations(instance: BatchInstance) -> float:
    """tau of equal batches, when neither need be whole; below 0 where not even sending fits."""
    each = instance.samples / len(instance.learners)
    return float(((instance.cycle_s - instance.C0 - instance.C1 * each) / (instance.C2 * each)).min())


class MelTable(SeedTable[tuple[str, int, int, str], MelRow]):
    """The rows by placement, learners, cycle and policy."""

    def __init__(self, rows: Iterable[MelRow]) -> None:
        super().__init__(rows, lambda row: (row.placed, row.learners, row.cycle_s, row.policy))

    def places(self, placed: Placed = "edge") -> list[tuple[int, int]]:
        """Learners and cycle of each point."""
        return sorted({(n, t) for name, n, t, _ in self.keys() if name == placed})

    def counts(self, cycle_s: int) -> list[int]:
        return [n for n, t in self.places() if t == cycle_s]

    def cycles(self, learners: int) -> list[int]:
        return [t for n, t in self.places() if n == learners]

    def row(self, place: tuple[int, int], policy: str) -> MelRow | None:
        """Of all at 50 m."""
        return self.by_seed(("edge", *place, policy)).get(0)

    def tau(self, place: tuple[int, int], policy: str) -> Estimate | None:
        row = self.row(place, policy)
        return None if row is None else exact(row.tau)

    def of(
        self, tell: Callable[[MelRow, MelRow], float | None], one: tuple[int, int], policy: str,
        other: tuple[int, int], beside: str,
    ) -> Estimate | None:  # fmt: skip
        """What is told of two rows; None where it tells nothing."""
        mine, theirs = self.row(one, policy), self.row(other, beside)
        if mine is None or theirs is None or (value := tell(mine, theirs)) is None:
            return None
        return exact(value)

    def gain(self, place: tuple[int, int]) -> Estimate | None:
        """mel's iterations over ETA's; None where ETA manages none."""
        return self.of(lambda a, b: a.tau / b.tau if b.tau else None, place, "mel", place, "eta")

    def more(self, one: tuple[int, int], policy: str, other: tuple[int, int], beside: str) -> Estimate | None:
        return self.of(lambda a, b: a.tau - b.tau, one, policy, other, beside)
