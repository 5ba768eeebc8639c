"""Policies in closed form: everything stays where it is collected, and Theorem 3's rule."""

from __future__ import annotations

import numpy as np

from policies.movement.instance import (
    MovementInstance,
    MovementPlan,
    first_excess,
    linear_plan,
    offload_cost,
)


def local(instance: MovementInstance) -> MovementPlan:
    """Each device processes what it collects, as far as it can; setting A of the paper's Table III.

    Who trains by it never averages the devices' models.
    """
    return _kept("local", instance)


def federated(instance: MovementInstance) -> MovementPlan:
    """The same, for devices whose models are averaged: federated learning moves no data."""
    return _kept("federated", instance)


def _kept(policy: str, instance: MovementInstance) -> MovementPlan:
    kept = np.minimum(instance.D, instance.C)
    return linear_plan(policy, instance, kept, np.zeros_like(instance.c_link))


def rule(instance: MovementInstance) -> MovementPlan:
    """`theorem_3`. Raises ValueError where its plan exceeds a capacity."""
    plan = theorem_3(instance)
    if excess := first_excess(instance, plan.kept, plan.sent):
        raise ValueError(f"Theorem 3 holds without capacities only: {excess}; expected policy network-aware")
    return plan


def theorem_3(instance: MovementInstance) -> MovementPlan:
    """All of a device's data goes where a point costs least: kept, sent to the cheapest neighbour, or discarded (eq. 12).

    Optimal where nothing is limited. Of equals: kept, then the neighbour of smallest number, then discarded. O(T n^2).
    Looks at no capacity.
    """
    away = offload_cost(instance)
    nearest = away.argmin(axis=2)
    least = np.take_along_axis(away, nearest[:, :, None], axis=2)[:, :, 0]
    keeps = instance.c <= np.minimum(instance.f, least)
    sends = ~keeps & (least <= instance.f)
    sent = np.zeros_like(instance.c_link)
    t, i = np.nonzero(sends)
    sent[t, i, nearest[t, i]] = instance.D[t, i]
    kept = np.where(keeps, instance.D, 0.0)
    return linear_plan("theorem-3", instance, kept, sent)
