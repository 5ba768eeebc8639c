"""How a process gets into the cluster's head device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgeray.errors import BadInputError
from edgeray.testbed import namespaces
from edgeray.testbed.raylets import auth_environment, clean_environment, device_environment
from edgeray.testbed.state import ClusterState, DeviceState


def holder_prefix(holder_pid: int) -> tuple[str, ...]:
    """Into the namespaces that the holder keeps (userns mode); nothing without a holder."""
    if not holder_pid:
        return ()
    here = Path.cwd()  # a mount namespace is entered at its root
    return (
        "nsenter",
        f"--target={holder_pid}",
        "--user",
        "--mount",
        "--net",
        f"--wdns={here}",
        "--preserve-credentials",
        "--",
    )


def device_prefix(holder_pid: int, netns: str | None) -> tuple[str, ...]:
    """Into one device's network namespace; nothing where devices have none."""
    if netns is None:
        return ()
    return (*holder_prefix(holder_pid), "nsenter", f"--net={namespaces.NETNS_FOLDER / netns}", "--")


def device_command(state: ClusterState, device: str, argv: Sequence[str]) -> list[str]:
    """argv as it must be run to be on device: unchanged for a process that is there already.

    Raises BadInputError for a device that is not on this machine.
    """
    if device not in state.devices:
        raise BadInputError(
            f"device {device!r} is not on this machine\n  expected: {', '.join(state.devices)}\n"
            "  remedy:   name one of them, or run the command there"
        )
    if os.environ.get("EDGERAY_INSIDE") == f"{state.tag}:{device}":
        return list(argv)
    return [*device_prefix(state.holder_pid, state.devices[device].netns), *argv]


def head_command(state: ClusterState, argv: Sequence[str]) -> list[str]:
    """argv as it must be run to talk to the head; run it with head_environment.

    On an emulated cluster that is on the head device; on a device that has joined, it is right here.
    """
    return device_command(state, _here(state).id, argv)


def head_environment(state: ClusterState) -> dict[str, str]:
    """The environment of a process of head_command, which talks to Ray and to EdgeRay's actors."""
    device = _here(state)
    return {
        **clean_environment(),
        **auth_environment(Path(state.token_path)),
        "RAY_ADDRESS": state.gcs_address,
        "RAY_API_SERVER_ADDRESS": state.dashboard_url,
        "RAY_USAGE_STATS_ENABLED": "0",
        "EDGERAY_CLUSTER": state.name,
        **device_environment(
            state.tag, device.id, device_file=Path(device.device_file), output_root=Path(device.output_root)
        ),
    }


def _here(state: ClusterState) -> DeviceState:
    """The head where it is on this machine, else the one device that has joined from here."""
    return state.devices.get(state.head) or next(iter(state.devices.values()))
