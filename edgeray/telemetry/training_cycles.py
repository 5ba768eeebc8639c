"""What the rounds of batch training came to: cycles, whose iterations and samples are decided anew in each. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeray.telemetry.training_records import Round, TrainingRun
from edgeray.telemetry.training_runs import device_of, steady

MODE = "batches"
"""Of jobs that train so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerCycle:
    """A learner in a cycle that it finished. predicted_s: said when the cycle began, from its start until the learner's
    weights are back; measured_s: what that took."""

    device: str
    number: int
    samples: int
    predicted_s: float
    measured_s: float

    @property
    def off(self) -> float:
        """Measured over predicted, less 1."""
        return self.measured_s / self.predicted_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A learner's medians over its cycles; worst: the `off` that is farthest from 0. late: cycles that it was dropped
    from, the first included. All but late and device are None where it finished no cycle that counts here."""

    device: str
    samples: float | None
    predicted_s: float | None
    measured_s: float | None
    off: float | None
    worst: float | None
    late: int


def median_iterations(rounds: Sequence[Round]) -> float | None:
    """The median number of local iterations (tau) of all cycles; None where no cycle tells."""
    counts = [each["iterations"] for each in rounds if each.get("iterations") is not None]
    return statistics.median(counts) if counts else None


def late_count(rounds: Sequence[Round]) -> int:
    """How many times a learner was dropped from a cycle: mostly as it had not finished when that was over."""
    return sum(len(each["dropped"]) for each in rounds)


def cycles_to(rounds: Sequence[Round], accuracy: float) -> int | None:
    """The number of the first cycle after which the accuracy is reached; None: it is not."""
    numbers = (
        each["number"] for each in rounds if each["accuracy"] is not None and each["accuracy"] >= accuracy
    )
    return next(numbers, None)


def learner_cycles(run: TrainingRun) -> list[LearnerCycle]:
    """Each learner in each cycle but the first (`steady`), where it finished and a time was predicted for it."""
    return [found for each in steady(run.rounds) for found in _finished(each, run)]


def _finished(each: Round, run: TrainingRun) -> Iterator[LearnerCycle]:
    for one in each["clients"]:
        predicted_s = each.get("predicted_s", {}).get(one["client"])
        if predicted_s:
            yield LearnerCycle(
                device=device_of(one["client"], run.plan),
                number=each["number"],
                samples=one["samples"],
                predicted_s=predicted_s,
                measured_s=one["ended_s"],
            )


def learners(run: TrainingRun) -> list[Learner]:
    """All that finished a cycle or were dropped from one; those planned first, in their order."""
    found: dict[str, list[LearnerCycle]] = {each.device: [] for each in run.clients}
    late: dict[str, int] = {}
    for each in run.rounds:
        for client in each["dropped"]:
            device = device_of(client, run.plan)
            late[device] = late.get(device, 0) + 1
    for cycle in learner_cycles(run):
        found.setdefault(cycle.device, []).append(cycle)
    return [
        _learner(device, found.get(device, []), late.get(device, 0))
        for device in dict.fromkeys((*found, *late))
    ]


def _learner(device: str, cycles: Sequence[LearnerCycle], late: int) -> Learner:
    return Learner(
        device=device,
        samples=_median([each.samples for each in cycles]),
        predicted_s=_median([each.predicted_s for each in cycles]),
        measured_s=_median([each.measured_s for each in cycles]),
        off=_median([each.off for each in cycles]),
        worst=max((each.off for each in cycles), key=abs, default=None),
        late=late,
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
