"""The tables of a page on batch training or fog training: of policies, of devices under one, and of its rounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgeray.telemetry import training_cycles, training_movement
from edgeray.telemetry.training_cycles import learners
from edgeray.telemetry.training_movement import Moved, moved, moved_by_device
from edgeray.telemetry.training_records import Round, TrainingRun
from edgeray.telemetry.training_runs import clock_s, device_of, own_prediction_s, sent_bytes
from edgeray.web.numbers import MISSING, accuracy, duration, figures, quotient, size
from edgeray.web.training_costs import cost_columns, total_cost
from edgeray.web.training_cycles import TOLERANCE, cycle_columns
from edgeray.web.training_rows import Shown, count_text, signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """bad: outside of what was promised. words: text, set to the left and broken where it is long. fill: a bar behind
    it, in per cent of the cell's width."""

    text: str
    bad: bool = False
    words: bool = False
    fill: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """name: its heading."""

    name: str
    cells: tuple[Cell, ...]
    best: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """label: what it is, for those who hear the page."""

    label: str
    caption: str
    headings: tuple[Cell, ...]
    rows: tuple[PageRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTables:
    """Under one policy: its devices, and one or more of all its rounds."""

    devices: PageTable
    rounds: tuple[PageTable, ...]


_POLICIES_OF_CYCLES = (
    "Measured: the median over all cycles but the first, from the cycle's start until the weights were averaged. "
    "Predicted: the median of what was said of the same cycles when each began; off: the median of how far each was "
    "from that. Iterations: the median over all cycles. Late: how many times a learner was dropped from a cycle, as it "
    "had not finished when that was over, or was gone; the cycles after it in which it still gets nothing are not "
    "counted. Cycles to an accuracy: the first after which it was at least as high as the other policy's last; beside "
    "it, what part that is of the other policy's cycles."
)
_POLICIES_OF_COSTS = (
    "Costs are sums over all devices and rounds, also those rounds in which costs are not measured yet and all is kept; "
    "in seconds where they were measured, else in the unit in which they were declared. Processed, sent and discarded: "
    "points, over those collected; what is sent is processed by another device, in the interval after. Accuracy: of the "
    "averaged model; under local, which averages none, the mean of the devices' own, weighted by points."
)
_LEARNERS = (
    "Medians over the cycles that a learner finished, without the first: samples that it was dealt, seconds from the "
    "cycle's start until its weights had come, as they were predicted when the cycle began and as they were, and how far "
    "off that was. Worst: farthest off, in one cycle. Late: cycles that it was dropped from, of all."
)
_DEVICES = (
    "Points, and costs, over all rounds. Collected points are kept, sent or discarded; those kept and those that arrive "
    "are processed. What is still under way when a round ends is counted in the next."
)
_CYCLES = "Every cycle; training: its seconds and those before it, added up. Samples: of those who finished the cycle."
_SAMPLES = (
    "Samples in every cycle, of learners that finished it. A dash: it got none, as while it was late still."
)
_ROUNDS = (
    "Every round; training: its seconds and those before it, added up. Points and costs: of all devices."
)


def policies_table(rows: Sequence[Shown], best: Collection[Shown], mode: str) -> PageTable:
    """One row a job and policy, with a bar behind its first figure."""
    cycles = mode == training_cycles.MODE
    columns = cycle_columns(rows) if cycles else cost_columns(rows)
    values = [row.run.median_round_s if cycles else total_cost(row) for row in rows]
    largest = max((value for value in values if value is not None), default=None)
    fills = [f"{100 * (quotient(value, largest) or 0.0):.0f}" for value in values]
    return PageTable(
        label=f"{'Cycles' if cycles else 'Costs and points'} under each policy",
        caption=_POLICIES_OF_CYCLES if cycles else _POLICIES_OF_COSTS,
        headings=_headings("policy", *(column.heading for column in columns)),
        rows=tuple(
            PageRow(
                name=row.name,
                cells=tuple(
                    Cell(
                        text=column.cells[number],
                        bad=number in column.bad,
                        fill=fills[number] if place == 0 else None,
                    )
                    for place, column in enumerate(columns)
                ),
                best=row in best,
                failed=row.run.failure is not None,
            )
            for number, row in enumerate(rows)
        ),
    )


def policy_tables(row: Shown, types: Mapping[str, str]) -> PolicyTables | None:
    """None for other kinds of training, and where there was no round. types: of the cluster's devices."""
    if not row.run.rounds:
        return None
    if row.run.mode == training_cycles.MODE:
        return PolicyTables(devices=_learners(row, types), rounds=(_cycles(row), _samples(row)))
    if row.run.mode == training_movement.MODE:
        return PolicyTables(devices=_devices(row, types), rounds=(_rounds(row),))
    return None


def _learners(row: Shown, types: Mapping[str, str]) -> PageTable:
    return PageTable(
        label=f"Learners under {row.name}",
        caption=_LEARNERS,
        headings=_headings(
            "learner", _words("device"), "samples", "predicted", "measured", "off", "worst", "late"
        ),
        rows=tuple(
            PageRow(
                name=one.device,
                cells=(
                    _words(types.get(one.device, MISSING)),
                    Cell(text=count_text(one.samples)),
                    Cell(text=duration(one.predicted_s)),
                    Cell(text=duration(one.measured_s)),
                    _off(one.off),
                    _off(one.worst),
                    Cell(text=str(one.late), bad=one.late > 0),
                ),
            )
            for one in learners(row.run)
        ),
    )


def _cycles(row: Shown) -> PageTable:
    return PageTable(
        label=f"Cycles under {row.name}",
        caption=_CYCLES,
        headings=_headings(
            *("cycle", "took", "predicted", "training", "iterations (τ)", "loss", "accuracy", "samples"),
            *("to the server", "from the server", "dropped"),
        ),
        rows=tuple(
            PageRow(
                name=str(each["number"]),
                cells=(
                    Cell(text=duration(each["seconds_s"])),
                    Cell(text=duration(own_prediction_s(each))),
                    Cell(text=duration(passed_s)),
                    Cell(text=count_text(each.get("iterations"))),
                    Cell(text=figures(each["loss"])),
                    Cell(text=accuracy(each["accuracy"])),
                    Cell(text=str(each["samples"])),
                    *(Cell(text=size(value)) for value in sent_bytes(each)),
                    _dropped(each),
                ),
            )
            for each, passed_s in _with_clock(row)
        ),
    )


def _samples(row: Shown) -> PageTable:
    """A column a learner."""
    run = row.run
    devices = [one.device for one in learners(run)]
    return PageTable(
        label=f"Samples of the learners under {row.name}",
        caption=_SAMPLES,
        headings=_headings("cycle", *devices),
        rows=tuple(
            PageRow(name=str(each["number"]), cells=tuple(_dealt(each, run, device) for device in devices))
            for each in run.rounds
        ),
    )


def _dealt(each: Round, run: TrainingRun, device: str) -> Cell:
    finished = {device_of(one["client"], run.plan): one["samples"] for one in each["clients"]}
    if device in finished:
        return Cell(text=count_text(finished[device]))
    late = any(device_of(client, run.plan) == device for client in each["dropped"])
    return Cell(text="dropped" if late else MISSING, bad=late)


def _devices(row: Shown, types: Mapping[str, str]) -> PageTable:
    return PageTable(
        label=f"Points of the devices under {row.name}",
        caption=_DEVICES,
        headings=_headings(
            *("device", _words("type"), "collected", "kept", "sent", "arrived", "processed", "discarded"),
            *("cost of processing", "of transfers", "of discards", "in all"),
        ),
        rows=tuple(
            PageRow(
                name=device,
                cells=(
                    _words(types.get(device, MISSING)),
                    *_points(one.collected, one.kept, one.sent, one.arrived, one.processed, one.discarded),
                    *(
                        Cell(text=figures(cost))
                        for cost in (one.process_cost, one.transfer_cost, one.discard_cost, one.cost)
                    ),
                ),
            )
            for device, one in moved_by_device(row.run).items()
        ),
    )


def _rounds(row: Shown) -> PageTable:
    return PageTable(
        label=f"Rounds under {row.name}",
        caption=_ROUNDS,
        headings=_headings(
            *("round", "took", "training", "loss", "accuracy", "collected", "processed", "sent", "discarded"),
            *("cost", "dropped"),
        ),
        rows=tuple(
            PageRow(
                name=str(each["number"]),
                cells=(
                    Cell(text=duration(each["seconds_s"])),
                    Cell(text=duration(passed_s)),
                    Cell(text=figures(each["loss"])),
                    Cell(text=accuracy(each["accuracy"])),
                    *_moved_cells(moved([each])),
                    _dropped(each),
                ),
            )
            for each, passed_s in _with_clock(row)
        ),
    )


def _moved_cells(found: Moved | None) -> tuple[Cell, ...]:
    if found is None:
        return (Cell(text=MISSING),) * 5
    points = _points(found.collected, found.processed, found.sent, found.discarded)
    return (*points, Cell(text=figures(found.cost)))


def _with_clock(row: Shown) -> list[tuple[Round, float]]:
    return list(zip(row.run.rounds, clock_s(row.run.rounds), strict=True))


def _headings(*names: str | Cell) -> tuple[Cell, ...]:
    return tuple(name if isinstance(name, Cell) else Cell(text=name) for name in names)


def _words(text: str) -> Cell:
    return Cell(text=text, words=True)


def _points(*values: float) -> tuple[Cell, ...]:
    return tuple(Cell(text=count_text(value)) for value in values)


def _off(fraction: float | None) -> Cell:
    return Cell(text=signed(fraction), bad=fraction is not None and abs(fraction) > TOLERANCE)


def _dropped(each: Round) -> Cell:
    return Cell(text=str(len(each["dropped"])), bad=bool(each["dropped"]))
