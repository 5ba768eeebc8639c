"""The cluster's description as the head of a real cluster serves it, in Ray's own key-value store.

usage: python -m edgeray.testbed.description put|get GCS_ADDRESS      (JSON on standard input or output)
A process of its own, because Ray reads its authentication settings once, when it is imported.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeray.errors import ClusterError, TestbedError
from edgeray.testbed.command import run
from edgeray.testbed.raylets import auth_environment, clean_environment
from policies.model import Device, DeviceId, Link, LinkId, Network

KEY = b"cluster"
NAMESPACE = b"edgeray"
TIMEOUT_S = 15
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A real cluster: who is in it, and at which address."""

    name: str
    head: DeviceId
    network: Network
    addresses: Mapping[DeviceId, str]


def to_json(description: Description) -> str:
    network = description.network
    return json.dumps(
        {
            "name": description.name,
            "head": description.head,
            "devices": [asdict(device) for _, device in sorted(network.devices.items())],
            "links": [asdict(link) for _, link in sorted(network.links.items())],
            "addresses": dict(description.addresses),
        }
    )


def from_json(text: str) -> Description:
    """Raises ClusterError when text is not what to_json writes (a head of another version)."""
    try:
        data: dict[str, Any] = json.loads(text)
        devices = [Device(**fields) for fields in data["devices"]]
        links = [Link(**{**fields, "ends": tuple(fields["ends"])}) for fields in data["links"]]
        return Description(
            name=data["name"],
            head=data["head"],
            network=Network(
                devices={device.id: device for device in devices},
                links={LinkId(link.id): link for link in links},
            ),
            addresses=data["addresses"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"the head's cluster description cannot be understood: {error}\n"
            "  remedy:   run the same version of EdgeRay on the head and here"
        ) from error


def publish(description: Description, gcs_address: str, token: Path) -> None:
    """Give description to the head, so that devices which join can ask for it."""
    _call("put", gcs_address, token, to_json(description))


def fetch(gcs_address: str, token: Path) -> Description:
    """The description that the head at gcs_address serves.

    Raises ClusterError when the head cannot be reached, refuses the token, or serves none.
    """
    _require_listening(gcs_address)  # Ray itself would try for most of a minute
    try:
        return from_json(_call("get", gcs_address, token, None))
    except TestbedError as error:
        raise ClusterError(
            f"no cluster description from {gcs_address}: {str(error).splitlines()[-1]}\n"
            "  expected: a head that `edgeray up` started from a file with addresses, and its token\n"
            "  remedy:   check the address, the firewall and the token file"
        ) from error


def _require_listening(gcs_address: str) -> None:
    host, _, port = gcs_address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no head at {gcs_address}: {error}\n"
            "  expected: ADDRESS:PORT as `edgeray up` prints it on the head\n"
            "  remedy:   check the address and the firewall, and `edgeray doctor` on the head"
        ) from error


def _call(verb: str, gcs_address: str, token: Path, stdin: str | None) -> str:
    argv = [sys.executable, "-m", "edgeray.testbed.description", verb, gcs_address]
    environment = {**clean_environment(), **auth_environment(token)}
    return run(argv, what=f"{verb} the description", stdin=stdin, environment=environment, timeout_s=60.0)


def main(verb: str, gcs_address: str) -> int:
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    client = GcsClient(address=gcs_address)
    if verb == "put":
        client.internal_kv_put(KEY, sys.stdin.buffer.read(), True, NAMESPACE, TIMEOUT_S)
        return 0
    text = client.internal_kv_get(KEY, NAMESPACE, TIMEOUT_S)
    if text is None:
        print("the head serves no description", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
