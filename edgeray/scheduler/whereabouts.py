"""Answers where people went: from the archive on a job's head, and from what its devices have not brought there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeray.errors import BadInputError
from edgeray.scheduler.fleet import Action, Fleet
from edgeray.scheduler.nodes import NodeHandle
from edgeray.streams.archive import Synced, newest
from edgeray.streams.reading import Found, Part
from edgeray.streams.trajectory import summaries, trajectory
from policies.model import DeviceId, Job, JobId

HEAD_TIMEOUT_S = 3.0
DEVICES_TIMEOUT_S = 10.0
"""For all that a device has not brought yet; one that is cut off is given up by its node handle far sooner."""
FIND_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brought:
    """How far a job's archive is, and on which device it lies. server: None when there is none, or it is silent."""

    server: DeviceId | None
    epochs: tuple[Synced, ...]


def query(fleet: Fleet, job: JobId, described: Job | None, person: int | None) -> dict[str, Any]:
    """Where a person went, or who was seen at all, in plain values.

    described: the job, None when only its name is known: then any node that has its archive tells its devices.
    "visits" of the person, or "persons" for None; "known": how many persons there are; "missing": devices of the job
    that do not answer, with when they last brought what they had (None: never, or nobody who knows answers), and
    "complete" when there are none. A head that does not answer is missing too; then devices tell all they have.

    Raises BadInputError for a job that watches no cameras.
    """
    brought = _brought(fleet, job, described)
    devices = _devices(described, brought)
    if not devices:
        unknown = "" if described else ", or the device with its archive does not answer"
        raise BadInputError(
            f"{job} watched no cameras{unknown}\n"
            "  expected: a job of kind: streams that has run on this cluster\n"
            "  remedy:   see `edgeray jobs`"
        )
    head = brought.server or _server(described)
    parts = _parts(fleet, job, devices, brought.epochs)
    found = None if brought.server is None else _find(fleet, job, brought.server, person, parts)
    missing = set(devices) - set(parts)
    if found is None:  # the head is silent, or has just fallen silent: ask for all that the others have
        parts = _parts(fleet, job, devices, ())
        found = _without_archive(parts, person)
        missing = (set(devices) - set(parts)) | ({head} if head else set())
    last = newest(brought.epochs)
    return {
        "job": job,
        "person": person,
        **_told(found, person),
        "known": found.known,
        "complete": not missing,
        "missing": [{"device": d, "synced_s": last[d].at_s if d in last else None} for d in sorted(missing)],
    }


def _brought(fleet: Fleet, job: JobId, described: Job | None) -> _Brought:
    server = _server(described)
    asked = None if described is None else [] if server is None else [server]
    answers = fleet.ask_all(lambda node: node.synced(job), among=asked, timeout_s=HEAD_TIMEOUT_S)
    if server is not None:
        return _Brought(server=server if server in answers else None, epochs=answers.get(server, ()))
    for device, epochs in answers.items():
        if epochs:
            return _Brought(server=device, epochs=epochs)
    return _Brought(server=None, epochs=())


def _server(job: Job | None) -> DeviceId | None:
    """The device with the job's archive."""
    if job is None or job.streams is None:
        return None
    return next(d for d, task in job.streams.edges.items() if task == job.streams.server)


def _devices(job: Job | None, brought: _Brought) -> list[DeviceId]:
    if job is not None:
        return [] if job.streams is None else sorted(job.streams.edges)
    return sorted({DeviceId(row.device) for row in brought.epochs})


def _parts(
    fleet: Fleet, job: JobId, devices: Sequence[DeviceId], epochs: Sequence[Synced]
) -> dict[DeviceId, list[Part]]:
    """What these devices, as far as they answer, have stored and not brought."""
    after = {row.epoch: row.seq for row in epochs}

    def everything(node: NodeHandle) -> list[Part]:
        parts: list[Part] = []
        seqs, part = dict(after), node.stored(job, after)
        while part is not None:
            parts.append(part)
            if not part.more:
                break
            seqs[part.epoch] = part.last
            part = node.stored(job, seqs)
        return parts

    return fleet.ask_all(everything, among=devices, timeout_s=DEVICES_TIMEOUT_S)


def _find(
    fleet: Fleet, job: JobId, server: DeviceId, person: int | None, parts: dict[DeviceId, list[Part]]
) -> Found | None:
    """The answer of the device that has the archive; None when it does not answer."""
    fresh = [part for found in parts.values() for part in found if part.seen or part.named]
    question: Action = lambda node: node.archived(job, person, fresh)  # noqa: E731
    found: Found | None = fleet.ask_all(question, among=[server], timeout_s=FIND_TIMEOUT_S).get(server)
    return found


def _without_archive(parts: dict[DeviceId, list[Part]], person: int | None) -> Found:
    visits = trajectory(
        (look for found in parts.values() for part in found for look in part.seen),
        [row for found in parts.values() for part in found for row in part.named],
    )
    persons = summaries(visits)
    if person is None:
        return Found(visits=(), persons=persons, known=len(persons))
    return Found(visits=tuple(v for v in visits if v.person == person), persons=(), known=len(persons))


def _told(found: Found, person: int | None) -> dict[str, Any]:
    if person is None:
        return {"persons": [{**asdict(row), "cameras": list(row.cameras)} for row in found.persons]}
    return {"visits": [{**asdict(row), "tracks": list(row.tracks)} for row in found.visits]}
