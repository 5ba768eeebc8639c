"""Policies of split training: baselines, the overlapping one, the bound, and refusals by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.partition import policy
from policies.partition.bound import round_bound
from policies.partition.instance import NoSplit, Parts, SplitInstance, SplitPlan, split_instance
from policies.partition.overlap import RoundModel, overlapped
from policies.partition.registry import SPLIT_POLICIES, load_split_policy
from tests.policies.partition.instances import random_split
from tests.policies.partition.oracles import best_overlap, linear_bound

seeds = st.integers(0, 10**9)


def planned(name: str, instance: SplitInstance) -> SplitPlan:
    decided = load_split_policy(name)(instance)
    assert isinstance(decided, SplitPlan), decided
    assert decided.policy == name
    assert sum(decided.rates_bps) <= instance.total_bps * (1 + 1e-12)
    assert (np.array(decided.rates_bps) <= instance.rate_caps_bps).all()
    return decided


def refused(name: str, instance: SplitInstance) -> str:
    decided = load_split_policy(name)(instance)
    assert isinstance(decided, NoSplit), decided
    assert decided.policy == name
    return "; ".join(decided.reasons)


def test_baselines_by_hand() -> None:
    """Whole model: A 6 and 2 s, 4 bits each; half of four layers: A 3 and 1 s, 8 bits each; 4 bit/s."""
    instance = split_instance([[2, 3, 5, 6], [0.5, 1, 1.5, 2]], [9, 8, 7, 4], 4)
    vanilla = planned("vanilla-fl", instance)
    assert (vanilla.cuts, vanilla.rates_bps, vanilla.round_s) == ((3, 3), (2, 2), 8)
    adaptive = planned("adaptive-fl", instance)
    assert adaptive.cuts == (3, 3)
    assert adaptive.round_s == pytest.approx(5 + 5**0.5)  # 4/(T-6) + 4/(T-2) = 4
    fixed = planned("edgesplit-fix", instance)
    assert fixed.cuts == (1, 1)
    assert fixed.round_s == pytest.approx(4 + 5**0.5)  # 8/(T-3) + 8/(T-1) = 4


@pytest.mark.parametrize(("cuts", "half"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (8, 3), (9, 3)])
def test_half_of_the_layers(cuts: int, half: int) -> None:
    instance = split_instance(np.ones((1, cuts)), np.ones(cuts), 1)
    assert planned("edgesplit-fix", instance).cuts == (half,)


def test_half_of_the_layers_where_not_all_can_be_cut_after() -> None:
    instance = split_instance(np.ones((1, 4)), np.ones(4), 1, layers=[1, 2, 17, 50])
    assert planned("edgesplit-fix", instance).cuts == (2,)


@given(seeds)
@settings(max_examples=80, deadline=None)
def test_order_of_the_policies(seed: int) -> None:
    """By P1's objective: edgesplit is no slower than what it generalises, overlap no slower than edgesplit."""
    rng = np.random.default_rng(seed)
    instance = random_split(rng, int(rng.integers(1, 10)), int(rng.integers(1, 10)))
    plans = {name: planned(name, instance) for name in SPLIT_POLICIES}
    round_s = {name: plan.round_s * (1 - 1e-12) for name, plan in plans.items()}
    assert round_s["edgesplit-overlap"] <= plans["edgesplit"].round_s
    assert round_s["edgesplit"] <= plans["edgesplit-fix"].round_s
    assert round_s["edgesplit"] <= plans["adaptive-fl"].round_s
    assert round_s["adaptive-fl"] <= plans["vanilla-fl"].round_s
    bound_s = round_bound(instance)
    assert bound_s is not None
    assert all(0 < bound_s <= plan.round_s for plan in plans.values())


