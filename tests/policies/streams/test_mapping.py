"""Mappings of jobs that watch cameras: what a policy is told, and what its answer becomes as a plan."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.model import CameraId, DeviceId, Job, Network, Plan, Snapshot, Workload, link_id
from policies.placement.reasons import Refusal
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan
from policies.streams.mapping import FLOOR_BPS, GRANTED, StreamMapping
from policies.streams.reading import Watched, mapping_of, step, watched
from tests.policies.streams.camera_jobs import (
    ByRote,
    camera,
    mapping,
    network,
    placed,
    profile,
    refused,
    streams_job,
    where,
    without,
)

SECONDS = {
    "camera": {"small": 0.01, "big": 0.01},
    "encode": {"small": 0.02, "big": 0.02},
    "decode": {"small": 0.03, "big": 0.01},
    "detect": {"small": 0.2, "big": 0.05},
    "identify": {"small": 0.4, "big": 0.1},
}
SENDING = {"encode": {"small": 0.004, "big": 0.001}, "detect": {"small": 0.005, "big": 0.002}}
STREET = network({"a": "small", "b": "small", "hub": "big"}, {("a", "hub"): 8e6, ("b", "hub"): 4e6})
A, B, HUB = range(3)


def street_workload(**more: float) -> Workload:
    """Camera ca at a, of whose people every second frame has a new one, and cb at b with half as many."""
    cameras = [camera("ca", "a", calls=0.5), camera("cb", "b", fps=10.0, calls=0.25)]
    job = streams_job(cameras, ["a", "b", "hub"], ["a", "b", "hub"], "hub", **more)
    return Workload(job=job, profile=profile(job, SECONDS, sending=SENDING))


def seen(workload: Workload, on: Network) -> Watched:
    found = watched(workload, on)
    assert isinstance(found, Watched), found
    return found


# What a policy is told


def test_the_instance_by_hand() -> None:
    instance = seen(street_workload(), STREET).instance
    assert (instance.streams, instance.devices) == (("ca", "cb"), ("a", "b", "hub"))
    # Away from its camera's device a frame is received and unpacked, too.
    assert instance.detect_s == pytest.approx(np.array([[0.2, 0.234, 0.061], [0.234, 0.2, 0.061]]))
    assert instance.identify_s == pytest.approx(np.array([[0.2, 0.2, 0.05], [0.1, 0.1, 0.025]]))
    # 80 kbit over 8 Mbps, over 4, and between a and b over the narrower of the two.
    assert instance.upload_s == pytest.approx(np.array([[0, 0.02], [0.02, 0], [0.01, 0.02]]))
    crop_s = np.array([[0, 4e-3, 2e-3], [4e-3, 0, 4e-3], [2e-3, 4e-3, 0]])  # 16 kbit
    assert instance.transfer_s == pytest.approx(np.array([0.5 * crop_s, 0.25 * crop_s]))
    assert (instance.R_det, instance.R_reid, instance.memory.tolist()) == (1e6, 2e6, [1e9] * 3)


def test_what_a_frame_takes_of_each_resource_by_hand() -> None:
    """ca is read at a and watched on the hub; cb is detected at b, and its people are told at a."""
    found = seen(street_workload(), STREET)
    x, y = np.array([HUB, B]), np.array([HUB, A])
    usage = found.together_s(x, y)
    by_name = {name: usage[:, at].tolist() for at, name in enumerate(found.resources)}
    assert by_name == {
        "device a": pytest.approx([0.01 + 0.02 + 0.004, 0.1 + 0.25 * 0.005]),
        "device b": pytest.approx([0, 0.01 + 0.2 + 0.25 * 0.005]),
        "device hub": pytest.approx([0.061 + 0.05, 0]),
        "link a-hub, a to hub": pytest.approx([0.01, 0]),
        "link a-hub, hub to a": pytest.approx([0, 0.25 * 2e-3]),
        "link b-hub, b to hub": pytest.approx([0, 0.25 * 4e-3]),
        "link b-hub, hub to b": pytest.approx([0, 0]),
    }
    assert found.most_per_s().tolist() == [np.inf, 10]


def test_what_was_measured_lately_of_a_camera_goes_before_what_was_declared() -> None:
    workload = replace(street_workload(), calls_per_frame={CameraId("cb"): 2.0})
    assert seen(workload, STREET).instance.identify_s[:, HUB] == pytest.approx([0.05, 0.2])


def test_declared_memory_goes_before_what_was_measured() -> None:
    instance = seen(street_workload(detector_bytes=5.0, identifier_bytes=7.0), STREET).instance
    assert (instance.R_det, instance.R_reid) == (5, 7)


def test_only_workers_watch_and_only_types_that_were_measured() -> None:
    workload = street_workload()
    assert workload.job.streams is not None
    idle = replace(
        workload.job, streams=replace(workload.job.streams, workers=(DeviceId("b"), DeviceId("hub")))
    )
    instance = seen(replace(workload, job=idle), STREET).instance
    assert np.isinf(instance.detect_s[:, A]).all() and np.isinf(instance.identify_s[:, A]).all()
    assert np.isinf(instance.upload_s[A]).all(), "where nobody watches, nobody is to send frames"
    other = network({"a": "small", "b": "strange", "hub": "big"}, {("a", "hub"): 8e6, ("b", "hub"): 4e6})
    strange = seen(replace(workload, calls_per_frame={CameraId("ca"): 0.0}), other).instance
    assert np.isinf(strange.detect_s[:, B]).all() and np.isinf(strange.identify_s[:, B]).all()
    assert np.isfinite(strange.detect_s[:, [A, HUB]]).all()


def test_a_switch_carries_and_a_device_that_is_cut_off_is_not_reached() -> None:
    over = network(
        {"a": "small", "b": "small", "hub": "big", "s": "switch"},
        {("a", "s"): 8e6, ("hub", "s"): 2e6, ("b", "s"): 0.0},
    )
    found = seen(street_workload(), over)
    assert (found.graph.devices[3], found.routes[A, HUB].devices) == ("s", (A, 3, HUB))
    assert found.routes[HUB, A].devices == (HUB, 3, A)
    assert found.instance.upload_s[HUB, 0] == pytest.approx(80e3 / 2e6)
    assert np.isinf(found.instance.upload_s[B, 0]) and np.isinf(found.instance.transfer_s[0, A, B])
    assert np.isinf(found.instance.upload_s[3]).all(), "nothing is measured on switches"


def test_a_camera_whose_device_is_away_is_left_out() -> None:
    found = seen(street_workload(), without(STREET, "b"))
    assert [each.id for each in found.cameras] == ["ca"]
    assert found.instance.devices == ("a", "hub")


# What its answer becomes


def test_the_plan_of_a_mapping_by_hand() -> None:
    plan = placed(mapping({"ca": ("hub", "hub"), "cb": ("b", "a")}), street_workload(), STREET, now_s=7.0)
    assert plan.placement == {"edge-a": "a", "edge-b": "b", "edge-hub": "hub"}
    assert plan.mapped is not None and plan.mapped.decided_s == 7
    assert where(plan) == {"ca": ("hub", "hub"), "cb": ("b", "a")}
    ca, cb = plan.mapped.streams.values()
    assert ca.latency_s == pytest.approx(0.01 + 0.061 + 0.05)
    assert cb.latency_s == pytest.approx(0.2 + 0.1 + 0.25 * 4e-3)
    assert plan.mapped.sum_latency_s == pytest.approx(ca.latency_s + cb.latency_s)
    assert plan.mapped.common_fps == pytest.approx(1 / 0.2), "detecting cb on b is what takes longest"
    assert plan.routes["edge-a->edge-b"] == ("a", "hub", "b")
    assert plan.ceilings_bps["edge-a->edge-b"] == 4e6
    assert plan.ceilings_bps["edge-a->edge-hub"] == 8e6
    frames_bps = ca.items_per_s * 80e3
    assert frames_bps < plan.rates_bps["edge-a->edge-hub"] <= GRANTED * 8e6
    assert plan.rates_bps["edge-hub->edge-b"] < 200e3, "nothing but answers goes there"


def test_where_all_cameras_give_their_own_rate_nothing_else_binds() -> None:
    cameras = [camera("ca", "a", fps=1.0)]
    job = streams_job(cameras, ["a", "hub"], ["hub"], "hub")
    workload = Workload(job=job, profile=profile(job, SECONDS, sending=SENDING))
    plan = placed(mapping({"ca": ("hub", "hub")}), workload, STREET)
    assert (plan.bottleneck, plan.throughput_per_s) == ("cameras", pytest.approx(1.0))
    busy = placed(
        mapping({"ca": ("hub", "hub")}), replace(workload, calls_per_frame={CameraId("ca"): 20.0}), STREET
    )
    assert busy.bottleneck == "device hub"
    assert busy.throughput_per_s == pytest.approx(1 / (0.061 + 2.0))


def test_guarantees_shrink_to_what_a_link_has() -> None:
    """More frames than the link carries: nine tenths of it are guaranteed, in the parts that are needed."""
    narrow = network({"a": "small", "b": "small", "hub": "big"}, {("a", "hub"): 1e5, ("b", "hub"): 4e6})
    plan = placed(mapping({"ca": ("hub", "hub"), "cb": ("hub", "hub")}), street_workload(), narrow)
    over = [rate for flow, rate in plan.rates_bps.items() if plan.routes[flow][:2] == ("a", "hub")]
    assert sum(over) == pytest.approx(GRANTED * 1e5)
    assert all(rate > 0 for rate in over)


KINDS = {"small": 1.0, "big": 0.25}


def drawn(seed: int) -> tuple[Workload, Network]:
    """Some devices and a switch, each linked to one or more before it; a job on some of them."""
    rng = np.random.default_rng(seed)
    names = [*"abcdef"[: rng.integers(2, 7)], "switch"]
    rng.shuffle(names)
    links = {
        (names[i], names[int(rng.integers(i))]): float(rng.uniform(1e5, 3e7)) for i in range(1, len(names))
    }
    links |= {
        (a, b): float(rng.uniform(1e5, 3e7))
        for a, b in permutations(sorted(names), 2)
        if a < b and (b, a) not in links and rng.random() < 0.2
    }
    types = {name: "switch" if name == "switch" else str(rng.choice([*KINDS])) for name in names}
    able = sorted(set(names) - {"switch"})
    edges = sorted(rng.choice(able, int(rng.integers(1, len(able) + 1)), replace=False).tolist())
    cameras = [
        camera(f"c{k}", str(rng.choice(edges)), [None, 5.0][int(rng.integers(2))], float(rng.uniform(0, 1)))
        for k in range(int(rng.integers(1, 6)))
    ]
    workers = rng.choice(edges, int(rng.integers(1, len(edges) + 1)), replace=False).tolist()
    job = streams_job(cameras, edges, workers, str(rng.choice(edges)))
    seconds = {
        name: {kind: float(rng.uniform(0.001, 0.1)) * scale for kind, scale in KINDS.items()}
        for name in SECONDS
    }
    made = profile(job, seconds, sending=SENDING, frame_bytes=float(rng.uniform(1e3, 1e5)))
    return Workload(job=job, profile=made), network(types, links, float(rng.choice([4e6, 1e9])))


def check_plan(plan: Plan, job: Job, on: Network, found: Watched) -> None:
    streams = job.streams
    assert streams is not None and plan.mapped is not None
    assert plan.placement == {task: device for device, task in streams.edges.items()}
    assert (
        set(plan.routes) == {flow.id for flow in job.flows} == set(plan.rates_bps) == set(plan.ceilings_bps)
    )
    loads: dict[tuple[str, str], float] = {}
    for flow in job.flows:
        route = plan.routes[flow.id]
        assert (route[0], route[-1]) == (plan.placement[flow.producer], plan.placement[flow.consumer])
        widths = [on.links[link_id(*hop)].capacity_bps for hop in pairwise(route)]
        assert plan.ceilings_bps[flow.id] == min(widths)
        assert 0 < plan.rates_bps[flow.id] <= plan.ceilings_bps[flow.id]
        for hop in pairwise(route):
            loads[hop] = loads.get(hop, 0.0) + plan.rates_bps[flow.id]
    for hop, load in loads.items():
        assert load <= GRANTED * on.links[link_id(*hop)].capacity_bps * (1 + 1e-9)
    pairs = mapping_of(found, {c: (p.detect_on, p.identify_on) for c, p in plan.mapped.streams.items()})
    assert pairs is not None and found.instance.fits(*pairs)
    assert {device for pair in where(plan).values() for device in pair} <= {*streams.workers}
    rates = np.array([placement.items_per_s for placement in plan.mapped.streams.values()])
    assert (rates > 0).all() and (rates <= found.most_per_s() * (1 + 1e-9)).all()
    worked = found.usage_s(*pairs) + found.urgent_s(*pairs)
    assert (rates @ worked <= 1 + 1e-6).all(), "what is promised, workers and links can do"
    assert (rates[:, None] * found.feeding_s(pairs[0]) <= 1 + 1e-6).all(), "and so can each camera's threads"
    assert plan.throughput_per_s == pytest.approx(rates.mean())
    assert plan.bottleneck in [*found.resources, "cameras"]
    assert plan.mapped.sum_latency_s == pytest.approx(found.instance.sum_latency_s(*pairs))


@pytest.mark.parametrize(
    "name", ["nmno", "wmno", "nmwo", "jstsh", "load-aware", "exact-latency", "exact-fps"]
)
@given(st.integers(0, 10_000))
@example(5128)  # a device that others' re-identification fills
@settings(deadline=None, max_examples=20)
def test_whatever_the_network_a_plan_fits_on_it(name: str, seed: int) -> None:
    workload, on = drawn(seed)
    decision = StreamMapping(name).decide(Snapshot(network=on), (workload,))
    found = watched(workload, on)
    if (plan := decision.plans.get(workload.job.id)) is not None:
        assert isinstance(found, Watched)
        check_plan(plan, workload.job, on, found)
        assert StreamMapping(name).decide(Snapshot(network=on), (workload,)).plans == decision.plans
    else:
        assert decision.infeasible[workload.job.id].reasons
        roomy = all(device.memory_bytes == 1e9 for device in on.devices.values())
        assert not roomy, "nothing but memory is short here"


# What is refused


def test_what_cannot_be_watched_is_told() -> None:
    policy, workload = mapping({"ca": ("hub", "hub"), "cb": ("hub", "hub")}), street_workload()
    assert "profile it" in refused(policy, replace(workload, profile=None), STREET)
    plain = replace(workload, job=replace(workload.job, streams=None))
    assert "does not watch cameras" in refused(policy, plain, STREET)
    assert (
        refused(policy, workload, without(STREET, "a", "b"))
        == "no camera is here: none of the devices a, b is"
    )
    assert refused(policy, workload, without(STREET, "b")) == "waits for b to join"
    assert workload.profile is not None
    only_ca = {key: s for key, s in workload.profile.seconds.items() if key[0] != step("identify", "cb")}
    unmeasured = replace(workload, profile=replace(workload.profile, seconds=only_ca))
    reason = refused(policy, unmeasured, STREET)
    assert (
        "camera cb can be re-identified on no device" in reason
        and "small" in reason
        and "camera ca" not in reason
    )


def test_edges_that_do_not_reach_each_other_are_waited_for() -> None:
    """Later none of them could be given a flow: a stage's flows are those that it is deployed with."""
    cut = network({"a": "small", "b": "small", "hub": "big"}, {("a", "hub"): 8e6, ("b", "hub"): 0.0})
    reason = refused(mapping({"ca": ("hub", "hub"), "cb": ("b", "b")}), street_workload(), cut)
    assert reason == "waits for a way between a and b, b and hub"


