"""Fractions of a steady state, against the rules and the flow over time that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from policies.movement.instance import movement_instance
from policies.movement.linear import network_aware
from policies.movement.registry import MOVEMENT_POLICIES
from policies.movement.rule import theorem_3
from policies.movement.steady import steady_fractions

POLICIES = ("theorem-3", "network-aware", "network-aware-sqrt", "network-aware-sqrt-exact")


@pytest.mark.parametrize("seed", range(8))
def test_without_capacities_they_are_theorem_3s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    points, c = rng.integers(0, 9, n).astype(float), rng.uniform(0, 1, n)
    c_link, f = rng.uniform(0, 0.3, (n, n)), rng.uniform(0.2, 1.2, n)
    first = theorem_3(movement_instance([points, points], c, c_link, f))
    for decide in (theorem_3, network_aware):
        keep, send = steady_fractions(decide, points, c, c_link, f)
        assert np.allclose(keep * points, first.kept[0])
        assert np.allclose(send * points[:, None], first.sent[0])


@pytest.mark.parametrize("seed", range(8))
def test_within_capacities_nothing_repeated_for_long_is_cheaper(seed: int) -> None:
    """The cheapest plan of 60 equal intervals costs no less in each than the steady state, ends aside."""
    rng = np.random.default_rng(seed)
    n, steps = 4, 60
    points, c = rng.integers(1, 9, n).astype(float), rng.uniform(0, 1, n)
    c_link, f = rng.uniform(0, 0.3, (n, n)), np.full(n, 1.1)
    np.fill_diagonal(c_link, np.inf)
    room, most = rng.uniform(2, 12, n), rng.uniform(1, 6, (n, n))
    keep, send = steady_fractions(network_aware, points, c, c_link, f, room, most)
    sent = send * points[:, None]
    processed = keep * points + sent.sum(axis=0)
    assert (processed <= room + 1e-9).all() and (sent <= most + 1e-9).all()
    moved = sent > 0
    discarded = points * (1 - keep) - sent.sum(axis=1)
    each = float((processed * c).sum() + (sent[moved] * c_link[moved]).sum() + (f * discarded).sum())
    plan = network_aware(movement_instance(np.tile(points, (steps, 1)), c, c_link, f, room, most))
    ends = 2 * float((f * points).sum())
    assert abs(plan.total - steps * each) <= ends


@pytest.mark.parametrize("name", POLICIES)
def test_they_are_fractions(name: str) -> None:
    points, c = np.array([8.0, 0.0, 5.0]), np.array([0.9, 0.1, 0.5])
    keep, send = steady_fractions(MOVEMENT_POLICIES[name], points, c, np.full((3, 3), 0.05), np.full(3, 9.0))
    total = keep + send.sum(axis=1)
    assert (keep >= 0).all() and (send >= 0).all() and (np.diag(send) == 0).all()
    assert total[1] == 0 and (total <= 1 + 1e-9).all() and total[0] > 0.5
    assert send[0, 1] > 0
