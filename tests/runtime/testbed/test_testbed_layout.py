"""Names, addresses and routes of an emulated cluster; nothing is made."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.errors import TestbedError
from edgeray.testbed import namespaces
from edgeray.testbed.layout import INTERFACE_NAME_MAX, Layout, next_hops, plan_layout, safe_name
from policies.model import Device, DeviceId, Link, Network


def make_network(count: int, ends: list[tuple[int, int]]) -> Network:
    ids = [DeviceId(f"d{number:03}") for number in range(count)]
    links = [Link(ends=(ids[min(a, b)], ids[max(a, b)]), capacity_bps=1e6) for a, b in ends]
    return Network(
        devices={id: Device(id=id, type="pi", memory_bytes=1e9) for id in ids},
        links={link.id: link for link in sorted(links, key=lambda link: link.id)},
    )


def line(count: int) -> Network:
    return make_network(count, [(number, number + 1) for number in range(count - 1)])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    count = draw(st.integers(2, 9))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    return make_network(count, draw(st.lists(st.sampled_from(pairs), unique=True)))


def walk(layout: Layout, start: str, destination: str, network: Network) -> list[str]:
    """The devices that a packet passes by the routes of layout; stops where no route leads on."""
    by_address = {file.address: id for id, file in layout.files.items()}
    passed = [start]
    while passed[-1] != destination and len(passed) <= len(network.devices):
        routes = {route.address: route for route in layout.routes[passed[-1]]}
        route = routes.get(layout.address(destination))
        if route is None:
            break
        ports = {port.interface: port for port in layout.files[passed[-1]].network.ports}
        assert ports[route.interface].peer == by_address[route.via], (
            "the gateway is at the other end of the port"
        )
        passed.append(by_address[route.via])
    return passed


@settings(max_examples=60, deadline=None)
@given(networks())
def test_packets_take_a_shortest_path_wherever_there_is_one(network: Network) -> None:
    import networkx as nx

    layout = plan_layout(network, DeviceId("d000"), tag="abc", subnet="10.77.9")
    graph = nx.Graph()
    graph.add_nodes_from(network.devices)
    graph.add_edges_from(link.ends for link in network.links.values())
    for start in network.devices:
        distances = nx.single_source_shortest_path_length(graph, start)
        for destination in network.devices:
            passed = walk(layout, start, destination, network)
            if destination in distances:
                assert passed[-1] == destination
                assert len(passed) - 1 == distances[destination]
            else:
                assert passed == [start]


@given(st.lists(st.text(min_size=1, max_size=40), min_size=2, max_size=12, unique=True))
def test_safe_names_differ_and_fit(texts: list[str]) -> None:
    names = [safe_name(text, INTERFACE_NAME_MAX) for text in texts]
    assert len(set(names)) == len(texts)
    for name in names:
        assert 0 < len(name) <= INTERFACE_NAME_MAX
        assert not set(name) & set("/ \t\n:%")


def test_ties_go_to_the_smaller_neighbour() -> None:
    square = make_network(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert next_hops(square)[DeviceId("d000")][DeviceId("d003")] == "d001"
    assert next_hops(square)[DeviceId("d003")][DeviceId("d000")] == "d001"


def test_both_ends_of_a_link_name_the_same_link_and_each_other() -> None:
    layout = plan_layout(line(3), DeviceId("d001"), tag="abc", subnet="10.77.9")
    ports = {(id, port.peer): port for id, file in layout.files.items() for port in file.network.ports}
    for (id, peer), port in ports.items():
        assert ports[peer, id].link == port.link
        assert port.peer_address == layout.address(peer)
    assert sorted(ports) == [("d000", "d001"), ("d001", "d000"), ("d001", "d002"), ("d002", "d001")]


def test_loopback_devices_pace_and_have_only_lo() -> None:
    layout = plan_layout(line(3), DeviceId("d000"), tag="abc", subnet="127.77.4", pacing=True)
    for file in layout.files.values():
        assert file.enforcement_hint == "pacing"
        assert {port.interface for port in file.network.ports} == {"lo"}
        assert file.address.startswith("127.77.4.")


def test_commands_carry_the_source_address_and_the_gateway() -> None:
    layout = plan_layout(line(3), DeviceId("d000"), tag="abc", subnet="10.77.9")
    commands = namespaces.device_commands(layout, "d000", management=True)
    assert "address add 10.77.9.1/32 dev lo" in commands
    assert "route add 10.77.9.3/32 via 10.77.9.2 dev to-d001 src 10.77.9.1 onlink" in commands
    assert "route add 10.77.9.254/32 dev management src 10.77.9.1" in commands
    assert not any(
        "management" in line for line in namespaces.device_commands(layout, "d000", management=False)
    )


@pytest.mark.parametrize(("capacity_bps", "segments"), [(1e6, 1), (10e6, 1), (100e6, 16), (10e9, 44)])
def test_a_packet_never_holds_a_link_for_longer_than_two_milliseconds(
    capacity_bps: float, segments: int
) -> None:
    assert namespaces.gso_segments(capacity_bps) == segments


def test_a_free_subnet_avoids_what_is_routed() -> None:
    first = namespaces.free_subnet("0005abc", "[]")
    assert first == "10.77.5"
    routes = json.dumps([{"dst": "10.77.5.1"}, {"dst": "10.77.6.0/24"}, {"dst": "default"}])
    assert namespaces.free_subnet("0005abc", routes) == "10.77.7"
    full = json.dumps([{"dst": f"10.77.{number}.1"} for number in range(256)])
    with pytest.raises(TestbedError, match="edgeray down"):
        namespaces.free_subnet("0005abc", full)


def test_too_many_devices_are_refused() -> None:
    with pytest.raises(TestbedError, match="251 devices"):
        plan_layout(line(251), DeviceId("d000"), tag="abc", subnet="10.77.9")
