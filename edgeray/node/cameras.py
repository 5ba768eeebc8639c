"""A stage of mode "cameras": one edge, whose part of the job is said anew while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edgeray.node.code import TaskCode
from edgeray.node.loop import LoopContext, LoopStage
from edgeray.node.measure import SinkWindow, TaskCounters
from edgeray.scheduler.effects import StagePlan
from policies.model import CameraId, Mapped, TaskId


class Agent(Protocol):
    """What runs in the stage (edgeray.streams.edge.Edge)."""

    def map(self, mapped: Mapped) -> None: ...
    def rows(self) -> Mapping[TaskId, tuple[TaskCounters, int]]: ...
    def windows(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]: ...
    def view(self, camera: CameraId) -> dict[str, Any] | None: ...


class CameraContext(LoopContext):
    """What an edge is called with: as any task side by side, and what makes it its stage's agent."""

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        """Start a thread; what it raises ends the stage."""
        self._stage.spawn(name, body)

    def attach(self, edge: Agent) -> None:
        """From now on the stage's questions and mappings go to it."""
        stage = self._stage
        assert isinstance(stage, CameraStage), "made by it"
        stage.attach(edge)


class CameraStage(LoopStage):
    """A LoopStage whose counters are its edge's, by step and camera. A mapping that comes early is kept for it."""

    context_type = CameraContext

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._agent: Agent | None = None
        self._early: Mapped | None = None
        self._attaching = threading.Lock()

    def attach(self, agent: Agent) -> None:
        with self._attaching:
            self._agent = agent
            if self._early is not None:
                agent.map(self._early)

    def map_streams(self, mapped: Mapped) -> None:
        with self._attaching:
            if self._agent is None:
                self._early = mapped
            else:
                self._agent.map(mapped)

    def view(self, camera: CameraId) -> dict[str, Any] | None:
        return None if self._agent is None else self._agent.view(camera)

    def counters(self) -> Mapping[TaskId, TaskCounters]:
        return {task: counters for task, (counters, _) in self._rows().items()}

    def waiting(self, task: TaskId) -> int:
        row = self._rows().get(task)
        return 0 if row is None else row[1]

    def sink_window(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        return {} if self._agent is None else self._agent.windows(from_s, to_s)

    def _rows(self) -> Mapping[TaskId, tuple[TaskCounters, int]]:
        return {} if self._agent is None else self._agent.rows()


def edge_code(code: TaskCode, plan: StagePlan) -> TaskCode:
    """An edge's code with where it is, and how cameras are watched as it begins."""
    return TaskCode(run=code.run, args={**code.args, "device": plan.device, "mapped": plan.mapped})
