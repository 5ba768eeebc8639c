"""Every job, and at hand those of a phase: no event walks the jobs of a whole day. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edgeray.scheduler.jobs import JobRecord, Phase
from policies.model import JobId, Mode


class Roster:
    """The records of all jobs that were ever submitted."""

    def __init__(self) -> None:
        self._all: dict[JobId, JobRecord] = {}
        self._alive: dict[JobId, JobRecord] = {}
        self._placed: dict[JobId, JobRecord] = {}
        self._in: dict[Phase, dict[JobId, JobRecord]] = {phase: {} for phase in Phase}

    @property
    def all(self) -> Mapping[JobId, JobRecord]:
        return self._all

    @property
    def alive(self) -> list[JobRecord]:
        """Jobs that have not ended, in the order in which they were submitted."""
        return list(self._alive.values())

    @property
    def placed(self) -> list[JobRecord]:
        """Jobs that hold something of the cluster, in the order in which they were placed."""
        return list(self._placed.values())

    def within(self, phase: Phase) -> list[JobRecord]:
        """The jobs in this phase, in the order in which they came into it."""
        return list(self._in[phase].values())

    def waiting(self, mode: Mode) -> list[JobRecord]:
        """Jobs of this mode that wait for a place, the longest waiting first."""
        jobs = [record for record in self.within(Phase.WAITING) if record.mode == mode]
        return sorted(jobs, key=lambda record: (record.submitted_s, record.id))

    def add(self, record: JobRecord) -> None:
        self._all[record.id] = record
        self.enter(record, record.phase)

    def enter(self, record: JobRecord, phase: Phase) -> None:
        """The job is in this phase from now on."""
        self._in[record.phase].pop(record.id, None)
        self._in[phase][record.id] = record
        record.phase = phase
        _keep(self._alive, record, not phase.ended)
        _keep(self._placed, record, phase.placed)


def _keep(records: dict[JobId, JobRecord], record: JobRecord, belongs: bool) -> None:
    if belongs:
        records[record.id] = record
    else:
        records.pop(record.id, None)
