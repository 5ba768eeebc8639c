"""What the learner holds of jobs that decide while they run: its last word on each, and how old that is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from edgeray.errors import BadInputError, ClusterError, one_line
from edgeray.learner.messages import learned_as
from edgeray.scheduler.views import JobView
from policies.model import JobId, TaskId

log = logging.getLogger(__name__)

LOOK_S = 2.0
LINGER_S = 3.0
"""What a job learned last may come to the learner so long after its end."""


class Learner(Protocol):
    """The learner (`edgeray.learner.service.LearnerService`) from afar: calls may take seconds, and raise."""

    def views(self, jobs: Collection[JobId]) -> Mapping[JobId, Mapping[str, Any]]: ...
    def forget(self, job: JobId) -> bool: ...


class Learning:
    """Asks the learner about the jobs that run, in a thread of its own, so that nobody waits for one that is away.

    A job that has ended is asked about until an answer is sure to have its last bits. clock: Unix time.
    """

    def __init__(self, learner: Learner, clock: Callable[[], float]) -> None:
        self._learner, self._clock = learner, clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="learner")
        self._question: Future[None] | None = None
        self._asked_s = float("-inf")
        self._asking = threading.Lock()  # so that no answer of before brings back what was forgotten
        self._ran_s: dict[JobId, float] = {}  # whom it asks about, and when each was last known to run
        self._heard_s: dict[JobId, float] = {}  # of these, when the newest answer was asked for
        self._words: dict[JobId, tuple[float, Mapping[str, Any]]] = {}
        self._away = False

    def look(self, now_s: float, running: Collection[JobId]) -> None:
        """To be called every second, by one thread. running: the jobs that decide while they run, now."""
        known = self._ran_s | dict.fromkeys(running, now_s)
        self._ran_s = {
            job: ran_s
            for job, ran_s in known.items()
            if job in running or self._heard_s.get(job, float("-inf")) < ran_s + LINGER_S
        }
        asking = self._question is not None and not self._question.done()
        if not self._ran_s or asking or 0 <= now_s - self._asked_s < LOOK_S:
            return
        self._asked_s = now_s
        self._question = self._thread.submit(self._ask, tuple(self._ran_s))

    def of(self, job: JobId, now_s: float) -> dict[str, Any] | None:
        """The learner's last word on a job, as `LearnerService.views` has it; None: there is none.

        age_s: how long ago the job last told the learner something, as far as the learner has said. away: it does not
        answer, so there may be more.
        """
        found = self._words.get(job)
        if found is None:
            return None
        heard_s, word = found
        age_s = word["age_s"] + max(0.0, now_s - heard_s)
        return {**word, "age_s": age_s, "away": self._away and job in self._ran_s}

    def forget(self, view: JobView) -> bool:
        """Have it drop what it holds of a job. Whether there was something.

        Raises BadInputError for a job that has not ended: it would bring back what it learned, or learn from nothing
        what it knows. Raises ClusterError when the learner does not answer.
        """
        job = JobId(view.job)
        if not view.ended:
            raise BadInputError(
                f"{job} is {view.phase}: what it learns can be forgotten once it has ended\n"
                f"  remedy:   edgeray stop {job}"
            )
        with self._asking:
            try:
                known = [self._learner.forget(name) for name in _names(view)]
            except Exception as error:
                raise ClusterError(
                    f"the learner does not say that it has forgotten {job}: {one_line(error)}\n"
                    "  remedy:   try again; it is started again when it was killed"
                ) from error
            self._words.pop(job, None)
        return any(known)

    def _ask(self, jobs: Collection[JobId]) -> None:
        """Thread."""
        with self._asking:
            asked_s = self._clock()
            try:
                found = self._learner.views(jobs)
                words = {job: (asked_s, dict(word)) for job, word in found.items()}
            except Exception as error:  # whatever a call raises: it is away
                if not self._away:
                    log.warning("what jobs learn is not known: %s", one_line(error))
                self._away = True
                return
            self._away = False
            for job in jobs:
                self._heard_s[job] = asked_s
                if job in words:
                    self._words[job] = words[job]
                else:
                    self._words.pop(job, None)


def _names(view: JobView) -> list[JobId]:
    """Under which the learner may hold something of a job: its own, and those of its tasks with replicas."""
    return [JobId(view.job), *(learned_as(JobId(view.job), TaskId(task)) for task in view.replicas or ())]
