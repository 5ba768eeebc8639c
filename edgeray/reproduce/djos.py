"""The experiments of DJOS, run again: energy and drop rate against arrivals and against M; claims judged.

Source: Xu, Qin, Li, "Optimal joint offloading and wireless scheduling for parallel computing with deadlines", WiOpt 2019
(slides 12, 15 and 20 to 22). Words without numbers mean here: significantly less is three quarters or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from edgeray.reproduce.paper_page import Drawing, Line, judged
from edgeray.reproduce.paper_run import Paper, SeedTable, exact, line, told_lines
from edgeray.reproduce.rules import ALL, Check, Claim, at_least, at_most, flat, within
from edgeray.reproduce.table import Estimate
from edgeray.simulator.frames import THREE_SLOTS, PaperFrames, least_frame_energy, simulate_frame_policy
from policies.deadline.frame import frame_of
from policies.deadline.policy import FRAME_POLICIES

RUNS = 25
SETTINGS = {1: replace(PaperFrames(), runs=RUNS), 3: replace(THREE_SLOTS, runs=RUNS)}
"""By slots of a frame."""
ARRIVALS = {1: (0.08, 0.12, 0.16, 0.2), 3: (0.5, 1.0, 1.5, 2.0)}
MEANS = {1: 0.1, 3: 1.0}
"""Arrivals where M varies."""
LEAST_M, MOST_M = 1.0, 20.0
M = (LEAST_M, 2.0, 5.0, 10.0, MOST_M)
POLICIES = ("lfos", "efos", "djos-slides", "djos")
FRAMES, QUICK_FRAMES = 200_000, 100_000
SEEDS, QUICK_SEEDS = 5, 2
EXAMPLE = {"lfos": 4.5, "efos": 4.25, "djos": 2.0}
LEAST = "least"
LESS, HOLDS, GROWS = 0.75, 1.05, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DjosTrial:
    """figure: "a" and "b" vary arrivals, "c" varies M; x is the one that varies."""

    figure: str
    slots: int
    x: float
    seed: int
    policy: str
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DjosRow:
    """energy: of a user and frame. least: below which no policy can be, at the allowed drop rate."""

    figure: str
    slots: int
    x: float
    seed: int
    policy: str
    frames: int
    energy: float
    least: float
    drop_rate: float
    queue: float


def djos_trials(seeds: int, *, quick: bool) -> list[DjosTrial]:
    frames, every = (QUICK_FRAMES, 2) if quick else (FRAMES, 1)
    varied = [
        ("ab", slots, x, policy)
        for slots in SETTINGS
        for x in ARRIVALS[slots][every - 1 :: every]
        for policy in POLICIES
    ]
    varied += [("c", slots, x, "djos") for slots in SETTINGS for x in M[::every]]
    return [
        DjosTrial(figure=figure, slots=slots, x=x, seed=seed, policy=policy, frames=frames)
        for figure, slots, x, policy in varied
        for seed in range(seeds)
    ]


def compute(trial: DjosTrial) -> DjosRow:
    base = SETTINGS[trial.slots]
    settings = (
        replace(base, M=trial.x, arrivals=MEANS[trial.slots])
        if trial.figure == "c"
        else replace(base, arrivals=trial.x)
    )
    run = simulate_frame_policy(settings, trial.policy, trial.frames, trial.seed)
    least = least_frame_energy(settings)
    assert least is not None, "channels are known and anew in each frame"
    return DjosRow(
        figure=trial.figure,
        slots=trial.slots,
        x=trial.x,
        seed=trial.seed,
        policy=trial.policy,
        frames=run.frames,
        energy=run.energy_per_user_frame,
        least=least,
        drop_rate=run.drop_rate,
        queue=run.queue,
    )


class DjosTable(SeedTable[tuple[str, int, float, str], DjosRow]):
    """The rows by figure, slots, place and policy."""

    def __init__(self, rows: Iterable[DjosRow]) -> None:
        super().__init__(rows, lambda row: (row.figure, row.slots, row.x, row.policy))

    def places(self, figure: str, slots: int) -> list[float]:
        return sorted({x for name, t, x, _ in self.keys() if (name, t) == (figure, slots)})

    def value(self, figure: str, slots: int, x: float, policy: str, column: str) -> Estimate | None:
        return self.told([(figure, slots, x, policy)], attrgetter(column))

    def ratio(
        self, slots: int, one: tuple[str, float, str], other: tuple[str, float, str], column: str
    ) -> Estimate | None:
        """one, other: figure, place and policy."""
        (figure, x, policy), (beside, y, another) = one, other
        return self.quotient((figure, slots, x, policy), (beside, slots, y, another), attrgetter(column))

    def over_least(self, slots: int, figure: str, x: float, policy: str) -> Estimate | None:
        return self.told([(figure, slots, x, policy)], lambda row: row.energy / row.least - 1)


def example_energy() -> dict[str, float]:
    """Slides 6 to 12: two users with six packets each, by policy; energy of a user and slot."""
    frame = frame_of([1e6, 1e6], [6, 6], [2, 2], [1, 1], T=6, M=1.0, e_local=7.0, e_send=4.0)
    return {policy: float(FRAME_POLICIES[policy](frame).energy.sum() / 12) for policy in EXAMPLE}


def _claims(table: DjosTable) -> list[Claim | None]:
    example = example_energy()

    def points(what: Callable[[int, float], list[Check]]) -> tuple[Check, ...]:
        return flat(what(slots, x) for slots in SETTINGS for x in table.places("ab", slots))

    def by_m(what: Callable[[int], list[Check]]) -> tuple[Check, ...]:
        return flat(what(slots) for slots in SETTINGS)

    most, least = ("c", MOST_M, "djos"), ("c", LEAST_M, "djos")
    return [
        judged(
            "example", "12", "In the example LFOS takes 4.5, EFOS 4.25 and the better choice 2 watts: 55.6 % less.",
            "it is that number", "rate",
            flat(within(policy, exact(example[policy]), watts, watts) for policy, watts in EXAMPLE.items()), ALL,
        ),
        judged(
            "drop-rate", "a", "All users satisfy the maximum allowable drop rate of 10 % (DJOS).",
            "it is 10 % or less, and a twentieth of that for queues that have not come to rest", "part",
            points(lambda slots, x: at_most(
                _at(slots, x), table.value("ab", slots, x, "djos", "drop_rate"), HOLDS * SETTINGS[slots].rho,
            )), ALL,
        ),
        judged(
            "saves", "b", "DJOS significantly saves energy compared to LFOS.",
            "three quarters of LFOS' or less", "ratio",
            points(lambda slots, x: at_most(
                _at(slots, x), table.ratio(slots, ("ab", x, "djos"), ("ab", x, "lfos"), "energy"), LESS, 1.0,
            )), ALL,
        ),
        judged(
            "close", "c", "Energy is O(1/M) close to the least: larger M, less energy.",
            f"with M = {MOST_M:g} it is no more than with M = {LEAST_M:g}", "ratio",
            by_m(lambda slots: at_most(f"{slots} slots", table.ratio(slots, most, least, "energy"), 1.0)), ALL,
        ),
        judged(
            "queues", "c", "The mean virtual queue grows with O(M).",
            f"with M = {MOST_M:g} it is twice that with M = {LEAST_M:g} or more", "ratio",
            by_m(lambda slots: at_least(
                f"{slots} slots", table.ratio(slots, most, least, "queue"), GROWS, 1.0
            )), ALL,
        ),
    ]  # fmt: skip


def _aims(table: DjosTable) -> list[Claim | None]:
    def near(slots: int, x: float) -> list[Check]:
        return within(_at(slots, x), table.over_least(slots, "ab", x, "djos"), -0.03, 0.03)

    def efos(slots: int, x: float) -> list[Check]:
        value = table.ratio(slots, ("ab", x, "djos"), ("ab", x, "efos"), "energy")
        return at_most(_at(slots, x), value, 1.0)

    places = [(slots, x) for slots in SETTINGS for x in table.places("ab", slots)]
    return [
        judged(
            "bound", "b", "With M = 5 DJOS' energy is that of the linear program's bound.",
            "within 3 % of it", "part", flat(near(*place) for place in places), ALL, aim=True,
        ),
        judged(
            "efos", "b", "DJOS takes no more energy than EFOS.",
            "no more than EFOS'", "ratio", flat(efos(*place) for place in places), ALL, aim=True,
        ),
    ]  # fmt: skip


def _drawings(table: DjosTable) -> list[Drawing]:
    drawn = []
    for slots in SETTINGS:
        for figure, column, what in (
            ("a", "drop_rate", "drop rate"),
            ("b", "energy", "energy a user and frame"),
        ):
            lines = [_line(table, "ab", slots, policy, column) for policy in POLICIES]
            if column == "energy":
                lines.append(_line(table, "ab", slots, "djos", "least", LEAST))
            drawn.append(
                _drawing(figure, slots, f"{what} against arrivals", "packets a user and frame", what, lines)
            )
        lines = [
            _line(table, "c", slots, "djos", "energy"),
            _line(table, "c", slots, "djos", "least", LEAST),
        ]
        drawn.append(_drawing("c", slots, "energy against M", "M", "energy a user and frame", lines))
    return drawn


def _drawing(figure: str, slots: int, title: str, axis: str, what: str, lines: Sequence[Line]) -> Drawing:
    return Drawing(
        name=f"{figure}-{slots}",
        figure=figure,
        title=f"({figure}) {title}, {slots} slot{'s' if slots > 1 else ''}",
        axis=axis,
        what=what,
        lines=told_lines(lines),
    )


def _line(
    table: DjosTable, figure: str, slots: int, policy: str, column: str, label: str | None = None
) -> Line:
    return line(
        label or policy,
        ((x, table.value(figure, slots, x, policy, column)) for x in table.places(figure, slots)),
    )


def _at(slots: int, x: float) -> str:
    return f"{slots} slot{'s' if slots > 1 else ''}, {x:g} packets"


NOTES = (
    "Five users; bursts of 5 packets and 5 packets a slot with one slot, of 7 and 4 with three; computing takes 7 and "
    "does one packet a slot, sending takes 4; 10 % may be dropped; M = 5 where it does not vary.",
    "The slides leave open how often channels are ON: here 0.95 with one slot and 0.9 with three, drawn anew for each "
    "user and frame; a drop rate of 10 % needs 0.875 and 0.825. Their curves have no numbers that could be read.",
    f"{RUNS} runs side by side for each seed, of which the first half is not counted; virtual queues start where the "
    "bound's price of a dropped packet puts them. The same seed gives each policy the same packets and channels.",
    "LFOS and EFOS drop only what they cannot do; their drop rate is below the allowed one, at more energy. Of users "
    "with backlog that one sends that can send most in the slot.",
    "least: the linear program over what can be done in each state of all users; below it no policy can be.",
)

DJOS = Paper(
    title="The experiments of DJOS, run again",
    source="Xu, Qin, Li, WiOpt 2019, slides 12, 15, 21 and 22",
    seeds=SEEDS,
    quick_seeds=QUICK_SEEDS,
    trials=djos_trials,
    compute=compute,
    table=DjosTable,
    claims=_claims,
    aims=_aims,
    drawings=_drawings,
    notes=NOTES,
)
