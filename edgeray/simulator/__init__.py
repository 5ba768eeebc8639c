"""The live system's scheduler and policies under a virtual clock."""

from edgeray.simulator.cameras import Course, SimulatedCameras, simulate_cameras
from edgeray.simulator.outcome import Outcome, SimulatedJob
from edgeray.simulator.scenario import (
    Arrival,
    DeviceFails,
    DeviceReturns,
    Disturbance,
    LinkChanges,
    Scenario,
)
from edgeray.simulator.simulate import simulate
from edgeray.simulator.training import SimulatedTraining, simulate_training

__all__ = [
    "Arrival",
    "Course",
    "DeviceFails",
    "DeviceReturns",
    "Disturbance",
    "LinkChanges",
    "Outcome",
    "Scenario",
    "SimulatedCameras",
    "SimulatedJob",
    "SimulatedTraining",
    "simulate",
    "simulate_cameras",
    "simulate_training",
]
