"""Tasks side by side: stages that die are started again, devices that are lost are done without. Pure.

A job of mode "loop", "batches", "fog", "cameras", "offload" or "frames" has one server and many clients, each device's
tasks in one stage. Its rules:
- A stage whose process died, or that lost its peer, is deployed again, at most RESTARTS times a device. After that a
  client is given up, and a server ends the job as failed. A stage whose code raised fails the job at once.
- A client's device that is lost is done without; when it comes back, its stage is deployed again, and started once its
  flows are enforced. The server's device, or a relay that a client's flows need, fails the job when it is lost.
- While one client of a job that trains is left, the job goes on. When the server's stage ends well, so does the job.
- Cameras are watched elsewhere when a device is lost, and their flows go other ways where it was a relay; items and
  frames have other helpers, or none for a while. Neither that, nor that no client is left, ends such a job. Points of fog
  training stay where they are while a relay is lost that they would go over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeray.scheduler import events as ev
from edgeray.scheduler.cluster import Cluster
from edgeray.scheduler.effects import DeployStage, Effect, MapStreams, StartStage, StopStage
from edgeray.scheduler.jobs import JobRecord, Phase, changed, flow_rules, stage_plans
from edgeray.scheduler.rulebook import RuleBook
from policies.model import TRAINS, DeviceId, Plan, TaskId

RESTARTS = 3
"""How often a device's stage is started again; a device that was lost and came back starts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The job is to end so."""

    phase: Phase
    reason: str


Outcome = list[Effect] | Ending


class Loops:
    """What happens to the devices of placed loops. Keeps nothing itself: all is in the jobs' `Attendance`."""

    def __init__(self, cluster: Cluster, rules: RuleBook) -> None:
        self._cluster = cluster
        self._rules = rules

    @staticmethod
    def minds(record: JobRecord) -> bool:
        """Whether its tasks stand side by side on devices that it is to keep."""
        return record.side_by_side and record.phase in (Phase.DEPLOYING, Phase.RUNNING)

    def placed(self, record: JobRecord) -> None:
        addresses = self._cluster.addresses
        record.attendance.addresses = {device: addresses[device] for device in record.stages}

    def stage_ended(self, record: JobRecord, event: ev.StageEnded) -> Outcome:
        """A stage of a running loop is gone.

        One that does not stand yet was just deployed again: that it cannot be is one more death, and that it ended
        well is told of the one before.
        """
        device, stands = event.device, record.stages[event.device]
        if event.error is None:
            if not stands:
                return []
            del record.stages[device]
            return Ending(phase=Phase.DONE, reason="") if device == _server(record) else []
        if stands and not (event.died or event.peer_lost):
            del record.stages[device]
            return Ending(phase=Phase.FAILED, reason=f"device {device}: {event.error}")
        attendance = record.attendance
        restarts = attendance.restarts.get(device, 0) + 1
        if restarts <= RESTARTS:
            attendance.restarts[device] = restarts
            attendance.entering.setdefault(device, {})
            again = f"{_named(record, device)} is started again ({restarts} of {RESTARTS}): {event.error}"
            return [changed(record, again), self._deploy(record, device)]
        del record.stages[device]
        reason = f"{_named(record, device)} ended {restarts} times, at last: {event.error}"
        if device == _server(record):
            return Ending(phase=Phase.FAILED, reason=reason)
        return self._go_on_without([device], attendance.given_up, record, reason)

    def device_lost(self, record: JobRecord, device: DeviceId, reason: str) -> Outcome:
        """A device is gone, whether or not the loop has anything to do with it."""
        lost = f"device {device} was lost: {reason}"
        if device == _server(record):
            return Ending(phase=Phase.FAILED, reason=lost)
        others = [client for client in record.stages if client not in (device, _server(record))]
        if record.mode in ("loop", "batches") and (
            needing := [client for client in others if device in _carriers(record, [client])]
        ):
            names = ", ".join(_named(record, client) for client in sorted(needing))
            return Ending(phase=Phase.FAILED, reason=f"{lost}\n  the flows of {names} go over it")
        attendance = record.attendance
        if device in attendance.given_up:
            attendance.given_up.remove(device)
            attendance.lost.add(device)
        attendance.restarts.pop(device, None)
        for versions in (record.network, *attendance.entering.values()):  # what is gone is not waited for
            versions.pop(device, None)
        if device not in record.stages:
            return []
        del record.stages[device]
        return self._go_on_without([device], attendance.lost, record, lost)

    def device_joined(self, record: JobRecord) -> list[Effect]:
        """Take back in the lost devices that are here again, with all that their flows go over."""
        effects: list[Effect] = []
        attendance, here = record.attendance, self._cluster.addresses
        for device in sorted(attendance.lost):
            carriers = _carriers(record, [device])
            if record.mode == "cameras":  # whose flows go other ways, where there are any
                carriers = tuple(other for other in carriers if other in here)
            if not all(other in here for other in (device, *carriers)):
                continue
            attendance.lost.remove(device)
            if here[device] != attendance.addresses[device]:
                attendance.given_up.add(device)
                away = f"{device} is back with another address, {here[device]}, where nobody looks for it"
                effects.append(changed(record, f"goes on without {device}: {away}"))
                continue
            self._rules.put(record.id, flow_rules(record, attendance.addresses))
            effects += self._rules.changes(here)
            versions = self._rules.versions(carriers)
            if record.phase is Phase.DEPLOYING:
                record.network.update(versions)
            else:
                attendance.entering[device] = versions
            effects += [changed(record, f"{device} is back"), self._deploy(record, device)]
        return effects

    def starts(self, record: JobRecord) -> list[Effect]:
        """Of a running loop, the stages that were deployed again and may start now."""
        entering = record.attendance.entering
        ready = [
            device
            for device, versions in sorted(entering.items())
            if record.stages[device] and self._rules.in_force(versions)
        ]
        for device in ready:
            del entering[device]
        effects: list[Effect] = []
        for device in ready:
            effects += [StartStage(device=device, job=record.id), *map_streams(record, [device])]
        return effects

    def network_refused(self, record: JobRecord, event: ev.NetworkRefused) -> Outcome:
        """Of a running loop, the clients that wait for this version of a network, or an earlier one, stay out."""
        refused = []
        for device, versions in sorted(record.attendance.entering.items()):
            needed = versions.get(event.device, event.version + 1)
            if needed <= event.version and not self._rules.in_force({event.device: needed}):
                refused.append(device)
        if not refused:
            return []
        reason = f"device {event.device} cannot enforce its flows: {event.reason}"
        outcome = self._go_on_without(refused, record.attendance.given_up, record, reason)
        if isinstance(outcome, Ending):
            return outcome
        for device in refused:
            del record.stages[device]
        return [*outcome, *(StopStage(device=device, job=record.id) for device in refused)]

    def _deploy(self, record: JobRecord, device: DeviceId) -> DeployStage:
        record.stages[device] = False
        stages = stage_plans(record, record.attendance.addresses)
        return DeployStage(device=device, stage=next(stage for stage in stages if stage.device == device))

    def _go_on_without(
        self, devices: Sequence[DeviceId], how: set[DeviceId], record: JobRecord, reason: str
    ) -> Outcome:
        """These clients' devices are absent from now on. how: which of the attendance's sets they go to."""
        how.update(devices)
        if record.mode in TRAINS and _clients(record) <= record.attendance.absent:
            return Ending(phase=Phase.FAILED, reason=f"no client is left: {reason}")
        for device in devices:
            record.attendance.entering.pop(device, None)
        self._rules.put(record.id, flow_rules(record, record.attendance.addresses))
        return [changed(record, f"goes on without {device}: {reason}") for device in devices]


