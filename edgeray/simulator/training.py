"""Rounds of split training under a virtual clock: a policy's plan carried out with what was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeray.errors import BadInputError
from edgeray.policy_names import policy_named
from policies.model import Flow, Network, Plan, Rounds, Snapshot, Training, Workload
from policies.partition.reading import instance_of
from policies.partition.timeline import Timeline, simulate_round
from policies.placement.reasons import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTraining:
    """A job alone on an idle network. rounds: how many were run; each takes as long as any other.

    plan, timeline: None where the policy has no plan; reasons then say why.
    """

    workload: Workload
    network: Network
    policy: str
    rounds: int
    plan: Plan | None = None
    timeline: Timeline | None = None
    reasons: tuple[str, ...] = ()

    @property
    def total_s(self) -> float:
        return self.rounds * self.timeline.round_s if self.timeline is not None else float("inf")

    def as_json(self) -> dict[str, Any]:
        """Seconds of a round, and where those of each client go: compute_s, served_s, transfer_s, queued_s and idle_s
        add up to it (`ClientTimes`)."""
        plan, timeline = self.plan, self.timeline
        if plan is None or timeline is None:
            return {"policy": self.policy, "feasible": False, "reasons": list(self.reasons)}
        server, planned = _training(self.workload).server, _rounds(plan, self.policy)
        return {
            "policy": self.policy,
            "feasible": True,
            "rounds": self.rounds,
            "total_s": self.total_s,
            "round_s": timeline.round_s,
            "planned_round_s": planned.round_s,
            "bound_s": planned.bound_s,
            "micro_batches": planned.micro_batches,
            "bottleneck": plan.bottleneck,
            "server": {"device": plan.placement[server], "busy_s": timeline.server_s},
            "devices": self.devices_json(),
        }

    def devices_json(self) -> list[dict[str, Any]]:
        if self.plan is None or self.timeline is None:
            return []
        planned, profile = _rounds(self.plan, self.policy), self.workload.profile
        names = profile.cuts.names if profile is not None and profile.cuts is not None else ()
        return [
            {
                "device": (device := self.plan.placement[client]),
                "type": self.network.devices[device].type,
                "cut": planned.cuts[client],
                "layer": names[planned.cuts[client]],
                "compute_s": times.compute_s,
                "served_s": times.served_s,
                "transfer_s": times.transfer_s,
                "queued_s": times.queued_s,
                "idle_s": times.idle_s,
                "ended_s": times.end_s,
            }
            for client, times in zip(_training(self.workload).clients, self.timeline.clients, strict=True)
        ]


def simulate_training(
    workload: Workload, network: Network, policy: str, rounds: int | None = None
) -> SimulatedTraining:
    """The policy plans the job on the idle network; its plan is carried out event by event (`simulate_round`).

    rounds: None: as many as the job says. Raises BadInputError for a policy that plans something else than rounds.
    """
    count = rounds if rounds is not None else _training(workload).rounds
    told = SimulatedTraining(workload=workload, network=network, policy=policy, rounds=count)
    decision = policy_named(policy).decide(Snapshot(network=network), [workload])
    if workload.job.id not in decision.plans:
        return replace(told, reasons=decision.infeasible[workload.job.id].reasons)
    plan, routed = decision.plans[workload.job.id], instance_of(workload, network)
    if isinstance(routed, Refusal):  # a policy of the user's own planned it in another way
        return replace(told, reasons=routed.reasons)
    planned, training = _rounds(plan, policy), _training(workload)
    flows = [Flow(producer=client, consumer=training.server).id for client in training.clients]
    steps = routed.instance.steps
    assert steps is not None, "instance_of makes them"
    timeline = simulate_round(
        steps,
        np.array([planned.cuts[client] for client in training.clients], dtype=np.int64),
        np.array([plan.rates_bps.get(flow, 0.0) for flow in flows]),
        work_conserving=bool(plan.ceilings_bps),
        micro_batches=planned.micro_batches,
    )
    return replace(told, plan=plan, timeline=timeline)


def _training(workload: Workload) -> Training:
    training = workload.job.training
    assert training is not None, "the job trains a model"
    return training


def _rounds(plan: Plan, policy: str) -> Rounds:
    if plan.rounds is None:
        raise BadInputError(
            f"policy {policy!r} planned {plan.job} without rounds\n"
            "  expected: a Plan with `rounds`, as the built-in policies of split training make\n"
            "  remedy:   correct that policy, or name another"
        )
    return plan.rounds
