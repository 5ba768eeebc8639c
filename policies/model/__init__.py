"""The types that every policy and the runtime share."""

from policies.model.ids import DeviceId, FlowId, JobId, LinkId, TaskId
from policies.model.job import CutProfile, Flow, Job, Mode, Profile, Task, Training, Workload
from policies.model.network import Device, Link, Network, link_id
from policies.model.plan import Decision, Infeasible, Plan, Policy, Rounds, RunningJob, Snapshot, Timetable

__all__ = [
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
    "Mode",
    "Network",
    "Plan",
    "Policy",
    "Profile",
    "Rounds",
    "RunningJob",
    "Snapshot",
    "Task",
    "TaskId",
    "Timetable",
    "Training",
    "Workload",
    "link_id",
]
