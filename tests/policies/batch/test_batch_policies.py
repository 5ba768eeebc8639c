"""Batch allocation: the spec's oracles, enumeration on small instances, and what holds for every plan."""

from __future__ import annotations

import numpy as np
import pytest

from policies.batch.allocation import eta, mel, mel_exact, mel_polynomial, shortest_cycle_s
from policies.batch.instance import BatchInstance, batch_instance
from policies.batch.registry import BATCH_POLICIES
from policies.batch.relaxed import (
    most_iterations,
    most_iterations_by_polynomial,
    most_iterations_by_search,
)


def drawn(learners: int, samples: int, seed: int, cycle_s: float = 10.0) -> BatchInstance:
    rng = np.random.default_rng([learners, samples, seed])
    return batch_instance(
        rng.uniform(0.01, 0.2, learners),
        rng.uniform(0.0, 0.3, learners),
        rng.uniform(0.0, 1.3 * cycle_s, learners) * (rng.random(learners) < 0.7),
        samples,
        cycle_s,
    )


def most_by_enumeration(instance: BatchInstance) -> int:
    """The largest tau for which samples fit, one by one."""
    for tau in range(1000, 0, -1):
        fitting = 0
        for c2, c1, c0 in zip(instance.C2, instance.C1, instance.C0, strict=True):
            count = 0
            while count < instance.samples and c0 + (c2 * tau + c1) * (count + 1) <= instance.cycle_s:
                count += 1
            fitting += count
        if fitting >= instance.samples:
            return tau
    return 0


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_the_exact_policy_equals_enumeration(start: int) -> None:
    for seed in range(start, start + 100):
        rng = np.random.default_rng(seed)
        instance = drawn(int(rng.integers(1, 6)), int(rng.integers(1, 30)), seed, float(rng.uniform(1, 12)))
        plan = mel_exact(instance)
        assert plan.tau == most_by_enumeration(instance), seed
        assert plan.feasible == (plan.tau > 0)


@pytest.mark.parametrize("seed", range(30))
def test_the_analytical_bound_is_the_root_that_others_find(seed: int) -> None:
    instance = drawn(6, 40, seed, 30.0)
    tau = most_iterations(instance)
    if tau <= 0:
        assert np.isnan(most_iterations_by_search(instance))
        return
    assert tau == pytest.approx(most_iterations_by_search(instance), rel=1e-9)
    assert tau == pytest.approx(most_iterations_by_polynomial(instance), rel=1e-6)
    assert mel_exact(instance).tau <= tau
    usable = instance.usable
    given = ((instance.cycle_s - instance.C0) / (tau * instance.C2 + instance.C1))[usable].sum()
    assert given == pytest.approx(instance.samples)


def test_the_published_row_of_ten_learners_and_sixty_seconds() -> None:
    """K = 10, T = 60: 7 iterations against 3, in the setting that the spec found to reproduce it."""
    distance_m, samples = 50.0, 60_000
    loss_db = 7 + 2.1 * np.log10(distance_m)
    power_w, gain = 10 ** ((23 - 30) / 10), 10 ** (-loss_db / 10)
    noise_w = 10 ** ((-174 - 30) / 10) * 5e6
    rate_bps = 5e6 * np.log2(1 + power_w * gain / noise_w)
    speeds = np.array([2.4e9] * 5 + [0.7e9] * 5) / 1.8
    instance = batch_instance(1_123_736 / speeds, 784 * 8 / rate_bps, 2 * 8_974_080 / rate_bps, samples, 60.0)
    assert mel_exact(instance).tau == 7
    assert mel(instance).tau == 7
    assert eta(instance).tau == 3


def test_where_computing_dominates_the_gain_is_2_2() -> None:
    speeds = np.array([2.4e9] * 5 + [0.7e9] * 5)
    instance = batch_instance(1e6 / speeds, 1e-12, 1e-9, 60_000, 2000.0)
    assert most_iterations(instance) / eta(instance).tau == pytest.approx((1 + 24 / 7) / 2, rel=0.01)


def test_rounding_alone_is_not_always_in_time() -> None:
    late = [seed for seed in range(300) if not mel(drawn(8, 50, seed, 12.0)).feasible]
    exact = [seed for seed in range(300) if not mel_exact(drawn(8, 50, seed, 12.0)).feasible]
    assert len(late) > len(exact)
    plan = mel(drawn(8, 50, next(s for s in late if s not in exact), 12.0))
    assert plan.tau >= 1 and "of a cycle of 12 s" in plan.reasons[0]


@pytest.mark.parametrize("seed", range(40))
def test_every_plan_gives_out_all_samples_and_tells_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = drawn(int(rng.integers(1, 40)), int(rng.integers(1, 500)), seed, float(rng.uniform(1, 60)))
    best = mel_exact(instance).tau
    for name, policy in BATCH_POLICIES.items():
        plan = policy(instance)
        assert plan.policy == name
        assert plan.feasible == instance.holds(plan.tau, plan.batches)
        assert bool(plan.reasons) != plan.feasible
        if plan.feasible:
            assert sum(plan.batches) == instance.samples and plan.tau <= best
            assert all(
                count == 0 for count, usable in zip(plan.batches, instance.usable, strict=True) if not usable
            )


@pytest.mark.parametrize("seed", range(20))
def test_the_shortest_cycle_is_feasible_and_nothing_shorter_is(seed: int) -> None:
    instance = drawn(5, 37, seed, 0.5)
    shortest_s = shortest_cycle_s(instance)
    tables = instance.C2, instance.C1, instance.C0, instance.samples
    assert mel_exact(batch_instance(*tables, shortest_s)).feasible
    assert not mel_exact(batch_instance(*tables, shortest_s * (1 - 1e-6))).feasible


def test_cycles_that_are_too_short_are_told_with_the_remedy() -> None:
    plan = mel_exact(batch_instance([0.1, 0.2], 0.0, [5.0, 6.0], 10, 4.0))
    assert not plan.feasible and plan.tau == 0
    assert plan.shortest_cycle_s == pytest.approx(6.0)  # ten samples of 0.1 s on the first
    assert "whole cycle of 4 s" in plan.reasons[0]
    assert not eta(batch_instance([0.1, 0.2], 0.0, [5.0, 6.0], 10, 4.0)).feasible


def test_one_learner_gets_everything() -> None:
    plan = mel_exact(batch_instance([0.01], [0.02], [1.0], 100, 10.0))
    assert plan.batches == (100,) and plan.tau == 7


def test_polynomials_are_a_reference_for_few_learners_only() -> None:
    few = drawn(4, 30, 3, 30.0)
    assert mel_polynomial(few).batches == mel(few).batches


def test_bad_numbers_are_refused() -> None:
    for wrong in (
        {"C2": [0.0]},
        {"C1": [-1.0]},
        {"C0": [np.nan]},
        {"samples": 0},
        {"cycle_s": 0.0},
        {"C1": [1, 2]},
    ):
        numbers = {"C2": [0.1] * 3, "C1": 0.1, "C0": 0.1, "samples": 5, "cycle_s": 3.0, **wrong}
        with pytest.raises(ValueError, match=r"expected|holds"):
            batch_instance(**numbers)
