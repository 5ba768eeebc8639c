"""What a policy of batch allocation is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CLOSE = 1e-9
"""Relative difference of times that rounding explains: what ends so little late is in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInstance:
    """K learners that share `samples` in each cycle of cycle_s seconds. Made by `batch_instance`.

    Arrays have shape (K,). Learner k with d samples and tau iterations takes C2 tau d + C1 d + C0 seconds (Mohammad and
    Sorour 2019, eq. 8): C2 a sample's iteration, C1 sending a sample, C0 sending the model both ways.
    """

    learners: tuple[str, ...]
    C2: Floats
    C1: Floats
    C0: Floats
    samples: int
    cycle_s: float

    @property
    def usable(self) -> Bools:
        """Shape (K,): learners that have any time left once the model was sent both ways."""
        usable: Bools = self.cycle_s > self.C0
        return usable

    def seconds(self, tau: float, batches: npt.ArrayLike) -> Floats:
        """Shape (K,): eq. 8; a learner without samples takes part in nothing."""
        counts = np.asarray(batches, dtype=float)
        took: Floats = np.where(counts > 0, (self.C2 * tau + self.C1) * counts + self.C0, 0.0)
        return took

    def holds(self, tau: float, batches: npt.ArrayLike) -> bool:
        """Whether all samples are given out, at least one iteration is made, and every learner is in time."""
        counts = np.asarray(batches)
        in_time = (self.seconds(tau, counts) <= self.cycle_s * (1 + CLOSE)).all()
        return bool(tau >= 1 and counts.sum() == self.samples and in_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """tau: local iterations in a cycle. batches: samples by learner. feasible: whether that fits the cycle; then
    it can be run. shortest_cycle_s: no shorter cycle holds one iteration on all samples. reasons: why it does not fit.
    """

    policy: str
    tau: int
    batches: tuple[int, ...]
    feasible: bool
    shortest_cycle_s: float
    reasons: tuple[str, ...] = ()


def batch_instance(
    C2: npt.ArrayLike,
    C1: npt.ArrayLike,
    C0: npt.ArrayLike,
    samples: int,
    cycle_s: float,
    *,
    learners: Sequence[str] | None = None,
) -> BatchInstance:
    """An instance; one number holds for all learners, as long as one of the three is a list.

    Raises ValueError for shapes that do not go together, negative or infinite numbers, and a C2, samples or cycle
    that is not above 0.
    """
    arrays = [np.atleast_1d(np.asarray(value, dtype=float)) for value in (C2, C1, C0)]
    count = max(len(array) for array in arrays)
    names = tuple(learners) if learners is not None else tuple(f"l{k}" for k in range(count))
    for name, array in zip(("C2", "C1", "C0"), arrays, strict=True):
        if array.ndim != 1 or len(array) not in (1, count):
            raise ValueError(f"{name} has shape {array.shape}, expected ({count},)")
        if not (np.isfinite(array).all() and (array >= 0).all()):
            raise ValueError(f"{name} holds a negative number, NaN or infinity")
    if not (arrays[0] > 0).all():
        raise ValueError("C2 holds 0: an iteration over a sample takes some time")
    if len(names) != count:
        raise ValueError(f"{len(names)} learners are named, expected {count}")
    if samples < 1 or not (np.isfinite(cycle_s) and cycle_s > 0):
        raise ValueError(f"samples {samples} and cycle_s {cycle_s}: expected both above 0")
    full = [np.broadcast_to(array, (count,)) for array in arrays]
    return BatchInstance(
        learners=names, C2=full[0], C1=full[1], C0=full[2], samples=int(samples), cycle_s=float(cycle_s)
    )
