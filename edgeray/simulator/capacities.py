"""What each link can carry, now and so far."""

from __future__ import annotations

from collections.abc import Mapping

from policies.model import DeviceId, LinkId, Network


class Capacities:
    """Capacities that change; a link carries nothing while one of its devices is gone."""

    def __init__(self, network: Network) -> None:
        self._whole_bps = {link: spec.capacity_bps for link, spec in network.links.items()}
        self._ends = {link: spec.ends for link, spec in network.links.items()}
        self._links: dict[DeviceId, list[LinkId]] = {device: [] for device in network.devices}
        for link, ends in self._ends.items():
            for device in ends:
                self._links[device].append(link)
        self._gone: set[DeviceId] = set()
        self._since_s: dict[LinkId, float] = {}
        self._could_bits: dict[LinkId, float] = {}

    def bps(self, link: LinkId) -> float:
        if self._gone and not self._gone.isdisjoint(self._ends[link]):
            return 0.0
        return self._whole_bps[link]

    def change(self, link: LinkId, capacity_bps: float, now_s: float) -> list[LinkId]:
        """Returns the links whose capacity may be another one now; so do the others."""
        self._count(link, now_s)
        self._whole_bps[link] = capacity_bps
        return [link]

    def device_fails(self, device: DeviceId, now_s: float) -> list[LinkId]:
        for link in self._links[device]:
            self._count(link, now_s)
        self._gone.add(device)
        return self._links[device]

    def device_returns(self, device: DeviceId, now_s: float) -> list[LinkId]:
        for link in self._links[device]:
            self._count(link, now_s)
        self._gone.discard(device)
        return self._links[device]

    def loads(self, carried_bits: Mapping[LinkId, float], now_s: float) -> dict[LinkId, float]:
        """What was carried over each link, as a part of what it could have carried by now."""
        loads = {}
        for link in self._ends:
            self._count(link, now_s)
            could_bits = self._could_bits[link]
            loads[link] = carried_bits[link] / could_bits if could_bits > 0 else 0.0
        return loads

    def _count(self, link: LinkId, now_s: float) -> None:
        since_s = self._since_s.get(link, 0.0)
        self._could_bits[link] = self._could_bits.get(link, 0.0) + self.bps(link) * (now_s - since_s)
        self._since_s[link] = now_s
