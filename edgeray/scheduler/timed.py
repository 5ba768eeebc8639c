"""How long policies think: the state has no clock of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from policies.model import Decision, Policy, Snapshot, Workload


class TimedPolicy:
    """A policy that tells of each decision how many seconds it took."""

    def __init__(self, policy: Policy, tell: Callable[[float, Decision], None]) -> None:
        self._policy = policy
        self._tell = tell

    @property
    def name(self) -> str:
        return self._policy.name

    def decide(self, snapshot: Snapshot, arrivals: Sequence[Workload]) -> Decision:
        began = time.perf_counter()
        decision = self._policy.decide(snapshot, arrivals)
        self._tell(time.perf_counter() - began, decision)
        return decision
