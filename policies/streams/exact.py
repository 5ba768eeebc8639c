"""Optimal mappings by mixed-integer linear programming (HiGHS), for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from policies.streams.instance import Floats, Ints, NoMapping, StreamInstance, StreamPlan, stream_plan

Objective = Literal["latency", "fps"]
MOST_CHOICES = 100_000
"""Of more streams x devices x devices the program is not solved."""


def exact(
    instance: StreamInstance, objective: Objective = "latency", *, time_limit_s: float | None = None
) -> StreamPlan | NoMapping:
    """The mapping of least summed latency (eqs. 5.3-5.8, corrected), or of the highest common frame rate.

    One binary variable for each stream and pair of devices that it reaches, one for each device: whether it has a
    re-identification model; for frame rates one more, the busiest resource's seconds. With a time limit the best
    mapping that was found by then. Raises ValueError beyond MOST_CHOICES.
    """
    name = f"exact-{objective}"
    K, M = len(instance.streams), len(instance.PS)
    if K * M * M > MOST_CHOICES:
        raise ValueError(f"{K} streams on {M} devices: {K * M * M} choices, expected at most {MOST_CHOICES}")
    reached = np.isfinite(instance.pair_s)
    lost = np.flatnonzero(~reached.any(axis=(1, 2)))
    if len(lost):
        names = ", ".join(instance.streams[k] for k in lost.tolist())
        return NoMapping(policy=name, reasons=(f"no device is reached by stream {names}",))
    stream, x, y = np.nonzero(reached)
    program = _Program(instance, stream, x, y, objective)
    solved = program.solve(time_limit_s)
    if solved is None:
        return NoMapping(policy=name, reasons=("memory holds no mapping of all streams",))
    return stream_plan(name, instance, program.x[solved], program.y[solved])


@dataclass(frozen=True, slots=True)
class _Program:
    """stream, x, y: of each choice of a stream and its two devices. Variables: choices, models, and the busiest."""

    instance: StreamInstance
    stream: Ints
    x: Ints
    y: Ints
    objective: Objective

    def solve(self, time_limit_s: float | None) -> Ints | None:
        """The choice of each stream; None: there is none."""
        K, M = len(self.instance.streams), len(self.instance.PS)
        cost = np.zeros(len(self.stream) + M + 1)
        whole, most = np.ones(len(cost)), np.ones(len(cost))
        cost[-1], whole[-1], most[-1] = 1, 0, np.inf
        if self.objective == "latency":
            cost[: len(self.stream)] = self.instance.pair_s[self.stream, self.x, self.y]
            most[-1] = 0
        found = milp(
            cost,
            integrality=whole,
            bounds=Bounds(np.zeros(len(cost)), most),
            constraints=[self._one_each(K), self._models(K, M), self._memory(M), *self._busiest(K, M)],
            options={} if time_limit_s is None else {"time_limit": time_limit_s},
        )
        if found.x is None:
            return None
        order = np.lexsort((-found.x[: len(self.stream)], self.stream))
        chosen: Ints = order[np.searchsorted(self.stream[order], np.arange(K))]
        return chosen

    def _one_each(self, K: int) -> LinearConstraint:
        return LinearConstraint(self._rows(self.stream, K, None), 1, 1)

    def _models(self, K: int, M: int) -> LinearConstraint:
        """By stream and device, which is tighter than by device: re-identified only where a model is."""
        at = self._rows(self.stream * M + self.y, K * M, None)
        has = sparse.csr_array(
            (np.ones(K * M), (np.arange(K * M), self._model(np.tile(np.arange(M), K)))), at.shape
        )
        return LinearConstraint(at - has, -np.inf, 0)

    def _memory(self, M: int) -> LinearConstraint:
        each = np.full(len(self.x), self.instance.R_det)
        held = self._rows(self.x, M, each)
        models = (np.full(M, self.instance.R_reid), (np.arange(M), self._model(np.arange(M))))
        return LinearConstraint(
            held + sparse.csr_array(models, held.shape), -np.inf, self.instance.memory * (1 + 1e-12)
        )

    def _busiest(self, K: int, M: int) -> list[LinearConstraint]:
        """Each device's load, and each stream's upload and transfer, is at most the busiest's seconds."""
        if self.objective == "latency":
            return []
        loads = self._rows(self.x, M, self.instance.detect_s[self.stream, self.x])
        loads = loads + self._rows(self.y, M, self.instance.identify_s[self.stream, self.y])
        network = np.maximum(
            self.instance.upload_s[self.x, self.stream], self.instance.transfer_s[self.stream, self.x, self.y]
        )
        return [self._below(loads), self._below(self._rows(self.stream, K, network))]

    def _below(self, rows: Any) -> LinearConstraint:
        count, width = rows.shape
        last = sparse.csr_array((np.ones(count), (np.arange(count), np.full(count, width - 1))), rows.shape)
        return LinearConstraint(rows - last, -np.inf, 0)

    def _rows(self, row: Ints, count: int, values: Floats | None) -> Any:
        """A matrix with one value for each choice, in these rows."""
        filled = np.ones(len(row)) if values is None else values
        width = len(self.stream) + len(self.instance.PS) + 1
        return sparse.csr_array((filled, (row, np.arange(len(row)))), shape=(count, width))

    def _model(self, device: Ints) -> Ints:
        return len(self.stream) + device
