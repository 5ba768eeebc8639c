"""Figure 2 of MEL by real training: accuracy after each global cycle, with the batches and iterations of each policy.

Source: Mohammad, Sorour 2019, "Adaptive Task Allocation for Mobile Edge Learning", sec. V-C, Fig. 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from edgeray.reproduce.mel_rows import TRAINED, MelRow, MelTable, MelTrial, Placed, compute, instance_of
from edgeray.reproduce.paper_page import Drawing, judged
from edgeray.reproduce.paper_run import because, line, told_lines
from edgeray.reproduce.rules import (
    ALL,
    MOST,
    Check,
    Claim,
    at_least,
    at_most,
    flat,
    within,
    without_contradiction,
)
from edgeray.reproduce.table import Estimate
from policies.batch.instance import BatchPlan
from policies.batch.registry import BATCH_POLICIES

if TYPE_CHECKING:
    from edgeray.training.recipe import Recipe

SEEDS, QUICK_SEEDS = 3, 1
CYCLES = 10
POLICIES = ("mel", "mel-exact", "eta")
"""The longest first."""
QUICK_DATA: tuple[Placed, ...] = ("digits",)
FEWER = (0.425, 0.565)
"""The least and the most that the paper saves of ETA's cycles: 43 and 56 %, as it rounds them."""
AIM = 0.6
"""mel-exact's cycles over ETA's, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One half of Fig. 2: what the paper's text tells of it. mel, eta: cycles until that accuracy."""

    learners: int
    cycle_s: int
    accuracy: float
    mel: int
    eta: int

    @property
    def at(self) -> str:
        return f"K = {self.learners}, T = {self.cycle_s} s"

    @property
    def reached(self) -> str:
        return f"{100 * self.accuracy:g} %"


HALVES = (
    Half(learners=20, cycle_s=12, accuracy=0.9667, mel=4, eta=7),
    Half(learners=10, cycle_s=30, accuracy=0.97, mel=5, eta=9),
)


