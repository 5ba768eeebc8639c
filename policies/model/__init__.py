"""The types that every policy and the runtime share."""

from policies.model.ids import CameraId, DeviceId, FlowId, JobId, LinkId, TaskId
from policies.model.job import Camera, CutProfile, Flow, Job, Mode, Profile, Streams, Task, Training, Workload
from policies.model.network import Device, Link, Network, link_id
from policies.model.plan import (
    Decision,
    Infeasible,
    Mapped,
    Plan,
    Policy,
    Rounds,
    RunningJob,
    Snapshot,
    StreamPlacement,
    Timetable,
)

__all__ = [
    "Camera",
    "CameraId",
    "CutProfile",
    "Decision",
    "Device",
    "DeviceId",
    "Flow",
    "FlowId",
    "Infeasible",
    "Job",
    "JobId",
    "Link",
    "LinkId",
    "Mapped",
    "Mode",
    "Network",
    "Plan",
    "Policy",
    "Profile",
    "Rounds",
    "RunningJob",
    "Snapshot",
    "StreamPlacement",
    "Streams",
    "Task",
    "TaskId",
    "Timetable",
    "Training",
    "Workload",
    "link_id",
]
