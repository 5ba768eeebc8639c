"""TOOF and its rivals: the estimator against brute force, the spec's regret oracle, drift, odd input."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from policies.bandit.ecolog import Ecolog, implicit_step, sigmoid
from policies.bandit.estimates import Estimates, projected
from policies.bandit.hybrid import CLIP, PRIOR_SLOPE, EcologUcb, Hybrid, features
from policies.bandit.model import Dispatcher, Offer, clean
from policies.bandit.queues import PowerOfTwo, RoundRobin, ShortestDelay, ShortestQueue
from policies.bandit.registry import DISPATCHERS, make_dispatcher
from policies.bandit.toof import Greedy, Optimal, Toof, theory_gamma

SIGNS = np.array([-1, -1, -1, 1, 1])


def offer_of(x: np.ndarray, **changes: object) -> Offer:
    ones = np.ones(len(x))
    told: dict[str, object] = {
        "features": x, "queue": ones, "predicted_s": ones, "transfer_s": 0.1 * ones, "deadline_s": 1.0,
    }  # fmt: skip
    return Offer(**{**told, **changes})  # type: ignore[arg-type]


def regret(make: object, helpers: int, items: int, seed: int) -> float:
    """Mean regret in x . theta in the paper's setting: shared length and complexity, a fixed frequency a helper."""
    rng = np.random.default_rng(seed)
    theta = np.abs(rng.normal(size=(helpers, 5))) * SIGNS
    theta /= np.linalg.norm(theta, axis=1)[:, None]
    frequency, dispatcher, lost = rng.random(helpers), make(helpers), 0.0  # type: ignore[operator]
    for _ in range(items):
        x = rng.random((helpers, 5))
        x[:, 0], x[:, 1], x[:, 3] = x[0, 0], x[0, 1], frequency
        offer = offer_of(x / math.sqrt(5))
        chosen = dispatcher.choose(offer)
        scores = (offer.features * theta).sum(axis=1)
        lost += scores.max() - scores[chosen]
        dispatcher.feedback(chosen, offer, bool(rng.random() < 1 / (1 + math.exp(-scores[chosen]))))
    return lost / items


def mean_regret(make: object, items: int, seeds: range) -> float:
    return float(np.mean([regret(make, 5, items, seed) for seed in seeds]))


def test_toof_learns_and_greedy_does_not() -> None:
    """The spec's oracle, N = 5: TOOF .044 +- .006, greedy .173 +- .014, round-robin .199 +- .010 after 10^4 items."""
    seeds = range(6)
    toof = mean_regret(lambda n: Toof(n, 5), 4000, seeds)
    greedy = mean_regret(lambda n: Greedy(n, 5, ridge=1.0), 4000, seeds)
    in_turn = mean_regret(RoundRobin, 4000, seeds)
    assert toof < 0.5 * greedy and toof < 0.5 * in_turn
    assert 0.12 < in_turn < 0.30
    assert toof < 0.8 * mean_regret(lambda n: Toof(n, 5), 800, seeds)  # it falls with time


def test_theory_explores_almost_only() -> None:
    theory = mean_regret(lambda n: Toof(n, 5, radius_rule="theory", ridge=1.0), 4000, range(3))
    practical = mean_regret(lambda n: Toof(n, 5), 4000, range(3))
    assert theory > 1.3 * practical


def test_optimal_has_no_regret() -> None:
    theta = np.array([[0.5, 0.0], [0.0, 0.9]])
    best = Optimal(theta)
    assert best.choose(offer_of(np.array([[0.9, 0.1], [0.3, 0.4]]))) == 0
    best.resize([1])
    assert best.choose(offer_of(np.array([[0.3, 0.4]]))) == 0
    with pytest.raises(ValueError, match="nothing of new"):
        best.resize([None])


