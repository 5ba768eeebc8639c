"""Theorems 2, 4, 5 and 6 against simulation and against optimal plans, and the settings' topologies."""

from __future__ import annotations

import numpy as np
import pytest

from policies.movement.convex import network_aware_sqrt_exact
from policies.movement.instance import Floats, movement_instance
from policies.movement.rule import theorem_3
from policies.movement.setting import TOPOLOGIES, links, random_setting
from policies.movement.theorems import (
    capacity_for_waiting,
    expected_load,
    expected_violations,
    hierarchy_discarded,
    hierarchy_offloaded,
    offloading_value,
    offloading_value_as_published,
    waiting,
)


@pytest.mark.parametrize(("sigma", "mu"), [(1.0, 5.0), (0.1, 5.0), (0.5, 1.0)])
def test_theorem_2_waiting_in_a_simulated_queue(sigma: float, mu: float) -> None:
    """Lindley's recursion; means of 40 independent stretches, within 4 standard errors."""
    capacity = capacity_for_waiting(sigma, mu)
    assert waiting(capacity, mu) == pytest.approx(sigma, rel=1e-9)
    rng = np.random.default_rng(7)
    steps = rng.exponential(1 / mu, (40, 20_000)) - 1 / capacity
    walk = np.cumsum(steps, axis=1)
    waits = walk - np.minimum(np.minimum.accumulate(walk, axis=1), 0.0)
    means = waits[:, 2000:].mean(axis=1)
    assert abs(means.mean() - sigma) <= 4 * means.std(ddof=1) / np.sqrt(len(means))


def test_theorem_2_is_increasing_and_below_the_rate() -> None:
    found = [capacity_for_waiting(sigma, 2.0) for sigma in (0.01, 0.1, 1.0, 10.0)]
    assert found == sorted(found) and found[-1] < 2.0
    assert waiting(2.0, 2.0) == np.inf
    with pytest.raises(ValueError, match="above 0"):
        capacity_for_waiting(0.0, 1.0)


@pytest.mark.parametrize(
    ("gamma", "c", "c_server", "c_send"), [(40.0, 0.8, 0.1, 0.2), (100.0, 1.0, 0.3, 0.3)]
)
def test_theorem_4_is_the_optimal_plan_of_a_hierarchy(
    gamma: float, c: float, c_server: float, c_send: float
) -> None:
    """In the middle of the horizon, where what is sent arrives as in the steady state; 1 % for Clarabel's accuracy in
    amounts, around which costs are flat."""
    devices, points = 3, 60.0
    linked = np.full((devices + 1, devices + 1), np.inf)
    linked[:devices, devices] = c_send
    collected = np.full((6, devices + 1), points)
    collected[:, devices] = 0.0
    instance = movement_instance(collected, [c] * devices + [c_server], linked, gamma)
    plan = network_aware_sqrt_exact(instance)
    s = hierarchy_offloaded(gamma=gamma, c_server=c_server, c_send=c_send, D=points, devices=devices)
    r = hierarchy_discarded(s, gamma=gamma, c=c, D=points)
    assert 0 < s < 1 and 0 < r < 1
    assert plan.sent[2, :devices, devices].sum() / (devices * points) == pytest.approx(s, rel=0.01)
    assert plan.kept[2, :devices].mean() / points == pytest.approx(1 - r - s, rel=0.01)


def test_theorem_5_equals_the_published_sum() -> None:
    for k in range(1, 12):
        assert offloading_value({k: 1.0}, 3.0) == pytest.approx(offloading_value_as_published({k: 1.0}, 3.0))
    assert offloading_value({1: 0.5, 2: 0.5}, 1.0) == pytest.approx((1 / 6 + 1 / 4) / 2)


def test_theorem_5_is_what_offloading_saves() -> None:
    """K(3, 6), 4000 draws of costs, within 4 standard errors of the mean saving."""
    saved = []
    for loads, costs in _draws(4000):
        saved.append((costs.sum() - (loads * costs).sum()) / len(costs))
    expected = offloading_value({6: 3 / 9, 3: 6 / 9}, 1.0)
    assert abs(np.mean(saved) - expected) <= 4 * np.std(saved, ddof=1) / np.sqrt(len(saved))


