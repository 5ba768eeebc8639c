"""Asks the scheduler once a second, and keeps what it says with the time at which it said so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgeray.errors import EdgeRayError, one_line
from edgeray.web.live import rows
from edgeray.web.live.history import Excerpt, History

# Devices more often than they speak, so that a lost one shows soon.
PERIODS_S = {"devices": 0.5, "jobs": 1.0, "network": 2.0}
TIMEOUT_S = 5.0


class Ask(Protocol):
    """Asks the scheduler; answers are plain JSON. Raises what edgeray.client.Client.call raises. May block."""

    def __call__(self, method: str, *args: Any, timeout_s: float = TIMEOUT_S) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The last answer to one question. at_s: when it came, None before the first. error: why the newest try failed."""

    value: Any = None
    at_s: float | None = None
    error: str | None = None


class Telemetry:
    """One thread a question, so that a call that hangs keeps nobody else waiting: its answer grows old instead."""

    def __init__(self, ask: Ask, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.history = History()
        self._ask = ask
        self._clock = clock
        self._began_s = clock()
        self._answers = dict.fromkeys(PERIODS_S, Answer())
        self._stopped = threading.Event()

    def start(self) -> None:
        for question in PERIODS_S:
            threading.Thread(
                target=self._keep_asking, args=(question,), name=f"ask-{question}", daemon=True
            ).start()

    def stop(self) -> None:
        self._stopped.set()

    def _keep_asking(self, question: str) -> None:
        while not self._stopped.wait(PERIODS_S[question]):
            self.poll(question)

    def poll(self, question: str) -> None:
        """Ask one question now. Of the devices' answer, the numbers go into the history."""
        try:
            value = self._ask(question)
            self._answers[question] = Answer(value=value, at_s=self._clock())
            if question == "devices":
                self.history.record(self._clock(), rows.series_values(self.now()))
        except Exception as error:  # whatever goes wrong there: the page says it, and goes on asking
            last = self._answers[question]
            told = str(error) if isinstance(error, EdgeRayError) else one_line(error)
            self._answers[question] = Answer(value=last.value, at_s=last.at_s, error=told)

    def excerpt(self, series: Sequence[str], seconds: int, points: int) -> Excerpt:
        """Some series of the last seconds."""
        return self.history.read(series, now_s=self._clock(), seconds=seconds, points=points)

    def silent_s(self) -> float:
        """How long the scheduler has not answered."""
        at_s = self._answers["devices"].at_s
        return self._clock() - (self._began_s if at_s is None else at_s)

    def network(self) -> dict[str, Any]:
        """The cluster as it was declared; empty before the first answer."""
        return self._answers["network"].value or {"devices": {}, "links": {}}

    def streams(self) -> list[rows.Row]:
        return rows.stream_rows(self._answers["jobs"].value or ())

    def knows_job(self, job: str) -> bool:
        return any(view["job"] == job for view in self._answers["jobs"].value or ())

    def now(self) -> dict[str, Any]:
        """Everything that the page shows of this moment. age_s: of each answer, None before the first."""
        answers = dict(self._answers)
        now_s = self._clock()
        ages = {name: None if a.at_s is None else now_s - a.at_s for name, a in answers.items()}
        views = answers["devices"].value or ()
        jobs = answers["jobs"].value or ()
        devices = rows.device_rows(views, ages["devices"] or 0.0)
        samples = rows.heard(views, devices)
        # Of jobs, nothing is known to be true any longer once their answer is old.
        fresh = jobs if (ages["jobs"] or 0.0) <= TIMEOUT_S else ()
        return {
            "age_s": ages,
            "silent_s": self.silent_s(),
            "errors": sorted({a.error for a in answers.values() if a.error}),
            "devices": devices,
            "links": rows.link_rows(self.network(), samples),
            "flows": rows.flow_rows(fresh, samples),
            "tasks": rows.task_rows(samples),
            "jobs": rows.job_rows(jobs, ages["jobs"] or 0.0),
            "streams": rows.stream_rows(fresh),
        }
