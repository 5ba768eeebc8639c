"""Items to helpers, simulated: our specification's oracles, a queue in closed form, and what goes wrong."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeray.cli.simulate_offload import simulate_offload
from edgeray.errors import BadInputError
from edgeray.simulator import offload_queues
from edgeray.simulator.offload import (
    BIT_POLICIES,
    CLAIRVOYANT,
    OPTIMAL,
    QUEUE_POLICIES,
    SIGNS,
    SITUATIONS,
    PaperOffload,
    curve_of,
    drawn_helpers,
    simulate_bits,
)
from edgeray.simulator.offload_queues import drawn_yard, simulate_queues
from policies.bandit.model import Offer

QUEUES = PaperOffload(model="queues")


@pytest.mark.parametrize(("helpers", "specified", "off"), [(5, 0.044, 0.006), (10, 0.061, 0.007)])
def test_toofs_regret_is_the_specified_one(helpers: int, specified: float, off: float) -> None:
    settings = PaperOffload(helpers=helpers)
    runs = [simulate_bits(settings, "toof", 10_000, seed) for seed in range(20)]
    assert np.mean([run.regret for run in runs]) == pytest.approx(specified, abs=off)
    early = np.mean([run.curve[4][1] for run in runs])
    assert early > 2 * np.mean([run.regret for run in runs])  # it falls with time


@pytest.mark.parametrize(("helpers", "specified", "off"), [(5, 0.199, 0.010), (10, 0.263, 0.013)])
def test_round_robins_regret_is_the_specified_one(helpers: int, specified: float, off: float) -> None:
    """It does not change with time, but from one draw of helpers to the next: hence many draws, few items.

    off is a standard error of the specified mean, which is of 20 draws; two of them are allowed.
    """
    settings = PaperOffload(helpers=helpers)
    regrets = [simulate_bits(settings, "round-robin", 200, seed).regret for seed in range(300)]
    assert np.mean(regrets) == pytest.approx(specified, abs=2 * off)


def test_greedys_regret_stays_flat_at_the_specified_one() -> None:
    """The means of 20 draws of helpers differ by chance: two standard errors of two such means' difference."""
    runs = [simulate_bits(PaperOffload(), "greedy", 10_000, seed) for seed in range(20)]
    assert np.mean([run.regret for run in runs]) == pytest.approx(0.173, abs=2 * math.sqrt(2) * 0.014)
    half = np.mean([run.curve[24][1] for run in runs])
    assert half == pytest.approx(np.mean([run.regret for run in runs]), rel=0.1)


def test_helpers_are_as_the_paper_says() -> None:
    theta, frequency = drawn_helpers(PaperOffload(helpers=7, sharpness=3.0), 1)
    assert (np.sign(theta) == SIGNS).all()
    assert np.linalg.norm(theta, axis=1) == pytest.approx(np.full(7, 3.0))
    assert ((frequency >= 0) & (frequency <= 1)).all()


@pytest.mark.parametrize("policy", BIT_POLICIES)
def test_every_policy_in_the_papers_model(policy: str) -> None:
    settings = PaperOffload(helpers=3)
    run = simulate_bits(settings, policy, 300, 4)
    assert run == simulate_bits(settings, policy, 300, 4)
    assert sum(run.sent) == 300
    assert run.reward == pytest.approx(2 * run.met - 1)
    assert run.regret >= 0 and (run.regret == 0) == (policy == OPTIMAL)
    assert run.curve[-1] == (300, pytest.approx(run.regret), pytest.approx(run.reward))


def test_a_curve_holds_means_of_the_first_items() -> None:
    regret, reward = np.arange(7.0), np.array([1.0, -1, 1, 1, -1, 1, 1])
    for t, mean_regret, mean_reward in curve_of(regret, reward):
        assert mean_regret == pytest.approx(regret[:t].mean())
        assert mean_reward == pytest.approx(reward[:t].mean())
    assert [point[0] for point in curve_of(regret, reward)] == list(range(1, 8))