def test_theorem_6_has_the_mean_loads_and_violations() -> None:
    """K(3, 6): three devices with six neighbours that have three each. 4000 draws, within 4 standard errors.

    Capacities ~ U(0, 9 D), linear up to the largest load, with which the theorem is exact.
    """
    rng = np.random.default_rng(11)
    loads = np.array([loads for loads, _ in _draws(4000)])
    violated = (rng.uniform(0, 9, loads.shape) < loads).sum(axis=1)

    def offloads(k: int) -> float:
        return k / (k + 1)

    neighbours = {6: {3: 1.0}, 3: {6: 1.0}}
    hub = loads[:, :3].mean(axis=1)
    assert abs(hub.mean() - expected_load(6, offloads, neighbours[6])) <= 4 * hub.std(ddof=1) / np.sqrt(
        len(hub)
    )
    leaf = loads[:, 3:].mean(axis=1)
    assert abs(leaf.mean() - expected_load(3, offloads, neighbours[3])) <= 4 * leaf.std(ddof=1) / np.sqrt(
        len(leaf)
    )
    expected = expected_violations(
        {6: 3, 3: 6}, offloads, neighbours, lambda x: min(x / (9 * 20.0), 1.0), 20.0
    )
    assert abs(violated.mean() - expected) <= 4 * violated.std(ddof=1) / np.sqrt(len(violated))


def _draws(count: int) -> list[tuple[Floats, Floats]]:
    """What each of the nine devices of K(3, 6) processes of one collected by each, by Theorem 3, and its cost."""
    rng = np.random.default_rng(5)
    linked = np.full((9, 9), np.inf)
    linked[:3, 3:] = linked[3:, :3] = 0.0
    collected = np.stack([np.ones(9), np.zeros(9)])
    draws = []
    for _ in range(count):
        costs = rng.uniform(0, 1, 9)
        draws.append(
            (theorem_3(movement_instance(collected, costs, linked, 2.0)).processed.sum(axis=0), costs)
        )
    return draws


def test_topologies() -> None:
    rng = np.random.default_rng(3)
    cost = rng.uniform(0, 1, 30)
    assert links(rng, cost, "full", 0.5).sum() == 30 * 29
    world = links(rng, cost, "small-world", 0.5)
    assert (world == world.T).all() and world.sum() == 30 * 6
    tree = links(rng, cost, "hierarchy", 0.5)
    parents = np.flatnonzero(tree.sum(axis=0))
    assert set(parents) == set(np.argsort(cost)[:10]) and (tree.sum(axis=0)[parents] == 2).all()
    assert (tree.sum(axis=1) <= 1).all() and not tree[parents].any()
    assert not links(rng, cost, "random", 0.0).any() and links(rng, cost, "random", 1.0).sum() == 30 * 29
    with pytest.raises(ValueError, match="expected one of full"):
        links(rng, cost, "star", 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rho is 2"):
        links(rng, cost, "random", 2.0)


def test_settings_are_drawn_as_the_paper_says() -> None:
    for topology in TOPOLOGIES:
        instance = random_setting(np.random.default_rng(1), topology=topology, capacities=True)
        again = random_setting(np.random.default_rng(1), topology=topology, capacities=True)
        assert (instance.D == again.D).all() and (instance.c_link == again.c_link).all()
        assert instance.D.shape == (100, 10) and 0 < instance.D.max() <= 60
        assert instance.c_link[np.isfinite(instance.c_link)].max() <= 0.1
        assert instance.C.max() <= 4 * instance.D.max() and instance.C_link.max() <= 0.4 * instance.D.max()
    steady = random_setting(np.random.default_rng(1), steady=True)
    assert (steady.c == steady.c[0]).all() and not np.isfinite(steady.C).any()
