"""Control groups that give an emulated device its CPU quota and memory limit; version 1 and version 2.

For each device: `system` (raylet and runtime: its memory is counted, nothing is capped) and `stages` (the
job's processes: CPU quota and memory limit of the device).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CPU_PERIOD_US = 50_000
"""Shorter than the kernel's 100 ms, so that a device with a fraction of a CPU stalls less at a time."""
CPU_QUOTA_MIN_US = 1_000
CONTROLLERS = ("cpu", "cpuacct", "memory")
LIMITING = ("cpu", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """Where this process may make groups. parents: folder by controller; version 2 has one for all.

    missing: the controllers among cpu and memory that cannot be used, with the reason.
    """

    version: int
    parents: Mapping[str, Path]
    missing: Mapping[str, str]

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self.parents.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGroups:
    """The folders of one device's groups."""

    system: tuple[Path, ...]
    stages: tuple[Path, ...]


def find_hierarchy(mountinfo: str | None = None, own: str | None = None) -> Hierarchy:
    """What this process may use: version 1 controllers where they are mounted, else version 2.

    mountinfo, own: the texts of /proc/self/mountinfo and /proc/self/cgroup; read when not given.
    """
    mounts = list(_mounts(_read("/proc/self/mountinfo") if mountinfo is None else mountinfo))
    paths = _own_paths(_read("/proc/self/cgroup") if own is None else own)
    v1 = {
        controller: (point, paths.get(controller, "/"))
        for kind, point, options in mounts
        if kind == "cgroup"
        for controller in CONTROLLERS
        if controller in options
    }
    if any(controller in v1 for controller in LIMITING):
        return _hierarchy_v1(v1)
    v2 = [point for kind, point, _ in mounts if kind == "cgroup2"]
    if v2:
        return _hierarchy_v2(v2[0], paths.get("", "/"))
    return Hierarchy(version=0, parents={}, missing=dict.fromkeys(LIMITING, "no cgroup file system"))


def make_root(hierarchy: Hierarchy, name: str) -> None:
    """Make the cluster's own group; on version 2, let groups below it have limits."""
    for folder in hierarchy.folders:
        (folder / name).mkdir(exist_ok=True)
    if hierarchy.version == 2:
        for folder in hierarchy.folders:
            _delegate(folder, hierarchy)
            _delegate(folder / name, hierarchy)


def make_device(
    hierarchy: Hierarchy, name: str, device: str, *, cpus: float, memory_bytes: float
) -> DeviceGroups:
    """Make the groups of one device below the cluster's, with its limits."""
    groups = device_groups(hierarchy, name, device)
    for folder in (*groups.system, *groups.stages):
        folder.mkdir(parents=True, exist_ok=True)
    if hierarchy.version == 2:
        for folder in groups.stages:
            _delegate(folder.parent, hierarchy)
    for file, value in limits(hierarchy, cpus=cpus, memory_bytes=memory_bytes):
        for folder in groups.stages:
            if (folder / file).exists():
                (folder / file).write_text(value)
    return groups


def device_groups(hierarchy: Hierarchy, name: str, device: str) -> DeviceGroups:
    bases = tuple(folder / name / device for folder in hierarchy.folders)
    return DeviceGroups(
        system=tuple(base / "system" for base in bases), stages=tuple(base / "stages" for base in bases)
    )


def limits(hierarchy: Hierarchy, *, cpus: float, memory_bytes: float) -> tuple[tuple[str, str], ...]:
    """Control files of a stages group, in the order in which to write them, and their values."""
    quota_us = max(CPU_QUOTA_MIN_US, round(cpus * CPU_PERIOD_US))
    memory = str(max(1, round(memory_bytes)))
    if hierarchy.version == 2:
        wanted: tuple[tuple[str, str], ...] = (
            ("cpu.max", f"{quota_us} {CPU_PERIOD_US}"),
            ("memory.max", memory),
            ("memory.swap.max", "0"),
        )
    else:
        wanted = (
            ("cpu.cfs_period_us", str(CPU_PERIOD_US)),
            ("cpu.cfs_quota_us", str(quota_us)),
            ("memory.limit_in_bytes", memory),
            ("memory.memsw.limit_in_bytes", memory),
        )
    return tuple((file, value) for file, value in wanted if file.split(".")[0] in hierarchy.parents)


def procs_files(folders: Iterable[str | Path]) -> tuple[str, ...]:
    """The files to write a process id to."""
    return tuple(str(Path(folder) / "cgroup.procs") for folder in folders)


def find(name_prefix: str, mountinfo: str | None = None) -> tuple[Path, ...]:
    """Every group whose name starts with name_prefix, wherever it hangs; parents before children."""
    found = []
    for kind, point, _ in _mounts(_read("/proc/self/mountinfo") if mountinfo is None else mountinfo):
        if kind in ("cgroup", "cgroup2"):
            for folder, names, _files in os.walk(point):
                ours = sorted(name for name in names if name.startswith(name_prefix))
                found += [Path(folder) / name for name in ours]
                names[:] = [name for name in names if name not in ours]
    return tuple(found)


def processes(group: Path) -> tuple[int, ...]:
    """The processes in group and all groups below it."""
    pids: set[int] = set()
    for folder, _, _ in os.walk(group):
        pids.update(int(line) for line in _read(Path(folder) / "cgroup.procs").split() if line != "0")
    return tuple(sorted(pids))


def remove(group: Path) -> bool:
    """Remove group and all below it, which must have no processes. False when the kernel still holds one."""
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _hierarchy_v1(mounted: Mapping[str, tuple[Path, str]]) -> Hierarchy:
    parents, missing = {}, {}
    for controller in CONTROLLERS:
        if controller not in mounted:
            reason = "not mounted"
        elif (parent := _topmost_writable(*mounted[controller])) is not None:
            parents[controller] = parent
            continue
        else:
            reason = f"{mounted[controller][0]} is not writable for this user"
        if controller in LIMITING:
            missing[controller] = reason
    return Hierarchy(version=1, parents=parents, missing=missing)


def _hierarchy_v2(point: Path, own: str) -> Hierarchy:
    parent = _topmost_writable(point, own)
    if parent is None:
        reason = f"{point}{own} is not delegated to this user"
        return Hierarchy(version=2, parents={}, missing=dict.fromkeys(LIMITING, reason))
    offered = _read(parent / "cgroup.controllers").split()
    usable = [name for name in LIMITING if name in offered]
    missing = {name: f"{parent} does not offer it" for name in LIMITING if name not in offered}
    real_root = not (parent / "cgroup.type").exists()
    if usable and not real_root and _read(parent / "cgroup.procs").split():
        # The kernel forbids limits below a group that holds processes itself, except at the real root.
        missing = dict.fromkeys(LIMITING, f"{parent} holds processes itself")
        usable = []
    return Hierarchy(version=2, parents=dict.fromkeys(usable, parent), missing=missing)


def _topmost_writable(point: Path, own: str) -> Path | None:
    """The highest group from the mount point down to the process's own in which it may make groups."""
    folder = point
    for part in ("", *own.strip("/").split("/")):
        folder = folder / part if part else folder
        if os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
            return folder
    return None


def _delegate(folder: Path, hierarchy: Hierarchy) -> None:
    wanted = " ".join(f"+{name}" for name in LIMITING if name in hierarchy.parents)
    enabled = _read(folder / "cgroup.subtree_control").split()
    if not all(name in enabled for name in hierarchy.parents):
        (folder / "cgroup.subtree_control").write_text(wanted)


def _mounts(mountinfo: str) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """(file system type, mount point, super options) of each line; format: man 5 proc_pid_mountinfo."""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        if separator:
            kind, _, options = after.split(" ", 2)
            point = before.split(" ")[4].encode().decode("unicode_escape")
            yield kind, Path(point), tuple(options.split(","))


def _own_paths(text: str) -> dict[str, str]:
    """Path by controller from /proc/self/cgroup; version 2's has the empty name."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
