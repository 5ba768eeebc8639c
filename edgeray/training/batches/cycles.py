"""The orchestrator's part of a cycle: who gets how many samples, and what is learned of the learners from it.

Rules of ours, of which the paper says nothing. A learner that has not finished when the cycle is over counts for nothing
in it, and gets nothing before it says that it has finished; what it took to compute counts for the next allocation. Where
not one iteration fits any more, the cycle is as long as one needs, and said to be so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from edgeray.errors import FlowError
from edgeray.training.batches.coefficients import Coefficients
from edgeray.training.batches.deal import deal
from edgeray.training.data import Indices, packed_samples
from edgeray.training.messages import Dealt, Finished
from edgeray.training.records import RoundRecord
from edgeray.training.server import Assignment, Server
from edgeray.training.settings import Settings
from policies.batch.allocation import mel_exact
from policies.batch.instance import BatchInstance, BatchPlan
from policies.batch.registry import BatchPolicy
from policies.batch.training import planned_s, runnable

log = logging.getLogger(__name__)

LATE_TICK_S = 1.0
"""How soon a wait for learners that are late looks whether the run is stopped."""


class Cycles:
    """Runs cycle after cycle on a server. chosen: the samples that are shared out in each, by their indices.

    decide: the policy. cycle_s, margin: see spec.batch_form. send: samples, and not only which they are. stopped: whether
    the run is to end.
    """

    def __init__(
        self,
        server: Server,
        coefficients: Coefficients,
        decide: BatchPolicy,
        *,
        dataset: Any,
        chosen: Indices,
        settings: Settings,
        cycle_s: float,
        margin: float,
        send: bool,
        stopped: Callable[[], bool],
    ) -> None:
        self._server = server
        self._coefficients = coefficients
        self._decide = decide
        self._dataset = dataset
        self._chosen = chosen
        self._settings = settings
        self._cycle_s = cycle_s
        self._margin = margin
        self._send = send
        self._stopped = stopped
        self._given: dict[str, tuple[int, int]] = {}  # samples and iterations by learner, of its newest cycle

    def overhear(self, client: str, kind: str, value: Any) -> bool:
        """For Server: somebody who was late has finished."""
        if kind != "finished" or not isinstance(value, Finished):
            return False
        samples, iterations = self._given.get(client, (0, 0))
        self._coefficients.computed(client, samples, iterations, value.compute_s)
        log.info("%s has finished a cycle that is over", client)
        return True

    def run(self) -> RoundRecord:
        """One cycle. Raises FlowError when nobody finished it in time, or the run is stopped while all are late."""
        plan, instance, within_s = self._allocated(self._here())
        predicted_s = instance.seconds(plan.tau, plan.batches)
        dealt = self._deal(instance, plan)
        self._given.update({name: (len(one.indices), plan.tau) for name, one in dealt.items()})
        record = self._server.run_round(
            Assignment(settings=replace(self._settings, epochs=plan.tau), dealt=dealt, within_s=within_s)
        )
        for one in record.clients:
            self._coefficients.measured(one, plan.tau)
        return replace(
            record,
            iterations=plan.tau,
            predicted_s={
                name: float(seconds)
                for name, seconds in zip(instance.learners, predicted_s.tolist(), strict=True)
                if name in dealt
            },
        )

    def _here(self) -> list[str]:
        """Who can take part: not those that are late still; wait where there is nobody else."""
        while not (here := [name for name in self._server.clients if name not in self._server.late]):
            if self._stopped() or not self._server.clients:
                raise FlowError("no learner is there")
            self._server.hear(LATE_TICK_S)
        return here

    def _allocated(self, here: list[str]) -> tuple[BatchPlan, BatchInstance, float]:
        """The policy's plan, or of one iteration where that does not fit; and how long the cycle is at most."""
        samples = len(self._chosen)
        instance = self._coefficients.instance(here, samples, planned_s(self._cycle_s, self._margin))
        plan = self._decide(instance)
        if runnable(instance, plan):
            return plan, instance, self._cycle_s
        longer_s = plan.shortest_cycle_s
        log.warning(
            "%s has no plan for a cycle of %.3g s: %s; this one may last %.3g s",
            plan.policy, self._cycle_s, "; ".join(plan.reasons), longer_s / (1 - self._margin),
        )  # fmt: skip
        longer = replace(instance, cycle_s=longer_s)
        return mel_exact(longer), longer, longer_s / (1 - self._margin)

    def _deal(self, instance: BatchInstance, plan: BatchPlan) -> dict[str, Dealt]:
        """All samples, in another order in each cycle, to those that get any."""
        batches = dict(zip(instance.learners, plan.batches, strict=True))
        parts = deal(self._chosen, batches, seed=self._settings.seed, number=self._server.rounds_done + 1)
        return {
            name: Dealt(
                indices=torch.from_numpy(part),
                pack=packed_samples(self._dataset, part) if self._send else None,
            )
            for name, part in parts.items()
            if len(part)
        }
