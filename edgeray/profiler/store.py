"""Profiles on disk: one JSON file a job fingerprint and device type, so that a second run is instant."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from edgeray.profiler.measure import TaskMeasurement
from policies.model import Device, Profile, TaskId

Measurements = Mapping[TaskId, TaskMeasurement]


class ProfileStore:
    """Keyed by what was measured (code, arguments, input) and on what (device type, its cpus)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder() / "profiles"

    def get(self, fingerprint: str, device: Device) -> dict[TaskId, TaskMeasurement] | None:
        """What was measured before, or None. A damaged file counts as none."""
        try:
            rows = json.loads(self._path(fingerprint, device).read_text())
            return {TaskId(row["task"]): TaskMeasurement(**row) for row in rows}
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, fingerprint: str, device: Device, measurements: Measurements) -> None:
        """Written whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = [asdict(measurement) for measurement in measurements.values()]
        with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, suffix=".part") as file:
            json.dump(rows, file)
        Path(file.name).replace(self._path(fingerprint, device))

    def _path(self, fingerprint: str, device: Device) -> Path:
        return self._folder / f"{fingerprint}-{device.type}-{device.cpus:g}cpu.json"


def cache_folder() -> Path:
    return Path(os.environ.get("EDGERAY_CACHE_DIR") or Path.home() / ".cache" / "edgeray")


def merge(by_type: Mapping[str, Measurements]) -> Profile:
    """One Profile of the measurements on each device type.

    Bytes and memory do not depend on the device; where types differ the largest stands.
    """
    seconds = {(task, kind): m.seconds_mean for kind, rows in by_type.items() for task, m in rows.items()}
    tasks = sorted({task for rows in by_type.values() for task in rows})
    return Profile(
        seconds=seconds,
        output_bytes={t: max(rows[t].output_bytes for rows in by_type.values() if t in rows) for t in tasks},
        transfer_seconds={
            (task, kind): m.transfer_seconds for kind, rows in by_type.items() for task, m in rows.items()
        },
        peak_memory_bytes={
            t: max(rows[t].memory_bytes for rows in by_type.values() if t in rows) for t in tasks
        },
    )
