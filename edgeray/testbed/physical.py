"""Real devices: start the head's raylet, and join a device to a head."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from edgeray.errors import BadInputError
from edgeray.network.discover import discover_ports
from edgeray.network.types import DeviceNetwork
from edgeray.testbed import cleanup, description, device_file, raylets
from edgeray.testbed import state as states
from edgeray.testbed.command import run
from edgeray.testbed.description import Description
from edgeray.testbed.device_file import DeviceFile
from edgeray.testbed.state import ClusterState, DeviceState
from policies.model import DeviceId

Progress = Callable[[str], None]


def start_head(
    cluster: Description, tag: str, *, cluster_file: str, fingerprint: str, progress: Progress
) -> ClusterState:
    """Start the head's raylet on this machine and say how the other devices join.

    Raises BadInputError when this machine does not have the head's address.
    """
    address = cluster.addresses[cluster.head]
    if address not in own_addresses():
        raise BadInputError(
            f"the head {cluster.head} has the address {address}, which this machine does not have\n"
            f"  expected: one of {', '.join(sorted(own_addresses()))}\n"
            f"  remedy:   run edgeray up on {cluster.head}, or correct its address in {cluster_file}"
        )
    token = secrets.token_hex(32)
    state = _start(cluster, cluster.head, tag, token, "physical", cluster_file, fingerprint, False, progress)
    description.publish(cluster, state.gcs_address, Path(state.token_path))
    progress(f"up: {state.gcs_address}, dashboard {state.dashboard_url}")
    others = sorted(set(cluster.addresses) - {cluster.head})
    if others:
        progress(f"on each other device, with a copy of {state.token_path}:")
    for id in others:
        kind = cluster.network.devices[id].type
        progress(f"  {id}: edgeray join {state.gcs_address} --type {kind} --device {id} --token-file TOKEN")
    return state


def join_head(
    head: str,
    tag: str,
    *,
    type: str | None,
    device: str | None,
    token: str,
    takeover: bool,
    progress: Progress,
) -> ClusterState:
    """Start this machine's raylet as a device of the cluster at head ("address:port").

    Raises BadInputError for a device or type that the cluster's description does not have.
    """
    states.state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_token(token)
    progress(f"asking {head} for the cluster's description")
    cluster = description.fetch(head, states.state_dir() / "token")
    id = identify(cluster, own_addresses(), device=device, type=type)
    progress(f"joining {cluster.name} as {id}")
    return _start(cluster, id, tag, token, "joined", head, head, takeover, progress)


def identify(cluster: Description, own: frozenset[str], *, device: str | None, type: str | None) -> DeviceId:
    """Which device of cluster this machine is: the one named, else the one whose address it has.

    Raises BadInputError that lists the devices when none or another type fits.
    """
    listed = ", ".join(f"{id} ({cluster.addresses[id]})" for id in sorted(cluster.addresses))
    found = [id for id in sorted(cluster.addresses) if device in (None, id) and cluster.addresses[id] in own]
    if not found:
        who = f"device {device}" if device else "this machine"
        raise BadInputError(
            f"{who} is not at an address of {cluster.name}; this machine has {', '.join(sorted(own))}\n"
            f"  expected: {listed}\n  remedy:   add it to the head's cluster file, or correct its address there"
        )
    known = cluster.network.devices[found[0]].type
    if type not in (None, known):
        raise BadInputError(
            f"{found[0]} is of type {known}, not {type}\n"
            f"  expected: --type {known}\n  remedy:   use that, or change the head's cluster file"
        )
    return found[0]


def make_device_file(
    cluster: Description, id: DeviceId, *, network: DeviceNetwork, takeover: bool
) -> DeviceFile:
    """The device file of id, whose ports are network's."""
    device = cluster.network.devices[id]
    return DeviceFile(
        type=device.type,
        cpus=device.cpus,
        memory_bytes=device.memory_bytes,
        enforcement_hint="tc",
        takeover=takeover,
        network=network,
    )


def own_addresses() -> frozenset[str]:
    """This machine's IPv4 addresses, loopback left out unless it is a /32 that somebody set."""
    links = json.loads(run(["ip", "-json", "-4", "address"], what="list this machine's addresses") or "[]")
    found = (info["local"] for link in links for info in link.get("addr_info", ()))
    return frozenset(address for address in found if not address.startswith("127."))


def _start(
    cluster: Description,
    id: DeviceId,
    tag: str,
    token: str,
    mode: str,
    source: str,
    fingerprint: str,
    takeover: bool,
    progress: Progress,
) -> ClusterState:
    folder, temp = states.state_dir(), cleanup.temp_dir(tag)
    head = cluster.addresses[cluster.head]
    gcs_address = source if mode == "joined" else f"{head}:{raylets.GCS_PORT}"
    device = DeviceState(
        id=id,
        type=cluster.network.devices[id].type,
        address=cluster.addresses[id],
        netns=None,
        device_file=str(folder / "devices" / f"{id}.json"),
        output_root=str(folder / "outputs" / id),
        temp_dir=str(temp),
    )
    state = ClusterState(
        name=cluster.name,
        tag=tag,
        mode=mode,
        phase="starting",
        head=cluster.head,
        gcs_address=gcs_address,
        dashboard_url=f"http://{head}:{raylets.DASHBOARD_PORT}",
        token_path=str(folder / "token"),
        temp_dir=str(temp),
        cluster_file=source,
        fingerprint=fingerprint,
        boot_id=states.boot_id(),
        devices={id: device},
    )
    states.write(state)
    cleanup.make_temp_dir(tag)
    _write_token(token)
    file = make_device_file(
        cluster,
        id,
        network=discover_ports(cluster.addresses, cluster.network.links, id),
        takeover=takeover,
    )
    device_file.write(Path(device.device_file), file)
    Path(device.output_root).mkdir(parents=True, exist_ok=True)
    raylets.start([_raylet(file, state, device)], progress=progress)
    raylets.wait_for_nodes(state.dashboard_url, Path(state.token_path), [id], enter=())
    state = dataclasses.replace(state, phase="up")
    states.write(state)
    return state


def _raylet(file: DeviceFile, state: ClusterState, device: DeviceState) -> raylets.Raylet:
    environment: Mapping[str, str] = raylets.raylet_environment(
        file,
        device_file=Path(device.device_file),
        stage_groups=(),
        output_root=Path(device.output_root),
        temp_dir=device.temp_dir,
        token=Path(state.token_path),
        tag=state.tag,
        marked=True,
    )
    return raylets.Raylet(
        device=device.id,
        enter=(),
        groups=(),
        argv=raylets.start_argv(
            file,
            temp_dir=device.temp_dir,
            head_address=state.gcs_address if state.mode == "joined" else None,
        ),
        environment=environment,
        log=Path(device.temp_dir) / "ray-start.log",
    )


def _write_token(token: str) -> None:
    path = states.state_dir() / "token"
    path.touch(mode=0o600)
    path.write_text(token)
