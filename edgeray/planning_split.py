"""Decide split training without running it: a job's numbers, declared or measured, in; cuts and rates out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeray.errors import BadInputError
from policies.linear import SolverError
from policies.model import Decision, Flow, Network, Plan, TaskId, Workload
from policies.partition.bound import round_bound
from policies.partition.instance import NoSplit, SplitInstance, SplitPlan
from policies.partition.policy import SplitPolicy
from policies.partition.registry import load_split_policy
from policies.partition.training import Routed, instance_of

DEFAULT = "edgesplit"
"""The policy of declared numbers, if nobody names one; a job with a model has that of `policy_names`."""


def chosen_split_policy(named: str | None) -> SplitPolicy:
    """The policy that the user named, or the default. Raises BadInputError for an unknown one."""
    try:
        return load_split_policy(named if named is not None else DEFAULT)
    except ValueError as error:
        raise BadInputError(f"{error}\n  remedy:   correct --policy") from error


def decide_split(policy: SplitPolicy, instance: SplitInstance) -> SplitPlan | NoSplit:
    """The policy's plan, with the bound beside it where that is known."""
    decided = policy(instance)
    if isinstance(decided, NoSplit):
        return decided
    try:
        return replace(decided, bound_s=round_bound(instance))
    except SolverError:  # numbers too far apart: the plan stands without it
        return decided


def split_plan_json(decided: SplitPlan | NoSplit) -> dict[str, Any]:
    """What `edgeray plan --json` prints."""
    if isinstance(decided, NoSplit):
        return {"policy": decided.policy, "feasible": False, "reasons": list(decided.reasons)}
    told: dict[str, Any] = {
        "policy": decided.policy,
        "cuts": list(decided.cuts),
        "rates_bps": list(decided.rates_bps),
        "round_s": decided.round_s,
    }
    if decided.bound_s is not None:
        told["bound_s"] = decided.bound_s
    return told


def training_plan_json(
    policy: str, decision: Decision, workload: Workload, network: Network
) -> dict[str, Any]:
    """What `edgeray plan --json` prints of a job with a model, planned on an idle network.

    The keys of declared numbers, of which cuts and rates_bps are in the order of devices, and more. round_s: what the
    policy reckons; predicted_s: with the server's queue and all that P1 leaves out. Of each device, a round: computing_s
    on it, server_s for it, up_bytes and down_bytes with weights_bytes in each. rate_bps: in each direction; at least so
    much up to ceiling_bps, where that is given.
    """
    job = workload.job
    if job.id not in decision.plans:
        return {"policy": policy, "feasible": False, "reasons": list(decision.infeasible[job.id].reasons)}
    plan, rounds, routed = (
        decision.plans[job.id],
        decision.plans[job.id].rounds,
        instance_of(workload, network),
    )
    if rounds is None or job.training is None or not isinstance(routed, Routed):
        raise BadInputError(
            f"policy {policy!r} planned {job.id} without rounds\n"
            "  expected: a Plan with `rounds`, as the built-in policies of split training make\n"
            "  remedy:   correct that policy, or name another"
        )
    devices = [
        _device_json(plan, workload, network, routed, row, client)
        for row, client in enumerate(job.training.clients)
    ]
    server = network.devices[plan.placement[job.training.server]]
    told: dict[str, Any] = {
        "policy": policy,
        "feasible": True,
        "name": job.id,
        "cuts": [device["cut"] for device in devices],
        "rates_bps": [device["rate_bps"] for device in devices],
        "round_s": rounds.round_s,
        "predicted_s": rounds.predicted_s,
    }
    if rounds.bound_s is not None:
        told["bound_s"] = rounds.bound_s
    return told | {
        "micro_batches": rounds.micro_batches,
        "rounds": job.training.rounds,
        "server": {
            "device": server.id,
            "type": server.type,
            "computing_s": sum(device["server_s"] for device in devices),
        },
        "devices": devices,
    }


def _device_json(
    plan: Plan, workload: Workload, network: Network, routed: Routed, row: int, client: TaskId
) -> dict[str, Any]:
    job, rounds = workload.job, plan.rounds
    parts, profile = routed.instance.parts, workload.profile
    assert job.training is not None and rounds is not None, "checked before"
    assert parts is not None and profile is not None and profile.cuts is not None, "instance_of needs them"
    cut, cuts = rounds.cuts[client], profile.cuts
    device = network.devices[plan.placement[client]]
    up = Flow(producer=client, consumer=job.training.server).id
    told: dict[str, Any] = {
        "device": device.id,
        "type": device.type,
        "cut": cut,
        "layer": cuts.names[cut],
        "layers": cuts.layers[cut],
        "layers_total": cuts.layers[-1],
        "batches": job.training.batches[client],
        "computing_s": float(parts.device_s[row, cut]),
        "server_s": float(parts.server_s[row, cut]),
        "up_bytes": float(parts.up_bits[row, cut]) / 8,
        "down_bytes": float(parts.down_bits[row, cut]) / 8,
        "weights_bytes": cuts.weights_bytes[cut],
        "rate_bps": plan.rates_bps.get(up, 0.0),
        "route": list(plan.routes.get(up, ())),
    }
    ceiling_bps = plan.ceilings_bps.get(up)
    return told if ceiling_bps is None else told | {"ceiling_bps": ceiling_bps}
