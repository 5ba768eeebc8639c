"""The motivating example of the thesis: 2, 2.5, 10/3 and 4 items/s for its four strategies."""

from __future__ import annotations

import pytest

from policies.evaluate import predict
from policies.flows.graph import Graph, Router
from policies.flows.jrba import FlowDemand, jrba
from policies.model import DeviceId, FlowId, Snapshot, TaskId
from policies.placement.exact import solve_exactly
from policies.registry import load_policy
from tests.policies.example import example_job, example_network

E2_ROUTE = (DeviceId("e4"), DeviceId("e2"), DeviceId("e1"))
E3_ROUTE = (DeviceId("e4"), DeviceId("e3"), DeviceId("e1"))


@pytest.mark.parametrize(
    ("policy", "items_per_s", "bottleneck"),
    [
        ("lr", 2.0, "link e2-e4"),
        ("br", 2.0, "link e2-e4"),
        ("tp", 2.5, "link e2-e4"),
        ("otfs", 4.0, "device e1"),
        ("otfa", 4.0, "device e1"),
        ("joint", 4.0, "device e1"),
        ("joint-floor", 4.0, "device e1"),
    ],
)
def test_each_policy_reaches_its_strategys_throughput(
    policy: str, items_per_s: float, bottleneck: str
) -> None:
    decision = load_policy(policy).decide(Snapshot(network=example_network()), [example_job()])
    plan = decision.plans[example_job().job.id]
    assert plan.throughput_per_s == pytest.approx(items_per_s, rel=1e-9)
    assert plan.bottleneck == bottleneck


def test_shares_by_volume_on_the_shortest_route_give_ten_thirds() -> None:
    network, job = example_network(), example_job()
    graph = Graph.of(network)
    e4, e1 = graph.index[DeviceId("e4")], graph.index[DeviceId("e1")]
    flows = [FlowDemand(source=e4, target=e1, bits=8.0 * size) for size in (1, 2)]
    plan = jrba(Router(graph), flows, routes_per_pair=1)
    assert [graph.names(route) for route in plan.routes] == [E2_ROUTE, E2_ROUTE]
    placement = {task.id: DeviceId("e1") for task in job.job.tasks}
    placement |= {TaskId("camera"): DeviceId("e4"), TaskId("a"): DeviceId("e4")}
    routes = {FlowId("a->b"): E2_ROUTE, FlowId("a->c"): E2_ROUTE}
    rates = dict(zip(routes, plan.rates_bps.tolist(), strict=True))
    [(throughput, bottleneck)] = predict(network, [(job, placement, routes, rates, None)])
    assert throughput == pytest.approx(10 / 3, rel=1e-9)
    assert bottleneck == "link e2-e4"


def test_otfa_sends_the_larger_flow_the_wider_way() -> None:
    decision = load_policy("otfa").decide(Snapshot(network=example_network()), [example_job()])
    plan = decision.plans[example_job().job.id]
    assert plan.placement[TaskId("a")] == "e4"
    assert {plan.placement[TaskId(task)] for task in "bcdef"} == {"e1"}
    assert plan.routes[FlowId("a->c")] == E2_ROUTE
    assert plan.routes[FlowId("a->b")] == E3_ROUTE
    assert plan.rates_bps == {"a->b": pytest.approx(48), "a->c": pytest.approx(80)}
    assert plan.granted_per_s is None


def test_four_is_the_optimum() -> None:
    best = solve_exactly(example_network(), [example_job()])
    assert best.rates_per_s[0] == pytest.approx(4.0, rel=1e-6)
    assert best.bound == pytest.approx(4.0, rel=1e-5)
    assert best.routes[0][FlowId("a->c")] == E2_ROUTE


@pytest.mark.parametrize("policy", ["tp", "otfa", "joint"])
def test_a_slow_camera_binds(policy: str) -> None:
    job = example_job(items_per_s=1.5)
    plan = load_policy(policy).decide(Snapshot(network=example_network()), [job]).plans[job.job.id]
    assert plan.throughput_per_s == pytest.approx(1.5)
    assert plan.bottleneck == "source camera"