_PLACES = [(placed, half) for placed in TRAINED for half in HALVES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """How a data set is learned; plain SGD. test: samples of the test set."""

    dataset: str
    batch_size: int
    learning_rate: float
    test: int


LEARNED: Mapping[Placed, Learned] = {
    "digits": Learned(dataset="edgeray.training.data:mnist_5k", batch_size=10, learning_rate=0.1, test=1_000),
    "clothes": Learned(
        dataset="edgeray.training.data:fashion_mnist", batch_size=32, learning_rate=0.1, test=10_000
    ),
}


def training_trials(seeds: int, *, quick: bool) -> list[MelTrial]:
    """The long ones first, so that no process is left with one at the end."""
    data = QUICK_DATA if quick else tuple(TRAINED)[::-1]
    return [
        MelTrial(placed=placed, learners=half.learners, cycle_s=half.cycle_s, seed=seed, policy=policy)
        for placed in data
        for policy in POLICIES
        for half in HALVES
        if trained_as(placed, half.learners, half.cycle_s, policy) == policy
        for seed in range(min(seeds, QUICK_SEEDS if quick else SEEDS))
    ]


@cache
def trained_as(placed: Placed, learners: int, cycle_s: int, policy: str) -> str:
    """Itself, or a policy before it whose plan is the same, so that one training tells of both."""

    def plan(name: str) -> tuple[int, tuple[int, ...]]:
        found = _plan(MelTrial(placed=placed, learners=learners, cycle_s=cycle_s, seed=0, policy=name))
        return found.tau, found.batches

    return next(name for name in POLICIES if name == policy or plan(name) == plan(policy))


def trained(trial: MelTrial) -> MelRow:
    """The plan's row, with the accuracies of training by it.

    Raises MissingAssetError, which names the command that gets the data.
    """
    accuracies = accuracies_of(trial, CYCLES)
    return replace(compute(trial), accuracies=" ".join(f"{accuracy:.4f}" for accuracy in accuracies))


def accuracies_of(trial: MelTrial, cycles: int) -> list[float]:
    """After each cycle. The same seed gives every policy the same first weights and test samples.

    On one core: trials run side by side, and sums of many threads would differ in their last bits.
    """
    import torch  # only here: Fig. 1 is computed without it

    from edgeray.simulator.cycles import train_cycles

    plan = _plan(trial)
    batches = dict(zip(instance_of(trial).learners, plan.batches, strict=True))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        after = list(train_cycles(_recipe(trial), batches, iterations=plan.tau, cycles=cycles))
    finally:
        torch.set_num_threads(threads)
    return [cycle.accuracy for cycle in after if cycle.accuracy is not None]


def _recipe(trial: MelTrial) -> Recipe:
    from edgeray.training.recipe import Recipe

    how, learners = LEARNED[trial.placed], instance_of(trial).learners
    return Recipe(
        model="edgeray.training.models:mlp",
        dataset=how.dataset,
        clients=learners,
        samples=TRAINED[trial.placed] // len(learners),
        test_samples=how.test,
        batch_size=how.batch_size,
        learning_rate=how.learning_rate,
        seed=trial.seed,
    )


def _plan(trial: MelTrial) -> BatchPlan:
    return BATCH_POLICIES[trial.policy](instance_of(trial))


def cycles_until(curve: tuple[float, ...], accuracy: float) -> int:
    """The first cycle after which it is that, or better; one more than there are where none is."""
    return next((number for number, told in enumerate(curve, start=1) if told >= accuracy), len(curve) + 1)


def training_claims(table: MelTable) -> list[Claim | None]:
    return [*(_half(table, half) for half in HALVES), _fewer(table), *(_absolute(table, half) for half in HALVES),
            _beyond(table)]  # fmt: skip


def training_aims(table: MelTable) -> list[Claim | None]:
    return [
        judged(
            "cycles", "2", "mel-exact has ETA's accuracy in at most 60 % of its cycles.",
            "that of ETA after 7 cycles (K = 20), or after 9 (K = 10)", "part",
            flat(
                at_most(f"{placed}, {half.at}", _until(table, placed, half, "mel-exact", lambda n, eta: n / eta), AIM)
                for placed, half in _PLACES
            ), ALL, aim=True,
        )
    ]  # fmt: skip


def training_drawings(table: MelTable) -> list[Drawing]:
    return [
        Drawing(
            name=f"2-{placed}-{half.learners}",
            figure="2",
            title=f"Fig. 2: {placed}, {half.at}",
            axis="global cycle",
            what="accuracy on the test set",
            lines=lines,
            from_zero=False,
        )
        for placed in TRAINED
        for half in HALVES
        if (lines := told_lines(
            line(policy, ((n, _accuracy(table, placed, half, policy, n)) for n in range(1, CYCLES + 1)))
            for policy in sorted(POLICIES)
        ))
    ]  # fmt: skip


def _half(table: MelTable, half: Half) -> Claim | None:
    said = f"{half.at}: {half.reached} in {half.mel} cycles by the adaptive scheme, in {half.eta} by ETA."
    return because(
        judged(
            f"cycles-k{half.learners}", "2", said,
            f"ETA's accuracy after {half.eta} cycles, whatever it is on our data, is had after {half.mel} or fewer",
            "rate",
            flat(at_most(placed, _until(table, placed, half, "mel", lambda n, _: n), half.mel) for placed in TRAINED),
            ALL,
        ), _taus(table, half),
    )  # fmt: skip


def _fewer(table: MelTable) -> Claim | None:
    return because(
        judged(
            "fewer", "2", "The same accuracy takes 43 % (K = 20) to 56 % (K = 10) fewer cycles.",
            "ETA's accuracy after 7 and after 9 cycles, in 43 to 56 % fewer", "part",
            flat(
                within(f"{placed}, {half.at}", _until(table, placed, half, "mel", lambda n, eta: 1 - n / eta), *FEWER)
                for placed, half in _PLACES
            ), MOST,
        ), MORE,
    )  # fmt: skip


def _absolute(table: MelTable, half: Half) -> Claim | None:
    """Of the paper's own accuracies; only digits are its task."""
    checks = flat(
        at_least(
            f"{policy} after {cycle} cycles", _accuracy(table, "digits", half, policy, cycle), half.accuracy
        )
        for policy, cycle in (("mel", half.mel), ("eta", half.eta))
    )
    return because(
        judged(
            f"accuracy-k{half.learners}", "2",
            f"{half.at}: that accuracy after so many cycles is {half.reached}.",
            "on our digits it is that, or better", "part", without_contradiction(checks), ALL,
        ), FEWER_DIGITS,
    )  # fmt: skip


def _beyond(table: MelTable) -> Claim | None:
    """97 % against 96.67 %, so a third of a point apart."""

    def checks(placed: Placed) -> list[Check]:
        keys = _keys(placed, HALVES[0], "mel", "eta")
        found = table.told(keys, lambda mel, eta: max(mel.curve) - max(eta.curve))
        return at_least(placed, found, HALVES[1].accuracy - HALVES[0].accuracy, 0.0)

    return judged(
        "beyond", "2",
        "K = 20, T = 12 s: the adaptive scheme achieves 97 %, which is not possible with ETA (96.67 %).",
        f"its best of {CYCLES} cycles is a third of a point above ETA's, as 97 % is above 96.67 %", "part",
        flat(checks(placed) for placed in TRAINED), ALL,
    )  # fmt: skip


def _taus(table: MelTable, half: Half) -> str:
    """What the curves differ by."""
    made = {
        policy: row.tau
        for policy in ("mel", "eta")
        for placed in TRAINED
        for row in table.by_seed((placed, half.learners, half.cycle_s, policy)).values()
    }
    return (
        f"By Table I mel makes {made['mel']} iterations a cycle, ETA {made['eta']}." if len(made) == 2 else ""
    )


MORE = (
    "Where it is more, rounding down is why: with tau 3 in place of 1 a cycle of mel is worth up to three of ETA's, of "
    "which the speeds alone explain 2.2. The paper states no tau for Fig. 2."
)
FEWER_DIGITS = (
    f"That shows nothing against the paper: ours are {TRAINED['digits']:,} digits in place of 60,000, so a pass over "
    "them is a fifteenth of its steps, and less can be learned from them."
)


def _until(
    table: MelTable, placed: Placed, half: Half, policy: str, tell: Callable[[int, int], float]
) -> Estimate | None:
    """What is told of the policy's cycles until it has the accuracy that ETA has after its own, and of ETA's."""
    return table.told(
        _keys(placed, half, policy, "eta"),
        lambda mine, eta: tell(cycles_until(mine.curve, eta.curve[half.eta - 1]), half.eta),
    )


def _accuracy(table: MelTable, placed: Placed, half: Half, policy: str, cycle: int) -> Estimate | None:
    return table.told(_keys(placed, half, policy), lambda row: row.curve[cycle - 1])


def _keys(placed: Placed, half: Half, *policies: str) -> list[tuple[str, int, int, str]]:
    return [
        (placed, half.learners, half.cycle_s, trained_as(placed, half.learners, half.cycle_s, policy))
        for policy in policies
    ]


TRAINING_NOTES = (
    "Figure 2 is real training of the paper's network (784-300-124-60-10; ReLU, which it does not state) with the "
    "batches and iterations that each policy gives for Table I: in each cycle all samples are dealt out anew at random, "
    "a local iteration is a pass over a learner's batch in mini-batches, and weights are averaged by samples. What an "
    "iteration is the paper leaves open; single steps of whole batches would be 15 or so in all by the cycle of 97 %, "
    "too few for it.",
    "It is plain SGD; mini-batches and learning rates are ours, the paper states none: "
    + "; ".join(f"{how.batch_size} and {how.learning_rate} for {name}" for name, how in LEARNED.items())
    + ".",
    "The 60,000 digits of MNIST do not come with EdgeRay. digits: the 4,000 training and 1,000 test images of mnist-5k, "
    f"the paper's task with a fifteenth of its data. clothes: {TRAINED['clothes']:,} of Fashion-MNIST's 60,000, another "
    "and harder task with a third of the paper's amount, tested on all 10,000. Each of fewer samples takes as much "
    "longer, so that tau is what it is with 60,000.",
    f"Training has {SEEDS} seeds at most: of the first weights, of who gets which samples, and of mini-batches. A quick "
    "run has one, and no clothes. Policies whose plans are the same to the sample are trained as one.",
)
