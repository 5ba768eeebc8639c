"""What the rounds of fog training came to: where the points went that devices collected, and what that cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgeray.telemetry.training_records import Round, TrainingRun
from edgeray.telemetry.training_runs import device_of

MODE = "fog"
"""Of jobs that train so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Sums of `training.fog.costs.Movement`, over clients or rounds or both: points, and costs in the unit of declared
    costs, or in seconds."""

    collected: float
    kept: float
    sent: float
    discarded: float
    arrived: float
    processed: float
    process_cost: float
    transfer_cost: float
    discard_cost: float

    @property
    def cost(self) -> float:
        return self.process_cost + self.transfer_cost + self.discard_cost

    def of_collected(self, points: float) -> float | None:
        """A number of points, or a cost, over the points collected; None where there are none."""
        return points / self.collected if self.collected else None


def moved(rounds: Sequence[Round]) -> Moved | None:
    """Of all devices in all these rounds; None where no round tells of points."""
    return _sum(one for each in rounds for one in each.get("movement", {}).values())


def moved_by_device(run: TrainingRun) -> dict[str, Moved]:
    """By device, over all rounds, also those that it was dropped from: what it did in them was done, and cost."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for each in run.rounds:
        for client, one in each.get("movement", {}).items():
            found.setdefault(device_of(client, run.plan), []).append(one)
    return {device: told for device, ones in sorted(found.items()) if (told := _sum(ones)) is not None}


def _sum(ones: Iterable[Mapping[str, float]]) -> Moved | None:
    listed = list(ones)
    if not listed:
        return None
    return Moved(**{name: sum(one[name] for one in listed) for name in Moved.__slots__})
