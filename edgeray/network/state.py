"""The part of the kernel's network state that EdgeRay owns, as values, and the seam to the kernel.

Every item has a key that says which kernel object it is; two items with one key are the same object in
two settings. Numbers are quantised to what the kernel stores, so that what was written reads back equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from edgeray.network.types import FlowCounters

HANDLE_MAJOR = 0xED9E
"""Major number of the qdisc handles that EdgeRay makes; a root qdisc with it is ours."""

PROTOCOL = 158
"""Marks our rules and routes (rtnetlink's protocol number); 158 is not assigned to anybody."""

RULE_PRIORITY = 15_800
"""After the local table (0), before main (32766)."""

FORWARD_TABLES = 158_000_000
RETURN_TABLES = 158_100_000
"""First routing table for flows' data and for their acknowledgements; the flow's port is added."""

Key: TypeAlias = tuple[int, str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The HTB qdisc of an interface. default_minor: class of what no filter matches, 0 for unshaped."""

    interface: str
    default_minor: int

    @property
    def key(self) -> Key:
        return (0, self.interface, 0)

    @property
    def needs(self) -> tuple[Key, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLimit:
    """The most segments in one offloaded packet of an interface: a thin class must not get 64 KB at once."""

    interface: str
    segments: int

    @property
    def key(self) -> Key:
        return (1, self.interface, 0)

    @property
    def needs(self) -> tuple[Key, ...]:
        return ((0, self.interface, 0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class HtbClass:
    """One HTB class. rate: guaranteed, ceil: the most, bytes/s; parent_minor 0: right below the root.

    burst_ns, ceil_burst_ns: how long it may send at full tilt, in time at its rate and ceil.
    """

    interface: str
    minor: int
    parent_minor: int
    rate_bytes_per_s: int
    ceil_bytes_per_s: int
    burst_ns: int
    ceil_burst_ns: int
    quantum_bytes: int
    priority: int

    @property
    def key(self) -> Key:
        return (2 if self.parent_minor == 0 else 3, self.interface, self.minor)

    @property
    def needs(self) -> tuple[Key, ...]:
        if self.parent_minor == 0:
            return ((0, self.interface, 0),)
        return ((2, self.interface, self.parent_minor),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fifo:
    """The short byte-bounded queue of a leaf class."""

    interface: str
    minor: int
    limit_bytes: int

    @property
    def key(self) -> Key:
        return (4, self.interface, self.minor)

    @property
    def needs(self) -> tuple[Key, ...]:
        return ((3, self.interface, self.minor),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Sends TCP packets for destination:port to a class; with port None, all IPv4 packets for destination."""

    interface: str
    priority: int
    destination: str
    port: int | None
    minor: int

    @property
    def key(self) -> Key:
        return (5, self.interface, self.priority)

    @property
    def needs(self) -> tuple[Key, ...]:
        return ((3, self.interface, self.minor),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The next hop of one flow, in a table of its own. source: the address that a local sender takes."""

    table: int
    destination: str
    via: str
    interface: str
    source: str | None

    @property
    def key(self) -> Key:
        return (6, self.destination, self.table)

    @property
    def needs(self) -> tuple[Key, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Sends TCP packets for destination to a routing table: by the port they go to, or come from."""

    destination: str
    side: Literal["dport", "sport"]
    port: int
    table: int

    @property
    def key(self) -> Key:
        return (7, f"{self.destination} {self.side} {self.port}", self.table)

    @property
    def needs(self) -> tuple[Key, ...]:
        return ()


Item: TypeAlias = Root | SegmentLimit | HtbClass | Fifo | Filter | Route | Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """All items, in the order in which they can be made."""

    items: tuple[Item, ...] = ()

    @staticmethod
    def of(items: Mapping[Key, Item] | tuple[Item, ...] | list[Item]) -> NetworkState:
        listed = items.values() if isinstance(items, Mapping) else items
        return NetworkState(items=tuple(sorted(listed, key=lambda item: item.key)))

    def by_key(self) -> dict[Key, Item]:
        return {item.key: item for item in self.items}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One step: make an item, give an existing one new settings, or take it away."""

    action: Literal["add", "change", "remove"]
    item: Item


class KernelRefusalError(Exception):
    """The kernel said no. number: its errno; reason: its own words."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.reason = reason


class Netlink(Protocol):
    """What the manager needs of a kernel: KernelNetlink, or FakeNetlink in tests."""

    def interfaces(self) -> tuple[str, ...]:
        """Names of the interfaces of this network namespace."""
        ...

    def foreign_qdisc(self, interface: str) -> str | None:
        """The root qdisc that somebody else made on purpose ("tbf 8001:"), or None."""
        ...

    def remove_foreign_qdisc(self, interface: str) -> None: ...

    def read(self) -> NetworkState:
        """Everything in this namespace that carries our marks."""
        ...

    def apply(self, operation: Operation) -> None:
        """Raises KernelRefusalError when the kernel says no; then nothing has changed."""
        ...

    def class_counters(self, interface: str) -> Mapping[int, FlowCounters]:
        """Counters of our classes on an interface, by minor number; empty when there are none."""
        ...

    def close(self) -> None: ...
