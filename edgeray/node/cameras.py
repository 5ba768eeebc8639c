"""A stage of mode "cameras": one edge, whose part of the job is said anew while it runs."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from edgeray.node.agent import Agent, AgentStage
from edgeray.node.code import TaskCode
from edgeray.scheduler.effects import StagePlan
from policies.model import CameraId, Mapped


class Edge(Agent, Protocol):
    """What runs in the stage (edgeray.streams.edge.Edge)."""

    def map(self, mapped: Mapped) -> None: ...
    def view(self, camera: CameraId) -> dict[str, Any] | None: ...


class CameraStage(AgentStage[Edge]):
    """A mapping that comes early is kept for the edge."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._early: Mapped | None = None
        self._attaching = threading.Lock()

    def attach(self, agent: Edge) -> None:
        with self._attaching:
            super().attach(agent)
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


def edge_code(code: TaskCode, plan: StagePlan) -> TaskCode:
    """An edge's code with where it is, and how cameras are watched as it begins."""
    return TaskCode(run=code.run, args={**code.args, "device": plan.device, "mapped": plan.mapped})
