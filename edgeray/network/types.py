"""What the network manager is asked for, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.model.ids import DeviceId, LinkId


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPort:
    """This device's end of one link. Several ports may share an interface (one radio, many neighbours)."""

    link: LinkId
    interface: str
    peer: DeviceId
    peer_address: str
    capacity_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNetwork:
    """One device as the network sees it: its own address and its port to each neighbour."""

    device: DeviceId
    address: str
    ports: tuple[LinkPort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRule:
    """One flow with its route and its granted rate.

    flow: unique in the cluster, e.g. "job7/a->b". port: the TCP port that the consumer's device listens on,
    unique in the cluster while the flow lives. route: devices from the producer's to the consumer's.
    rate_bps: bits/s on the wire, Ethernet headers included (what tc counts). ceil_bps: what it may take while
    nobody else wants it; None: rate_bps is the most it gets.
    """

    flow: str
    port: int
    source_address: str
    destination_address: str
    destination: DeviceId
    route: tuple[DeviceId, ...]
    rate_bps: float
    ceil_bps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCounters:
    """What one traffic class has sent since it was first seen; backlog_bytes is what waits now."""

    bytes: int
    packets: int
    dropped: int
    backlog_bytes: int

    def plus(self, earlier: FlowCounters) -> FlowCounters:
        """These counters continued from those of a class that is gone; the backlog is this one's own."""
        return FlowCounters(
            bytes=self.bytes + earlier.bytes,
            packets=self.packets + earlier.packets,
            dropped=self.dropped + earlier.dropped,
            backlog_bytes=self.backlog_bytes,
        )


NO_TRAFFIC = FlowCounters(bytes=0, packets=0, dropped=0, backlog_bytes=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounters:
    """What left through one port: everything, and what was no flow (Ray, heartbeats, acknowledgements)."""

    bytes: int
    control_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCapabilities:
    """What this process may do to the network here, and what this kernel can.

    net_admin: may change qdiscs, rules and routes in its own network namespace. namespaces: may make
    new ones.
    htb, u32, bfifo, ip_rule_ports: the kernel's parts that shaping and routing need; None when there
    was no way to try. reasons: by name, why something is not there.
    """

    net_admin: bool
    namespaces: bool
    htb: bool | None
    u32: bool | None
    bfifo: bool | None
    ip_rule_ports: bool | None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def shaping(self) -> bool:
        """Whether tc can enforce rates and routes for this process."""
        return self.net_admin and all(
            part is not False for part in (self.htb, self.u32, self.bfifo, self.ip_rule_ports)
        )
