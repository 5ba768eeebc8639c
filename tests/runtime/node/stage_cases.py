"""Stages made by hand, and the ends of real flows between them on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from edgeray.dataplane import FlowReceiver, FlowSender, new_flow_security
from edgeray.node.code import LoadedTask, TaskCode
from edgeray.node.stage import Stage
from edgeray.scheduler.effects import Inflow, Outflow, StagePlan
from policies.model import DeviceId, FlowId, JobId, Replicas, TaskId

S, A, B, D = TaskId("s"), TaskId("a"), TaskId("b"), TaskId("d")
DEADLINE_S = 20.0
E2 = DeviceId("e2")


class Collect:
    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.closed = 0

    def __call__(self, *inputs: Any) -> int:
        self.seen.append(inputs if len(inputs) > 1 else inputs[0])
        return len(self.seen)

    def close(self) -> None:
        self.closed += 1


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition was not met in time"
        threading.Event().wait(0.005)


def task(name: TaskId, call: Callable[..., Any]) -> LoadedTask:
    return LoadedTask(task=name, call=call, close=getattr(call, "close", lambda: None))


def stage_of(
    calls: dict[TaskId, Callable[..., Any]],
    inputs: dict[TaskId, tuple[TaskId, ...]],
    *,
    source: TaskCode | None = None,
    inflows: tuple[Inflow, ...] = (),
    outflows: tuple[Outflow, ...] = (),
    senders: dict[FlowId, FlowSender] | None = None,
    receivers: dict[FlowId, FlowReceiver] | None = None,
    sinks: tuple[TaskId, ...] = (),
    depth: int = 4,
    replicas: tuple[Replicas, ...] = (),
    learner: Callable[..., Any] | None = None,
) -> Stage:
    plan = StagePlan(
        job=JobId("j"),
        device=DeviceId("e1"),
        tasks=tuple(calls),
        inputs={name: inputs.get(name, ()) for name in calls},
        inflows=inflows,
        outflows=outflows,
        sinks=tuple(name for name in sinks if name in calls),
        depth_items=depth,
        granted_per_s=None,
        replicas=replicas,
    )
    code = {name: source or TaskCode(run="x:y") for name in calls}
    loaded = {name: task(name, call) for name, call in calls.items()}
    return Stage(plan, loaded, code, senders or {}, receivers or {}, learner=learner)


Where = dict[str, dict[TaskId, Callable[..., Any]]]


def stages_on(
    where: Where,
    inputs: dict[TaskId, tuple[TaskId, ...]],
    *,
    replicas: tuple[Replicas, ...] = (),
    **more: Any,
) -> dict[str, Stage]:
    """A stage a device, by device, with a real flow wherever an input is on another one."""
    device_of = {name: device for device, calls in where.items() for name in calls}
    copies = {copy for each in replicas for copy in each.copies}
    plans: dict[str, dict[str, Any]] = {
        device: {"inflows": [], "outflows": [], "senders": {}, "receivers": {}} for device in where
    }
    for consumer, producers in inputs.items():
        for producer in producers:
            here, there = device_of[producer], device_of[consumer]
            if here == there:
                continue
            flow = FlowId(f"{producer}->{consumer}")
            sender, receiver = pair(flow, answers=consumer in copies)
            ends = {"flow": flow, "producer": producer, "consumer": consumer}
            plans[here]["senders"][flow] = sender
            plans[here]["outflows"].append(
                Outflow(**ends, peer=DeviceId(there), address="127.0.0.1", port=receiver.port, rate_bps=1e8)
            )
            plans[there]["receivers"][flow] = receiver
            plans[there]["inflows"].append(Inflow(**ends, peer=DeviceId(here), port=receiver.port))
    return {
        device: stage_of(
            where[device],
            inputs,
            inflows=tuple(plan.pop("inflows")),
            outflows=tuple(plan.pop("outflows")),
            replicas=replicas,
            **plan,
            **more,
        )
        for device, plan in plans.items()
    }


def numbers(count: int) -> Callable[[], Iterator[int]]:
    return lambda: iter(range(count))


def pair(flow: FlowId, depth: int = 4, *, answers: bool = False) -> tuple[FlowSender, FlowReceiver]:
    keys = new_flow_security()
    window: dict[str, Any] = {"max_items": depth, "max_bytes": 2**20, "answers": answers}
    receiver = FlowReceiver("127.0.0.1", 0, security=keys.for_receiver(), **window)
    sender = FlowSender("127.0.0.1", receiver.port, security=keys.for_sender(), **window)
    return sender, receiver
