"""C2, C1 and C0 of each learner, as they were last measured. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edgeray.training.records import ClientRound
from policies.batch.instance import BatchInstance, batch_instance
from policies.model import Cycle

NEWEST = 0.5
"""Of a running mean, how much the newest value counts: what a device has to share changes from cycle to cycle."""


@dataclass(slots=True)
class _Learner:
    C2: float
    C1: float
    C0: float


class Coefficients:
    """At first as they were profiled; then what each cycle measured counts for half.

    Computing gives C2. What is left of a learner's time went into sending samples and the model, so that both, C1 and C0,
    change by the factor by which that was longer or shorter than they say.
    """

    def __init__(self, cycle: Cycle) -> None:
        self._learners = {
            str(learner): _Learner(C2, cycle.C1[learner], cycle.C0[learner])
            for learner, C2 in cycle.C2.items()
        }

    def instance(self, learners: Collection[str], samples: int, cycle_s: float) -> BatchInstance:
        """What a policy is asked, with these learners only, sorted. Raises ValueError for none, and for no samples."""
        names = sorted(learners)
        if not names:
            raise ValueError("no learner is there")
        known = [self._learners[name] for name in names]
        return batch_instance(
            [one.C2 for one in known],
            [one.C1 for one in known],
            [one.C0 for one in known],
            samples,
            cycle_s,
            learners=names,
        )

    def measured(self, one: ClientRound, iterations: int) -> None:
        """What a learner took that was in time."""
        self.computed(one.client, one.samples, iterations, one.compute_s)
        learner = self._learners[one.client]
        expected_s = learner.C1 * one.samples + learner.C0
        if expected_s > 0 and one.transfer_s > 0:
            factor = 1 + NEWEST * (one.transfer_s / expected_s - 1)
            learner.C1 *= factor
            learner.C0 *= factor

    def computed(self, client: str, samples: int, iterations: int, compute_s: float) -> None:
        """What a learner's computing took, in time or not."""
        if samples > 0 and iterations > 0 and compute_s > 0:
            learner = self._learners[client]
            learner.C2 += NEWEST * (compute_s / (samples * iterations) - learner.C2)
