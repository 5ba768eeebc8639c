"""A stage of a job that decides while it runs (modes offload, frames): its server, or a client."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from edgeray.errors import EdgeRayError
from edgeray.learner.link import Link
from edgeray.node.agent import Agent, AgentContext, AgentStage
from edgeray.node.code import TaskCode
from edgeray.node.once import Announcer
from edgeray.scheduler.effects import StagePlan
from policies.model import Flow, FlowId, JobId, TaskId

log = logging.getLogger(__name__)


class Office(Announcer, Protocol):
    """What a stage may ask of the scheduler and of the learner, from its own process."""

    def share_flows(self, job: JobId, rates_bps: Mapping[FlowId, float]) -> None:
        """Ask for new rates. Blocks until the scheduler has heard; raises EdgeRayError when it does not answer."""

    def learner(self, method: str, *args: Any) -> Any:
        """Call the learner. Raises ConnectionError when it does not answer."""


class Deciding(Agent, Protocol):
    """What runs in the stage (edgeray.offload, edgeray.frames). told: plain data; None of a client."""

    def told(self) -> Mapping[str, Any] | None: ...


class OnlineContext(AgentContext):
    """What a server or a client is called with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stage = self._stage
        assert isinstance(stage, OnlineStage), "made by it"
        self.learner: Link = stage.link
        self._online = stage

    def share(self, rates_bps: Mapping[TaskId, float]) -> None:
        """From now on the flow from each of these tasks to this one has this rate, no less and no more.

        Returns at once; in force some 100 ms later. Of several that are asked for meanwhile the newest counts.
        """
        self._online.share(
            {Flow(producer=peer, consumer=self.task).id: rate for peer, rate in rates_bps.items()}
        )


class OnlineStage(AgentStage[Deciding]):
    """office: whom it asks."""

    context_type = OnlineContext

    def __init__(self, plan: StagePlan, *args: Any, office: Office, **kwargs: Any) -> None:
        super().__init__(plan, *args, **kwargs)
        self.link = Link(office.learner, plan.job, self.spawn, self.stopped)
        self._office = office
        self._wanted: dict[FlowId, float] = {}
        self._wants = threading.Condition()
        self._sharing = False

    def share(self, rates_bps: Mapping[FlowId, float]) -> None:
        with self._wants:
            self._wanted.update(rates_bps)
            begin, self._sharing = not self._sharing, True
            self._wants.notify_all()
        if begin:
            self.spawn("shares", self._ask_for_shares)

    def stop(self) -> None:
        super().stop()
        with self._wants:
            self._wants.notify_all()

    def told(self) -> Mapping[str, Any] | None:
        return None if self._agent is None else self._agent.told()

    def _ask_for_shares(self) -> None:
        """Thread: the scheduler may take its time, or be away; the job goes on with the rates it has."""
        while not self.stopped.is_set():
            with self._wants:
                if not self._wanted:
                    self._wants.wait(1.0)  # also looks whether the stage was ended by one of its tasks
                    continue
                rates, self._wanted = self._wanted, {}
            try:
                self._office.share_flows(self.plan.job, rates)
            except (EdgeRayError, ConnectionError) as error:
                log.warning("no new rates: %s", error)


def online_code(task: TaskId, code: TaskCode, plan: StagePlan) -> TaskCode:
    """A task's code with where it is, and of the server with the policy by which it decides."""
    policy = {"policy": plan.policy} if task in plan.sinks else {}
    return TaskCode(run=code.run, args={**code.args, "device": plan.device, **policy})
