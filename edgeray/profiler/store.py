"""Profiles on disk: one JSON file a job fingerprint and device type, so that a second run is instant."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeray.errors import EdgeRayError
from edgeray.profiler.cuts import CutMeasurements, merge_cuts
from edgeray.profiler.measure import TaskMeasurement
from policies.model import Device, Profile, TaskId

TaskMeasurements = Mapping[TaskId, TaskMeasurement]
Measurements = TaskMeasurements | CutMeasurements
"""Of one device type: by task, or of a job that trains a model, by cut."""


class ProfileStore:
    """Keyed by what was measured (code, arguments, input) and on what (device type, its cpus)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder() / "profiles"

    def get(self, fingerprint: str, device: Device) -> Measurements | None:
        """What was measured before, or None. A damaged file, or one of another version, counts as none."""
        try:
            found = json.loads(self._path(fingerprint, device).read_text())
            if isinstance(found, dict):
                return CutMeasurements.of(found)
            return {TaskId(row["task"]): TaskMeasurement(**row) for row in found}
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, fingerprint: str, device: Device, measurements: Measurements) -> None:
        """Written whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found: Any = (
            measurements.as_json()
            if isinstance(measurements, CutMeasurements)
            else [asdict(row) for row in measurements.values()]
        )
        with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, suffix=".part") as file:
            json.dump(found, file)
        Path(file.name).replace(self._path(fingerprint, device))

    def _path(self, fingerprint: str, device: Device) -> Path:
        return self._folder / f"{fingerprint}-{device.type}-{device.cpus:g}cpu.json"


def cache_folder() -> Path:
    return Path(os.environ.get("EDGERAY_CACHE_DIR") or Path.home() / ".cache" / "edgeray")


def merge(by_type: Mapping[str, Measurements]) -> Profile:
    """One Profile of the measurements on each device type.

    Bytes and memory do not depend on the device; where types differ the largest stands. Raises EdgeRayError where
    types do not agree on what was measured.
    """
    cuts = {kind: found for kind, found in by_type.items() if isinstance(found, CutMeasurements)}
    rows_of = {kind: found for kind, found in by_type.items() if not isinstance(found, CutMeasurements)}
    if cuts and rows_of:
        raise EdgeRayError(
            f"on type {min(cuts)} a model's cuts were measured, and on type {min(rows_of)} tasks\n"
            "  remedy:   measure again: edgeray profile --again"
        )
    if cuts:
        return Profile(seconds={}, output_bytes={}, peak_memory_bytes={}, cuts=merge_cuts(cuts))
    return _merge_tasks(rows_of)


def _merge_tasks(by_type: Mapping[str, TaskMeasurements]) -> Profile:
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
