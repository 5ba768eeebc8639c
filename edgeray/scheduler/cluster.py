"""The cluster as it is now: which of the declared devices are here, and what their links carry. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgeray.errors import BadInputError
from policies.model import DeviceId, Job, LinkId, Network


class Cluster:
    """declared: what the cluster file says; what it does not know neither joins nor changes."""

    def __init__(self, declared: Network) -> None:
        self._declared = declared
        self._links = dict(declared.links)
        self._addresses: dict[DeviceId, str] = {}
        self._live: Network | None = None

    @property
    def addresses(self) -> Mapping[DeviceId, str]:
        """Of the devices that have joined."""
        return self._addresses

    @property
    def live(self) -> Network:
        """The devices that are here and the links between them: the same object until something changes."""
        if self._live is None:
            here = self._addresses
            self._live = Network(
                devices={d: device for d, device in self._declared.devices.items() if d in here},
                links={
                    name: link
                    for name, link in self._links.items()
                    if link.ends[0] in here and link.ends[1] in here
                },
            )
        return self._live

    @property
    def complete(self) -> bool:
        """Whether nothing that was declared is away, so that waiting for more is in vain."""
        return len(self._addresses) == len(self._declared.devices) and all(
            link.capacity_bps > 0 or self._declared.links[name].capacity_bps <= 0
            for name, link in self._links.items()
        )

    def join(self, device: DeviceId, address: str) -> bool:
        """False: it is not of this cluster, or already here."""
        if device not in self._declared.devices or device in self._addresses:
            return False
        self._addresses[device] = address
        self._live = None
        return True

    def lose(self, device: DeviceId) -> bool:
        """False: it was not here."""
        if self._addresses.pop(device, None) is None:
            return False
        self._live = None
        return True

    def change_link(self, link: LinkId, capacity_bps: float) -> bool:
        """Capacity 0: the link is of no use. False: no such link, or nothing new."""
        capacity_bps = max(0.0, capacity_bps)
        if link not in self._links or self._links[link].capacity_bps == capacity_bps:
            return False
        self._links[link] = replace(self._links[link], capacity_bps=capacity_bps)
        self._live = None
        return True


def check_pinned(app: str, job: Job, network: Network) -> None:
    """Raises BadInputError when the job pins tasks to devices that the network does not have."""
    unknown = sorted({task.device for task in job.tasks if task.device} - set(network.devices))
    if unknown:
        raise BadInputError(
            f"job {app} pins tasks to {', '.join(unknown)}, which this cluster does not have\n"
            f"  expected: one of {', '.join(sorted(network.devices))}\n"
            "  remedy:   correct `device:` in the job file, or bring up the cluster it was written for"
        )
