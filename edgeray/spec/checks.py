"""Checks that need more than one file: does the cluster have what the job asks for, can the job run."""

from edgeray.spec.app import App, Cluster
from edgeray.spec.units import format_bytes
from edgeray.spec.words import listed, remedy_for_name
from policies.model import Device, DeviceId, Task


def check_job_on_cluster(app: App, cluster: Cluster) -> None:
    """Raises SpecError if the cluster lacks a device that the job names, or can never hold its memory."""
    devices = cluster.network.devices
    for task in app.job.tasks:
        if task.device is not None and task.device not in devices:
            raise app.error(
                ("tasks", task.id, "device"),
                f"task '{task.id}' is pinned to '{task.device}', which is no device of cluster "
                f"'{cluster.name}' ({cluster.file})",
                expected=f"one of {listed(devices)}",
                remedy=remedy_for_name(task.device, list(devices), "name one of these devices"),
            )
    largest = _largest_by_type(cluster)
    for task in app.job.tasks:
        _check_fits(app, task, _best_device(app, cluster, task, largest))
    if app.job.mode == "once":
        return  # a device computes one of its tasks at a time, so only the largest counts
    _check_pinned_together(app, cluster)
    needed = sum(task.memory_bytes for task in app.job.tasks)
    total = sum(device.memory_bytes for device in devices.values())
    if needed > total:
        raise app.error(
            ("tasks",),
            f"the tasks need {format_bytes(needed)} of memory together; "
            f"all devices of cluster '{cluster.name}' have {format_bytes(total)}",
            expected=f"at most {format_bytes(total)}",
            remedy="use a larger cluster, or smaller tasks",
        )


def check_runnable(app: App) -> None:
    """Raises SpecError if a task has no code: such a job can be planned, not run."""
    for task in app.job.tasks:
        if task.id not in app.code:
            raise app.error(
                ("tasks", task.id),
                f"task '{task.id}' has no `run`: the job can be planned, but not run",
                expected="`run: module:callable` on every task",
                remedy="add `run` to it",
            )


def _check_fits(app: App, task: Task, largest: Device) -> None:
    if task.memory_bytes > largest.memory_bytes:
        whose = "its device" if task.device is not None else "the largest device that can run it"
        raise app.error(
            ("tasks", task.id, "memory"),
            f"task '{task.id}' needs {format_bytes(task.memory_bytes)} of memory; {whose} "
            f"'{largest.id}' has {format_bytes(largest.memory_bytes)}",
            expected=f"at most {format_bytes(largest.memory_bytes)}",
            remedy="split the task, or use a device with more memory",
        )


def _largest_by_type(cluster: Cluster) -> dict[str, Device]:
    largest: dict[str, Device] = {}
    for device in cluster.network.devices.values():
        if device.memory_bytes > largest.setdefault(device.type, device).memory_bytes:
            largest[device.type] = device
    return largest


def _best_device(app: App, cluster: Cluster, task: Task, largest: dict[str, Device]) -> Device:
    """The task's device, or the largest of those that can run it. Raises SpecError if there is none."""
    if task.device is not None:
        device = cluster.network.devices[task.device]
        largest = {device.type: device}
    able = [one for kind, one in largest.items() if task.seconds is None or kind in task.seconds]
    if not able:
        whose = "no device has one" if task.device is None else f"its device '{task.device}' is none"
        raise app.error(
            ("tasks", task.id, "seconds"),
            f"task '{task.id}' declares seconds for the device types {listed(sorted(task.seconds or {}))}; "
            f"{whose} of these types in cluster '{cluster.name}' ({cluster.file})",
            expected=f"seconds for one of {listed(sorted(largest))}",
            remedy="declare its seconds on one of these types, or its `work` instead",
        )
    return max(able, key=lambda device: device.memory_bytes)


def _check_pinned_together(app: App, cluster: Cluster) -> None:
    pinned: dict[DeviceId, float] = {}
    for task in app.job.tasks:
        if task.device is None:
            continue
        pinned[task.device] = pinned.get(task.device, 0.0) + task.memory_bytes
        memory = cluster.network.devices[task.device].memory_bytes
        if pinned[task.device] > memory:
            raise app.error(
                ("tasks", task.id, "memory"),
                f"the tasks pinned to '{task.device}' need {format_bytes(pinned[task.device])} of memory "
                f"with '{task.id}'; it has {format_bytes(memory)}",
                expected=f"at most {format_bytes(memory)}",
                remedy="pin fewer tasks there",
            )
