"""Start one raylet a device with `ray start`, and wait until the head knows them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeray.errors import TestbedError
from edgeray.testbed.command import dying_with_parent
from edgeray.testbed.device_file import DeviceFile
from edgeray.testbed.state import state_dir

GCS_PORT = 6379
DASHBOARD_PORT = 8265
OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Ray refuses less than 75 MiB. Flows do not go through the store, so more would only take memory."""
START_TIMEOUT_S = 120.0
JOIN_TIMEOUT_S = 120.0

SYSTEM_CONFIG: Mapping[str, int | bool] = {
    # On a thin link a pull takes longer than Ray's 10 s; each retry sends the object once more.
    "object_manager_pull_timeout_ms": 600_000,
    # What follows, and ENVIRONMENT, keep Ray's own traffic off thin links: an idle raylet of Ray 2.60 then sends
    # 1 kbit/s and gets 2 kbit/s (interface counters over 30 s), where by default it moves 46 kbit/s.
    "enable_metrics_collection": False,
    "metrics_report_interval_ms": 600_000,
    "task_events_report_interval_ms": 0,
    "gcs_pull_resource_loads_period_milliseconds": 60_000,
    "event_stats": False,
    # A device that is cut off for a minute keeps what it runs: its scheduler does without it after 20 s, and takes it
    # back when it is heard of again. By Ray's own limits (65 s of failed checks, 60 s without the head) it would be dead.
    "health_check_failure_threshold": 12,
    "gcs_rpc_server_reconnect_timeout_s": 180,
    # Workers of several devices share this machine's memory; Ray's monitor would see it as one full device.
    "memory_monitor_refresh_ms": 0,
}
ENVIRONMENT: Mapping[str, str] = {
    "REPORTER_UPDATE_INTERVAL_MS": "600000",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    # Stages ask Ray for no GPU, and must see the device's own all the same.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_OF_A_DEVICE = (
    "EDGERAY_TAG",
    "EDGERAY_INSIDE",
    "EDGERAY_CLUSTER",
    "EDGERAY_DEVICE",
    "EDGERAY_DEVICE_FILE",
    "EDGERAY_STAGE_CGROUP",
    "EDGERAY_OUTPUT_ROOT",
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_ENTER_GROUPS = 'IFS=:; for group in $1; do echo $$ > "$group" || exit 90; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Raylet:
    """How to start one device's raylet.

    enter: command prefix that leads into the device's namespace. groups: cgroup.procs files to join first.
    """

    device: str
    enter: tuple[str, ...]
    groups: tuple[str, ...]
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


def start_argv(
    device: DeviceFile,
    *,
    temp_dir: str,
    head_address: str | None,
    own_ports: bool = True,
    dashboard_port: int = DASHBOARD_PORT,
    gcs_port: int = GCS_PORT,
) -> tuple[str, ...]:
    """The `ray start` command of device: the head's when head_address is None, else that of a node that joins it.

    own_ports: the device has all ports of its address to itself (a namespace or a real machine).
    """
    resources = {f"device:{device.device}": 1000, f"type:{device.type}": 1000}
    common = (
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        f"--node-ip-address={device.address}",
        f"--node-name={device.device}",
        f"--resources={json.dumps(resources)}",
        f"--labels=edgeray.device={device.device},edgeray.type={device.type}",
        "--num-cpus=0",
        "--num-gpus=0",
        f"--memory={round(device.memory_bytes)}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={temp_dir}",
        "--disable-usage-stats",
        "--include-log-monitor=false",
        *(() if own_ports else ("--dashboard-agent-listen-port=0",)),
    )
    if head_address is not None:
        return (*common, f"--address={head_address}")
    return (
        *common,
        "--head",
        f"--port={gcs_port}",
        "--include-dashboard=true",
        f"--dashboard-host={device.address}",
        f"--dashboard-port={dashboard_port}",
        "--no-monitor",
        f"--system-config={json.dumps(dict(SYSTEM_CONFIG))}",
    )


def raylet_environment(
    device: DeviceFile,
    *,
    device_file: Path,
    stage_groups: Sequence[str],
    output_root: Path,
    temp_dir: str,
    token: Path,
    tag: str,
    marked: bool,
) -> dict[str, str]:
    """What the raylet and all its workers inherit: ours without any of the caller's RAY_ settings.

    marked: no namespace tells the processes from others, so `down` must know them by the tag they carry.
    temp_dir: where they put temporary files too, so that those go with the cluster.
    """
    return {
        **clean_environment(),
        "TMPDIR": temp_dir,
        **ENVIRONMENT,
        **auth_environment(token),
        **({"EDGERAY_TAG": tag} if marked else {}),
        **device_environment(tag, device.device, device_file=device_file, output_root=output_root),
        "EDGERAY_STAGE_CGROUP": os.pathsep.join(stage_groups),
    }


def clean_environment() -> dict[str, str]:
    """The caller's environment without what would lead elsewhere: Ray's settings, web proxies, another device.

    This interpreter's programs come first on the path, so that `ray job submit -- edgeray ...` finds them.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RAY_") and name not in _OF_A_DEVICE and name.lower() not in _PROXIES
    }
    programs = str(Path(sys.executable).parent)
    others = [folder for folder in kept.get("PATH", os.defpath).split(os.pathsep) if folder != programs]
    return {**kept, "PATH": os.pathsep.join((programs, *others))}


def device_environment(tag: str, device: str, *, device_file: Path, output_root: Path) -> dict[str, str]:
    """What any process on device finds itself by. EDGERAY_INSIDE tells that it need not enter the device again."""
    return {
        "EDGERAY_STATE_DIR": str(state_dir()),
        "EDGERAY_INSIDE": f"{tag}:{device}",
        "EDGERAY_DEVICE": device,
        "EDGERAY_DEVICE_FILE": str(device_file),
        "EDGERAY_OUTPUT_ROOT": str(output_root),
    }


def auth_environment(token: Path) -> dict[str, str]:
    """Token auth, said outright: Ray would else decide by whether a token lies in the home directory."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def start(raylets: Sequence[Raylet], *, progress: Callable[[str], None]) -> None:
    """Start raylets side by side and wait until each `ray start` has done its work.

    Raises TestbedError with the end of Ray's own output.
    """
    running = [(raylet, _spawn(raylet)) for raylet in raylets]
    deadline_s = time.monotonic() + START_TIMEOUT_S
    try:
        for raylet, process in running:
            code = process.wait(timeout=max(0.1, deadline_s - time.monotonic()))
            if code != 0:
                raise TestbedError(f"ray did not start on {raylet.device} (exit {code}): {_tail(raylet.log)}")
            progress(f"  {raylet.device}: raylet runs")
    except subprocess.TimeoutExpired as error:
        raise TestbedError(
            f"ray did not start within {START_TIMEOUT_S:g} s; see {running[0][0].log}"
        ) from error
    finally:
        for _, process in running:
            if process.poll() is None:
                process.kill()
                process.wait()


def wait_for_nodes(dashboard_url: str, token: Path, devices: Sequence[str], *, enter: Sequence[str]) -> None:
    """Wait until the head lists every device as alive.

    Raises TestbedError that names the devices that did not come.
    """
    probe = Path(__file__).with_name("probe.py")
    argv = [
        *enter,
        sys.executable,
        "-S",
        "-E",
        str(probe),
        dashboard_url,
        str(token),
        str(JOIN_TIMEOUT_S),
        *devices,
    ]
    done = subprocess.run(dying_with_parent(argv), capture_output=True, text=True)
    if done.returncode != 0:
        raise TestbedError(f"the cluster did not come up: {(done.stderr or done.stdout).strip()[-1000:]}")


def _spawn(raylet: Raylet) -> subprocess.Popen[bytes]:
    raylet.log.parent.mkdir(parents=True, exist_ok=True)
    argv = ["sh", "-c", _ENTER_GROUPS, "sh", ":".join(raylet.groups), *raylet.enter, *raylet.argv]
    with raylet.log.open("wb") as log:
        return subprocess.Popen(
            dying_with_parent(argv),
            env=dict(raylet.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )


def _tail(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()[-1500:] or "no output"
    except OSError:
        return "no output"