def test_a_single_helper_is_idle_for_the_part_of_arrivals_that_the_load_leaves() -> None:
    """Poisson arrivals see 1 - load of a queue's time idle; only those are in time where nobody may wait.

    The tolerance is four standard deviations of such a run, as 8 seeds have it.
    """
    settings = replace(QUEUES, helpers=1, load=0.6, work_spread=1.0, link_bps=1e12, deadline_s=0.1001)
    assert simulate_queues(settings, "jsq", 10_000, 0).met == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("policy", QUEUE_POLICIES)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_item_ends_in_one_way(policy: str, situation: str) -> None:
    settings = replace(QUEUES, situation=situation)
    run = simulate_queues(settings, policy, 400, 2)
    assert run == simulate_queues(settings, policy, 400, 2)
    assert round(run.met * 400) + run.late + run.failed + run.refused == 400
    assert sum(run.sent) + run.refused == 400
    assert (run.failed > 0) <= (situation == "fails-fast")
    if policy == CLAIRVOYANT:
        assert run.late == run.failed == 0 and run.regret == 0


def test_each_bit_is_given_once_by_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of items that were sent, in the order in which results and deadlines come."""
    given: list[tuple[int, bool]] = []
    offers: list[Offer] = []

    class Recorder:
        def choose(self, offer: Offer) -> int | None:
            offers.append(offer)
            return len(offers) % 5

        def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
            number = next(n for n, one in enumerate(offers) if one is offer)
            assert helper == (number + 1) % 5
            given.append((number, happy))

    monkeypatch.setattr(offload_queues, "learner", lambda *asked: Recorder())
    settings = replace(QUEUES, situation="fails-fast", load=0.9)
    run = simulate_queues(settings, "jsq", 500, 3)
    assert len({number for number, _ in given}) == len(given)
    # At the last arrival only items that came less than a deadline ago are open.
    arrives_s = drawn_yard(settings, 500, 3).arrives_s
    old = {n for n in range(500) if arrives_s[n] <= arrives_s[-1] - settings.deadline_s}
    assert old <= {number for number, _ in given}
    assert 0 < sum(happy for _, happy in given) <= round(run.met * 500)
    assert [n for n, _ in given] != sorted(n for n, _ in given)


def mean_met(policy: str, settings: PaperOffload, seeds: int = 2) -> float:
    return float(np.mean([simulate_queues(settings, policy, 2000, seed).met for seed in range(seeds)]))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_hybrid_meets_as_many_as_the_best_queue_policy(situation: str) -> None:
    settings = replace(QUEUES, situation=situation)
    best = max(mean_met(policy, settings) for policy in ("round-robin", "p2c", "jsq", "sed"))
    hybrid = mean_met("hybrid", settings)
    assert hybrid >= best - 0.01
    assert mean_met(CLAIRVOYANT, settings) >= hybrid - 0.01


LIVE = replace(
    QUEUES,
    rate_per_s=4.0,
    spread=2.8,
    deadline_s=0.5,
    load=0.8,
    link_bps=20e6,
    item_bytes=45e3,
    paced=True,
    measured=True,
    jitter=0.5,
)
"""As apps/offload is on the testbed: two items of a usual helper's fill a deadline, and no item is quite as foretold."""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_hybrid_meets_as_many_where_times_vary_and_runs_are_short(situation: str) -> None:
    settings = replace(LIVE, situation=situation)
    met = {
        policy: float(np.mean([simulate_queues(settings, policy, 545, seed).met for seed in range(8)]))
        for policy in ("round-robin", "p2c", "jsq", "sed", "hybrid")
    }
    hybrid = met.pop("hybrid")
    assert hybrid >= max(met.values()) - 0.01
    assert situation in ("steady", "stale") or hybrid > max(met.values()) + 0.15


def test_what_a_dispatcher_measures_itself_is_better_than_what_it_is_told_late() -> None:
    """Where items differ much, and are as they are said to be, to know what was sent is to know what waits."""
    settings = replace(LIVE, situation="stale", work_spread=16.0, jitter=0.1)

    def met(policy: str, *, own: bool) -> float:
        told = replace(settings, own=own)
        return float(np.mean([simulate_queues(told, policy, 545, seed).met for seed in range(6)]))

    assert met("sed", own=True) > met("sed", own=False) + 0.02
    assert met("hybrid", own=True) > met("hybrid", own=False) + 0.01
    assert met("jsq", own=True) == met("jsq", own=False), "who counts items goes by nothing of it"


def test_items_that_vary_are_foretold_right_on_average() -> None:
    yard = drawn_yard(replace(LIVE, jitter=0.7), 20_000, 1)
    surprise = yard.work / yard.complexity
    assert surprise.mean() == pytest.approx(1.0, abs=4 * surprise.std() / math.sqrt(20_000))
    assert np.log(surprise).std() == pytest.approx(0.7, rel=0.03)
    assert abs(np.corrcoef(yard.work / yard.complexity, yard.complexity)[0, 1]) < 0.03
    assert (drawn_yard(QUEUES, 100, 1).work == drawn_yard(QUEUES, 100, 1).complexity).all()
    gaps = np.diff(yard.arrives_s)
    assert gaps == pytest.approx(np.full(len(gaps), 1 / (0.8 * yard.rate_per_s.sum())))


