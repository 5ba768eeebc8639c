"""Rates of flows and jobs on given routes."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from policies.flows.graph import LOCAL, Route
from policies.flows.sharing import equal_share, incidence, max_min, spread, volume_share
from policies.placement.rates import dominant_fair, floored_sum, proportional_fair


def over(*links: int) -> Route:
    """A route over these links; the devices do not matter here."""
    return Route(devices=tuple(range(len(links) + 1)), links=links)


def test_volume_share_loses_what_max_min_fills() -> None:
    routes, volumes, capacity = [over(0, 1), over(1)], np.ones(2), np.array([1.0, 10.0])
    assert volume_share(routes, volumes, capacity).tolist() == [1.0, 5.0]
    assert max_min(routes, volumes, capacity).tolist() == pytest.approx([1.0, 9.0])
    assert equal_share(routes, volumes, capacity).tolist() == [1.0, 5.0]


def test_max_min_and_proportional_fairness_differ_on_a_parking_lot() -> None:
    routes, capacity = [over(0, 1, 2), over(0), over(1), over(2)], np.ones(3)
    assert max_min(routes, np.ones(4), capacity).tolist() == pytest.approx([0.5] * 4)
    usage = incidence(routes, 3).T.tocsr()
    rates, _ = proportional_fair(usage, np.full(4, np.inf))
    assert rates == pytest.approx([0.25, 0.75, 0.75, 0.75], rel=1e-3)


def test_equal_share_ignores_sizes_and_local_and_empty_flows() -> None:
    routes = [over(0), over(0), LOCAL, over(0)]
    shares = equal_share(routes, np.array([1.0, 9.0, 5.0, 0.0]), np.array([10.0]))
    assert shares.tolist() == [5.0, 5.0, 0.0, 0.0]


def test_links_without_capacity_give_nothing() -> None:
    for share in (equal_share, volume_share, max_min):
        assert share([over(0), over(1)], np.ones(2), np.array([0.0, 2.0])).tolist() == [0.0, 2.0]


def random_routes(rng: np.random.Generator, flows: int, links: int) -> list[Route]:
    return [
        over(*sorted(rng.choice(links, size=int(rng.integers(1, links + 1)), replace=False).tolist()))
        for _ in range(flows)
    ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), flows=st.integers(1, 8), links=st.integers(1, 6))
def test_spread_rates_fit_and_none_falls(seed: int, flows: int, links: int) -> None:
    rng = np.random.default_rng(seed)
    routes = [*random_routes(rng, flows, links), LOCAL]
    capacity = rng.uniform(0.1, 10, links)
    rates = volume_share(routes, rng.integers(0, 4, flows + 1).astype(float), capacity) * 0.9
    raised = spread(routes, rates, capacity)
    assert (incidence(routes, links) @ raised <= capacity * (1 + 1e-9)).all()
    assert (raised >= rates).all()
    assert ((raised > 0) == (rates > 0)).all()


def test_spread_gives_a_link_away_in_proportion() -> None:
    raised = spread([over(0), over(0), over(0, 1)], np.array([1.0, 2.0, 1.0]), np.array([8.0, 1.0]))
    assert raised == pytest.approx([7 / 3, 14 / 3, 1.0], rel=1e-3)
    assert spread([over(0)], np.ones(1), np.zeros(1)).tolist() == [0.0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), flows=st.integers(1, 8), links=st.integers(1, 6))
def test_max_min_dominates_volume_share_and_fills(seed: int, flows: int, links: int) -> None:
    rng = np.random.default_rng(seed)
    routes, volumes = random_routes(rng, flows, links), rng.uniform(0.1, 10, flows)
    capacity = rng.uniform(0.1, 10, links)
    fair, printed = max_min(routes, volumes, capacity), volume_share(routes, volumes, capacity)
    load = incidence(routes, links) @ fair
    assert (load <= capacity * (1 + 1e-9)).all()
    assert (incidence(routes, links) @ printed <= capacity * (1 + 1e-9)).all()
    assert (fair >= printed * (1 - 1e-9)).all()
    assert (fair / volumes).min() == pytest.approx((printed / volumes).min())
    for route in routes:  # every flow meets a full link
        assert max(load[link] / capacity[link] for link in route.links) == pytest.approx(1.0)


def random_usage(rng: np.random.Generator) -> tuple[sparse.csr_array, np.ndarray]:
    jobs, resources = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    dense = rng.uniform(0.05, 2.0, (jobs, resources)) * (rng.random((jobs, resources)) < 0.6)
    dense[:, 0] += 0.01
    limits = np.where(rng.random(jobs) < 0.5, np.inf, rng.uniform(0.1, 2.0, jobs))
    return sparse.csr_array(dense), limits


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_proportional_fair_is_near_the_optimum_of_its_convex_program(seed: int) -> None:
    usage, limits = random_usage(np.random.default_rng(seed))
    rates, _ = proportional_fair(usage, limits)
    assert (usage.T @ rates <= 1 + 1e-9).all()
    assert (rates <= limits).all()
    wanted = cp.Variable(usage.shape[0])
    caps = [wanted[j] <= limits[j] for j in range(len(limits)) if np.isfinite(limits[j])]
    best = cp.Problem(cp.Maximize(cp.sum(cp.log(wanted))), [usage.toarray().T @ wanted <= 1, *caps]).solve()
    assert np.log(rates).sum() >= best - 0.02 * len(rates)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_floored_sum_keeps_the_floor_and_beats_fairness_in_sum(seed: int) -> None:
    usage, limits = random_usage(np.random.default_rng(seed))
    rates, fair = floored_sum(usage, limits), dominant_fair(usage, limits)
    assert (usage.T @ rates <= 1 + 1e-7).all()
    assert (usage.T @ fair <= 1 + 1e-9).all()
    assert (rates >= 0.5 * fair * (1 - 1e-6)).all()
    assert rates.sum() >= fair.sum() * (1 - 1e-6)


def test_dominant_shares_are_equal_where_nothing_else_binds() -> None:
    # Ghodsi et al. 2011, Fig. 1: 9 CPUs and 18 GB; A needs 1 and 4, B needs 3 and 1: three of A, two of B.
    usage = sparse.csr_array(np.array([[1 / 9, 4 / 18], [3 / 9, 1 / 18]]))
    assert dominant_fair(usage, np.full(2, np.inf)) == pytest.approx([3.0, 2.0])
