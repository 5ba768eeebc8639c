"""A stage whose one task answers for itself: what it counts is its agent's, by steps, users or helpers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from edgeray.node.loop import LoopContext, LoopStage
from edgeray.node.measure import SinkWindow, TaskCounters
from policies.model import TaskId


class Agent(Protocol):
    """What runs in the stage. rows: counters, and how many items wait, by step."""

    def rows(self) -> Mapping[TaskId, tuple[TaskCounters, int]]: ...
    def windows(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]: ...


Mine = TypeVar("Mine", bound=Agent)


class AgentContext(LoopContext):
    """What such a task is called with."""

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Start a thread; what it raises ends the stage."""
        self._stage.spawn(name, body)

    def attach(self, agent: Any) -> None:
        """From now on the stage's questions go to it."""
        stage = self._stage
        assert isinstance(stage, AgentStage), "made by it"
        stage.attach(agent)


class AgentStage(LoopStage, Generic[Mine]):
    """A LoopStage whose counters are its agent's; none before there is one."""

    context_type = AgentContext

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._agent: Mine | None = None

    def attach(self, agent: Mine) -> None:
        self._agent = agent

    def counters(self) -> Mapping[TaskId, TaskCounters]:
        return {task: counters for task, (counters, _) in self._rows().items()}

    def waiting(self, task: TaskId) -> int:
        row = self._rows().get(task)
        return 0 if row is None else row[1]

    def sink_window(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        return {} if self._agent is None else self._agent.windows(from_s, to_s)

    def _rows(self) -> Mapping[TaskId, tuple[TaskCounters, int]]:
        return {} if self._agent is None else self._agent.rows()
