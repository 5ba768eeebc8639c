"""Make an emulated device slower or faster while jobs run, without telling them: for experiments."""

from __future__ import annotations

from pathlib import Path

from edgeray.errors import BadInputError, TestbedError
from edgeray.testbed import cgroups
from edgeray.testbed.state import require_current


def throttle(device: str, cpus: float) -> tuple[Path, ...]:
    """From now on the device's stages have so many cores; the files that were written.

    What the cluster file says is still what profiles, plans and telemetry reckon with. Raises BadInputError for a
    device that the cluster that is up does not have, and TestbedError where no control group limits it.
    """
    state = require_current()
    if device not in state.devices:
        raise BadInputError(
            f"no device {device!r}; the cluster has {', '.join(state.devices)}\n  remedy:   name one of these"
        )
    return limit(tuple(Path(folder) for folder in state.devices[device].stage_cgroups), device, cpus)


def limit(folders: tuple[Path, ...], device: str, cpus: float) -> tuple[Path, ...]:
    """Write the CPU quota into a device's stages groups, of version 1 or 2."""
    if not cpus > 0:
        raise BadInputError(f"--cpus {cpus:g}: expected a number above 0, such as 0.1 for a tenth of a core")
    quota_us = max(cgroups.CPU_QUOTA_MIN_US, round(cpus * cgroups.CPU_PERIOD_US))
    wanted = {"cpu.cfs_quota_us": str(quota_us), "cpu.max": f"{quota_us} {cgroups.CPU_PERIOD_US}"}
    written = []
    for folder in folders:
        for file, value in wanted.items():
            if (folder / file).exists():
                (folder / file).write_text(value)
                written.append(folder / file)
    if not written:
        raise TestbedError(
            f"{device} has no CPU limit that could be changed: it is no emulated device, or cgroups cannot be used here\n"
            "  remedy:   edgeray doctor says what is missing"
        )
    return tuple(written)
