"""Network namespaces joined by veth links, for tests of traffic control; and plain TCP traffic in them."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgeray.network.manager import NetworkManager
from edgeray.network.netlink import KernelNetlink
from edgeray.network.types import DeviceNetwork, FlowCounters, FlowRule, LinkCounters, LinkPort

_LABS = itertools.count()

RECEIVER = """
import json, socket, sys, time
address, port, limit_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
server = socket.create_server((address, port))
server.settimeout(limit_s)
print("ready", flush=True)
connection, (peer, _) = server.accept()
connection.settimeout(limit_s)
received, first = 0, None
while data := connection.recv(1 << 16):
    received += len(data)
    first = first or time.monotonic()
print(json.dumps({"bytes": received, "seconds": time.monotonic() - first, "peer": peer}), flush=True)
"""

SENDER = """
import socket, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
block = bytes(1 << 16)
with socket.create_connection((address, port), timeout=10) as connection:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.send(block)
"""


def may_make_namespaces() -> str | None:
    """Why this process cannot make network namespaces with tc in them; None when it can."""
    if os.geteuid() != 0:
        return "needs root to make network namespaces (CI runs it as root)"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return None if probe.returncode == 0 else f"unshare --net: {probe.stderr.strip()}"


def wait_until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One namespace with its manager."""

    namespace: str
    network: DeviceNetwork
    netlink: KernelNetlink
    manager: NetworkManager

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *words]

    def python(self, source: str, *words: object) -> subprocess.Popen[str]:
        command = self.command(sys.executable, "-S", "-c", source, *map(str, words))
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words: str) -> str:
        return subprocess.run(self.command(*words), check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    devices: dict[str, Device]

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    def rule(self, flow: str, port: int, route: Sequence[str], rate_bps: float) -> FlowRule:
        return FlowRule(
            flow=flow,
            port=port,
            source_address=self[route[0]].network.address,
            destination_address=self[route[-1]].network.address,
            destination=route[-1],
            route=tuple(route),
            rate_bps=rate_bps,
        )

    def apply(self, *rules: FlowRule) -> None:
        for device in self.devices.values():
            device.manager.apply([rule for rule in rules if device.network.device in rule.route])

    @contextmanager
    def traffic(self, rule: FlowRule, seconds: float) -> Iterator[Transfer]:
        """A bulk TCP transfer along a rule's flow, that ends by itself after seconds."""
        receiver = self[rule.route[-1]].python(RECEIVER, rule.destination_address, rule.port, seconds + 20)
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n", receiver.communicate()[1]
        sender = self[rule.route[0]].python(SENDER, rule.destination_address, rule.port, seconds)
        try:
            yield Transfer(sender=sender, receiver=receiver)
        finally:
            for process in (sender, receiver):
                process.kill()
                process.communicate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    sender: subprocess.Popen[str]
    receiver: subprocess.Popen[str]

    def result(self) -> dict[str, float | str]:
        """What the receiver got: bytes, seconds from the first byte to the last, the sender's address."""
        _, errors = self.sender.communicate(timeout=60)
        assert self.sender.returncode == 0, errors
        output, errors = self.receiver.communicate(timeout=60)
        assert self.receiver.returncode == 0, errors
        found: dict[str, float | str] = json.loads(output)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Kernel counters of one device at one time."""

    at_s: float
    flows: Mapping[str, FlowCounters]
    links: Mapping[str, LinkCounters]

    def rate_bps(self, later: Reading, flow: str) -> float:
        return (later.flows[flow].bytes - self.flows[flow].bytes) * 8 / (later.at_s - self.at_s)

    def control_bps(self, later: Reading, link: str) -> float:
        sent = later.links[link].control_bytes - self.links[link].control_bytes
        return sent * 8 / (later.at_s - self.at_s)

    def link_bps(self, later: Reading, link: str) -> float:
        return (later.links[link].bytes - self.links[link].bytes) * 8 / (later.at_s - self.at_s)


def read(device: Device) -> Reading:
    flows, at_s = device.manager.flow_counters(), time.monotonic()
    return Reading(at_s=at_s, flows=flows, links=device.manager.link_counters())


def window(devices: Sequence[Device], seconds: float) -> list[tuple[Reading, Reading]]:
    """Readings of each device at the beginning and at the end of seconds."""
    first = [read(device) for device in devices]
    time.sleep(seconds)
    return list(zip(first, (read(device) for device in devices), strict=True))


def wait_for_flows(device: Device, rules: Sequence[FlowRule], after_s: float = 0.5) -> None:
    """Until each flow has sent what its rate allows in after_s, so that slow start is over."""

    def running() -> bool:
        sent = device.manager.flow_counters()
        return all(sent[rule.flow].bytes >= rule.rate_bps / 8 * after_s for rule in rules)

    wait_until(running, limit_s=20)


@contextmanager
def network_lab(links: dict[tuple[str, str], float]) -> Iterator[Lab]:
    """Namespaces and links {(a, b): capacity_bps}, in the way of the testbed: unnumbered veths, a /32 on lo.

    Devices that are no neighbours reach each other only by the routes of flows.
    """
    lab = next(_LABS)
    names = sorted({end for ends in links for end in ends})
    namespaces = {name: f"edgelab{os.getpid()}-{lab}{name}" for name in names}
    address = {name: f"10.158.0.{number}" for number, name in enumerate(names, start=1)}
    devices: dict[str, Device] = {}
    try:
        _make_namespaces(namespaces, address, links)
        for name in names:
            ports = tuple(
                LinkPort(
                    link="-".join(sorted(ends)),
                    interface=f"to-{peer}",
                    peer=peer,
                    peer_address=address[peer],
                    capacity_bps=capacity,
                )
                for ends, capacity in sorted(links.items())
                if name in ends
                for peer in ends
                if peer != name
            )
            network = DeviceNetwork(device=name, address=address[name], ports=ports)
            netlink = KernelNetlink(namespaces[name])
            devices[name] = Device(
                namespace=namespaces[name],
                network=network,
                netlink=netlink,
                manager=NetworkManager(network, netlink),
            )
        yield Lab(devices=devices)
    finally:
        for device in devices.values():
            device.netlink.close()
        for namespace in namespaces.values():
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def _make_namespaces(
    namespaces: dict[str, str], address: dict[str, str], links: dict[tuple[str, str], float]
) -> None:
    for name, namespace in namespaces.items():
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        _ip(namespace, "link set lo up")
        _ip(namespace, f"addr add {address[name]}/32 dev lo")
        settings = "net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"
        subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw", *settings.split()], check=True)
    for a, b in links:
        _ip(namespaces[a], f"link add to-{b} type veth peer name to-{a} netns {namespaces[b]}")
        for this, other in ((a, b), (b, a)):
            _ip(namespaces[this], f"link set to-{other} up")
            _ip(namespaces[this], f"route add {address[other]} dev to-{other} src {address[this]}")


def _ip(namespace: str, words: str) -> None:
    subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
