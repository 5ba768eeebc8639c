"""Plans of data movement in whole points, and the samples that go with them: none is lost, none is doubled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.errors import BadInputError
from edgeray.simulator.fog import planned
from edgeray.simulator.fog_points import (
    SQRT_POLICIES,
    at_one_device,
    carry_out,
    collect,
    points_of,
    whole_instance,
    whole_plan,
)
from policies.movement.instance import MovementInstance, linear_plan, movement_instance, processed
from policies.movement.registry import MOVEMENT_POLICIES
from policies.movement.setting import TOPOLOGIES, random_setting

MOVING = ("network-aware", "network-aware-estimated", "network-aware-sqrt")


def drawn(seed: int, **told: object) -> MovementInstance:
    given = {"devices": 5, "intervals": 12, "points": 600, "f": 20.0, "steady": seed % 2 == 0, **told}
    return whole_instance(random_setting(np.random.default_rng(seed), **given))  # type: ignore[arg-type]


def sampled(instance: MovementInstance) -> tuple[tuple[np.ndarray, ...], ...]:
    """Every collected point another sample."""
    counts = instance.D.astype(np.int64)
    return collect(counts, [np.arange(counts.sum() + 5)], np.random.default_rng(1))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(MOVING), st.sampled_from(TOPOLOGIES), st.booleans())
def test_plans_become_whole_and_stay_within_capacities(
    seed: int, policy: str, topology: str, limited: bool
) -> None:
    instance = drawn(seed, topology=topology, capacities=limited)
    plan = planned(instance, policy)
    for amount in (plan.kept, plan.sent, plan.discarded):
        assert (amount == np.floor(amount)).all() and (amount >= 0).all()
    assert (plan.kept + plan.sent.sum(axis=2) + plan.discarded == instance.D).all()
    assert (plan.processed <= instance.C).all() and (plan.sent <= instance.C_link).all()
    assert not plan.sent[~np.isfinite(instance.c_link)].any()
    fractions = MOVEMENT_POLICIES[policy](instance)
    assert abs(plan.kept - fractions.kept).max() <= 1 + 1e-6
    assert abs(plan.sent - fractions.sent).max() <= 1 + 1e-6


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(MOVING), st.booleans())
def test_every_point_is_processed_once_or_discarded(seed: int, policy: str, limited: bool) -> None:
    instance = drawn(seed, capacities=limited)
    plan, collected = planned(instance, policy), sampled(instance)
    moved = carry_out(plan, collected)
    assert (points_of(collected) == instance.D).all()
    assert (points_of(moved) == plan.processed).all()
    counted = Counter(np.concatenate([points for row in moved for points in row]).tolist())
    assert set(counted.values()) <= {1}
    every = {point for row in collected for points in row for point in points.tolist()}
    assert set(counted) <= every and len(every) - len(counted) == plan.discarded.sum()


@pytest.mark.parametrize("points", [30, 600, 20_000])
def test_rounding_makes_nobody_collect_more_or_less(points: int) -> None:
    real = random_setting(np.random.default_rng(1), devices=5, intervals=200, points=points, capacities=True)
    whole = whole_instance(real)
    assert whole.whole and abs(whole.D.cumsum(axis=0) - real.D.cumsum(axis=0)).max() <= 0.5 + 1e-9
    assert abs(whole.D - real.D).max() <= 1
    assert (whole.C <= real.C).all() and (whole.C_link > real.C_link - 1).all()
    assert (whole_instance(whole).D == whole.D).all()


def test_points_are_processed_where_and_when_the_plan_says() -> None:
    instance = movement_instance([[3, 2], [1, 0], [0, 0]], 0.5, 0.1, 1.0)
    kept, sent = np.array([[1.0, 2], [0, 0], [0, 0]]), np.zeros((3, 2, 2))
    sent[0, 0, 1], sent[1, 0, 1] = 1, 1
    plan = linear_plan("by-hand", instance, kept, sent)
    collected = tuple(
        tuple(np.array(points, dtype=np.int64) for points in row)
        for row in (((1, 2, 3), (4, 5)), ((6,), ()), ((), ()))
    )
    moved = carry_out(plan, collected)
    assert [[points.tolist() for points in row] for row in moved] == [[[1], [4, 5]], [[], [2]], [[], [6]]]
    assert plan.discarded.tolist() == [[1, 0], [0, 0], [0, 0]]


def test_all_points_at_one_device() -> None:
    instance = drawn(4)
    collected = sampled(instance)
    [row, *_] = at_one_device(collected)
    assert len(row) == 1 and row[0].tolist() == np.concatenate(collected[0]).tolist()
    assert (points_of(at_one_device(collected))[:, 0] == instance.D.sum(axis=1)).all()


def test_whole_plans_stay_as_they_are() -> None:
    instance = drawn(8, capacities=True)
    plan = MOVEMENT_POLICIES["network-aware"](instance)
    whole = whole_plan(instance, plan)
    assert (whole.kept == plan.kept).all() and (whole.sent == plan.sent).all()
    assert whole.total == pytest.approx(plan.total) and whole.bound == plan.bound


def test_rounding_takes_the_largest_part_first_and_what_has_room() -> None:
    instance = movement_instance([[2, 0, 0], [0, 0, 0]], 0.5, 0.1, 1.0, C=[[1, 1, 1], [1, 0, 1]])
    sent = np.zeros((2, 3, 3))
    sent[0, 0, 1], sent[0, 0, 2] = (
        0.7,
        0.6,
    )  # device 1 has no room for what would be the first to be rounded up
    plan = linear_plan("by-hand", instance, np.array([[0.5, 0, 0], [0, 0, 0]]), sent)
    whole = whole_plan(instance, plan)
    assert whole.sent[0, 0].tolist() == [0, 0, 1] and whole.kept[0, 0] == 1 and whole.discarded[0, 0] == 0


def test_costs_are_those_of_the_whole_points() -> None:
    instance = drawn(6)
    for policy in MOVING:
        plan = planned(instance, policy)
        assert plan.process == pytest.approx((instance.c * processed(plan.kept, plan.sent)).sum())
        lost = float((instance.f * plan.discarded).sum())
        assert (plan.discard == pytest.approx(lost)) == (policy not in SQRT_POLICIES)


def test_parts_of_points_are_refused() -> None:
    instance = replace(drawn(2), D=drawn(2).D + 0.5)
    with pytest.raises(BadInputError, match=r"whole numbers\n  remedy"):
        whole_plan(instance, MOVEMENT_POLICIES["local"](instance))


def test_samples_come_again_when_all_were_collected() -> None:
    counts = np.full((4, 1), 5)
    [pool] = [np.arange(8)]
    first = np.concatenate([row[0] for row in collect(counts, [pool], np.random.default_rng(2))])
    assert sorted(first[:8].tolist()) == list(range(8)) == sorted(first[8:16].tolist())
    again = np.concatenate([row[0] for row in collect(counts, [pool], np.random.default_rng(2))])
    assert first.tolist() == again.tolist()


def test_devices_with_samples_of_their_own() -> None:
    pools = [np.arange(10), np.arange(100, 120)]
    found = collect(np.full((3, 2), 4), pools, np.random.default_rng(2))
    assert all((a < 10).all() and (b >= 100).all() for a, b in found)
    with pytest.raises(BadInputError, match="no samples"):
        collect(np.ones((1, 2), dtype=np.int64), [np.arange(3), np.arange(0)], np.random.default_rng(2))