def test_what_the_policy_refuses_is_told_in_its_words() -> None:
    def none(instance: StreamInstance) -> NoMapping:
        return NoMapping(policy="none", reasons=("it rains",))

    assert refused(StreamMapping("none", none), street_workload(), STREET) == "it rains"


@pytest.mark.parametrize(("x", "y"), [((0,), (0, 0)), ((0, 3), (0, 0)), ((0, -1), (0, 0)), ((0, 0), (0, 7))])
def test_a_mapping_that_cannot_be_is_refused(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    def wrong(instance: StreamInstance) -> StreamPlan:
        return StreamPlan(policy="mine", x=x, y=y, sum_latency_s=0, common_fps=1)

    assert "planned what cannot be" in refused(StreamMapping("mine", wrong), street_workload(), STREET)


def test_a_mapping_that_memory_does_not_hold_is_refused() -> None:
    policy = mapping({"ca": ("hub", "hub"), "cb": ("hub", "hub")})
    tight = street_workload(detector_bytes=4e8, identifier_bytes=4e8)
    assert "lack memory" in refused(policy, tight, STREET)


def all_on_the_last(instance: StreamInstance) -> StreamPlan:
    """A policy of one's own."""
    last = (len(instance.devices) - 1,) * len(instance.streams)
    return StreamPlan(policy="last", x=last, y=last, sum_latency_s=0.0, common_fps=1.0)


def test_ones_own_function_by_its_name() -> None:
    policy = StreamMapping(f"{__name__}:all_on_the_last")
    plan = placed(policy, street_workload(), STREET)
    assert where(plan) == {"ca": ("hub", "hub"), "cb": ("hub", "hub")}
    assert plan.policy == policy.name
    with pytest.raises(ValueError, match="unknown policy 'nobody' of streams"):
        StreamMapping("nobody")


def test_several_jobs_are_mapped_each_by_itself() -> None:
    policy, first = mapping({"ca": ("hub", "hub"), "cb": ("b", "b")}), street_workload()
    second = replace(first, job=replace(first.job, id=type(first.job.id)("v")), profile=None)
    decision = policy.decide(Snapshot(network=STREET), (first, second))
    assert (set(decision.plans), set(decision.infeasible)) == ({"w"}, {"v"})


def test_the_least_that_any_flow_is_guaranteed() -> None:
    plan = placed(mapping({"ca": ("a", "a"), "cb": ("b", "b")}), street_workload(), STREET)
    assert plan.rates_bps["edge-a->edge-b"] == FLOOR_BPS, "they have nothing to tell each other"


def test_by_rote_says_who_is_away() -> None:
    instance = seen(street_workload(), without(STREET, "b")).instance
    assert ByRote({"ca": ("b", "b")})(instance) == NoMapping(policy="rote", reasons=("b is away",))


def test_a_mapping_of_devices_that_are_away_is_none() -> None:
    found = seen(street_workload(), without(STREET, "b"))
    assert mapping_of(found, {CameraId("ca"): (DeviceId("b"), DeviceId("a"))}) is None
    assert mapping_of(found, {}) is None
    kept = mapping_of(found, {CameraId("ca"): (DeviceId("hub"), DeviceId("a"))})
    assert kept is not None and (kept[0].tolist(), kept[1].tolist()) == ([1], [0])
    assert not isinstance(watched(street_workload(), STREET), Refusal)
