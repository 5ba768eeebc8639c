"""Tables made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeray.reproduce.experiments import Cell, Experiment, Measure, Trial
from edgeray.reproduce.rows import Row
from edgeray.reproduce.table import Table

Values = Mapping[str, Sequence[float]]
"""By policy, one number a point."""

STEADY = (0.99, 1.0, 1.01)
ERRATIC = (0.01, 1.0, 2.2)


def experiment(name: str, x: Sequence[float]) -> Experiment:
    """Devices, jobs or Mbps vary, as they do in the figure of that name."""
    measure: Measure = "waiting" if name in "ce" else "batch" if name == "table" else "online"
    cells = [
        Cell(
            measure=measure,
            devices=int(each) if name in "abc" else 30,
            mean_bps=1e6 * (each if name == "f" else 10 if name in "bc" else 1),
            jobs=int(each) if name in "de" else 50,
        )
        for each in x
    ]
    return Experiment(name=name, title=name, axis="x", x=tuple(x), cells=tuple(cells))


def table(
    figures: Mapping[str, tuple[Sequence[float], Values]],
    factors: Sequence[float] = STEADY,
    planning_s: float = 0,
) -> Table:
    """One experiment a figure. factors: what each seed's numbers are times; each policy and point has them in
    another order.

    Of a waiting figure the numbers are virtual seconds, to which planning_s comes.
    """
    experiments = {name: experiment(name, x) for name, (x, _) in figures.items()}
    rows = []
    for name, (_, values) in figures.items():
        for shift, (policy, numbers) in enumerate(values.items()):
            for point, (cell, number) in enumerate(zip(experiments[name].cells, numbers, strict=True)):
                at = cell.bound() if policy == "bound" else cell
                for seed in range(len(factors)):
                    trial = Trial(cell=at, seed=seed, policy=policy)
                    rows.append(
                        _row(trial, number * factors[(seed + shift + point) % len(factors)], planning_s)
                    )
    return Table(rows, experiments)


def _row(trial: Trial, number: float, planning_s: float) -> Row:
    if trial.cell.measure == "waiting":
        return Row(trial=trial, waiting_s=number, planning_s=planning_s)
    return Row(trial=trial, mean_per_s=number, geometric_mean_per_s=number)
