"""What the scheduler has to ask nodes for before it can answer: what stages printed, and what jobs have made."""

from __future__ import annotations

from edgeray.errors import ClusterError
from edgeray.results import Output
from edgeray.scheduler.fleet import Fleet
from edgeray.scheduler.jobs import JobRecord, sinks_of
from edgeray.scheduler.views import JobView
from policies.model import DeviceId, JobId


def tails(fleet: Fleet, view: JobView) -> dict[str, str]:
    """By device, the end of what a job's stage printed there."""
    devices = sorted(set((view.plan or {}).get("placement", {}).values()))
    asked = {d: fleet.ask(DeviceId(d), lambda node: node.logs(JobId(view.job))) for d in devices}
    return {device: tail for device, tail in asked.items() if tail}


def outputs(fleet: Fleet, record: JobRecord | None, job: JobId) -> list[tuple[DeviceId, Output]]:
    """A job's results so far, and where they lie. Raises ClusterError when a device that has some is gone."""
    needed: set[DeviceId] = set()
    if record is not None and record.plan is not None:
        needed = {record.plan.placement[task] for task in sinks_of(record.workload.job)}
    found: dict[DeviceId, tuple[Output, ...]] = fleet.ask_all(lambda node: node.outputs(job))
    if missing := sorted(needed - set(found)):
        raise ClusterError(f"results of {job} lie on {', '.join(missing)}, which does not answer")
    return [(device, output) for device, rows in found.items() for output in rows]


def read_output(fleet: Fleet, job: JobId, device: DeviceId, file: str, offset: int, size: int) -> bytes:
    """A piece of a result. Raises ClusterError, or BadInputError for no result."""
    node = fleet.nodes.get(device)
    if node is None:
        raise ClusterError(f"results of {job} lie on {device}, which is gone")
    piece: bytes = node.read_output(job, file, offset, size)
    return piece
