"""Stages of jobs that decide while they run: what they ask of the scheduler and the learner, and what they tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from line_ends import HERE, A, B, ends_of, free_ports, new_keys

from edgeray.learner.service import LearnerService
from edgeray.node.code import LoadedTask, TaskCode
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.node.online import OnlineContext, OnlineStage, online_code
from edgeray.scheduler.effects import StagePlan
from policies.model import DeviceId, FlowId, JobId, TaskId

DEADLINE_S = 20.0


def until(condition: Callable[[], Any]) -> None:
    by_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < by_s, "not met in time"
        threading.Event().wait(0.01)


class Bureau:
    """The scheduler and the learner. away: neither answers."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[FlowId, float]] = []
        self.away = False
        self._learner = LearnerService(folder)

    def transfer_ready(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None:
        raise AssertionError("nothing is transferred")

    transfer_done = transfer_ready

    def share_flows(self, job: JobId, rates_bps: Mapping[FlowId, float]) -> None:
        assert job == "j"
        if self.away:
            raise ConnectionError("it is being started again")
        self.asked.append(dict(rates_bps))

    def learner(self, method: str, *args: Any) -> Any:
        if self.away:
            raise ConnectionError("it is being started again")
        return getattr(self._learner, method)(*args)


class Counting:
    """An agent that has done three items."""

    def __init__(self) -> None:
        self.log = SinkLog()
        for at_s in (1.0, 2.0, 3.0):
            self.log.add(at_s, 0.5)

    def rows(self) -> Mapping[TaskId, tuple[TaskCounters, int]]:
        return {A: (TaskCounters(items=3), 7)}

    def windows(self, from_s: float, to_s: float) -> Mapping[TaskId, SinkWindow]:
        return {A: self.log.window(from_s, to_s)}

    def told(self) -> Mapping[str, Any] | None:
        return {"items": 3}


def plan() -> StagePlan:
    inflow, outflow = ends_of(A, B, free_ports(2))
    return StagePlan(
        job=JobId("j"),
        device=DeviceId("d"),
        tasks=(A,),
        inputs={A: (B,)},
        inflows=(inflow,),
        outflows=(outflow,),
        sinks=(A,),
        depth_items=4,
        granted_per_s=None,
        mode="offload",
        policy="toof",
    )


def stage_of(bureau: Bureau, folder: Path, call: Callable[[OnlineContext], Any]) -> OnlineStage:
    return OnlineStage(
        plan(),
        {A: LoadedTask(task=A, call=call, close=lambda: None)},
        office=bureau,
        address=HERE,
        security=new_keys(),
        self_paced=False,
        output_dir=folder,
        cpus=0.5,
    )


def end(stage: OnlineStage) -> None:
    stage.stop()
    ended = threading.Event()

    def body() -> None:
        with suppress(Exception):
            stage.wait()
        ended.set()

    threading.Thread(target=body, daemon=True).start()
    assert ended.wait(DEADLINE_S), "the stage does not end"
    stage.wait()


@pytest.fixture
def bureau(tmp_path: Path) -> Bureau:
    return Bureau(tmp_path / "learner")


def test_what_the_agent_counts_is_what_the_stage_tells(bureau: Bureau, tmp_path: Path) -> None:
    def server(context: OnlineContext) -> None:
        assert (context.device, context.task, context.peers, context.cpus) == ("d", A, (B,), 0.5)
        context.attach(Counting())
        context.stop.wait()

    stage = stage_of(bureau, tmp_path, server)
    assert (stage.told(), dict(stage.counters()), stage.waiting(A)) == (None, {}, 0), "it has not begun"
    stage.start()
    until(lambda: stage.told() is not None)
    assert stage.told() == {"items": 3}
    assert stage.counters()[A].items == 3
    assert stage.waiting(A) == 7
    assert stage.sink_window(0.5, 2.5)[A].items == 2
    end(stage)


def test_shares_reach_the_scheduler_and_of_several_the_newest_counts(bureau: Bureau, tmp_path: Path) -> None:
    asked_for = threading.Event()

    def server(context: OnlineContext) -> None:
        context.share({B: 1e6})
        until(lambda: bureau.asked)
        bureau.away = True
        for rate in (2e6, 3e6):
            context.share({B: rate})
        bureau.away = False
        until(lambda: bureau.asked[-1] == {"b->a": 3e6} or context.share({B: 3e6}))
        asked_for.set()
        context.stop.wait()

    stage = stage_of(bureau, tmp_path, server)
    stage.start()
    assert asked_for.wait(DEADLINE_S)
    assert bureau.asked[0] == {"b->a": 1e6}
    assert bureau.asked[-1] == {"b->a": 3e6}
    end(stage)


def test_a_scheduler_that_is_away_ends_nothing(bureau: Bureau, tmp_path: Path) -> None:
    bureau.away = True
    done = threading.Event()

    def server(context: OnlineContext) -> None:
        context.share({B: 1e6})
        assert context.learner.restore({"policy": "djos", "helpers": [], "dimensions": 0, "seed": 0}) is None
        assert context.learner.bypassed
        done.set()
        context.stop.wait()

    stage = stage_of(bureau, tmp_path, server)
    stage.start()
    assert done.wait(DEADLINE_S)
    end(stage)


def test_what_was_kept_is_there_for_the_next_process(bureau: Bureau, tmp_path: Path) -> None:
    about = {"policy": "djos", "helpers": [], "dimensions": 0, "seed": 0}
    found: list[Any] = []

    def server(context: OnlineContext) -> None:
        found.append(context.learner.restore(about))
        context.learner.keep({"X": [1.5]})
        context.stop.wait()

    for life in (1, 2):
        stage = stage_of(bureau, tmp_path, server)
        stage.start()
        until(lambda life=life: len(found) == life)  # type: ignore[misc]
        until(lambda: bureau.learner("open", JobId("j"), about) == {"X": [1.5]})
        end(stage)
    assert found == [None, {"X": [1.5]}]


def test_only_the_server_is_told_the_policy() -> None:
    code = TaskCode(run="m:C", args={"recipe": {}})
    mine = replace(plan(), tasks=(A, B))
    assert online_code(A, code, mine).args == {"recipe": {}, "device": "d", "policy": "toof"}
    assert online_code(B, code, mine).args == {"recipe": {}, "device": "d"}
