"""What is run: the points of Fig. 3.11 a-f and of the table of our own specification.

Source: Zhang 2024, sec. 3.6 and Fig. 3.11. The thesis states 50 jobs, Poisson arrivals of 0.5/s, networks of mean
degree 3, 30 % deviation, and for d and e 30 devices and 1 Mbps. It does not state the bandwidth of c (here 10 Mbps),
nor how long a job runs (here HOLD_S in c and e; for ever in a, b, d and f).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Measure = Literal["online", "batch", "waiting", "bound"]
"""online: jobs arrive one by one and stay. batch: all at once. waiting: as online, but each job ends after HOLD_S.
bound: no policy, but what none can beat."""

POLICIES = ("lr", "br", "tp", "otfs", "otfa", "joint", "joint-floor")
BOUND = "bound"
JOBS = 50
DEVICES = 30
ARRIVALS_PER_S = 0.5
HOLD_S = 120.0
SETTLED_S = 60.0
"""So long after the last arrival the throughput is taken: nothing changes any more then."""
MBPS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One setting; its networks and jobs follow from it and a seed."""

    measure: Measure
    devices: int
    mean_bps: float
    jobs: int

    def bound(self) -> Cell:
        """The cell of the upper bound: it is the same however the jobs arrive."""
        return Cell(measure="bound", devices=self.devices, mean_bps=self.mean_bps, jobs=self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Trial:
    """What one row of the store holds the outcome of."""

    cell: Cell
    seed: int
    policy: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self.cell), "seed": self.seed, "policy": self.policy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One figure. x: the numbers of its axis, one a cell."""

    name: str
    title: str
    axis: str
    x: tuple[float, ...]
    cells: tuple[Cell, ...]

    @property
    def waiting(self) -> bool:
        return self.cells[0].measure == "waiting"


def experiments(*, quick: bool = False) -> dict[str, Experiment]:
    """Figures a to f and the table, by name."""
    devices = (10, 30) if quick else (10, 20, 30, 40, 50, 60, 70)
    jobs = (10, 50) if quick else (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    mbps = (1, 10, 50) if quick else (1, 2, 3, 5, 10, 20, 30, 40, 50)
    sizes = ((10, 1), (30, 10)) if quick else ((10, 1), (30, 1), (70, 1), (30, 10), (70, 10))
    made = (
        _by_devices("a", "Throughput against devices, 1 Mbps", "online", devices, 1),
        _by_devices("b", "Throughput against devices, 10 Mbps", "online", devices, 10),
        _by_devices("c", "Waiting against devices, 10 Mbps", "waiting", devices, 10),
        _by_jobs("d", "Throughput against jobs", "online", jobs),
        _by_jobs("e", "Waiting against jobs", "waiting", jobs),
        Experiment(
            name="f",
            title="Throughput against mean bandwidth",
            axis="mean bandwidth of a link, Mbps",
            x=mbps,
            cells=tuple(_cell("online", DEVICES, each, JOBS) for each in mbps),
        ),
        Experiment(
            name="table",
            title="All jobs at once",
            axis="devices, Mbps",
            x=tuple(range(len(sizes))),
            cells=tuple(_cell("batch", count, each, JOBS) for count, each in sizes),
        ),
    )
    return {experiment.name: experiment for experiment in made}


def trials(chosen: Sequence[Experiment], seeds: Sequence[int], policies: Sequence[str]) -> list[Trial]:
    """All rows that the experiments need, each once, whole seeds one after another."""
    cells = sorted({cell for experiment in chosen for cell in experiment.cells})
    bounds = sorted({cell.bound() for cell in cells if cell.measure != "waiting"})
    return [
        Trial(cell=cell, seed=seed, policy=policy)
        for seed in seeds
        # The bounds of large networks take longest: first, so that no core idles at the end.
        for cell in [*sorted(bounds, key=lambda cell: (-cell.devices, -cell.jobs)), *cells]
        for policy in ([BOUND] if cell.measure == "bound" else policies)
    ]


def _cell(measure: Measure, devices: int, mbps: float, jobs: int) -> Cell:
    return Cell(measure=measure, devices=devices, mean_bps=mbps * MBPS, jobs=jobs)


def _by_devices(name: str, title: str, measure: Measure, counts: Sequence[int], mbps: float) -> Experiment:
    cells = tuple(_cell(measure, count, mbps, JOBS) for count in counts)
    return Experiment(name=name, title=title, axis="devices", x=tuple(counts), cells=cells)


def _by_jobs(name: str, title: str, measure: Measure, counts: Sequence[int]) -> Experiment:
    cells = tuple(_cell(measure, DEVICES, 1, count) for count in counts)
    return Experiment(name=name, title=title, axis="submitted jobs", x=tuple(counts), cells=cells)
