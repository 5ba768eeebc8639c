"""From a cluster description to names, addresses, ports and routes. Pure: makes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from edgeray.errors import TestbedError
from edgeray.network.types import DeviceNetwork, LinkPort
from edgeray.testbed.device_file import DeviceFile
from policies.model import DeviceId, Network

INTERFACE_NAME_MAX = 15
DEVICES_MAX = 250
MANAGEMENT_HOST = 254
"""Last byte of the root namespace's own address on the management link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """To reach the device at address, leave by interface to the neighbour at via (which may be address itself)."""

    address: str
    interface: str
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualLink:
    """One veth pair: the namespaces it joins and the interface's name in each."""

    namespaces: tuple[str, str]
    interfaces: tuple[str, str]
    capacity_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An emulated cluster, ready to be made.

    subnet: its first three bytes, e.g. "10.77.3". Devices, links and routes are in the order of their ids.
    """

    tag: str
    head: str
    subnet: str
    files: Mapping[str, DeviceFile]
    namespaces: Mapping[str, str]
    links: tuple[VirtualLink, ...]
    routes: Mapping[str, tuple[Route, ...]]

    @property
    def management_interface(self) -> str:
        return management_interface(self.tag)

    @property
    def management_address(self) -> str:
        return f"{self.subnet}.{MANAGEMENT_HOST}"

    def address(self, device: str) -> str:
        return self.files[device].address


def prefix(tag: str) -> str:
    """What every name that belongs to the cluster starts with."""
    return f"er-{tag}"


def management_interface(tag: str) -> str:
    """Name of the root namespace's end of the management link: at most 15 characters, found by tag alone."""
    return f"{prefix(tag)}-mg"


def safe_name(text: str, limit: int) -> str:
    """text as a file or interface name of at most limit characters; texts that differ give names that differ."""
    clean = re.sub(r"[^A-Za-z0-9_.-]", "_", text)
    if clean == text and len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{clean[: limit - 7]}-{digest}"


def plan_layout(network: Network, head: DeviceId, *, tag: str, subnet: str, pacing: bool = False) -> Layout:
    """Names, addresses, ports and hop-count shortest routes for network; ties go to the smaller device id.

    pacing: devices are addresses on this machine's own loopback, without namespaces or tc.
    Complexity: a breadth-first search per device. Raises TestbedError beyond 250 devices.
    """
    ids = tuple(sorted(network.devices))
    if len(ids) > DEVICES_MAX:
        raise TestbedError(f"{len(ids)} devices are too many for one machine: expected at most {DEVICES_MAX}")
    addresses = {id: f"{subnet}.{number}" for number, id in enumerate(ids, start=1)}
    neighbours = _neighbours(network)
    interfaces = {
        (a, b): "lo" if pacing else safe_name(f"to-{b}", INTERFACE_NAME_MAX)
        for a in ids
        for b in neighbours[a]
    }
    files: dict[str, DeviceFile] = {
        id: _device_file(network, id, addresses, neighbours[id], interfaces, pacing=pacing) for id in ids
    }
    namespaces: dict[str, str] = {id: safe_name(f"{prefix(tag)}-{id}", 64) for id in ids}
    links = tuple(
        VirtualLink(
            namespaces=(namespaces[link.ends[0]], namespaces[link.ends[1]]),
            interfaces=(interfaces[link.ends], interfaces[link.ends[1], link.ends[0]]),
            capacity_bps=link.capacity_bps,
        )
        for _, link in sorted(network.links.items())
    )
    hops = next_hops(network)
    routes: dict[str, tuple[Route, ...]] = {
        id: tuple(
            Route(address=addresses[to], interface=interfaces[id, hop], via=addresses[hop])
            for to, hop in sorted(hops[id].items())
        )
        for id in ids
    }
    return Layout(
        tag=tag, head=head, subnet=subnet, files=files, namespaces=namespaces, links=links, routes=routes
    )


def next_hops(network: Network) -> dict[DeviceId, dict[DeviceId, DeviceId]]:
    """For each device and each other device that it can reach: the neighbour on a shortest path by hops.

    Every hop comes one step closer to the destination, so packets never loop; ties go to the smallest id.
    """
    graph = nx.Graph()
    graph.add_nodes_from(sorted(network.devices))
    graph.add_edges_from(link.ends for _, link in sorted(network.links.items()))
    tables: dict[DeviceId, dict[DeviceId, DeviceId]] = {id: {} for id in sorted(network.devices)}
    for destination in tables:
        distance = nx.single_source_shortest_path_length(graph, destination)
        for id in tables:
            if id != destination and id in distance:
                closer = (n for n in graph.neighbors(id) if distance[n] == distance[id] - 1)
                tables[id][destination] = min(closer)
    return tables


def _neighbours(network: Network) -> dict[DeviceId, tuple[DeviceId, ...]]:
    found: dict[DeviceId, list[DeviceId]] = {id: [] for id in sorted(network.devices)}
    for _, link in sorted(network.links.items()):
        found[link.ends[0]].append(link.ends[1])
        found[link.ends[1]].append(link.ends[0])
    return {id: tuple(sorted(peers)) for id, peers in found.items()}


def _device_file(
    network: Network,
    id: DeviceId,
    addresses: Mapping[DeviceId, str],
    peers: tuple[DeviceId, ...],
    interfaces: Mapping[tuple[DeviceId, DeviceId], str],
    *,
    pacing: bool,
) -> DeviceFile:
    device = network.devices[id]
    links = {frozenset(link.ends): link for link in network.links.values()}
    ports = tuple(
        LinkPort(
            link=links[frozenset((id, peer))].id,
            interface=interfaces[id, peer],
            peer=peer,
            peer_address=addresses[peer],
            capacity_bps=links[frozenset((id, peer))].capacity_bps,
        )
        for peer in peers
    )
    return DeviceFile(
        type=device.type,
        cpus=device.cpus,
        memory_bytes=device.memory_bytes,
        enforcement_hint="pacing" if pacing else "tc",
        takeover=False,
        network=DeviceNetwork(device=id, address=addresses[id], ports=ports),
    )
