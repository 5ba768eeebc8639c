"""Policies of data movement by name."""

from __future__ import annotations

from collections.abc import Callable

from policies.movement.convex import network_aware_sqrt, network_aware_sqrt_exact
from policies.movement.estimated import network_aware_estimated
from policies.movement.instance import MovementInstance, MovementPlan
from policies.movement.linear import network_aware
from policies.movement.rule import federated, local, rule

MovementPolicy = Callable[[MovementInstance], MovementPlan]

MOVEMENT_POLICIES: dict[str, MovementPolicy] = {
    "local": local,
    "federated": federated,
    "theorem-3": rule,
    "network-aware": network_aware,
    "network-aware-estimated": network_aware_estimated,
    "network-aware-sqrt": network_aware_sqrt,
    "network-aware-sqrt-exact": network_aware_sqrt_exact,
}
"""In the order of reports. Costs of the last two count errors otherwise (`sqrt_error`): compare them with each other."""
