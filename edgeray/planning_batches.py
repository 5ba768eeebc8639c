"""Decide batch training without running it: what was profiled and links in, the first cycle's batches out."""

from __future__ import annotations

from typing import Any

from edgeray.errors import BadInputError
from policies.batch.instance import BatchInstance
from policies.batch.registry import load_batch_policy
from policies.batch.training import instance_of, refusal, runnable
from policies.model import Flow, Network, Plan, Workload
from policies.online.shares import placed


def batch_plan_json(policy: str, workload: Workload, network: Network) -> dict[str, Any]:
    """What `edgeray plan --json` prints of a job with a model, planned on an idle network.

    The keys of declared numbers (tau, batches in the order of learners, feasible, shortest_cycle_s), and of each learner
    its coefficients, what it takes, and the rate of its flows. shortest_cycle_s: with the margin.
    """
    training = workload.job.training
    assert training is not None and training.cycles is not None, "it trains in cycles"
    plan = placed(policy, workload, network)
    if not isinstance(plan, Plan):
        return {"policy": policy, "feasible": False, "reasons": list(plan)}
    instance = instance_of(workload, network, plan)
    if not isinstance(instance, BatchInstance):
        return {"policy": policy, "feasible": False, "reasons": list(instance)}
    try:
        decided = load_batch_policy(policy)(instance)
    except ValueError as error:
        raise BadInputError(f"{error}\n  remedy:   correct --policy") from error
    feasible = runnable(instance, decided)
    seconds = instance.seconds(decided.tau, decided.batches).tolist()
    told: dict[str, Any] = {
        "policy": policy,
        "name": workload.job.id,
        "tau": decided.tau,
        "batches": list(decided.batches),
        "feasible": feasible,
        "shortest_cycle_s": decided.shortest_cycle_s / (1 - training.cycles.margin),
        "cycle_s": training.cycles.cycle_s,
        "margin": training.cycles.margin,
        "cycles": training.rounds,
        "learners": [
            {
                "device": plan.placement[client],
                "type": network.devices[plan.placement[client]].type,
                "samples": decided.batches[row],
                "predicted_s": seconds[row],
                "C2": float(instance.C2[row]),
                "C1": float(instance.C1[row]),
                "C0": float(instance.C0[row]),
                "rate_bps": plan.rates_bps.get(Flow(producer=training.server, consumer=client).id),
            }
            for row, client in enumerate(training.clients)
        ],
    }
    return told if feasible else told | {"reasons": list(refusal(decided, training.cycles))}
