"""Seconds per item, bytes per output and peak memory of each task, per device type."""

from edgeray.profiler.fleet import FleetProfiler
from edgeray.profiler.measure import TaskMeasurement, measure
from edgeray.profiler.store import ProfileStore, merge

__all__ = ["FleetProfiler", "ProfileStore", "TaskMeasurement", "measure", "merge"]