@pytest.mark.parametrize("seed", range(10))
def test_the_projection_is_the_nearest_point_in_the_norm_of_z(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, 4))
    Z, v = root @ root.T + 0.3 * np.eye(4), 2.5 * rng.normal(size=4)  # noqa: N806
    found = projected(v, Z, 1.0)
    if v @ v <= 1:
        assert (found == v).all()
        return
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-12)
    by_search = minimize(
        lambda p: (p - v) @ Z @ (p - v), found * 0.5,
        constraints={"type": "ineq", "fun": lambda p: 1 - p @ p}, options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert (found - v) @ Z @ (found - v) <= by_search.fun * (1 + 1e-6)
    radial = v / np.linalg.norm(v)
    assert (found - v) @ Z @ (found - v) <= (radial - v) @ Z @ (radial - v)


def test_rank_one_updates_keep_inverse_and_determinant() -> None:
    rng = np.random.default_rng(1)
    estimates = Estimates(3, 4, ridge=2.0)
    assert Estimates(1, 1).beta == pytest.approx(0.134471, abs=1e-6)
    for _ in range(300):
        x = rng.normal(size=4)
        estimates.update(int(rng.integers(2)), x / np.linalg.norm(x), int(rng.choice([-1, 1])))
    for helper in range(3):
        assert np.allclose(estimates.inverse[helper] @ estimates.Z[helper], np.eye(4), atol=1e-9)
        expected = np.linalg.slogdet(estimates.Z[helper])[1] - 4 * math.log(2.0)
        assert estimates.log_det[helper] == pytest.approx(expected, abs=1e-9)
        assert np.linalg.norm(estimates.theta[helper]) <= 1 + 1e-9
    assert (estimates.theta[2] == 0).all()  # it was never chosen


def test_a_helper_never_tried_is_tried_in_the_end() -> None:
    """Its own log det stays 0: the radius has to count all helpers'."""
    toof, x = Toof(2, 2), np.array([[0.5, 0.5], [0.5, 0.5]])
    chosen = set()
    for _ in range(400):
        helper = toof.choose(offer_of(x))
        assert helper is not None
        chosen.add(helper)
        toof.feedback(helper, offer_of(x), happy=False)
    assert chosen == {0, 1}


def test_the_theory_radius_by_hand() -> None:
    beta = 1 / (2 * (1 + math.e))
    tau = math.log(2 * math.ceil(2 * math.log2(8)) * 64 / 0.05)
    expected = 2 * (4 + (4 / beta + 8 / 3) * tau + 0.7 / beta) + 1.0
    found = theory_gamma(np.array([0.7]), updates=np.array([8]), radius=1.0, ridge=1.0, delta=0.05)
    assert found[0] == pytest.approx(expected)


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize(("z0", "q"), [(0.0, 1.0), (3.0, 10.0), (-8.0, 0.01), (20.0, 100.0)])
def test_the_implicit_step_solves_its_equation(z0: float, q: float, y: float) -> None:
    s = implicit_step(z0, q, y)
    assert s == pytest.approx(sigmoid(z0 - s * q) - y, abs=1e-10)


def test_ecolog_has_less_regret_than_toof_where_bits_are_sharp() -> None:
    def lost(make: object, seed: int) -> float:
        rng = np.random.default_rng(seed)
        theta, dispatcher, total = 8 * rng.normal(size=(4, 3)), make(), 0.0  # type: ignore[operator]
        for _ in range(1500):
            x = rng.random((4, 3)) / math.sqrt(3)
            p = 1 / (1 + np.exp(-(x * theta).sum(axis=1)))
            chosen = dispatcher.choose(offer_of(x))
            total += p.max() - p[chosen]
            dispatcher.feedback(chosen, offer_of(x), bool(rng.random() < p[chosen]))
        return total

    mine = sum(lost(lambda: EcologUcb(4, 3), seed) for seed in range(4))
    toof = sum(lost(lambda: Toof(4, 3), seed) for seed in range(4))
    assert mine < 0.8 * toof


def test_a_helper_that_changes_is_noticed_and_one_that_does_not_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    learner, x = Ecolog(2, 2), np.array([0.6, 0.2])
    for _ in range(800):
        learner.update(0, x, bool(rng.random() < 0.9))
        learner.update(1, x, bool(rng.random() < 0.9))
    assert learner.alarms.tolist() == [0, 0]
    fresh = 0
    while not learner.update(0, x, bool(rng.random() < 0.1)):
        fresh += 1
        assert fresh < 60
    assert learner.alarms.tolist() == [1, 0] and (learner.theta[0] == 0).all()


def test_what_fades_goes_back_to_the_prior() -> None:
    learner = Ecolog(1, 2, ridge=0.5, keep=0.99)
    for _ in range(60):
        learner.update(0, np.array([0.5, 0.5]), happy=True)
    before = learner.theta.copy()
    for _ in range(5000):
        learner.decided()
    assert np.abs(learner.theta).max() < 0.01 * np.abs(before).max()
    assert np.allclose(learner.Z[0], 0.5 * np.eye(2), atol=0.01)
    assert np.allclose(learner.inverse[0] @ learner.Z[0], np.eye(2))


def test_hybrid_starts_from_what_queues_predict_and_refuses_what_would_be_late() -> None:
    hybrid, x = Hybrid(3), np.zeros((3, 1))
    assert hybrid.choose(offer_of(x, predicted_s=np.array([2.0, 0.3, 0.8]))) == 1
    assert hybrid.choose(offer_of(x, predicted_s=np.array([9.0, 8.0, 7.0]))) is None
    assert Hybrid(3, admit=0.0).choose(offer_of(x, predicted_s=np.array([9.0, 8.0, 7.0]))) == 2


def test_hybrid_learns_which_telemetry_lies() -> None:
    """Helper 0 looks quickest and never is in time."""
    hybrid, last = Hybrid(2), []
    offer = offer_of(np.zeros((2, 1)), predicted_s=np.array([0.4, 0.7]))
    for _ in range(200):
        helper = hybrid.choose(offer)
        if helper is not None:
            hybrid.feedback(helper, offer, happy=helper == 1)
        last.append(helper)
    assert last[0] == 0 and last[-50:].count(1) >= 45


def test_queue_rules() -> None:
    x = np.zeros((3, 1))
    offer = offer_of(x, queue=np.array([4.0, 1.0, np.nan]), predicted_s=np.array([0.1, 0.5, np.nan]))
    assert ShortestQueue(3).choose(offer) == 1
    assert ShortestDelay(3).choose(offer) == 0
    turn = RoundRobin(3)
    assert [turn.choose(offer) for _ in range(4)] == [0, 1, 2, 0]
    pair = PowerOfTwo(3, np.random.default_rng(0))
    assert {pair.choose(offer) for _ in range(60)} == {0, 1}  # the unknown one loses every draw
    assert PowerOfTwo(1, np.random.default_rng(0)).choose(offer_of(np.zeros((1, 1)))) == 0


@pytest.mark.parametrize("name", DISPATCHERS)
def test_odd_features_and_helpers_that_come_and_go(name: str) -> None:
    rng = np.random.default_rng(5)
    dispatcher = make_dispatcher(name, 3, 4, rng)
    for helpers, kept in ((3, None), (4, [2, 0, None, 1]), (2, [3, 1])):
        if kept is not None:
            dispatcher.resize(kept)
        for number in range(30):
            x = rng.random((helpers, 4)) * (10 if number % 3 else 1)
            x[number % helpers, number % 4] = (np.nan, np.inf, 0.5)[number % 3]
            offer = offer_of(
                x, queue=np.where(rng.random(helpers) < 0.2, np.nan, 1.0), predicted_s=rng.random(helpers)
            )
            chosen = dispatcher.choose(offer)
            assert chosen is None or 0 <= chosen < helpers
            if chosen is not None:
                dispatcher.feedback(chosen, offer, bool(number % 2))
    state = getattr(dispatcher, "state", dict)()
    assert "NaN" not in json.dumps(state) and "Infinity" not in json.dumps(state)


def test_resizing_keeps_what_was_learned_of_those_who_stay() -> None:
    toof, x = Toof(2, 2), np.array([[0.5, 0.1], [0.2, 0.6]])
    for _ in range(20):
        toof.feedback(1, offer_of(x), happy=True)
    learned = toof.estimates.theta[1].copy()
    toof.resize([None, 1, None])
    assert (toof.estimates.theta[1] == learned).all() and (toof.estimates.theta[[0, 2]] == 0).all()


@pytest.mark.parametrize("name", ["toof", "greedy", "ecolog", "hybrid"])
def test_state_that_was_saved_goes_on_in_the_same_way(name: str) -> None:
    def run(dispatcher: Dispatcher, rng: np.random.Generator, items: int) -> list[int | None]:
        chosen = []
        for _ in range(items):
            offer = offer_of(rng.random((3, 4)) / 2, predicted_s=0.2 + rng.random(3))
            helper = dispatcher.choose(offer)
            if helper is not None:
                dispatcher.feedback(helper, offer, bool(rng.random() < 0.3 + 0.2 * helper))
            chosen.append(helper)
        return chosen

    whole = make_dispatcher(name, 3, 4, np.random.default_rng(0))
    expected = run(whole, np.random.default_rng(7), 160)
    first, rng = make_dispatcher(name, 3, 4, np.random.default_rng(0)), np.random.default_rng(7)
    before = run(first, rng, 80)
    second = make_dispatcher(name, 3, 4, np.random.default_rng(0))
    second.restore(json.loads(json.dumps(first.state())))  # type: ignore[attr-defined]
    assert before + run(second, rng, 80) == expected


def test_features_are_cleaned_and_kept_short() -> None:
    x = np.array([[3.0, 4.0], [np.nan, 0.5]])
    assert clean(x).tolist() == [[0.6, 0.8], [0.0, 0.5]]
    assert np.isnan(x[1, 0])  # the caller's array is left alone
    row, offset = features(offer_of(np.zeros((1, 1)), predicted_s=np.array([0.0])))
    assert row[0, 1] == CLIP and offset[0] == PRIOR_SLOPE * CLIP


def test_an_unknown_dispatcher() -> None:
    with pytest.raises(ValueError, match="expected one of round-robin"):
        make_dispatcher("best", 2, 2, np.random.default_rng(0))
