"""What there is: devices and the links between them."""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.model.ids import DeviceId, LinkId


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One piece of hardware. speed_flop_per_s (PS_u) is 0 when unknown: then only profiles tell its time."""

    id: DeviceId
    type: str
    speed_flop_per_s: float = 0.0
    memory_bytes: float
    cpus: float = 1.0
    gpu: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An undirected link; its capacity is shared by both directions. ends are in sorted order."""

    ends: tuple[DeviceId, DeviceId]
    capacity_bps: float
    delay_s: float = 0.0

    @property
    def id(self) -> LinkId:
        return link_id(*self.ends)


def link_id(a: DeviceId, b: DeviceId) -> LinkId:
    """The id of the link between two devices, whatever their order."""
    return LinkId("-".join(sorted((a, b))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Devices and links, each in the order of their ids; at most one link joins two devices."""

    devices: Mapping[DeviceId, Device]
    links: Mapping[LinkId, Link]
