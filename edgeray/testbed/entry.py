"""How a process gets into the cluster's head device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeray.testbed import namespaces
from edgeray.testbed.raylets import auth_environment, clean_environment
from edgeray.testbed.state import ClusterState, state_dir


def holder_prefix(holder_pid: int) -> tuple[str, ...]:
    """Into the namespaces that the holder keeps (userns mode); nothing without a holder."""
    if not holder_pid:
        return ()
    return ("nsenter", f"--target={holder_pid}", "--user", "--mount", "--net", "--preserve-credentials", "--")


def device_prefix(holder_pid: int, netns: str | None) -> tuple[str, ...]:
    """Into one device's network namespace; nothing where devices have none."""
    if netns is None:
        return ()
    return (*holder_prefix(holder_pid), "nsenter", f"--net={namespaces.NETNS_FOLDER / netns}", "--")


def device_command(state: ClusterState, device: str, argv: Sequence[str]) -> list[str]:
    """argv as it must be run to be on device."""
    return [*device_prefix(state.holder_pid, state.devices[device].netns), *argv]


def head_command(state: ClusterState, argv: Sequence[str]) -> list[str]:
    """argv as it must be run to be on the head device; run it with head_environment."""
    return device_command(state, state.head, argv)


def head_environment(state: ClusterState) -> dict[str, str]:
    """The environment of a process on the head that talks to Ray and to EdgeRay's actors."""
    head = state.devices[state.head]
    return {
        **clean_environment(),
        **auth_environment(Path(state.token_path)),
        "RAY_ADDRESS": state.gcs_address,
        "RAY_API_SERVER_ADDRESS": state.dashboard_url,
        "RAY_USAGE_STATS_ENABLED": "0",
        "EDGERAY_STATE_DIR": str(state_dir()),
        "EDGERAY_CLUSTER": state.name,
        "EDGERAY_DEVICE": head.id,
        "EDGERAY_DEVICE_FILE": head.device_file,
        "EDGERAY_OUTPUT_ROOT": head.output_root,
    }