@given(seeds)
@settings(max_examples=80, deadline=None)
def test_no_plan_is_below_the_bound_nor_overlap_above_others_by_parts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_split(rng, int(rng.integers(1, 10)), int(rng.integers(1, 10)), parts=True)
    model, bound_s = RoundModel.of(instance), round_bound(instance)
    assert bound_s is not None
    best = planned("edgesplit-overlap", instance)
    assert best.round_s == model.round_s(np.array(best.cuts))
    for name in SPLIT_POLICIES:
        plan = planned(name, instance)
        assert bound_s <= model.round_s(np.array(plan.cuts)) <= plan.round_s * (1 + 1e-12)
        if name in ("edgesplit", "edgesplit-alternating"):
            assert best.round_s <= model.round_s(np.array(plan.cuts)) * (1 + 1e-12)


def test_overlap_with_one_load_is_optimal() -> None:
    for seed in range(200):
        rng = np.random.default_rng([7, seed])
        instance = random_split(rng, int(rng.integers(1, 5)), int(rng.integers(1, 6)), rough=seed % 2 == 0)
        if isinstance(policy.edgesplit(instance), NoSplit):
            continue
        assert overlapped(instance)[2] == pytest.approx(best_overlap(instance), rel=1e-6), seed


def test_overlap_is_near_the_best_by_parts() -> None:
    ratios = []
    for seed in range(200):
        rng = np.random.default_rng([8, seed])
        instance = random_split(rng, int(rng.integers(2, 5)), int(rng.integers(2, 6)), parts=True)
        ratios.append(overlapped(instance)[2] / best_overlap(instance))
    assert min(ratios) >= 1 - 1e-12
    assert np.mean(np.array(ratios) < 1 + 1e-9) > 0.9
    assert max(ratios) < 1.15


def test_overlap_minds_the_server() -> None:
    """P1 sends everything to a server that is fast for one, which all ten then wait for."""
    device_s, server_s = np.array([1.0, 4.0, 8.0]), np.array([2.0, 1.0, 0.0])
    bits = np.array([8.0, 4.0, 1.0])
    parts = Parts(device_s=device_s[None], server_s=server_s, up_bits=bits / 2, down_bits=bits / 2)
    instance = split_instance(np.tile(device_s + server_s, (10, 1)), bits, 80, parts=parts)
    first, best = planned("edgesplit", instance), planned("edgesplit-overlap", instance)
    assert first.cuts == (0,) * 10
    assert first.round_s == pytest.approx(20)  # the server's 2 s for each, not the 4 s of one
    assert best.round_s < 10
    assert best.work_conserving and not first.work_conserving
    assert sum(best.rates_bps) == pytest.approx(80)


def test_overlap_in_whole_units() -> None:
    """Only as many devices send as there are units, and each that sends has one."""
    for seed in range(200):
        rng = np.random.default_rng([9, seed])
        instance = random_split(rng, 4, 5, rough=True, units=3)
        decided = policy.edgesplit_overlap(instance)
        if isinstance(decided, NoSplit):
            continue
        assert instance.rate_unit_bps is not None
        units = np.array(decided.rates_bps) / instance.rate_unit_bps
        assert units == pytest.approx(np.round(units), abs=1e-9)
        sends = instance.C_bits[np.arange(4), np.array(decided.cuts)] > 0
        assert (units[sends] > 0.5).all() and units.sum() < 3.5


def test_bound_by_hand() -> None:
    """One device, half of each cut: 1 x + 5 (1 - x) = 8 x + 0 (1 - x) at x = 5/12, T = 10/3."""
    assert round_bound(split_instance([[1, 5]], [8, 0], 1)) == pytest.approx(10 / 3, rel=1e-8)


def test_bound_is_the_linear_program() -> None:
    for seed in range(60):
        rng = np.random.default_rng([10, seed])
        instance = random_split(rng, int(rng.integers(1, 7)), int(rng.integers(1, 9)), parts=True)
        assert round_bound(instance) == pytest.approx(linear_bound(instance), rel=1e-7), seed


def test_bound_counts_a_devices_own_cap() -> None:
    instance = split_instance([[1.0]], [8], 8, rate_caps_bps=[2])
    assert round_bound(instance) == pytest.approx(4, rel=1e-8)
    assert planned("edgesplit", instance).round_s == 5


