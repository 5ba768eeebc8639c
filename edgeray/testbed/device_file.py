"""The file that tells the node actor which device it is on, and what its links are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeray.errors import BadInputError
from edgeray.network.types import DeviceNetwork, LinkPort


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """One device. enforcement_hint: "tc" where `up` expects tc to work, "pacing" where it knows it cannot.

    takeover: whether the network manager may replace a root qdisc that it did not make.
    """

    type: str
    cpus: float
    memory_bytes: float
    enforcement_hint: str
    takeover: bool
    network: DeviceNetwork

    @property
    def device(self) -> str:
        return str(self.network.device)

    @property
    def address(self) -> str:
        return self.network.address


def read(path: str | Path) -> DeviceFile:
    """The device that path describes.

    Raises BadInputError when the file is missing or is not a device file.
    """
    try:
        data = json.loads(Path(path).read_text())
        ports = tuple(LinkPort(**port) for port in data["ports"])
        return DeviceFile(
            type=data["type"],
            cpus=data["cpus"],
            memory_bytes=data["memory_bytes"],
            enforcement_hint=data["enforcement_hint"],
            takeover=data["takeover"],
            network=DeviceNetwork(device=data["device"], address=data["address"], ports=ports),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path}: not a device file: {error}\n"
            "  expected: JSON that edgeray up or edgeray join wrote\n"
            "  remedy:   edgeray down, then edgeray up or edgeray join again"
        ) from error


def write(path: Path, device: DeviceFile) -> None:
    """Write device to path, in the form that read understands."""
    data = {
        "device": device.device,
        "type": device.type,
        "address": device.address,
        "cpus": device.cpus,
        "memory_bytes": device.memory_bytes,
        "enforcement_hint": device.enforcement_hint,
        "takeover": device.takeover,
        "ports": [asdict(port) for port in device.network.ports],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")
