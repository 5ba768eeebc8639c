"""Fog training in one process: averages by hand, one device is centralized learning, and equal seeds are equal runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fog_blobs import Blobs, blobs_recipe

from edgeray.errors import BadInputError
from edgeray.simulator.fog import CENTRALIZED, FOG_POLICIES, LOCAL, Learning, Trained, run_policy, train
from edgeray.simulator.fog_points import Moved, whole_instance
from edgeray.simulator.fog_setting import PaperFog, names_of, run_json, setting_of, simulate_policy
from policies.movement.instance import MovementInstance
from policies.movement.setting import random_setting

WHOLE = 1000
"""A batch as large as any interval: one step each, as eq. 3 has it."""


def instance_of(devices: int, *, seed: int = 1, **told: object) -> MovementInstance:
    given = {"devices": devices, "intervals": 20, "points": 2000, **told}
    return whole_instance(random_setting(np.random.default_rng(seed), **given))  # type: ignore[arg-type]


def moved(*intervals: tuple[tuple[int, ...], ...]) -> Moved:
    return tuple(tuple(np.array(points, dtype=np.int64) for points in row) for row in intervals)


def numbers(**changed: object) -> Learning:
    told = {
        "model": "fog_blobs:slope", "dataset": "fog_blobs:Numbers", "loss": "fog_blobs:squared",
        "batch_size": WHOLE, "test_samples": 0,
    }  # fmt: skip
    return Learning(blobs_recipe(2, **{**told, **changed}))


def slope_of(trained: Trained, device: int = 0) -> float:
    return float(trained.weights[device]["weight"])


# Points (1, 2), (1, 4), (1, 1), (2, 1); rate 0.1. Device 0: the first two, by the gradient 2 (0 - 3) to w = 0.6, then the
# third, by 2 (0.6 - 1) to 0.68. Device 1: nothing, then the fourth, by 2 (0 - 1) 2 to 0.4.
BY_HAND = moved(((0, 1), ()), ((2,), (3,)))


def test_the_average_is_weighted_by_points() -> None:
    trained = train(numbers(), BY_HAND, tau=2)
    assert slope_of(trained) == pytest.approx((3 * 0.68 + 1 * 0.4) / 4)
    assert trained.steps == 3 and len(trained.weights) == 1
    assert trained.points.tolist() == [[2, 0], [1, 1]]
    # Before their steps: (4 + 16) / 2 of two points and 0.16 of one; 1 of one.
    assert trained.loss[0].tolist() == pytest.approx([(2 * 10 + 0.16) / 3, 1.0])


def test_who_has_no_points_in_a_period_weighs_nothing_and_goes_on_from_the_average() -> None:
    trained = train(numbers(), BY_HAND, tau=1)
    # After the first interval all have 0.6; device 1 then comes to 0.6 - 0.1 * 2 (1.2 - 1) 2 = 0.52.
    assert slope_of(trained) == pytest.approx((0.68 + 0.52) / 2)
    assert np.isnan(trained.loss[0, 1]) and not np.isnan(trained.loss[1]).any()


def test_the_last_period_may_be_shorter_and_an_empty_one_changes_nothing() -> None:
    empty: tuple[tuple[int, ...], ...] = ((), ())
    longer = BY_HAND + moved(empty, empty, ((), (3,)))
    trained = train(numbers(), longer, tau=2)
    before = (3 * 0.68 + 0.4) / 4
    assert slope_of(trained) == pytest.approx(before - 0.1 * 2 * (2 * before - 1) * 2)
    assert [t for t, _ in trained.accuracy] == [2, 4, 5]


def test_without_averages_each_keeps_its_own() -> None:
    trained = train(numbers(), BY_HAND, tau=1, averaging=False)
    assert [slope_of(trained, i) for i in (0, 1)] == pytest.approx([0.68, 0.4])


def test_accuracy_without_averages_is_the_mean_weighted_by_points() -> None:
    learning = Learning(blobs_recipe(2))
    points = moved((tuple(range(60)), tuple(range(100, 120))))
    trained = train(learning, points, tau=1, averaging=False)
    each = [learning.accuracy(weights) for weights in trained.weights]
    assert trained.accuracy[0][1] == pytest.approx((60 * each[0] + 20 * each[1]) / 80)  # type: ignore[operator]
    assert each[0] != each[1]


def test_small_batches_make_more_steps_of_the_same_points() -> None:
    runs = {size: train(numbers(batch_size=size), BY_HAND, tau=2) for size in (1, WHOLE)}
    assert runs[1].steps == 4 and runs[WHOLE].steps == 3
    assert (runs[1].points == runs[WHOLE].points).all()
    assert slope_of(runs[1]) != pytest.approx(slope_of(runs[WHOLE]))


@pytest.mark.parametrize("policy", ["federated", LOCAL, "network-aware"])
def test_one_device_is_centralized_learning(policy: str) -> None:
    instance, learning = instance_of(1), Learning(blobs_recipe(1))
    alone, central = (run_policy(learning, instance, name, tau=5) for name in (policy, CENTRALIZED))
    for name, weight in central.trained.weights[0].items():
        assert torch.equal(weight, alone.trained.weights[0][name])
    curves = [[value for _, value in run.trained.accuracy] for run in (alone, central)]
    assert curves[0][-1] == pytest.approx(curves[1][-1]) and alone.processed == central.processed
    assert central.plan is None and alone.plan is not None and alone.plan.sent.sum() == 0


@pytest.mark.parametrize("model", ["linear", "dropping"])
def test_equal_seeds_are_equal_runs(model: str) -> None:
    recipe = blobs_recipe(3, model=f"fog_blobs:{model}", learning_rate=0.01)
    once, again, otherwise = (
        run_policy(Learning(blobs_recipe(3, model=recipe.model, learning_rate=0.01, seed=seed)), instance_of(3),
                   "network-aware", tau=5).trained.weights[0]
        for seed in (3, 3, 4)
    )  # fmt: skip
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not all(torch.equal(once[name], otherwise[name]) for name in once)


@pytest.mark.parametrize("policy", FOG_POLICIES)
def test_every_policy_learns_from_the_points_of_its_plan(policy: str) -> None:
    instance, learning = instance_of(4, f=20.0, points=1000), Learning(blobs_recipe(4))
    told: list[tuple[int, int]] = []
    run = run_policy(learning, instance, policy, tau=5, progress=lambda *done: told.append(done))
    assert run.collected == instance.D.sum()
    assert told[-1] == (run.processed, run.processed) and told == sorted(told)
    if run.plan is None:
        assert run.processed == run.collected
    else:
        assert run.plan.policy == policy
        assert run.processed + run.plan.discarded.sum() == run.collected
        assert (run.trained.points == run.plan.processed).all()
    assert run.accuracy is not None and run.accuracy > 0.6  # a third is what guessing has
    curve = [value for _, value in run.trained.accuracy]
    assert len(curve) == (1 if policy == LOCAL else 4) and None not in curve


def test_models_are_tried_at_the_end_only_if_asked() -> None:
    learning = Learning(blobs_recipe(2))
    points = moved(*[((i,), (i + 50,)) for i in range(6)])
    each, last = (train(learning, points, tau=2, each=each) for each in (True, False))
    assert len(each.accuracy) == 3 and last.accuracy == each.accuracy[-1:]


def test_devices_of_few_classes_collect_those_only() -> None:
    learning = Learning(blobs_recipe(3, classes_per_client=1))
    labels = Blobs("train").labels
    found = learning.collect(np.full((10, 3), 5))
    for device in range(3):
        assert len({int(labels[point]) for row in found for point in row[device]}) == 1


def test_what_is_wrong_is_said() -> None:
    learning, instance = Learning(blobs_recipe(2)), instance_of(2)
    with pytest.raises(BadInputError, match=r"tau is 0\n  expected: 1 interval or more"):
        run_policy(learning, instance, "local", tau=0)
    with pytest.raises(BadInputError, match=r"no policy 'nearest'.*\n  expected: one of centralized, local"):
        run_policy(learning, instance, "nearest", tau=1)
    limited = instance_of(4, capacities=True)
    with pytest.raises(BadInputError, match="theorem-3 has no plan: Theorem 3 holds without capacities"):
        run_policy(Learning(blobs_recipe(4)), limited, "theorem-3", tau=1)


def test_threads_are_as_before() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    train(numbers(batch_size=1), BY_HAND, tau=1)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mkldnn.enabled


def test_the_paper_setting_of_a_policy() -> None:
    asked = PaperFog(topology="hierarchy", n=6, intervals=8, points=500.0)
    linear, root = (setting_of(asked, name, 5, 4000) for name in ("network-aware", "network-aware-sqrt"))
    assert linear.f.max() == 1 and root.f.max() == 30 and linear.whole
    assert (linear.D == root.D).all() and (linear.c == root.c).all() and linear.D.shape == (8, 6)
    assert setting_of(PaperFog(n=6, intervals=8, f=0.3), "network-aware-sqrt", 5, 4000).f.max() == 0.3
    assert np.isfinite(linear.c_link[0]).sum() == 4  # two devices, two leaves each
    more = setting_of(PaperFog(n=6, intervals=8), "network-aware", 5, 4000)
    assert more.D.sum() == pytest.approx(8 * linear.D.sum(), rel=0.1)  # as many as the data set has
    with pytest.raises(BadInputError, match=r"1,000 devices|1000 devices"):
        PaperFog(n=1000, intervals=100)


def test_what_a_run_tells_as_json() -> None:
    asked = PaperFog(n=3, intervals=6, tau=3, points=400.0)
    learning = Learning(blobs_recipe(3, clients=tuple(names_of(asked))))
    told = run_json(simulate_policy(asked, learning, "network-aware", 2))
    assert told["unit"] * told["collected"] == pytest.approx(told["total"])
    assert told["process"] + told["transfer"] + told["discard"] == pytest.approx(told["total"])
    assert told["processed"] + told["discarded"] == told["collected"] and told["sent"] > 0
    assert [t for t, _ in told["curve"]] == [3, 6] and told["curve"][-1][1] == told["accuracy"]
    assert run_json(simulate_policy(asked, learning, CENTRALIZED, 2))["unit"] is None
    with pytest.raises(BadInputError, match=r"collect no point.*\n.*\n  remedy:   more of them"):
        simulate_policy(PaperFog(n=3, intervals=6, points=1.0), learning, "local", 2)
