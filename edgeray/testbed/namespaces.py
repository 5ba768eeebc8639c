"""Network namespaces, veth pairs, addresses and routes of an emulated cluster, made with `ip -batch`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeray.errors import TestbedError
from edgeray.testbed.command import run
from edgeray.testbed.layout import Layout, prefix

MTU_BYTES = 1500
NETNS_FOLDER = Path("/run/netns")
BURST_S = 0.002
"""Longest time that one oversized (GSO) packet may hold a link, so that control traffic gets in between."""
GSO_SEGMENTS_MAX = 44


def make(layout: Layout, *, enter: Sequence[str] = (), management: bool) -> None:
    """Make the namespaces, links, addresses and routes of layout.

    enter: command prefix that leads to where namespaces are made (userns mode), else empty.
    management: whether to make the link between the root namespace and the head.
    Raises TestbedError with what `ip` said.
    """
    _batch(enter, None, [f"netns add {name}" for name in layout.namespaces.values()], "make namespaces")
    _batch(enter, None, link_commands(layout), "make links")
    if management:
        _batch(enter, None, management_commands(layout), "make the management link")
    for device, name in layout.namespaces.items():
        commands = device_commands(layout, device, management=management and device == layout.head)
        _batch(enter, name, commands, f"set up the network of {device}")


def link_commands(layout: Layout) -> list[str]:
    """One veth pair a link, made straight inside its two namespaces."""
    commands = []
    for link in layout.links:
        ends = [
            f"name {interface} mtu {MTU_BYTES} gso_max_segs {gso_segments(link.capacity_bps)} netns {namespace}"
            for interface, namespace in zip(link.interfaces, link.namespaces, strict=True)
        ]
        commands.append(f"link add {ends[0]} type veth peer {ends[1]}")
    return commands


def gso_segments(capacity_bps: float) -> int:
    """How many segments TCP may hand to a link as one packet."""
    return max(1, min(GSO_SEGMENTS_MAX, int(capacity_bps * BURST_S / 8 / MTU_BYTES)))


def device_commands(layout: Layout, device: str, *, management: bool) -> list[str]:
    """Addresses and routes of one device: /32 on lo, unnumbered interfaces, one route a destination."""
    file = layout.files[device]
    commands = ["link set lo up", f"address add {file.address}/32 dev lo"]
    commands += [f"link set {port.interface} up" for port in file.network.ports]
    commands += [
        f"route add {route.address}/32 via {route.via} dev {route.interface} src {file.address} onlink"
        for route in layout.routes[device]
    ]
    if management:
        commands += [
            "link set management up",
            f"route add {layout.management_address}/32 dev management src {file.address}",
        ]
    return commands


def management_commands(layout: Layout) -> list[str]:
    """A link between the root namespace and the head alone, for `ray job submit` and a browser."""
    outside, head = layout.management_interface, layout.namespaces[layout.head]
    return [
        f"link add name {outside} type veth peer name management netns {head}",
        f"address add {layout.management_address}/32 dev {outside}",
        f"link set {outside} up",
        f"route add {layout.address(layout.head)}/32 dev {outside} src {layout.management_address}",
    ]


def free_subnet(tag: str, routes_json: str | None = None) -> str:
    """First three bytes of a /24 in 10.77.0.0/16 that the root namespace neither has nor routes to by itself.

    Starts at a number that the tag gives, so that clusters made at the same moment rarely meet.
    Raises TestbedError when all 256 are taken.
    """
    text = routes_json or run(
        ["ip", "-4", "-json", "route", "show", "table", "all"], what="look for free addresses"
    )
    taken = {str(route.get("dst", "")).rsplit(".", 1)[0] for route in json.loads(text or "[]")}
    start = int(tag[:4], 16)
    for offset in range(256):
        subnet = f"10.77.{(start + offset) % 256}"
        if subnet not in taken:
            return subnet
    raise TestbedError(
        "no free address range in 10.77.0.0/16\n  remedy:   edgeray down in the other state folders"
    )


def find(tag: str) -> dict[str, Path]:
    """Namespaces of the cluster that exist in this mount namespace, by name."""
    if not NETNS_FOLDER.is_dir():
        return {}
    return {path.name: path for path in sorted(NETNS_FOLDER.glob(f"{prefix(tag)}-*"))}


def inodes(paths: Mapping[str, Path]) -> frozenset[int]:
    """Inode numbers that /proc/PID/ns/net of a process inside shows; a file that is not bound any more is left out."""
    root = Path("/run/netns").stat().st_dev if NETNS_FOLDER.is_dir() else None
    found = (path.stat() for path in paths.values() if path.exists())
    return frozenset(stat.st_ino for stat in found if stat.st_dev != root)


def remove(tag: str) -> None:
    """Remove the cluster's namespaces and its management link; what is gone already is not an error."""
    for name, path in find(tag).items():
        done = run_quietly(["ip", "netns", "delete", name])
        if not done and path.exists():
            path.unlink(missing_ok=True)
    for interface in interfaces(tag):
        run_quietly(["ip", "link", "delete", interface])


def interfaces(tag: str) -> list[str]:
    """Our interfaces in the root namespace."""
    return sorted(path.name for path in Path("/sys/class/net").glob(f"{prefix(tag)}-*"))


def run_quietly(argv: Sequence[str]) -> bool:
    """Whether argv succeeded; used where what is to be removed may be gone already."""
    try:
        run(argv, what="clean up")
    except TestbedError:
        return False
    return True


def _batch(enter: Sequence[str], namespace: str | None, commands: Sequence[str], what: str) -> None:
    if commands:
        inside = ["-n", namespace] if namespace else []
        run([*enter, "ip", *inside, "-batch", "-"], what=what, stdin="\n".join(commands) + "\n")
