"""Decide split training without running it: a job's numbers in, cuts and rates out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeray.errors import BadInputError
from policies.linear import SolverError
from policies.partition.bound import round_bound
from policies.partition.instance import NoSplit, SplitInstance, SplitPlan
from policies.partition.policy import SplitPolicy
from policies.partition.registry import load_split_policy

DEFAULT = "edgesplit"
"""The policy of a job that names none."""


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
