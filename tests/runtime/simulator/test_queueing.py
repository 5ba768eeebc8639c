"""Queueing oracles: what a queue, a chain and a shared device or link must do is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgeray.simulator import LinkChanges, Scenario, simulate
from policies.flows.graph import Graph, Router
from policies.flows.sharing import max_min
from tests.policies.generate import small_network
from tests.runtime.simulator.cases import Told, arrives, job_of, network, placed, workload

PAIR = network(("a", "b", 8e6))
ROW = network(("a", "b", 8e6), ("b", "c", 8e6))


def run(net, *told, until_s=200.0, warm_s=20.0, disturbances=(), **more):
    """told: (workload, placement, more of placed)."""
    policy = Told(*(placed(job, placement, **options) for job, placement, options in told))
    jobs = tuple(arrives(job) for job, _, _ in told)
    scenario = Scenario(network=net, arrivals=jobs, until_s=until_s, disturbances=disturbances)
    return simulate(scenario, policy_named=policy, warm_s=warm_s, **more)


def test_a_single_task_keeps_its_device_busy_for_rate_times_seconds() -> None:
    job = workload("j", {"s": 0, "t": 0.02}, {("s", "t"): 0}, items_per_s=20)
    outcome = run(PAIR, (job, {"s": "a", "t": "a"}, {}))
    assert job_of(outcome, "j").throughput_per_s == pytest.approx(20, rel=1e-6)
    assert outcome.device_busy == pytest.approx({"a": 0.4, "b": 0.0}, rel=1e-3)


def test_an_idle_pipeline_takes_the_sum_of_seconds_and_transfers() -> None:
    job = workload(
        "j",
        {"s": 0, "t": 0.1, "u": 0.2},
        {("s", "t"): 50_000, ("t", "u"): 20_000},
        items_per_s=1,
        transfer_s=0.01,
    )
    net = network(("a", "b", 8e6), ("b", "c", 8e6), delay_s=0.003)
    got = job_of(run(net, (job, {"s": "a", "t": "b", "u": "c"}, {})), "j")
    # computing; both ends of two flows; bits over links; their delays
    expected_s = 0.1 + 0.2 + 4 * 0.01 + 0.05 + 0.02 + 2 * 0.003
    assert got.latency_p50_s == pytest.approx(expected_s, rel=1e-9)
    assert got.latency_p95_s == pytest.approx(expected_s, rel=1e-9)


@pytest.mark.parametrize(
    ("seconds", "sizes", "rate"),
    [
        ((0.05, 0.2, 0.1), (1000, 1000), 5.0),  # the middle device
        ((0.05, 0.02, 0.1), (1000, 1000), 10.0),  # the last
        ((0.05, 0.02, 0.1), (1000, 500_000), 2.0),  # the second link: 4 Mbit at 8 Mbit/s
        ((0.05, 0.02, 0.1), (250_000, 1000), 4.0),  # the first
    ],
)
def test_a_chain_is_as_fast_as_its_slowest_part(seconds, sizes, rate) -> None:
    job = workload(
        "j",
        {"s": 0, "t": seconds[0], "u": seconds[1], "v": seconds[2]},
        {("s", "t"): 0, ("t", "u"): sizes[0], ("u", "v"): sizes[1]},
    )
    got = job_of(run(ROW, (job, {"s": "a", "t": "a", "u": "b", "v": "c"}, {})), "j")
    assert got.throughput_per_s == pytest.approx(rate, rel=1e-6)
    assert got.throughput_per_s == pytest.approx(got.planned_per_s, rel=1e-6)


def test_tasks_of_one_device_take_turns() -> None:
    job = workload("j", {"s": 0, "t": 0.1, "u": 0.3}, {("s", "t"): 0, ("t", "u"): 0})
    outcome = run(PAIR, (job, {"s": "a", "t": "a", "u": "a"}, {}))
    assert job_of(outcome, "j").throughput_per_s == pytest.approx(2.5, rel=1e-6)
    assert outcome.device_busy["a"] == pytest.approx(1.0)


def test_a_transfer_takes_both_ends_time() -> None:
    job = workload("j", {"s": 0, "t": 0.1}, {("s", "t"): 1000}, transfer_s=0.4)
    outcome = run(PAIR, (job, {"s": "a", "t": "b"}, {}), until_s=2000.0)  # queues fill in the first seconds
    assert job_of(outcome, "j").throughput_per_s == pytest.approx(2.0, rel=1e-6)
    assert outcome.device_busy == pytest.approx({"a": 0.8, "b": 1.0}, rel=0.01)


def test_two_jobs_share_a_device_equally() -> None:
    one = workload("one", {"s": 0, "t": 0.1}, {("s", "t"): 0})
    two = workload("two", {"s": 0, "t": 0.4}, {("s", "t"): 0})
    outcome = run(PAIR, *((job, {"s": "a", "t": "a"}, {}) for job in (one, two)))
    assert job_of(outcome, "one").throughput_per_s == pytest.approx(5.0, rel=1e-3)
    assert job_of(outcome, "two").throughput_per_s == pytest.approx(1.25, rel=1e-3)
    assert outcome.device_busy["a"] == pytest.approx(1.0)


def test_a_job_that_needs_less_than_its_share_leaves_the_rest() -> None:
    slow = workload("slow", {"s": 0, "t": 0.1}, {("s", "t"): 0}, items_per_s=2)
    fast = workload("fast", {"s": 0, "t": 0.1}, {("s", "t"): 0})
    outcome = run(PAIR, *((job, {"s": "a", "t": "a"}, {}) for job in (slow, fast)))
    assert job_of(outcome, "slow").throughput_per_s == pytest.approx(2.0, rel=1e-3)
    assert job_of(outcome, "fast").throughput_per_s == pytest.approx(8.0, rel=1e-2)


def senders(*sizes: float):
    return [
        (workload(f"j{i}", {"s": 0, "t": 0.001}, {("s", "t"): size}), {"s": "a", "t": "b"}, {})
        for i, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_flows_that_share_a_link_max_min_get_equal_rates(detail) -> None:
    outcome = run(PAIR, *senders(100_000, 50_000), sharing="max-min", detail=detail)
    assert job_of(outcome, "j0").throughput_per_s == pytest.approx(5.0, rel=1e-2)
    assert job_of(outcome, "j1").throughput_per_s == pytest.approx(10.0, rel=1e-2)
    assert outcome.link_load["a-b"] == pytest.approx(1.0, rel=0.01)


def test_max_min_gives_to_others_what_a_flow_leaves() -> None:
    """j0 crosses both links; b-c is the narrow one, so that j1 has the rest of a-b."""
    net = network(("a", "b", 8e6), ("b", "c", 2e6))
    long = workload("long", {"s": 0, "t": 0}, {("s", "t"): 25_000})
    short = workload("short", {"s": 0, "t": 0}, {("s", "t"): 25_000})
    outcome = run(
        net,
        (long, {"s": "a", "t": "c"}, {"routes": {"s->t": ("a", "b", "c")}}),
        (short, {"s": "a", "t": "b"}, {}),
        sharing="max-min",
    )
    assert job_of(outcome, "long").throughput_per_s == pytest.approx(10.0, rel=1e-3)
    assert job_of(outcome, "short").throughput_per_s == pytest.approx(30.0, rel=1e-3)


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_more_granted_than_there_is_is_scaled_down(detail) -> None:
    """Both flows are granted the whole link; each has the half."""
    outcome = run(PAIR, *senders(100_000, 50_000), detail=detail)
    assert job_of(outcome, "j0").throughput_per_s == pytest.approx(5.0, rel=1e-2)
    assert job_of(outcome, "j1").throughput_per_s == pytest.approx(10.0, rel=1e-2)


@pytest.mark.parametrize("detail", ["items", "rates"])
def test_a_transfer_goes_on_at_another_rate(detail) -> None:
    """8 Mbit at 8 Mbit/s; after half a second, 2 Mbit/s: half a second and two. Then 4 s an item."""
    slower = LinkChanges(at_s=0.5, link="a-b", capacity_bps=2e6)
    job = workload("j", {"s": 0, "t": 0}, {("s", "t"): 1e6}, items_per_s=1000)
    policy = Told(placed(job, {"s": "a", "t": "b"}))
    scenario = Scenario(network=PAIR, arrivals=(arrives(job, items=2),), disturbances=(slower,))
    got = job_of(simulate(scenario, policy_named=policy, detail=detail), "j")
    assert got.ended_s == pytest.approx(0.5 + 2.0 + 4.0)
    assert got.phase == "done"


def test_back_pressure_bounds_what_is_under_way() -> None:
    """A fast source and a slow sink: what is made but not yet out is what the queues hold, and no more."""
    job = workload("j", {"s": 0, "t": 0.0001, "u": 1.0}, {("s", "t"): 0, ("t", "u"): 1000})
    policy = Told(placed(job, {"s": "a", "t": "a", "u": "b"}))
    scenario = Scenario(network=PAIR, arrivals=(arrives(job),), until_s=300.0)
    got = job_of(simulate(scenario, policy_named=policy, warm_s=100.0), "j")
    depth = 4 + 1 + 4  # join_depth: 4 for the source, 1 for the local flow, 4 for the crossing one
    # the item made, the inbox of t, t itself and its queue, the window, the hand, the inbox of u, u itself
    most = 1 + depth + 1 + 2 + 4 + 1 + depth + 1
    assert got.throughput_per_s == pytest.approx(1.0)
    assert most - 2 <= got.latency_p95_s <= most


def test_nothing_comes_out_that_did_not_go_in() -> None:
    job = workload(
        "j", {"s": 0, "t": 0.03, "u": 0.05}, {("s", "t"): 10_000, ("s", "u"): 4_000}, items_per_s=7
    )
    outcome = run(ROW, (job, {"s": "a", "t": "b", "u": "a"}, {}), until_s=50.0, warm_s=0.0)
    got = job_of(outcome, "j")
    assert 7 * 50 - 3 <= got.items <= 7 * 50 + 1
    bits = outcome.link_load["a-b"] * 8e6 * outcome.end_s
    assert got.items * 80_000 <= bits + 1 <= (7 * 50 + 2) * 80_000


def test_a_source_keeps_to_its_grant() -> None:
    job = workload("j", {"s": 0, "t": 0.01}, {("s", "t"): 0}, items_per_s=50)
    outcome = run(PAIR, (job, {"s": "a", "t": "a"}, {"granted_per_s": 3.0}))
    assert job_of(outcome, "j").throughput_per_s == pytest.approx(3.0)
    assert job_of(outcome, "j").latency_p95_s == pytest.approx(0.01)


def test_a_branch_that_is_longer_does_not_throttle_its_join() -> None:
    """Zhang's Fig. 3.9 in small: a short and a long branch meet; queues must be deep enough."""
    seconds = {"s": 0, "a": 0.1, "b": 0.1, "c": 0.1, "join": 0.01}
    flows = {("s", "a"): 1000, ("a", "b"): 1000, ("b", "c"): 1000, ("c", "join"): 1000, ("s", "join"): 1000}
    net = network(("a", "b", 8e6), ("b", "c", 8e6), ("a", "c", 8e6), ("c", "d", 8e6), ("a", "d", 8e6))
    job = workload("j", seconds, flows)
    placement = {"s": "a", "a": "b", "b": "c", "c": "d", "join": "a"}
    assert job_of(run(net, (job, placement, {})), "j").throughput_per_s == pytest.approx(10.0, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_flows_on_long_routes_get_their_max_min_rates(seed) -> None:
    """Senders that never pause: what each gets is what progressive filling over all of them says."""
    rng = np.random.default_rng(seed)
    net = small_network(rng, 7, 9)
    graph = Graph.of(net)
    router, told, routes = Router(graph), [], []
    for number in range(6):
        ends = rng.choice(7, size=2, replace=False).tolist()
        routes.append(router.shortest(*ends))
        a, b = (graph.devices[end] for end in ends)
        job = workload(f"j{number}", {"s": 0, "t": 0}, {("s", "t"): 1.0})
        told.append((job, {"s": a, "t": b}, {"routes": {"s->t": graph.names(routes[-1])}}))
    expected_bps = max_min(routes, np.ones(6), graph.capacity_bps)
    outcome = run(net, *told, sharing="max-min", until_s=60.0, warm_s=10.0)
    got_bps = [job.throughput_per_s * 8 for job in outcome.jobs]
    assert got_bps == pytest.approx(expected_bps.tolist(), rel=0.02)
