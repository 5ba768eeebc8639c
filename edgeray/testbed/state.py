"""What `edgeray up` made, kept on disk so that `edgeray down` and every other command can find it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeray.errors import TestbedError

STATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """One device of the cluster that is up.

    netns: name of its network namespace, None where it has none. system_cgroups and stage_cgroups: its
    cgroup folders, one a controller (v1) or one in all (v2), empty where there are none.
    """

    id: str
    type: str
    address: str
    netns: str | None
    device_file: str
    output_root: str
    temp_dir: str
    system_cgroups: tuple[str, ...] = ()
    stage_cgroups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """A cluster on this machine. phase is "starting" until every device has joined, then "up".

    tag: the prefix "er-<tag>" marks all that belongs to it. holder_pid: of the process that holds the user
    namespace (userns mode), else 0. fingerprint: hash of the description, to tell whether an `up` asks for the same.
    boot_id: of the machine when it was made; after a reboot nothing but files is left of it.
    """

    name: str
    tag: str
    mode: str
    phase: str
    head: str
    gcs_address: str
    dashboard_url: str
    token_path: str
    temp_dir: str
    cluster_file: str
    fingerprint: str
    boot_id: str
    devices: Mapping[str, DeviceState]
    holder_pid: int = 0
    notes: tuple[str, ...] = ()
    version: int = STATE_VERSION


def state_dir() -> Path:
    """Where the state lives: $EDGERAY_STATE_DIR, else ~/.local/state/edgeray. One cluster a folder."""
    given = os.environ.get("EDGERAY_STATE_DIR")
    return Path(given).resolve() if given else Path.home() / ".local" / "state" / "edgeray"


def tag_of(folder: Path) -> str:
    """The mark on everything made for the state folder; a pure function of user and path, so never lost."""
    return hashlib.sha256(f"{os.getuid()}:{folder}".encode()).hexdigest()[:7]


def current_tag() -> str:
    return tag_of(state_dir())


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def write(state: ClusterState) -> None:
    """Save state so that a reader sees the old or the new one, never half of it."""
    folder = state_dir()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = folder / f"cluster.json.{os.getpid()}"
    partial.write_text(json.dumps(dataclasses.asdict(state), indent=1) + "\n")
    partial.replace(folder / "cluster.json")


def read() -> ClusterState | None:
    """The saved state, whatever its phase; None when there is none or it cannot be understood."""
    try:
        data = json.loads((state_dir() / "cluster.json").read_text())
        return _from_json(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def current() -> ClusterState | None:
    """The cluster that is up on this machine for this state folder, or None."""
    state = read()
    if state is None or state.phase != "up" or state.boot_id != boot_id():
        return None
    return state


def require_current() -> ClusterState:
    state = current()
    if state is None:
        raise TestbedError(
            f"no cluster is up on this machine (state folder {state_dir()})\n"
            "  remedy:   edgeray up CLUSTER.yaml"
        )
    return state


def forget() -> None:
    """Remove the saved state and the files that only a running cluster needs; job outputs stay."""
    folder = state_dir()
    for path in (*folder.glob("cluster.json*"), folder / "token", *folder.glob("devices/*.json")):
        path.unlink(missing_ok=True)
    if (folder / "devices").is_dir():
        (folder / "devices").rmdir()


def _from_json(data: dict[str, Any]) -> ClusterState | None:
    if data.get("version") != STATE_VERSION:
        return None
    devices = {
        id: DeviceState(
            **{
                **fields,
                "system_cgroups": tuple(fields["system_cgroups"]),
                "stage_cgroups": tuple(fields["stage_cgroups"]),
            }
        )
        for id, fields in data["devices"].items()
    }
    return ClusterState(**{**data, "devices": devices, "notes": tuple(data["notes"])})
