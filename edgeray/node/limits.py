"""The CPU and memory group of a device's stages: cgroup v1 or v2, made by the testbed, absent on real devices.

EDGERAY_STAGE_CGROUP names its cgroup.procs files: one a controller (v1), or one in all (v2).
"""

from __future__ import annotations

import os
from pathlib import Path


def stage_groups() -> tuple[Path, ...]:
    """The group's folders; empty where the device has no limits of its own."""
    return tuple(Path(p).parent for p in os.environ.get("EDGERAY_STAGE_CGROUP", "").split(os.pathsep) if p)


def enter_memory_group() -> None:
    """Count from now on towards the device's memory limit, where memory has a group of its own (v1).

    Called before a stage loads its tasks, so that their models count, while the CPU limit waits: imports
    and loading at a tenth of a core would take minutes. With v2 both limits come together, after loading,
    and what was loaded stays charged to the device's system group.
    """
    for group in stage_groups():
        if not (group / "cpu.cfs_quota_us").exists() and not (group / "cpu.max").exists():
            (group / "cgroup.procs").write_text(str(os.getpid()))


def enter_stage_group() -> bool:
    """Move this process into its device's CPU and memory limits; False where the device has none."""
    groups = stage_groups()
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    return bool(groups)


def group_usage() -> tuple[float, int] | None:
    """CPU seconds used and memory bytes held by all stages together; None where nobody counts them."""
    cpu_s: float | None = None
    memory_bytes: int | None = None
    for group in stage_groups():
        if (group / "cpuacct.usage").exists():
            cpu_s = int((group / "cpuacct.usage").read_text()) / 1e9
        elif "usage_usec" in (stat := _table(group / "cpu.stat")):
            cpu_s = stat["usage_usec"] / 1e6
        for name in ("memory.usage_in_bytes", "memory.current"):
            if (group / name).exists():
                memory_bytes = int((group / name).read_text())
    return None if cpu_s is None or memory_bytes is None else (cpu_s, memory_bytes)


def memory_kills() -> int:
    """How many processes the kernel has killed because the group's memory limit was reached."""
    tables = [
        _table(group / name) for group in stage_groups() for name in ("memory.oom_control", "memory.events")
    ]
    return max((table.get("oom_kill", 0) for table in tables), default=0)


def _table(path: Path) -> dict[str, int]:
    """A cgroup file of "name number" lines; {} when there is none."""
    if not path.exists():
        return {}
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}
