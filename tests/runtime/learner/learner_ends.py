"""Both ends of a link: a learner behind a line that can be cut or blocked, and a dispatcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from learner_cases import HELPERS, JOB, feedback, policy_that_saw

from edgeray.learner.link import Link
from edgeray.learner.service import LearnerService

DEADLINE_S = 30.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.002)


class Head:
    """A learner behind a line that can be cut before or after it is asked, or be blocked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.learner = LearnerService(folder)
        self.asked: list[str] = []
        self.cut = False
        self.answers_lost = 0
        self.open_line = threading.Event()
        self.open_line.set()

    def call(self, method: str, *args: Any) -> Any:
        self.asked.append(method)
        self.open_line.wait()
        if self.cut:
            raise ConnectionError("the learner is gone")
        answer = getattr(self.learner, method)(*args)
        if self.answers_lost:
            self.answers_lost -= 1
            raise ConnectionError("the learner died before it could answer")
        return answer

    def start_again(self, folder: Path | None = None) -> None:
        self.folder = folder or self.folder
        self.learner = LearnerService(self.folder)


class Desk:
    """A dispatcher that learns from bits, and tells them."""

    def __init__(self, head: Head, *, backed: bool = True) -> None:
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []
        self.link = Link(head.call, JOB, self._spawn, self.stop)
        self.policy = policy_that_saw([])
        self.number = 0
        self._lock = threading.Lock()
        if backed:
            self.link.backed_by(self.state)

    def learn(self, *numbers: int) -> None:
        for number in numbers:
            bit = feedback(number)
            with self._lock:
                for _ in range(bit.decisions):
                    self.policy.decided()
                self.policy.feedback(bit.helpers.index(bit.helper), bit.offer, bit.happy)
                self.number += 1
                self.link.tell(replace(bit, number=self.number))

    def state(self) -> Mapping[str, Any]:
        with self._lock:
            return {"number": self.number, "helpers": list(HELPERS), "state": self.policy.state()}

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "it does not end"

    def _spawn(self, name: str, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
