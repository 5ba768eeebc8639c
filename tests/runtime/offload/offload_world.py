"""A dispatcher and its helpers in one process: each with its threads and its lines; to be cut off and killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import offload_code
from cut_lines import Lines

from edgeray.errors import FlowError
from edgeray.learner.messages import Feedback
from edgeray.offload.dispatch import Dispatch
from edgeray.offload.help import Help
from edgeray.streams.peers import Connection
from policies.model import DeviceId, TaskId

DEADLINE_S = 30.0
HUB = "dispatch"


def until(condition: Callable[[], Any], what: str = "") -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not met in time: {what or condition}"
        threading.Event().wait(0.005)


def check_sums(told: dict[str, Any], pending: int = 0) -> None:
    """Each item is one of these, and those of helpers sum to the job's."""
    fates = ("met", "late", "failed", "lost")
    assert told["items"] == pending + told["refused"] + sum(told[fate] for fate in fates)
    for fate in fates:
        assert told[fate] == sum(row[fate] for row in told["helpers"].values())


def recipe_of(helpers: str = "abc", **more: Any) -> dict[str, Any]:
    """Helpers are called by one letter each."""
    return {
        "server": HUB,
        "source": {"run": "offload_code:source", "args": {}, "rate_per_s": 1e9, "items": None},
        "work": {"run": "offload_code:Work", "args": {"device": "${DEVICE}"}},
        "complexity": None,
        "sink": {"run": "offload_code:sink", "args": {}},
        "helpers": {f"help-{name}": {"device": name, "cpus": 1.0, "bps": 1e9} for name in helpers},
        "deadline_s": 60.0,
        "late": "discard",
        "telemetry": {"every_s": 0.02, "delay_s": 0.0},
        "most": 1000,
        "seed": 0,
        **more,
    }


class NoLearner:
    """One that never answers."""

    def restore(self, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return None

    def tell(self, feedback: Feedback) -> None:
        """Nobody hears it."""

    def backed_by(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Nobody asks."""


@dataclass
class Learner:
    """Remembers what it is told."""

    has: Mapping[str, Any] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    bits: list[Feedback] = field(default_factory=list)
    state: Callable[[], Mapping[str, Any]] | None = None

    def restore(self, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
        self.about = about
        return self.has

    def tell(self, feedback: Feedback) -> None:
        self.bits.append(feedback)

    def backed_by(self, state: Callable[[], Mapping[str, Any]]) -> None:
        self.state = state


@dataclass
class Stage:
    """One task's process. errors: what its threads raised, but for lines that were closed."""

    task: TaskId
    output_dir: Path
    lines: Lines
    learner: Any
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    attached: threading.Event = field(default_factory=threading.Event)

    def connect(self, peer: TaskId) -> Connection:
        return self.lines.connect(self.task, peer, self.stop)

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        def run() -> None:
            try:
                body()
            except FlowError as error:
                if not self.stop.is_set():
                    self.errors.append(error)
                self.end()
            except BaseException as error:
                self.errors.append(error)
                self.end()

        thread = threading.Thread(target=run, name=f"{self.task} {name}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def attach(self, agent: Any) -> None:
        self.attached.set()

    def end(self) -> None:
        """As a LoopStage ends: it is told, and its connections are closed."""
        self.stop.set()
        self.lines.cut_off(self.task)

    def run(self, body: Callable[[Any], None]) -> None:
        def main() -> None:
            body(self)
            self.end()

        self.spawn("task", main)

    def join(self) -> None:
        """All threads of a stage that was told to end do so."""
        for thread in self.threads:
            thread.join(DEADLINE_S)
        assert not [thread.name for thread in self.threads if thread.is_alive()]


class World:
    """A job, begun; ended at the end of the `with`. learner: or what makes it, of the dispatcher's stage."""

    def __init__(
        self,
        folder: Path,
        recipe: Mapping[str, Any],
        policy: str = "round-robin",
        *,
        learner: Any = None,
        without: str = "",
    ) -> None:
        self.lines = Lines()
        self.recipe, self.folder = recipe, folder
        self.learner = Learner() if learner is None else learner
        self.stages: dict[str, Stage] = {}
        self.helps: dict[str, Help] = {}
        self.all_stages: list[Stage] = []
        for helper in recipe["helpers"].values():
            if helper["device"] not in without:
                self.start(helper["device"])
        self.dispatch = Dispatch(recipe, DeviceId("hub"), policy)
        self._begin(HUB, self.dispatch)

    def __enter__(self) -> World:
        """Once its helpers are there, over lines that stand."""
        assert self.stages[HUB].attached.wait(DEADLINE_S), self.stages[HUB].errors
        until(lambda: self.there("".join(self.helps)), "helpers")
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        for gate in offload_code.gates.values():
            gate.open()
        offload_code.sink_gate.open()
        offload_code.tap.put(None)
        for stage in self.stages.values():
            stage.end()
        for stage in self.all_stages:
            stage.join()
        if kind is None:
            assert not [error for stage in self.all_stages for error in stage.errors]

    def start(self, name: str) -> None:
        self.helps[name] = Help(self.recipe, DeviceId(name))
        self._begin(f"help-{name}", self.helps[name])

    def kill(self, name: str) -> None:
        """What it was doing is lost."""
        stage = self.stages.pop(f"help-{name}")
        stage.end()
        self.helps.pop(name)

    def give(self, *values: Any) -> None:
        """Items, to the source."""
        for value in values:
            offload_code.tap.put(value)

    def wait_for_the_end(self) -> dict[str, Any]:
        """Until the dispatcher has ended by itself."""
        self.give(None)
        assert self.stages[HUB].stop.wait(DEADLINE_S), self.told
        return self.told

    @property
    def told(self) -> dict[str, Any]:
        return self.dispatch.told()

    def there(self, names: str) -> bool:
        """Whether these, and no others, are there to be chosen."""
        return {name for name, row in self.told["helpers"].items() if not row["away"]} == set(names)

    def waiting(self, name: str) -> int:
        """Items that have come to a helper and wait at its gate, or behind who does."""
        ((_, waiting),) = self.helps[name].rows().values()
        return waiting + offload_code.gates[name].waiting

    def _begin(self, task: str, body: Any) -> None:
        stage = Stage(TaskId(task), self.folder / task, self.lines, self.learner)
        if task == HUB and callable(self.learner):
            stage.learner = self.learner(stage)
        self.stages[task] = stage
        self.all_stages.append(stage)
        stage.run(body)
