"""The learner: of each job what its dispatcher learned, bit by bit, on the disk before it is acknowledged."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeray.errors import BadInputError, EdgeRayError, FlowError
from edgeray.learner.files import JobFiles, stored_jobs
from edgeray.learner.learned import About, Learned, Lesson
from edgeray.learner.messages import MAX_BITS, UNKNOWN, feedback_of, is_name
from policies.bandit.registry import DISPATCHERS
from policies.model import JobId

log = logging.getLogger(__name__)

SNAPSHOT_BITS = 1000
"""After so many bits a snapshot takes the place of the log, at most once in SNAPSHOT_S."""
SNAPSHOT_S = 1.0
MOST_JOBS = 100
FORGET_S = 30 * 86_400.0
"""Jobs that said nothing for so long are dropped, and past MOST_JOBS those that said nothing for longest."""
_EPOCHS = 16
_MOST_KEPT_BYTES = 1 << 20
_VERSION = 1


class _Record:
    """One job. epochs: of each the number up to which its bits are in. kept: epoch, number and state of the last keep."""

    def __init__(self, files: JobFiles, now_s: float) -> None:
        self.files = files
        self.policy = ""
        self.learned: Learned | None = None
        self.epochs: dict[str, int] = {}
        self.kept: tuple[str, int, Any] | None = None
        self.heard_s = now_s
        self.in_log = 0
        self.written_s = float("-inf")

    def plain(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "policy": self.policy,
            "learned": None if self.learned is None else self.learned.plain(),
            "epochs": self.epochs,
            "kept": self.kept,
            "heard_s": self.heard_s,
        }

    def has(self, epoch: str, number: int) -> None:
        self.epochs[epoch] = number
        while len(self.epochs) > _EPOCHS:
            del self.epochs[next(iter(self.epochs))]


class LearnerService:
    """Thread-safe. clock: Unix time.

    Rule: an epoch names a dispatcher's life; of each it has the bits 1 to a number, without a gap. From a batch it takes
    those that follow on these; what it has is skipped, and a batch that begins further on is left alone. So every bit
    counts once, whatever comes again, late, or not at all. Before a number is answered its bits are on the disk: as a
    line of a log, of some hundred bytes a bit; a snapshot of all that was learned is written seldom. After a kill the
    log is learned from again, in the same order, which gives the same state to the bit.

    A job is known by its id, as `edgeray jobs` shows it. A process of the job that is started again goes on with what is
    kept under it. The scheduler gives no id twice while its journal is kept, which lies beside this folder: the same app
    submitted again is another job, and begins with nothing, so that policies are compared on equal terms. What a job
    learned that has ended is kept for people to look at, until `forget`, or until it makes room for others.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._jobs: dict[JobId, _Record] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for job in stored_jobs(folder):
            self._load(job)

    def open(self, job: JobId, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """A dispatcher begins, or comes back: the state that is here of its job; None: none.

        about: {"policy", "helpers": [names], "dimensions", "seed"}; the state is that policy's, for these helpers in
        this order. One that names no dispatcher of `policies.bandit.registry` gets what was kept. What was learned by
        another policy, or from other features, is forgotten. Raises BadInputError for what is no such data.
        """
        _check_job(job)
        if not isinstance(about, Mapping):
            raise BadInputError(
                f"{job}: the learner was told {about!r:.50} of a job, expected its policy and helpers"
            )
        wanted = About.of(about) if about.get("policy") in DISPATCHERS else None
        with self._lock, self._unharmed(job):
            record, new = self._record(job)
            changed = self._accept(record, wanted)
            policy, record.policy = record.policy, str(about.get("policy", ""))[:200]
            if new or changed or policy != record.policy:
                self._write(record)
            if record.learned is not None and wanted is not None:
                return record.learned.state_for(wanted.helpers)
            return None if record.kept is None else record.kept[2]

    def merge(self, job: JobId, epoch: str, first: int, batch: list[Any]) -> int:
        """Learn from the bits first, first + 1, ... of an epoch.

        The number up to which all are on the disk; UNKNOWN: open the job first. Raises FlowError for a batch that is
        none, with nothing learned.
        """
        _check_numbered(job, epoch, first)
        if type(batch) is not list or len(batch) > MAX_BITS:
            raise FlowError(f"{job}: a batch is a list of at most {MAX_BITS} bits, not {batch!r:.50}")
        with self._lock:
            record = self._jobs.get(job)
            if record is None or record.learned is None:
                return UNKNOWN
            have = record.epochs.get(epoch, 0)
            if first > have + 1:
                return have
            new = [feedback_of(told, number) for number, told in enumerate(batch, first) if number > have]
            if new:
                with self._unharmed(job):
                    before = len(record.learned.helpers)
                    lessons = [record.learned.learn(feedback) for feedback in new]
                    have += len(new)
                    record.has(epoch, have)
                    record.heard_s = self._clock()
                    self._log(record, epoch, lessons, grown=len(record.learned.helpers) > before)
            return have

    def keep(self, job: JobId, epoch: str, number: int, text: str) -> int:
        """The newest state, as JSON text, of what is no dispatcher's.

        Its number once it is on the disk; UNKNOWN: open the job first. An older one of the same epoch changes nothing.
        Raises FlowError for what is no such text.
        """
        _check_numbered(job, epoch, number)
        if type(text) is not str or len(text) > _MOST_KEPT_BYTES:
            raise FlowError(f"{job}: a state to keep is JSON text of at most {_MOST_KEPT_BYTES} bytes")
        try:
            state = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise FlowError(f"{job}: a state to keep is no JSON: {error}") from None
        if not isinstance(state, dict):
            raise FlowError(f"{job}: a state to keep is a JSON object, not {text:.50}")
        with self._lock:
            record = self._jobs.get(job)
            if record is None:
                return UNKNOWN
            if record.kept is None or record.kept[0] != epoch or record.kept[1] < number:
                with self._unharmed(job):
                    record.kept = epoch, number, state
                    record.heard_s = self._clock()
                    self._write(record)
            return number

    def adopt(self, job: JobId, epoch: str, about: Mapping[str, Any], state: Mapping[str, Any]) -> int:
        """A dispatcher that has learned what is not here any more brings its own state; its epoch begins after that.

        0; or the number of that epoch where it is known: a double. Raises BadInputError for what is no state.
        """
        _check_numbered(job, epoch, 1)
        wanted = About.of(about)
        with self._lock, self._unharmed(job):
            record, _ = self._record(job)
            if epoch in record.epochs:
                return record.epochs[epoch]
            self._accept(record, wanted)
            record.policy = wanted.policy
            assert record.learned is not None, "of a dispatcher"
            record.learned.adopt(wanted.helpers, state)
            record.has(epoch, 0)
            record.heard_s = self._clock()
            self._write(record)
            return 0

    def views(self, jobs: Collection[JobId] | None = None) -> dict[JobId, dict[str, Any]]:
        """Of these jobs as far as they are known, or of all: policy, items, happy (a fraction), regret_proxy, arms (seen,
        happy, estimate by helper), and how long ago its last word was."""
        with self._lock:
            now_s = self._clock()
            return {
                job: {**_view(record), "age_s": max(0.0, now_s - record.heard_s)}
                for job, record in sorted(self._jobs.items())
                if jobs is None or job in jobs
            }

    def forget(self, job: JobId) -> bool:
        """Drop all that is known of a job, damaged files included. Whether there was something.

        Of a job that has ended: one that runs would bring back what it learned.
        """
        _check_job(job)
        with self._lock:
            known = self._jobs.pop(job, None) is not None
            return JobFiles(self._folder, job).drop() or known

    def _record(self, job: JobId) -> tuple[_Record, bool]:
        """The job's, and whether it is new."""
        record = self._jobs.get(job)
        if record is not None:
            return record, False
        self._make_room()
        record = self._jobs[job] = _Record(JobFiles(self._folder, job), self._clock())
        return record, True

    def _accept(self, record: _Record, wanted: About | None) -> bool:
        """Fit the record to what the job says of itself now. Whether it changed."""
        if wanted is None:
            return False
        learned = record.learned
        if learned is None or (learned.about.policy, learned.about.dimensions) != (
            wanted.policy,
            wanted.dimensions,
        ):
            record.learned, record.epochs = Learned(wanted), {}
            return True
        before = learned.about, list(learned.helpers)
        learned.about = wanted
        learned.accept(wanted.helpers)
        return before != (learned.about, learned.helpers)

    def _log(self, record: _Record, epoch: str, lessons: list[Lesson], *, grown: bool) -> None:
        """grown: helpers have joined, which a snapshot tells."""
        record.in_log += len(lessons)
        since_s = self._clock() - record.written_s
        if grown or (record.in_log >= SNAPSHOT_BITS and not 0 <= since_s < SNAPSHOT_S):
            self._write(record)
            return
        assert record.learned is not None, "it learned these"
        record.files.append(
            {
                "epoch": epoch,
                "number": record.epochs[epoch],
                "heard_s": record.heard_s,
                "estimates": record.learned.estimates,
                "bits": [lesson.plain() for lesson in lessons],
            }
        )

    def _write(self, record: _Record) -> None:
        record.files.write(record.plain())
        record.in_log, record.written_s = 0, self._clock()

    def _load(self, job: JobId) -> None:
        """Off the disk. Damaged files are moved aside."""
        files = JobFiles(self._folder, job)
        record = _Record(files, self._clock())
        try:
            found = files.read()
            if found is None:
                return
            snapshot, lines = found
            _restore(record, snapshot)
        except (EdgeRayError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            files.move_aside(str(error).partition("\n")[0])
            return
        follow = all(_learn_line(record, line) for line in lines)
        if not (follow and files.whole):
            files.set_log_aside(f"what followed on {record.epochs} is lost")
            self._write(record)
        self._jobs[job] = record

    @contextmanager
    def _unharmed(self, job: JobId) -> Iterator[None]:
        """When something fails in the midst, the job is what it is on the disk: nothing else was acknowledged."""
        try:
            yield
        except BaseException:
            self._jobs.pop(job, None)
            self._load(job)
            raise

    def _make_room(self) -> None:
        """For one more job."""
        now_s = self._clock()
        by_age = sorted(self._jobs, key=lambda job: (-self._jobs[job].heard_s, job))
        for rank, job in enumerate(by_age):
            if rank >= MOST_JOBS - 1 or now_s - self._jobs[job].heard_s > FORGET_S:
                log.info("%s: what it learned is dropped: it said nothing for long", job)
                self._jobs.pop(job).files.drop()


def _restore(record: _Record, snapshot: Mapping[str, Any]) -> None:
    """Raises what `Learned.of` does."""
    if snapshot["version"] != _VERSION:
        raise ValueError(f"it is of version {snapshot['version']!r:.50}, expected {_VERSION}")
    if snapshot["learned"] is not None:
        record.learned = Learned.of(snapshot["learned"])
    record.policy = str(snapshot["policy"])
    record.epochs = {str(epoch): int(number) for epoch, number in snapshot["epochs"].items()}
    record.heard_s = float(snapshot["heard_s"])
    if snapshot["kept"] is not None:
        epoch, number, state = snapshot["kept"]
        record.kept = str(epoch), int(number), dict(state)


def _learn_line(record: _Record, line: Mapping[str, Any]) -> bool:
    """One line of the log, whole or not at all. Whether it is one that follows."""
    try:
        lessons = [Lesson.of(plain) for plain in line["bits"]]
        epoch, number, heard_s = str(line["epoch"]), int(line["number"]), float(line["heard_s"])
        estimates = {str(name): float(estimate) for name, estimate in line["estimates"].items()}
        learned = record.learned
        if learned is None or number != record.epochs.get(epoch, 0) + len(lessons):
            return False
        if not all(learned.knows(lesson) for lesson in lessons):
            return False
    except (EdgeRayError, ValueError, KeyError, TypeError, AttributeError):
        return False
    for lesson in lessons:
        learned.learn_again(lesson)
    learned.estimates = estimates
    record.has(epoch, number)
    record.heard_s = heard_s
    record.in_log += len(lessons)
    return True


def _view(record: _Record) -> dict[str, Any]:
    if record.learned is not None:
        return record.learned.view()
    return {"policy": record.policy, "items": 0, "happy": None, "regret_proxy": None, "arms": {}}


def _check_job(job: Any) -> None:
    if not is_name(job):
        raise BadInputError(
            f"the learner knows no job {job!r:.50}: expected a name of at most 200 characters"
        )


def _check_numbered(job: Any, epoch: Any, number: Any) -> None:
    _check_job(job)
    if not is_name(epoch) or type(number) is not int or number < 1:
        raise FlowError(f"{job}: no epoch {epoch!r:.50}, or no number {number!r:.50} in it")


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