@pytest.mark.parametrize("delay_s", [0.0, 3.0])
def test_helpers_tell_what_they_measured_so_much_later(
    monkeypatch: pytest.MonkeyPatch, delay_s: float
) -> None:
    """One helper, all items alike: by its rate, from when the first was done, and before that by its processors."""
    predicted: list[float] = []

    class Recorder:
        def choose(self, offer: Offer) -> int | None:
            predicted.append(float(offer.predicted_s[0] - offer.transfer_s[0]))
            return 0

        def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
            pass

    monkeypatch.setattr(offload_queues, "learner", lambda *asked: Recorder())
    settings = replace(
        LIVE, helpers=1, jitter=0.0, work_spread=1.0, load=0.5, link_bps=1e12, own=False, delay_s=delay_s
    )
    simulate_queues(settings, "jsq", 20, 0)
    arrives_s = drawn_yard(settings, 20, 0).arrives_s
    known_s = arrives_s[0] + 1 / settings.rate_per_s + delay_s
    known = arrives_s >= known_s + settings.telemetry_s
    assert 0 < known.sum() < 20
    assert np.array(predicted)[known] == pytest.approx(np.full(known.sum(), 1 / settings.rate_per_s))
    guessed = arrives_s < known_s
    assert np.array(predicted)[guessed] == pytest.approx(np.full(guessed.sum(), settings.deadline_s / 2))


def test_a_helper_that_fails_fast_swallows_what_goes_by_queues() -> None:
    """Its queue is always empty; hybrid learns from the bits and sends it little."""
    settings = replace(QUEUES, situation="fails-fast")
    fastest = drawn_yard(settings, 3000, 1).fastest
    by_queue, by_bits = (simulate_queues(settings, policy, 3000, 1) for policy in ("sed", "hybrid"))
    assert by_queue.failed > 1000 and by_bits.failed < 100
    assert by_bits.sent[fastest] < 0.5 * by_queue.sent[fastest]


def test_old_telemetry_does_little_harm_where_returns_are_counted() -> None:
    stale = replace(QUEUES, situation="stale")
    assert mean_met("jsq", stale) > mean_met("jsq", replace(stale, returns=False)) + 0.1
    assert mean_met("jsq", stale) == pytest.approx(mean_met("jsq", QUEUES), abs=0.02)


def test_one_json_object_and_curves(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    simulate_offload(
        {"helpers": "3"}, policies=["toof", OPTIMAL], items=200, seed=7, as_json=True, out=tmp_path / "new"
    )
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"edgeray", "settings", "items", "seed", "runs"}
    assert told["settings"]["helpers"] == 3 and told["settings"]["c"] == 0.03
    assert [run["policy"] for run in told["runs"]] == ["toof", OPTIMAL]
    assert {"regret", "reward", "met", "sent", "curve"} <= set(told["runs"][0])
    rows = list(csv.DictReader((tmp_path / "new" / "curves.csv").open()))
    assert rows[-1]["policy"] == OPTIMAL and rows[-1]["items"] == "200"


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    simulate_offload(
        {"model": "queues", "situation": "throttled"},
        policies=None,
        items=50,
        seed=0,
        as_json=False,
        out=None,
    )
    told = capsys.readouterr().out
    assert all(policy in told for policy in QUEUE_POLICIES) and "refused" in told


@pytest.mark.parametrize(
    ("settings", "policies", "told"),
    [
        ({}, ["best"], "'best' is no dispatcher"),
        ({}, [CLAIRVOYANT], "expected: one of round-robin"),
        ({"model": "queues"}, [OPTIMAL], "clairvoyant"),
        ({"situations": "stale"}, None, "did you mean 'situation'"),
    ],
)
def test_what_is_wrong_is_told(settings: dict[str, str], policies: list[str] | None, told: str) -> None:
    with pytest.raises(BadInputError) as caught:
        simulate_offload(settings, policies=policies, items=10, seed=0, as_json=False, out=None)
    assert told in str(caught.value)
    with pytest.raises(BadInputError, match="1 or more"):
        simulate_offload({}, policies=None, items=0, seed=0, as_json=False, out=None)
