"""Running jobs that watch cameras are mapped anew where it pays, or where they cannot go on as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies.model import CameraId, DeviceId, Plan, Workload, link_id
from policies.streams.mapping import FLOOR_BPS, STATIC, StreamMapping
from policies.streams.rates import frame_rates, live_rates
from tests.policies.streams.camera_jobs import (
    again,
    camera,
    mapping,
    network,
    placed,
    profile,
    streams_job,
    where,
    without,
)

SECONDS = {
    "camera": {"slow": 0.0, "mean": 0.0, "quick": 0.0},
    "encode": {"slow": 0.0, "mean": 0.0, "quick": 0.0},
    "decode": {"slow": 0.0, "mean": 0.0, "quick": 0.0},
    "detect": {"slow": 1.0, "mean": 0.2, "quick": 0.1},
    "identify": {"slow": 1.0, "mean": 0.2, "quick": 0.1},
}
ALL = ["a", "b", "hub"]
YARD = network({"a": "slow", "b": "mean", "hub": "quick"}, {("a", "hub"): 1e9, ("b", "hub"): 1e9})
LATER_S = 100.0
"""Past any settling time."""


def yard_workload(**more: float) -> Workload:
    """One camera at a and one at b; nobody needs to be re-identified."""
    cameras = [camera("ca", "a", calls=0.0), camera("cb", "b", calls=0.0)]
    job = streams_job(cameras, ALL, ALL, "hub", **more)
    return Workload(job=job, profile=profile(job, SECONDS))


LOCAL = {"ca": ("a", "a"), "cb": ("hub", "hub")}
"""1 and 10 frames a second."""
SPREAD = {"ca": ("b", "b"), "cb": ("hub", "hub")}
"""5 and 10."""
CROWDED = {"ca": ("hub", "hub"), "cb": ("hub", "hub")}
"""5 and 5."""


def running(workload: Workload, how: dict[str, tuple[str, str]]) -> Plan:
    return placed(mapping(how), workload, YARD, now_s=0.0)


def rates(plan: Plan) -> list[float]:
    assert plan.mapped is not None
    return [placement.items_per_s for placement in plan.mapped.streams.values()]


def test_it_moves_to_what_is_better_and_says_when() -> None:
    workload = yard_workload()
    plan = running(workload, LOCAL)
    assert rates(plan) == pytest.approx([1, 10], rel=1e-6)
    better = again(mapping(SPREAD), workload, plan, YARD, LATER_S)
    assert better is not None and better.mapped is not None
    assert (where(better), better.mapped.decided_s) == (SPREAD, LATER_S)
    assert rates(better) == pytest.approx([5, 10], rel=1e-6)
    assert better.placement == plan.placement, "edges stay where they are"
    assert again(mapping(SPREAD), workload, better, YARD, 2 * LATER_S) is None


@pytest.mark.parametrize(("least_gain", "moves"), [(3.9, True), (4.1, False)])
def test_it_does_not_move_for_less_than_the_least_gain(least_gain: float, moves: bool) -> None:
    """The slowest stream would have five times as much."""
    workload = yard_workload(least_gain=least_gain)
    assert (again(mapping(SPREAD), workload, running(workload, LOCAL), YARD, LATER_S) is not None) == moves


@pytest.mark.parametrize(("now_s", "moves"), [(29.9, False), (30.0, True)])
def test_it_does_not_move_until_it_has_settled(now_s: float, moves: bool) -> None:
    workload = yard_workload(settle_s=30.0)
    policy = mapping(SPREAD)
    assert (again(policy, workload, running(workload, LOCAL), YARD, now_s) is not None) == moves


def test_it_does_not_move_where_the_others_lose_more() -> None:
    """The slowest would have five times as much, but all together 10 frames a second in the place of 11."""
    workload = yard_workload()
    assert again(mapping(CROWDED), workload, running(workload, LOCAL), YARD, LATER_S) is None


@pytest.mark.parametrize(("detect_s", "moves"), [(0.098, False), (0.09, True)])
def test_it_does_not_move_where_fewer_frames_are_won_than_wait(detect_s: float, moves: bool) -> None:
    """Two seconds of a minute are a thirtieth: a fiftieth more does not make up for them, a tenth does."""
    on = network({"u": "quick", "v": "new"}, {("u", "v"): 1e9})
    job = streams_job([camera("c", "u", calls=0.0)], on.devices, on.devices, "u", least_gain=0.0)
    seconds = {
        name: {**took, "new": detect_s if name == "detect" else took["quick"]}
        for name, took in SECONDS.items()
    }
    workload = Workload(job=job, profile=profile(job, seconds, frame_bytes=1.0))
    plan = placed(mapping({"c": ("u", "u")}), workload, on)
    assert (again(mapping({"c": ("v", "v")}), workload, plan, on, LATER_S) is not None) == moves


def test_it_does_not_move_for_nothing() -> None:
    workload = yard_workload(least_gain=0.0)
    apart = {"ca": ("hub", "b"), "cb": ("hub", "b")}
    assert again(mapping(apart), workload, running(workload, CROWDED), YARD, LATER_S) is None


def test_latency_is_what_policies_of_latency_move_for() -> None:
    """To crowd the hub costs frames, and jstsh, which knows of no queues, does it."""
    workload = yard_workload()
    plan = running(workload, LOCAL)
    quicker = again(StreamMapping("jstsh"), workload, plan, YARD, LATER_S)
    assert quicker is not None and where(quicker)["ca"][0] == "hub"
    assert again(StreamMapping("jstsh"), workload, quicker, YARD, 2 * LATER_S) is None
    stubborn = yard_workload(least_gain=50.0)
    assert again(StreamMapping("jstsh"), stubborn, running(stubborn, LOCAL), YARD, LATER_S) is None


@pytest.mark.parametrize("name", STATIC)
def test_static_policies_stay_while_they_can(name: str) -> None:
    workload = yard_workload(settle_s=0.0, least_gain=0.0)
    for how in (LOCAL, SPREAD, CROWDED):
        assert again(StreamMapping(name), workload, running(workload, how), YARD, LATER_S) is None


@pytest.mark.parametrize("name", [*STATIC, "jstsh", "load-aware", "exact-fps"])
def test_a_detectors_device_that_is_gone_is_left_at_once(name: str) -> None:
    """However short ago the last move was."""
    workload = yard_workload(settle_s=1000.0, least_gain=1000.0)
    here = network({"a": "slow", "b": "mean", "hub": "quick", "s": "switch"}, {(d, "s"): 1e9 for d in ALL})
    away = replace(workload.job.streams, cameras=(camera("ca", "a", calls=0.0),))  # type: ignore[type-var]
    only_a = replace(workload, job=replace(workload.job, streams=away))
    plan = placed(mapping({"ca": ("b", "b")}), only_a, here)
    moved = again(StreamMapping(name), only_a, plan, without(here, "b"), 1.0)
    assert moved is not None and "b" not in where(moved)["ca"]
    assert again(StreamMapping(name), only_a, moved, without(here, "b"), 2.0) is None


def test_an_identifiers_device_that_is_gone_is_left_at_once() -> None:
    workload = yard_workload(settle_s=1000.0)
    plan = running(workload, {"ca": ("a", "b"), "cb": ("hub", "hub")})
    moved = again(mapping({"ca": ("a", "hub")}), workload, plan, without(YARD, "b"), 1.0)
    assert moved is not None and where(moved) == {"ca": ("a", "hub")}, "and cb, which is at b, is left out"


def test_a_camera_whose_device_is_gone_is_left_out_and_comes_back() -> None:
    workload = yard_workload(settle_s=1000.0)
    plan = running(workload, SPREAD)
    policy = mapping(CROWDED)
    alone = again(policy, workload, plan, without(YARD, "b"), 1.0)
    assert alone is not None and where(alone) == {"ca": ("hub", "hub")}
    assert again(policy, workload, alone, without(YARD, "b"), 2.0) is None
    both = again(policy, workload, alone, YARD, 3.0)
    assert both is not None and where(both) == CROWDED


def test_flows_of_devices_that_are_away_are_kept_for_when_they_come_back() -> None:
    workload = yard_workload()
    plan = running(workload, SPREAD)
    alone = again(mapping(CROWDED), workload, plan, without(YARD, "b"), 1.0)
    assert alone is not None and alone.routes.keys() == plan.routes.keys() == alone.rates_bps.keys()
    for flow in ("edge-b->edge-hub", "edge-hub->edge-b", "edge-a->edge-b"):
        assert alone.routes[flow] == plan.routes[flow]  # type: ignore[index]
        assert alone.rates_bps[flow] == FLOOR_BPS  # type: ignore[index]
        assert alone.ceilings_bps[flow] == plan.ceilings_bps[flow]  # type: ignore[index]


def test_where_no_mapping_is_left_it_stays_as_it_is() -> None:
    workload = yard_workload()
    plan = running(workload, SPREAD)
    assert (
        again(mapping({"ca": ("b", "b"), "cb": ("b", "b")}), workload, plan, without(YARD, "b"), 1.0) is None
    )
    assert again(mapping(SPREAD), workload, plan, without(YARD, "a", "b"), 1.0) is None


def test_more_people_have_them_told_apart_elsewhere() -> None:
    """Two workers alike: with few people one of them may do both; with one new one a frame they share the work."""
    on = network(
        {"cam": "slow", "u": "quick", "v": "quick"}, {("cam", "u"): 1e9, ("cam", "v"): 1e9, ("u", "v"): 1e9}
    )
    job = streams_job([camera("c", "cam", calls=0.01)], on.devices, ["u", "v"], "u")
    few = Workload(job=job, profile=profile(job, SECONDS))
    plan = placed(mapping({"c": ("u", "u")}), few, on)
    policy = StreamMapping("exact-fps")
    assert again(policy, few, plan, on, LATER_S) is None, "a hundredth is less than the least gain"
    many = replace(few, calls_per_frame={CameraId("c"): 1.0})
    shared = again(policy, many, plan, on, LATER_S)
    assert shared is not None
    detecting, identifying = where(shared)["c"]
    assert detecting != identifying
    assert again(policy, many, shared, on, 2 * LATER_S) is None
    assert again(policy, few, shared, on, 2 * LATER_S) is None, "nor is it worth to go back"


RING = network(
    {"a": "slow", "b": "mean", "hub": "quick", "s": "switch", "t": "switch"},
    {(d, "s"): 1e9 for d in ALL} | {(d, "t"): 1e6 for d in ALL},
)


@pytest.mark.parametrize("name", ["rote", "wmno"])
def test_flows_go_other_ways_when_a_relay_is_gone(name: str) -> None:
    """Nothing moves: the mapping, and when it was decided, are as before."""
    workload = yard_workload(settle_s=1000.0)
    policy = mapping(SPREAD)
    plan = placed(policy, workload, RING)
    assert {route[1] for route in plan.routes.values()} == {"s"}
    if name != "rote":
        policy = StreamMapping(name)
    around = again(policy, workload, plan, without(RING, "s"), 1.0)
    assert around is not None and around.mapped is not None
    assert (where(around), around.mapped.decided_s) == (SPREAD, 0.0)
    assert {route[1] for route in around.routes.values()} == {"t"}
    assert set(around.ceilings_bps.values()) == {1e6}
    assert again(policy, workload, around, without(RING, "s"), 2.0) is None
    back = again(policy, workload, around, RING, 3.0)
    assert back is not None and {route[1] for route in back.routes.values()} == {"s"}


def test_guarantees_follow_a_link_that_has_changed() -> None:
    workload = yard_workload(settle_s=1000.0)
    plan = running(workload, CROWDED)
    name = link_id(DeviceId("a"), DeviceId("hub"))
    narrow = replace(YARD, links={**YARD.links, name: replace(YARD.links[name], capacity_bps=2e5)})
    slower = again(mapping(CROWDED), workload, plan, narrow, 1.0)
    assert slower is not None and where(slower) == CROWDED
    over = [rate for flow, rate in slower.rates_bps.items() if slower.routes[flow][:2] == ("a", "hub")]
    assert sum(over) <= 0.9 * 2e5 * (1 + 1e-9)
    assert slower.ceilings_bps["edge-a->edge-hub"] == 2e5  # type: ignore[index]


def test_jobs_of_other_kinds_are_passed_over() -> None:
    workload = yard_workload()
    plan = running(workload, LOCAL)
    assert again(mapping(SPREAD), workload, replace(plan, mapped=None), YARD, LATER_S) is None


# Threads that feed


def test_without_feeding_live_rates_are_the_fair_ones() -> None:
    rng = np.random.default_rng(3)
    usage, most = rng.uniform(0, 0.3, (5, 4)), rng.uniform(1, 8, 5)
    none = np.zeros_like(usage)
    assert live_rates(none, none, usage, most) == pytest.approx(frame_rates(usage, most), rel=1e-6)


def test_a_stream_that_is_only_read_on_a_slow_device_is_not_slowed_to_what_that_detects() -> None:
    """By hand: one stream takes 0.5 s a frame on the slow device, the other is read there in 0.02 s and watched on
    another in 0.1 s: it has 10 frames a second, which leave (1 - 0.2) / 0.5 to the first."""
    feeding = np.array([[0.0, 0.0], [0.02, 0.0]])
    usage = np.array([[0.5, 0.0], [0.0, 0.1]])
    found = live_rates(feeding, np.zeros_like(usage), usage, np.full(2, np.inf))
    assert found == pytest.approx([1.6, 10], rel=1e-4)


def test_a_stream_that_is_only_re_identified_on_a_busy_device_is_not_slowed_to_what_that_detects() -> None:
    """By hand: its detector has 10 frames a second, whose people take 0.2 s of the busy device each second, which
    leaves (1 - 0.2) / 0.5 to the stream that is detected there."""
    urgent = np.array([[0.0, 0.0], [0.02, 0.0]])
    usage = np.array([[0.5, 0.0], [0.0, 0.1]])
    most = np.full(2, np.inf)
    assert live_rates(np.zeros_like(usage), urgent, usage, most) == pytest.approx([1.6, 10], rel=1e-4)
    # No more than the device can do at all.
    urgent[1, 0] = 0.25
    found = live_rates(np.zeros_like(usage), urgent, usage, most)
    assert found[1] == pytest.approx(4, rel=2e-3)
    assert 0 < found[0] < 0.01
