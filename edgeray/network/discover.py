"""Find the interface to each neighbour on a real machine."""

from __future__ import annotations

from collections.abc import Mapping

from edgeray.errors import BadInputError
from edgeray.network.netlink import KernelNetlink
from edgeray.network.types import DeviceNetwork, LinkPort
from policies.model.ids import DeviceId, LinkId
from policies.model.network import Link


def discover_ports(
    addresses: Mapping[DeviceId, str],
    links: Mapping[LinkId, Link],
    device: DeviceId,
    *,
    netlink: KernelNetlink | None = None,
) -> DeviceNetwork:
    """The ports of device: for each of its links, the interface by which the neighbour is reached.

    Asks the kernel's routing table (RTM_GETROUTE). Neighbours must be on-link: what goes through a router
    would take the router's way, not the flow's. netlink: another namespace's, for tests.
    Raises BadInputError when an address is missing, is this machine's own, or is not on-link.
    """
    kernel = KernelNetlink() if netlink is None else netlink
    try:
        ports = tuple(
            _port(kernel, links[link], device, addresses)
            for link in sorted(links)
            if device in links[link].ends
        )
    finally:
        if netlink is None:
            kernel.close()
    return DeviceNetwork(device=device, address=_address(addresses, device), ports=ports)


def _address(addresses: Mapping[DeviceId, str], device: DeviceId) -> str:
    if device not in addresses:
        raise BadInputError(
            f"device {device} has no address; found addresses of {', '.join(sorted(addresses)) or 'none'}; "
            "give every device its address in the cluster file"
        )
    return addresses[device]


def _port(kernel: KernelNetlink, link: Link, device: DeviceId, addresses: Mapping[DeviceId, str]) -> LinkPort:
    peer = link.ends[1] if link.ends[0] == device else link.ends[0]
    address = _address(addresses, peer)
    where = f"link {link.id}: {peer} at {address}"
    found = kernel.egress(address)
    if found is None:
        raise BadInputError(f"{where} cannot be reached from {device}: no route; plug the network in")
    interface, hop = found
    if interface == "lo":
        raise BadInputError(f"{where} is this machine itself; expected the address of {peer}")
    if hop != address:
        raise BadInputError(
            f"{where} is behind the router {hop}; expected neighbours on one network; "
            "correct the links, or join the devices by a tunnel"
        )
    return LinkPort(
        link=link.id, interface=interface, peer=peer, peer_address=address, capacity_bps=link.capacity_bps
    )
