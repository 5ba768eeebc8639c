"""What a stage counts while it runs. Cumulative; windows are made by whoever reads them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

SINK_HISTORY = 200_000
RECENT = 128


@dataclass(slots=True)
class TaskCounters:
    """busy_s: seconds inside the task's code. recent: latencies of the last items, seconds since their source."""

    items: int = 0
    busy_s: float = 0.0
    dropped: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkWindow:
    """What came out of a sink between two times. rate_per_s: None with fewer than two items.

    The rate is taken between the first and the last item, so that a slow job's rate does not depend on
    where the window's edges fell.
    """

    items: int
    rate_per_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency_p99_s: float | None


class SinkLog:
    """When each item left the DAG, and how old it was then."""

    def __init__(self) -> None:
        self._log: deque[tuple[float, float]] = deque(maxlen=SINK_HISTORY)

    def add(self, at_s: float, latency_s: float) -> None:
        self._log.append((at_s, latency_s))

    def window(self, from_s: float, to_s: float) -> SinkWindow:
        rows = [row for row in tuple(self._log) if from_s <= row[0] <= to_s]
        if not rows:
            return SinkWindow(
                items=0, rate_per_s=None, latency_p50_s=None, latency_p95_s=None, latency_p99_s=None
            )
        span_s = rows[-1][0] - rows[0][0]
        p50, p95, p99 = (float(q) for q in np.percentile([row[1] for row in rows], [50, 95, 99]))
        return SinkWindow(
            items=len(rows),
            rate_per_s=(len(rows) - 1) / span_s if span_s > 0 else None,
            latency_p50_s=p50,
            latency_p95_s=p95,
            latency_p99_s=p99,
        )
