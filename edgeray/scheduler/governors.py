"""The policies that govern the cluster: one a mode, that of the job of this mode submitted last. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgeray.scheduler.jobs import JobRecord
from edgeray.scheduler.snapshots import snapshot
from policies.model import ONLINE, TRAINS, Decision, Mode, Network, Policy

MODES: tuple[Mode, ...] = ("once", *TRAINS, *ONLINE, "cameras", "stream")
"""The order of decisions: plans of one-shot jobs, and of tasks side by side, stay as they are; what is adjusted comes
after them."""


ADJUSTED: tuple[Mode, ...] = ("cameras", "stream")
"""The modes whose running jobs get new plans: cameras are watched elsewhere, streams get other rates."""


class Governors:
    def __init__(self) -> None:
        self._policies: dict[Mode, Policy] = {}

    def appoint(self, mode: Mode, policy: Policy) -> bool:
        """Whether another policy governs this mode from now on."""
        before = self._policies.get(mode)
        self._policies[mode] = policy
        return before is None or before.name != policy.name

    def ask(
        self,
        mode: Mode,
        network: Network,
        placed: Sequence[JobRecord],
        waiting: Sequence[JobRecord],
        at_s: float,
    ) -> Decision | None:
        """The decision on what waits and, of modes that are adjusted, on what runs; None where nothing is to be decided.

        What the policy raises comes through; then it governs no longer.
        """
        policy = self._policies.get(mode)
        adjustable = mode in ADJUSTED and any(record.mode == mode for record in placed)
        if policy is None or not (waiting or adjustable):
            return None
        seen = snapshot(mode, network, placed, at_s)
        try:
            return policy.decide(seen, tuple(record.workload for record in waiting))
        except Exception:
            del self._policies[mode]
            raise
