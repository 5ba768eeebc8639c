"""Can this machine run EdgeRay, and in which mode? Each check says what it found and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeray.errors import EdgeRayError
from edgeray.network.probe import capabilities
from edgeray.testbed import cgroups, cleanup, modes
from edgeray.testbed import state as states

PYTHON_VERSIONS = ((3, 10), (3, 13))
RAY_VERSIONS = ((2, 55), (2, 999))
NODE_MEMORY_BYTES = 400 * 1024**2
"""An idle device takes 130 MB (the head 480 MB); the rest is room for its node actor and a stage."""
DISK_BYTES = 2 * 1024**3
SHARED_MEMORY_BYTES = 100 * 1024**2
_TOOLS = ("ip", "tc", "nsenter", "setpriv", "unshare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. required: without it EdgeRay does not run at all on this machine."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = False


def checks() -> list[Check]:
    """All checks, in the order in which a person would go through them. Never raises."""
    return [_guarded(check) for check in _CHECKS]


def _guarded(check: Callable[[], Check]) -> Check:
    """A check that fails by itself says so: doctor is for machines where something is wrong."""
    try:
        return check()
    except (OSError, ValueError, KeyError, EdgeRayError, ImportError) as error:
        name = check.__name__.strip("_").replace("_", " ")
        return Check(name=name, ok=False, detail=f"could not be checked: {error}", remedy="report this")


def _python() -> Check:
    low, high = PYTHON_VERSIONS
    return Check(
        name="python",
        ok=low <= sys.version_info[:2] <= high,
        detail=".".join(map(str, sys.version_info[:3])),
        remedy=f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}, the same on all devices",
        required=True,
    )


def _ray() -> Check:
    version = importlib.metadata.version("ray")
    numbers = tuple(int(part) for part in version.split(".")[:2])
    return Check(
        name="ray",
        ok=RAY_VERSIONS[0] <= numbers <= RAY_VERSIONS[1],
        detail=version,
        remedy="pip install 'ray[default]>=2.55,<3'",
        required=True,
    )


def _tools() -> Check:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return Check(
        name="tools",
        ok=not missing,
        detail=f"not found: {', '.join(missing)}" if missing else ", ".join(_TOOLS),
        remedy="apt install iproute2 util-linux",
    )


def _privileges() -> Check:
    return Check(
        name="network administration",
        ok=_has_net_admin(),
        detail="CAP_NET_ADMIN" if _has_net_admin() else f"user {os.getuid()} has no CAP_NET_ADMIN",
        remedy="as root, links on real interfaces are limited by tc; without it senders pace themselves",
    )


def _root_mode() -> Check:
    return _mode("root", "run as root to emulate devices with CPU and memory limits")


def _user_namespaces() -> Check:
    return _mode(
        "userns", "allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_*)"
    )


def _shaping() -> Check:
    """What the network manager needs of the kernel, tried in a namespace that ends with the trial."""
    found = capabilities()
    if not found.shaping:
        detail = "; ".join(f"no {name}: {reason}" for name, reason in sorted(found.reasons.items()))
        remedy = "run as root, and load sch_htb and cls_u32 (modprobe); until then senders pace themselves"
        return Check(name="link shaping", ok=False, detail=detail, remedy=remedy)
    return Check(name="link shaping", ok=True, detail="HTB and u32 work")


def _cgroups() -> Check:
    found = cgroups.find_hierarchy()
    missing = "; ".join(f"no {name}: {reason}" for name, reason in sorted(found.missing.items()))
    return Check(
        name="cgroups",
        ok=not found.missing,
        detail=f"version {found.version}" + (f"; {missing}" if missing else ", cpu and memory"),
        remedy="as root, or: systemd-run --user --scope -p Delegate=yes edgeray up ...; else devices are not limited",
    )


def _memory() -> Check:
    available = _available_memory_bytes()
    count = available // NODE_MEMORY_BYTES
    return Check(
        name="memory",
        ok=count >= 3,
        detail=f"{available / 1e9:.1f} GB available, enough for about {count} emulated devices",
        remedy="free some memory, or describe fewer devices",
    )


def _disk() -> Check:
    free = shutil.disk_usage(cleanup.TEMP_ROOT).free
    shared = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0  # noqa: S108
    return Check(
        name="disk",
        ok=free >= DISK_BYTES and shared >= SHARED_MEMORY_BYTES,
        detail=f"{free / 1e9:.1f} GB free in {cleanup.TEMP_ROOT}, {shared / 1e9:.1f} GB in /dev/shm",
        remedy=f"keep {DISK_BYTES / 1e9:.0f} GB free in {cleanup.TEMP_ROOT}; in a container, enlarge --shm-size",
    )


def _cluster() -> Check:
    present = states.current()
    if present is not None:
        return Check(name="cluster", ok=True, detail=f"{present.name} is up in {present.mode} mode")
    left = cleanup.leftovers_of(states.current_tag())
    if left and states.read() is not None:
        detail = "one is starting, or its start was cut off"
        return Check(
            name="cluster", ok=False, detail=detail, remedy="wait for edgeray up to end, or edgeray down"
        )
    return Check(
        name="cluster",
        ok=not left,
        detail=f"none is up, but left behind: {', '.join(left[:5])}"
        if left
        else "none is up; nothing left behind",
        remedy="edgeray down",
    )


def _mode(mode: str, remedy: str) -> Check:
    obstacle = modes.why_not(mode)
    return Check(name=f"{mode} mode", ok=obstacle is None, detail=obstacle or "works", remedy=remedy)


def _has_net_admin() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 12 & 1)
    return False


def _available_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


_CHECKS: tuple[Callable[[], Check], ...] = (
    _python,
    _ray,
    _tools,
    _privileges,
    _root_mode,
    _user_namespaces,
    _shaping,
    _cgroups,
    _memory,
    _disk,
    _cluster,
)
