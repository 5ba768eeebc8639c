"""What jobs take on each device type: their tasks (seconds, bytes, memory), or the cuts of a model that is trained."""

from edgeray.profiler.cuts import CutMeasurements
from edgeray.profiler.fleet import FleetProfiler
from edgeray.profiler.measure import TaskMeasurement, measure
from edgeray.profiler.store import Measurements, ProfileStore, merge

__all__ = [
    "CutMeasurements",
    "FleetProfiler",
    "Measurements",
    "ProfileStore",
    "TaskMeasurement",
    "measure",
    "merge",
]