def test_bound_counts_each_direction_of_a_cap_by_itself_where_links_are_full_duplex() -> None:
    def bound_s(full_duplex: bool) -> float | None:
        ones = np.ones((1, 1))
        parts = Parts(
            device_s=ones, server_s=ones, up_bits=4 * ones, down_bits=6 * ones, full_duplex=full_duplex
        )
        return round_bound(split_instance(2 * ones, 10 * ones, 8, rate_caps_bps=[2], parts=parts))

    assert bound_s(True) == pytest.approx(3, rel=1e-8)
    assert bound_s(False) == pytest.approx(5, rel=1e-8)


def test_large_instances_have_no_bound() -> None:
    assert round_bound(split_instance(np.ones((2001, 100)), np.ones(100), 1.0)) is None


def test_a_model_too_large_for_a_device_is_refused_by_name_and_cut_by_edgesplit() -> None:
    instance = split_instance(
        [[2, 3], [2, 3]],
        [8, 4],
        4,
        devices=("pi", "nano"),
        needs_bytes=[1e9, 12e9],
        memory_bytes=[8e9, 16e9],
    )
    told = "device pi: cut 1 (the whole model) needs 12 GB of memory, it has 8 GB"
    for name in ("vanilla-fl", "adaptive-fl"):
        assert refused(name, instance) == told
    for name in ("edgesplit", "edgesplit-alternating", "edgesplit-overlap"):
        assert planned(name, instance).cuts[0] == 0
    small = replace(instance, memory_bytes=np.array([1e8, 16e9]))
    for name in ("edgesplit", "edgesplit-alternating", "edgesplit-overlap"):
        assert "device pi: no cut fits its memory: the smallest part" in refused(name, small)
    assert (
        refused("edgesplit-fix", small)
        == "device pi: cut 0 (1 of 2 layers) needs 1 GB of memory, it has 100 MB"
    )


@pytest.mark.parametrize("name", SPLIT_POLICIES)
def test_what_cannot_end_is_refused_with_reasons(name: str) -> None:
    never = split_instance([[np.inf, np.inf], [1, 2]], [8, 4], 4)
    assert "device d0" in refused(name, never) and "finite" in refused(name, never)
    mute = split_instance([[1, 2], [1, 2]], [8, 4], 4, rate_caps_bps=[4, 0])
    assert "device d1: its rate cap is 0" in refused(name, mute)
    coarse = split_instance(np.ones((3, 2)), [8, 4], 5, rate_unit_bps=2)
    assert "unit" in refused(name, coarse)


def test_many_refused_devices_are_counted() -> None:
    told = refused("edgesplit", split_instance(np.full((100, 2), np.inf), [8, 4], 4))
    assert told.endswith("80 more devices likewise")


def test_a_device_that_sends_nothing_needs_no_rate() -> None:
    instance = split_instance([[1, 3], [1, 3]], [8, 0], 4, rate_caps_bps=[0, 4])
    for name in SPLIT_POLICIES:
        if name != "edgesplit-fix":
            assert planned(name, instance).rates_bps[0] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"A_s": [1, 2]}, "A_s has shape"),
        ({"A_s": [[1, -2]]}, "A_s holds a negative number or NaN"),
        ({"C_bits": [1, np.nan]}, "C_bits holds a negative number or NaN"),
        ({"C_bits": [1, 2, 3]}, "C_bits has shape"),
        ({"total_bps": 0}, "total_bps is 0"),
        ({"rate_unit_bps": -1}, "rate_unit_bps is -1"),
        ({"devices": ("a", "b")}, "2 names"),
        ({"layers": [1]}, "1 layers"),
    ],
)
def test_ill_formed_instances_are_refused(change: dict[str, object], told: str) -> None:
    given = {"A_s": [[1, 2]], "C_bits": [1, 2], "total_bps": 1, **change}
    with pytest.raises(ValueError, match=told):
        split_instance(**given)  # type: ignore[arg-type]


def test_policies_by_name() -> None:
    assert load_split_policy("policies.partition.policy:edgesplit") is policy.edgesplit
    for name, told in (
        ("joint", "expected one of vanilla-fl"),
        ("nowhere:f", "cannot load"),
        ("math:pi", "float"),
    ):
        with pytest.raises(ValueError, match=told):
            load_split_policy(name)
