"""P1 and P2: exact, in fractions and in whole units; the published alternation beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.partition.alternating import alternating
from policies.partition.equalise import fastest_rates, fastest_split
from policies.partition.instance import NoSplit, SplitInstance, split_instance
from policies.partition.refusal import refusal
from policies.partition.registry import SPLIT_POLICIES, load_split_policy
from tests.policies.partition.instances import random_split
from tests.policies.partition.oracles import best_round, best_round_in_units

seeds = st.integers(0, 10**9)


def solved(instance: SplitInstance) -> float:
    cuts, rates_bps = fastest_split(instance)
    assert instance.usable[np.arange(len(cuts)), cuts].all()
    assert (rates_bps <= instance.rate_caps_bps).all()
    assert rates_bps.sum() <= instance.total_bps * (1 + 1e-12)
    return instance.round_s(cuts, rates_bps)


def test_p1_by_hand() -> None:
    """Two equal devices, 4 bit/s: the first cut for both needs 16/(T - 1) = 4, so T = 5; the other 4/(T - 4), also 5.
    One of each: 8/(T - 1) + 2/(T - 4) = 4 at T = 5, too. With 7 bits, the first is sooner: T = 4.5."""
    instance = split_instance([[1, 4], [1, 4]], [7, 2], 4)
    cuts, rates_bps = fastest_split(instance)
    assert cuts.tolist() == [0, 0]
    assert rates_bps == pytest.approx([2, 2])
    assert instance.round_s(cuts, rates_bps) == pytest.approx(4.5)


def test_p1_against_brute_force() -> None:
    for seed in range(500):
        rng = np.random.default_rng(seed)
        instance = random_split(rng, int(rng.integers(1, 5)), int(rng.integers(1, 5)))
        assert solved(instance) == pytest.approx(best_round(instance), rel=1e-9), seed


def test_p1_with_caps_memory_and_silent_cuts_against_brute_force() -> None:
    tried = 0
    for seed in range(600):
        rng = np.random.default_rng([1, seed])
        instance = random_split(rng, int(rng.integers(1, 5)), int(rng.integers(1, 5)), rough=True)
        if isinstance(refusal(instance, "edgesplit"), NoSplit):
            assert not instance.usable.any(axis=1).all()
            continue
        tried += 1
        assert solved(instance) == pytest.approx(best_round(instance), rel=1e-9), seed
    assert tried > 400


@pytest.mark.parametrize("rough", [False, True])
def test_whole_units_against_brute_force(rough: bool) -> None:
    tried = 0
    for seed in range(300):
        rng = np.random.default_rng([2, seed])
        devices, cuts = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        instance = random_split(rng, devices, cuts, rough=rough, units=int(rng.integers(2, 9)))
        best = best_round_in_units(instance)
        assert (refusal(instance, "edgesplit") is not None) == np.isinf(best), seed
        if np.isinf(best):
            continue
        tried += 1
        assert solved(instance) == pytest.approx(best, rel=1e-12), seed
        units = fastest_split(instance)[1] / instance.rate_unit_bps
        assert units == pytest.approx(np.round(units), abs=1e-9)
    assert tried > 100


def test_alternation_ends_at_the_optimum_in_fractions() -> None:
    for seed in range(500):
        rng = np.random.default_rng([3, seed])
        instance = random_split(rng, int(rng.integers(1, 12)), int(rng.integers(1, 12)))
        started = rng.dirichlet(np.ones(len(instance.devices))) * instance.total_bps
        for start in (None, started):
            found = instance.round_s(*alternating(instance, start))
            assert found == pytest.approx(solved(instance), rel=1e-9), seed


def test_alternation_stops_early_in_whole_units_in_some_instances() -> None:
    worse = 0
    for seed in range(300):
        rng = np.random.default_rng([4, seed])
        devices = int(rng.integers(2, 4))
        instance = random_split(rng, devices, int(rng.integers(3, 8)), units=int(rng.integers(devices, 9)))
        found, best = instance.round_s(*alternating(instance)), best_round_in_units(instance)
        assert found >= best * (1 - 1e-12)
        assert solved(instance) == pytest.approx(best, rel=1e-12)
        worse += found > best * (1 + 1e-9)
    assert 0 < worse < 100


def test_p2_makes_all_who_send_end_together() -> None:
    rng = np.random.default_rng(5)
    instance = random_split(rng, 8, 6)
    cuts = rng.integers(0, 6, 8)
    rates_bps = fastest_rates(instance, cuts)
    rows = np.arange(8)
    ends_s = instance.A_s[rows, cuts] + instance.C_bits[rows, cuts] / rates_bps
    assert ends_s == pytest.approx(np.full(8, ends_s[0]), rel=1e-9)
    assert rates_bps.sum() == pytest.approx(instance.total_bps)


def test_short_transfers_after_long_computing() -> None:
    instance = split_instance([[1e7], [1e7]], [1e-6], 1e12)
    _, rates_bps = fastest_split(instance)
    assert rates_bps == pytest.approx([5e11, 5e11])


@given(seeds, st.floats(0.01, 100), st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_scaling(seed: int, seconds: float, bits: float) -> None:
    """k times the seconds, and m times the bits over m/k times the total, take k times as long."""
    rng = np.random.default_rng(seed)
    instance = random_split(rng, int(rng.integers(1, 10)), int(rng.integers(1, 10)))
    scaled = replace(
        instance,
        A_s=instance.A_s * seconds,
        C_bits=instance.C_bits * bits,
        total_bps=instance.total_bps * bits / seconds,
    )
    assert solved(scaled) == pytest.approx(seconds * solved(instance), rel=1e-9)


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_relabelled_devices_keep_their_rates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_split(rng, int(rng.integers(2, 10)), int(rng.integers(1, 10)))
    order = rng.permutation(len(instance.devices))
    turned = split_instance(instance.A_s[order], instance.C_bits[order], instance.total_bps)
    assert solved(turned) == pytest.approx(solved(instance), rel=1e-9)
    assert fastest_split(turned)[1] == pytest.approx(fastest_split(instance)[1][order], rel=1e-6)


@given(seeds, st.floats(1, 10), st.booleans())
@settings(max_examples=60, deadline=None)
def test_more_to_share_is_no_slower(seed: int, more: float, in_units: bool) -> None:
    rng = np.random.default_rng(seed)
    instance = random_split(
        rng, int(rng.integers(1, 8)), int(rng.integers(1, 8)), units=9 if in_units else None
    )
    richer = replace(instance, total_bps=instance.total_bps * more)
    assert solved(richer) <= solved(instance) * (1 + 1e-12)


def test_instances_are_left_untouched_and_answers_repeat() -> None:
    instance = random_split(np.random.default_rng(6), 5, 6, units=20, parts=True)
    before = instance.A_s.copy(), instance.C_bits.copy()
    for name in SPLIT_POLICIES:
        policy = load_split_policy(name)
        assert policy(instance) == policy(instance)
    assert (instance.A_s == before[0]).all() and (instance.C_bits == before[1]).all()
