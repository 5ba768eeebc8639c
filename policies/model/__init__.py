"""The types that every policy and the runtime share."""

from policies.model.ids import DeviceId, FlowId, JobId, LinkId, TaskId
from policies.model.job import Flow, Job, Mode, Profile, Task, Workload
from policies.model.network import Device, Link, Network, link_id
from policies.model.plan import Decision, Infeasible, Plan, Policy, RunningJob, Snapshot, Timetable

__all__ = [
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
    "RunningJob",
    "Snapshot",
    "Task",
    "TaskId",
    "Timetable",
    "Workload",
    "link_id",
]
