"""Profile an app on one device of each type of a cluster, and remember what came out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from edgeray.errors import EdgeRayError, one_line
from edgeray.node.code import AppPackage, TaskCode
from edgeray.profiler.store import Measurements, ProfileStore
from policies.model import TRAINS, Device, DeviceId, Job, TaskId

log = logging.getLogger(__name__)

ByType = dict[str, Measurements]


class ProfilingNode(Protocol):
    """What profiling needs of a node."""

    def profile(self, job: Job, code: Mapping[TaskId, TaskCode], package: str | None) -> Measurements: ...


class FleetProfiler:
    """Measures one app at a time: two at once would measure each other."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def measure(
        self,
        package: AppPackage,
        nodes: Mapping[Device, ProfilingNode],
        busy: Collection[DeviceId],
        *,
        again: bool = False,
    ) -> ByType:
        """Measurements by device type. Types side by side: each device has its own CPU limit.

        again: do not take what was measured before. Of a job that trains a model, only the types of the devices
        that take part are measured, and on these.

        A type on which the app cannot run (too little memory, say) is left out and logged.
        Raises EdgeRayError when no type gave any.
        """
        with self._lock:
            found: ByType = {}
            missing: list[Device] = []
            for device in one_a_type(_taking_part(package.job, nodes), busy):
                known = None if again else self._store.get(package.fingerprint, device)
                if known is None:
                    missing.append(device)
                else:
                    found[device.type] = known
            refused = self._run(package, nodes, missing, found)
        if not found:
            raise EdgeRayError("; ".join(refused) or "no device has joined the cluster")
        for reason in refused:
            log.warning("no profile of %s on type %s", package.app, reason)
        return found

    def _run(
        self,
        package: AppPackage,
        nodes: Mapping[Device, ProfilingNode],
        devices: list[Device],
        found: ByType,
    ) -> list[str]:
        """Fill found; what could not be measured comes back in words."""
        refused: list[str] = []
        if not devices:
            return refused
        with ThreadPoolExecutor(max_workers=len(devices), thread_name_prefix="profile") as pool:
            running = {
                device: pool.submit(nodes[device].profile, package.job, package.code, package.working_dir)
                for device in devices
            }
        for device, future in running.items():
            try:
                found[device.type] = future.result()
                self._store.put(package.fingerprint, device, found[device.type])
            except Exception as error:
                refused.append(f"{device.type} (on {device.id}): {one_line(error)}")
        return refused


def _taking_part(job: Job, devices: Collection[Device]) -> Collection[Device]:
    """The devices that may run some of the job: of a loop, whose tasks have devices of their own, these."""
    if job.mode not in TRAINS:
        return devices
    pinned = {task.device for task in job.tasks}
    return [device for device in devices if device.id in pinned]


def one_a_type(devices: Collection[Device], busy: Collection[DeviceId]) -> list[Device]:
    """Of each type one device, idle ones first, then the smallest id."""
    first: dict[str, Device] = {}
    for device in sorted(devices, key=lambda d: (d.id in busy, d.id)):
        first.setdefault(device.type, device)
    return [first[kind] for kind in sorted(first)]
