"""Mappings of camera streams: the thesis' example, the optimum by brute force, and what holds for every instance."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.streams.exact import exact
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan, stream_instance
from policies.streams.load_aware import load_aware
from policies.streams.published import jstsh, nmno, nmwo, wmno
from policies.streams.registry import STREAM_POLICIES, load_stream_policy


def drawn(
    cameras: int, hosts: int, seed: int, *, memory: float = np.inf, pairs: bool = False
) -> StreamInstance:
    rng = np.random.default_rng([cameras, hosts, seed])
    return stream_instance(
        rng.choice([1.0, 2.0, 4.0], hosts) * rng.uniform(0.8, 1.2, hosts),
        rng.uniform(0.1, 0.5, cameras),
        rng.uniform(0.05, 0.4, cameras),
        rng.uniform(0.01, 0.1, (hosts, cameras)),
        rng.uniform(0.01, 0.1, (cameras, hosts, hosts) if pairs else cameras),
        memory=memory,
        R_det=1.0,
        R_reid=1.5,
    )


def every_mapping(instance: StreamInstance) -> list[tuple[np.ndarray, np.ndarray]]:
    cameras, hosts = len(instance.streams), len(instance.PS)
    found = [
        (np.array(w[:cameras]), np.array(w[cameras:])) for w in product(range(hosts), repeat=2 * cameras)
    ]
    return [(x, y) for x, y in found if instance.fits(x, y)]


def test_a_stream_alone_stays_where_transfer_is_dear() -> None:
    """The correction of eq. 5.2's indicator: only what leaves its device is transferred."""
    dear = stream_instance([1.0, 1.5], [1.0], [1.0], np.zeros((2, 1)), [10.0])
    cheap = stream_instance([1.0, 10.0], [1.0], [1.0], np.array([[0.0], [50.0]]), [0.1])
    assert (jstsh(dear).x, jstsh(dear).y) == ((1,), (1,))
    assert jstsh(dear).sum_latency_s == pytest.approx(2 / 1.5)
    assert (jstsh(cheap).x, jstsh(cheap).y) == ((0,), (1,))
    assert jstsh(cheap).sum_latency_s == pytest.approx(1 + 0.1 + 0.1)


def test_the_example_of_fig_5_3_by_loads() -> None:
    """Unit tasks: three streams on one device with everything local keep it busy for 6; spread out, 4 at most."""
    example = stream_instance([1.0] * 3, [1.0] * 4, [1.0] * 4, np.zeros((3, 4)), [0.5] * 4)
    crowded = np.array([0, 0, 0, 1])
    assert example.loads_s(crowded, crowded).max() == 6
    spread = np.array([0, 1, 2, 0])
    assert example.loads_s(spread, spread).max() == 4
    best = load_aware(example)
    assert isinstance(best, StreamPlan)
    assert best.common_fps == pytest.approx(1 / 3)  # eight unit tasks on three devices


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("memory", [np.inf, 4.0])
def test_the_exact_policies_find_what_brute_force_finds(seed: int, memory: float) -> None:
    instance = drawn(3, 3, seed, memory=memory, pairs=seed % 2 == 0)
    mappings = every_mapping(instance)
    least = min(instance.sum_latency_s(x, y) for x, y in mappings)
    most = max(instance.common_fps(x, y) for x, y in mappings)
    latency, fps = exact(instance), exact(instance, "fps")
    assert isinstance(latency, StreamPlan) and isinstance(fps, StreamPlan)
    assert latency.sum_latency_s == pytest.approx(least, rel=1e-6)
    assert fps.common_fps == pytest.approx(most, rel=1e-5)
    mine = load_aware(instance)
    assert isinstance(mine, StreamPlan)
    assert 0.95 * most <= mine.common_fps <= most * (1 + 1e-9)


def test_load_aware_is_within_one_percent_of_the_optimum_on_average() -> None:
    parts = []
    for seed in range(8):
        mine, most = load_aware(drawn(5, 4, seed, memory=6.0)), exact(drawn(5, 4, seed, memory=6.0), "fps")
        assert isinstance(mine, StreamPlan) and isinstance(most, StreamPlan)
        parts.append(mine.common_fps / most.common_fps)
    assert sum(parts) / len(parts) >= 0.99


