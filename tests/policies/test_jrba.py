"""Joint routing and bandwidth allocation against a reference formulation of the paper's relaxed program."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies.flows.graph import LOCAL, Graph, Router
from policies.flows.jrba import FlowDemand, FlowPlan, jrba
from policies.flows.sharing import incidence
from policies.model import Device, DeviceId
from tests.policies.generate import network_of, small_network


def random_flows(rng: np.random.Generator, devices: int, count: int) -> list[FlowDemand]:
    return [
        FlowDemand(
            source=int(rng.integers(devices)),
            target=int(rng.integers(devices)),
            bits=float(rng.integers(0, 9)),
        )
        for _ in range(count)
    ]


def relaxed_seconds(router: Router, flows: list[FlowDemand]) -> float:
    """P3-RELAX-CVX (eqs. 3.10-3.14) as printed, one variable a flow and route."""
    th = cp.Variable()
    load: list[list[cp.Expression]] = [[] for _ in router.capacity_bps]
    constraints = []
    for flow in flows:
        if flow.source == flow.target:
            continue
        routes = router.routes(flow.source, flow.target, 4)
        parts = cp.Variable(len(routes), nonneg=True)
        constraints.append(cp.sum(parts) >= flow.bits)
        for part, route in zip(parts, routes, strict=True):
            for link in route.links:
                load[link].append(part)
    constraints += [
        cp.sum(parts) <= capacity * th
        for parts, capacity in zip(load, router.capacity_bps, strict=True)
        if parts
    ]
    return float(cp.Problem(cp.Minimize(th), [*constraints, th >= 0]).solve(solver=cp.CLARABEL))


def check(router: Router, flows: list[FlowDemand], plan: FlowPlan) -> None:
    load = incidence(plan.routes, len(router.capacity_bps)) @ plan.rates_bps
    assert (load <= router.capacity_bps * (1 + 1e-9)).all()
    for flow, route, rate in zip(flows, plan.routes, plan.rates_bps, strict=True):
        if flow.source == flow.target:
            assert route == LOCAL
        else:
            assert (route.devices[0], route.devices[-1]) == (flow.source, flow.target)
        assert (rate > 0) == (flow.bits > 0 and flow.source != flow.target)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 7))
def test_rounded_takes_at_least_the_relaxed_time(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    router = Router(Graph.of(small_network(rng)))
    flows = random_flows(rng, 5, count)
    plan = jrba(router, flows)
    check(router, flows, plan)
    reference = relaxed_seconds(router, flows) if any(f.source != f.target for f in flows) else 0.0
    assert plan.relaxed_seconds == pytest.approx(reference, rel=1e-4, abs=1e-6)
    assert plan.seconds >= plan.relaxed_seconds * (1 - 1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.5, 4.0, 1024.0]))
def test_more_bits_or_less_capacity_scale_the_rates(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    graph = Graph.of(small_network(rng))
    flows = random_flows(rng, 5, 6)
    assume(any(flow.bits and flow.source != flow.target for flow in flows))
    plan = jrba(Router(graph), flows)
    bulky = [FlowDemand(source=f.source, target=f.target, bits=f.bits * factor) for f in flows]
    more = jrba(Router(graph), bulky)
    assert more.routes == plan.routes
    assert more.rates_bps == pytest.approx(plan.rates_bps)
    assert more.seconds == pytest.approx(plan.seconds * factor)
    wider = jrba(Router(graph, graph.capacity_bps * factor), flows)
    assert wider.routes == plan.routes
    assert wider.rates_bps == pytest.approx(plan.rates_bps * factor)


def test_two_equal_flows_take_two_equal_ways() -> None:
    devices = [Device(id=DeviceId(name), type="x", memory_bytes=1) for name in "abcd"]
    router = Router(Graph.of(network_of(devices, [(0, 1, 8.0), (1, 3, 8.0), (0, 2, 8.0), (2, 3, 8.0)])))
    flow = FlowDemand(source=0, target=3, bits=4.0)
    plan = jrba(router, [flow, flow])
    assert len(set(plan.routes)) == 2  # an interior point would send both the same way
    assert plan.seconds == pytest.approx(0.5)


def test_a_pair_that_nothing_joins_is_named() -> None:
    devices = [Device(id=DeviceId(name), type="x", memory_bytes=1) for name in "ab"]
    with pytest.raises(ValueError, match="no route between a-b"):
        jrba(Router(Graph.of(network_of(devices, []))), [FlowDemand(source=0, target=1, bits=1.0)])