def _plan(record: JobRecord) -> Plan:
    assert record.plan is not None, f"job {record.id} was placed"
    return record.plan


def map_streams(record: JobRecord, devices: Iterable[DeviceId]) -> list[MapStreams]:
    """Tell the edges on these devices how the job's cameras are watched now; nothing for jobs that have none."""
    mapped = _plan(record).mapped
    if mapped is None:
        return []
    return [MapStreams(device=device, job=record.id, mapped=mapped) for device in devices]


def _leading(record: JobRecord) -> TaskId:
    server = record.workload.job.server
    assert server is not None, f"job {record.id} has its tasks side by side"
    return server


def _server(record: JobRecord) -> DeviceId:
    return _plan(record).placement[_leading(record)]


def _clients(record: JobRecord) -> set[DeviceId]:
    """The devices that have clients; the server's may be one of them."""
    return {_plan(record).placement[client] for client in record.workload.job.clients}


def _named(record: JobRecord, device: DeviceId) -> str:
    """A device's stage, by its tasks."""
    tasks = [task for task, where in _plan(record).placement.items() if where == device]
    return f"{', '.join(sorted(tasks))} on {device}"


def _carriers(record: JobRecord, ends: Iterable[DeviceId]) -> tuple[DeviceId, ...]:
    """The devices that flows from or to these pass, both ends included; none of flows whose other end is absent."""
    wanted = set(ends)
    absent = record.attendance.absent - wanted
    joined = [{route[0], route[-1]} for route in _plan(record).routes.values() if len(route) > 1]
    routes = [route for route in _plan(record).routes.values() if len(route) > 1]
    passed = {
        device
        for route, both in zip(routes, joined, strict=True)
        if not both.isdisjoint(wanted) and both.isdisjoint(absent)
        for device in route
    }
    return tuple(sorted(passed))