def test_jstsh_is_near_the_least_latency_where_memory_suffices() -> None:
    ratios = []
    for seed in range(10):
        found, least = jstsh(drawn(8, 5, seed)), exact(drawn(8, 5, seed))
        assert isinstance(found, StreamPlan) and isinstance(least, StreamPlan)
        ratios.append(found.sum_latency_s / least.sum_latency_s)
    assert min(ratios) >= 1 - 1e-6
    assert sum(ratios) / len(ratios) <= 1.05


@pytest.mark.parametrize("seed", range(3))
def test_load_aware_is_within_one_percent_at_100_cameras(seed: int) -> None:
    instance = drawn(100, 50, seed, memory=8.0)
    found = load_aware(instance)
    assert isinstance(found, StreamPlan)
    all_shared_fps = instance.PS.sum() / (instance.CL1.sum() + instance.CL2.sum())  # no mapping is faster
    assert 0.99 * all_shared_fps <= found.common_fps <= all_shared_fps * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 5), st.integers(0, 10**6), st.sampled_from([2.5, 4.0, 6.0, np.inf]))
def test_every_plan_fits_and_tells_its_own_figures(
    cameras: int, hosts: int, seed: int, memory: float
) -> None:
    instance = drawn(cameras, hosts, seed, memory=memory, pairs=seed % 2 == 1)
    before = [array.copy() for array in (instance.PS, instance.CL1, instance.upload_s, instance.transfer_s)]
    for policy in (nmno, wmno, nmwo, jstsh, load_aware):
        plan = policy(instance)
        assert plan == policy(instance)
        if isinstance(plan, NoMapping):
            assert memory < np.inf and plan.reasons
            continue
        x, y = np.array(plan.x), np.array(plan.y)
        assert instance.fits(x, y)
        assert plan.sum_latency_s == pytest.approx(instance.pair_s[np.arange(cameras), x, y].sum())
        loads = np.zeros(hosts)
        for k in range(cameras):
            loads[x[k]] += instance.CL1[k] / instance.PS[x[k]]
            loads[y[k]] += instance.CL2[k] / instance.PS[y[k]]
        assert 1 / plan.common_fps >= loads.max() * (1 - 1e-9)
        if policy in (nmno, wmno):
            assert plan.x == plan.y
    for array, kept in zip(
        (instance.PS, instance.CL1, instance.upload_s, instance.transfer_s), before, strict=True
    ):
        assert (array == kept).all()


def test_where_memory_allows_no_more_models_one_is_shared() -> None:
    tight = replace(drawn(6, 2, 1), memory=np.array([8.5, 1.0]))
    plan = jstsh(tight)
    assert isinstance(plan, StreamPlan)
    assert set(plan.y) == {0}
    assert tight.used(np.array(plan.x), np.array(plan.y)).tolist() <= [8.5, 1.0]


def test_memory_that_just_suffices_does() -> None:
    """The paper's > would refuse it."""
    exactly = stream_instance([1.0], [1.0], [1.0], [[0.0]], [0.0], memory=2.5, R_det=1.0, R_reid=1.5)
    for policy in (jstsh, nmno, wmno, nmwo, load_aware, exact):
        assert isinstance(policy(exactly), StreamPlan), policy


def test_no_memory_is_told_by_stream() -> None:
    none = stream_instance([1.0], [1.0], [1.0], [[0.0]], [0.0], memory=0.5, R_det=1.0, streams=["door"])
    for policy in (jstsh, nmno, load_aware):
        refused = policy(none)
        assert isinstance(refused, NoMapping) and "door" in refused.reasons[0]
    assert isinstance(exact(none), NoMapping)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="PS"):
        stream_instance([0.0], [1.0], [1.0], [[0.0]], [0.0])
    with pytest.raises(ValueError, match="upload_s"):
        stream_instance([1.0, 1.0], [1.0], [1.0], np.zeros((3, 1)), [0.0])
    with pytest.raises(ValueError, match="CL2"):
        stream_instance([1.0], [1.0], [-1.0], [[0.0]], [0.0])


def test_policies_by_name() -> None:
    assert STREAM_POLICIES[:5] == ("nmno", "wmno", "nmwo", "jstsh", "load-aware")
    assert load_stream_policy("policies.streams.published:jstsh") is jstsh
    with pytest.raises(ValueError, match="expected one of nmno"):
        load_stream_policy("joint")
