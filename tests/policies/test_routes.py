"""Routes through a network."""

from __future__ import annotations

from itertools import islice

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.flows.graph import LOCAL, Graph, Router
from policies.model import Device, DeviceId
from tests.policies.generate import network_of, small_network


def graph_of(count: int, links: list[tuple[int, int, float]]) -> Graph:
    return Graph.of(
        network_of([Device(id=DeviceId(f"e{i:04d}"), type="x", memory_bytes=1) for i in range(count)], links)
    )


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 9), extra=st.integers(0, 9))
def test_routes_are_the_shortest_simple_ones(seed: int, count: int, extra: int) -> None:
    rng = np.random.default_rng(seed)
    graph = Graph.of(small_network(rng, count, count - 1 + extra))
    plain = nx.Graph(graph.ends.tolist())
    source, target = rng.choice(count, size=2, replace=False).tolist()
    expected = [len(path) - 1 for path in islice(nx.shortest_simple_paths(plain, source, target), 5)]
    router = Router(graph)
    routes = router.routes(source, target, 5)
    assert [len(route.links) for route in routes] == expected
    assert len({route.devices for route in routes}) == len(routes)
    for route in routes:
        assert (route.devices[0], route.devices[-1]) == (source, target)
        assert len(set(route.devices)) == len(route.devices)
        for link, a, b in zip(route.links, route.devices, route.devices[1:], strict=False):
            assert sorted(graph.ends[link].tolist()) == sorted((a, b))
    shortest = router.shortest(source, target)
    assert shortest is not None
    assert width(graph, shortest.links) == width(graph, routes[0].links)
    assert len(shortest.links) == expected[0]
    mean = graph.capacity_bps[list(shortest.links)].mean()
    assert router.tree(source).mean_bps[target] == pytest.approx(mean)


def width(graph: Graph, links: tuple[int, ...]) -> float:
    return float(min(graph.capacity_bps[link] for link in links))


def test_of_equal_lengths_the_wider_comes_first_then_the_smaller_ids() -> None:
    graph = graph_of(5, [(0, 1, 5), (1, 4, 5), (0, 2, 9), (2, 4, 7), (0, 3, 5), (3, 4, 5)])
    found = [route.devices for route in Router(graph).routes(0, 4, 3)]
    assert found == [(0, 2, 4), (0, 1, 4), (0, 3, 4)]
    assert Router(graph).shortest(0, 4) == Router(graph).routes(0, 4, 1)[0]


def test_links_without_capacity_are_no_way() -> None:
    graph = graph_of(3, [(0, 1, 0), (1, 2, 1), (0, 2, 1)])
    router = Router(graph)
    assert [route.devices for route in router.routes(0, 1, 4)] == [(0, 2, 1)]
    assert Router(graph, np.zeros(3)).routes(0, 1, 4) == ()
    assert Router(graph, np.zeros(3)).shortest(0, 1) is None
    assert router.tree(0).mean_bps.tolist() == [np.inf, 1.0, 1.0]


def test_a_device_reaches_itself_over_nothing() -> None:
    router = Router(graph_of(2, []))
    assert router.shortest(1, 1) == LOCAL
    assert router.routes(1, 1, 3) == (LOCAL,)
    assert router.routes(0, 1, 3) == ()


def test_a_long_line_has_its_one_route_soon() -> None:
    count = 2500  # more than the search has steps
    graph = graph_of(count, [(i, i + 1, 1.0) for i in range(count - 1)])
    [route] = Router(graph).routes(0, count - 1, 4)
    assert len(route.links) == count - 1
