"""Stages of one-shot jobs: the order of the timetable, transfers that wait for their links, files, results."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeray.dataplane import FlowReceiver, FlowSender, new_flow_security
from edgeray.errors import FlowError, StageError
from edgeray.node.code import LoadedTask
from edgeray.node.files import CHUNK_BYTES, FileNote, Incoming, outgoing
from edgeray.node.once import RECEIVED, RESULTS, OnceStage
from edgeray.node.turn import next_turn
from edgeray.results import read_index, read_values
from edgeray.scheduler.effects import Inflow, Outflow, StagePlan
from policies.model import DeviceId, FlowId, JobId, TaskId

A, B, C, D = (TaskId(name) for name in "abcd")
AB = FlowId("a->b")
E2 = DeviceId("e2")
LONG_S = 1000.0
DEADLINE_S = 20.0
PORTS = itertools.count(1)


class Broker:
    """The scheduler as a stage knows it: hears what is ready, grants what a test lets it."""

    def __init__(self) -> None:
        self.ready: list[FlowId] = []
        self.done: list[FlowId] = []
        self.heard = threading.Event()

    def transfer_ready(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None:
        self.ready.append(flow)
        self.heard.set()

    def transfer_done(self, job: JobId, flow: FlowId, *, stop: threading.Event) -> None:
        self.done.append(flow)


def stage_of(
    folder: Path,
    calls: Mapping[TaskId, Callable[..., Any]],
    inputs: Mapping[TaskId, tuple[TaskId, ...]],
    due_s: Mapping[TaskId, float],
    *,
    broker: Broker | None = None,
    sinks: tuple[TaskId, ...] = (),
    sender: FlowSender | None = None,
    receiver: FlowReceiver | None = None,
) -> OnceStage:
    """A stage on e1; with a sender or a receiver the flow a->b leaves or arrives."""
    plan = StagePlan(
        job=JobId("j"),
        device=DeviceId("e1"),
        tasks=tuple(calls),
        inputs={task: inputs.get(task, ()) for task in calls},
        inflows=(Inflow(flow=AB, producer=A, consumer=B, peer=E2, port=next(PORTS)),) if receiver else (),
        outflows=(
            Outflow(
                flow=AB, producer=A, consumer=B, peer=E2, address="127.0.0.1", port=next(PORTS), rate_bps=1
            ),
        )
        if sender
        else (),
        sinks=sinks,
        depth_items=4,
        granted_per_s=None,
        due_s=due_s,
    )
    loaded = {
        task: LoadedTask(task=task, call=call, close=getattr(call, "close", lambda: None))
        for task, call in calls.items()
    }
    return OnceStage(
        plan,
        loaded,
        {AB: sender} if sender else {},
        {AB: receiver} if receiver else {},
        announcer=broker or Broker(),
        output_dir=folder,
    )


Ends = tuple[FlowSender, FlowReceiver]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both ends of a flow. Closed in the end: one that is only let go can hold up the process's other flows."""
    keys = new_flow_security()
    window = {"max_items": 4, "max_bytes": 8 * 2**20}
    receiver = FlowReceiver("127.0.0.1", 0, security=keys.for_receiver(), **window)
    sender = FlowSender("127.0.0.1", receiver.port, security=keys.for_sender(), **window)
    yield sender, receiver
    sender.close()
    receiver.close()


def until(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition was not met in time"
        threading.Event().wait(0.005)


def results(folder: Path) -> dict[str, Any]:
    return read_values(folder / RESULTS, read_index(folder / RESULTS))


# Whose turn it is


@pytest.mark.parametrize(
    ("ready", "elapsed_s", "turn"),
    [
        ("abc", 0.0, "a"),
        ("bc", 0.9, None),  # a is planned next and its time has not passed
        ("bc", 1.0, "b"),  # a is late: the earliest planned of those that are ready
        ("c", 1.0, "c"),
        ("", 9.0, None),
    ],
)
def test_who_is_planned_next_goes_next_unless_it_is_late(
    ready: str, elapsed_s: float, turn: str | None
) -> None:
    due_s = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert next_turn("abc", due_s, ready.__contains__, elapsed_s) == turn


def test_tasks_run_in_the_order_of_the_timetable_each_once(tmp_path: Path) -> None:
    ran: list[str] = []
    calls = {task: lambda *inputs, task=task: ran.append(task) for task in (A, B, C, D)}
    due_s = {C: 0.0, A: LONG_S, D: 2 * LONG_S, B: 3 * LONG_S}
    stage = stage_of(tmp_path, calls, {D: (C,), B: (A, C)}, due_s)
    stage.start()
    stage.wait()  # far before anything is due: nobody waits for the clock where everybody is ready
    assert ran == [C, A, D, B]
    assert all(stage.counters()[task].items == 1 for task in calls)


def test_a_late_input_lets_others_go_first(tmp_path: Path, ends: Ends) -> None:
    sender, receiver = ends
    ran: list[str] = []
    calls = {B: lambda x: ran.append("b"), C: lambda: ran.append("c"), D: lambda: ran.append("d")}
    stage = stage_of(tmp_path, calls, {B: (A,)}, {B: 0.0, C: 0.1, D: 0.2}, receiver=receiver)
    stage.start()
    until(lambda: ran == ["c", "d"])
    assert sender.send(0, 7, created_s=0.0)
    assert sender.finish(1)
    stage.wait()
    assert ran == ["c", "d", "b"]


def test_a_task_waits_for_its_planned_predecessor_until_that_is_late(tmp_path: Path, ends: Ends) -> None:
    _, receiver = ends
    ran = threading.Event()
    stage = stage_of(
        tmp_path, {B: lambda x: None, C: ran.set}, {B: (A,)}, {B: LONG_S, C: LONG_S + 1}, receiver=receiver
    )
    stage.start()
    assert not ran.wait(0.3), "c is ready, but b is planned before it and not late"
    stage.stop()
    stage.wait()
    assert not ran.is_set()


def test_inputs_come_in_the_order_of_the_job_file_and_a_generator_is_no_stream(tmp_path: Path) -> None:
    def numbers() -> list[int]:
        return [1, 2]

    stage = stage_of(
        tmp_path,
        {A: numbers, B: lambda x: sum(x), C: lambda b, a: {"b": b, "a": a}},
        {B: (A,), C: (B, A)},
        {A: 0.0, B: 1.0, C: 2.0},
        sinks=(C,),
    )
    stage.start()
    stage.wait()
    assert results(tmp_path) == {"c": {"b": 3, "a": [1, 2]}}


# Transfers


def test_a_transfer_waits_for_its_links_and_is_reported_by_its_receiver(tmp_path: Path, ends: Ends) -> None:
    sender, receiver = ends
    near_broker, far_broker = Broker(), Broker()
    picture = np.arange(300_000, dtype=np.int64)
    near = stage_of(tmp_path / "1", {A: lambda: picture}, {}, {A: 0.0}, broker=near_broker, sender=sender)
    far = stage_of(
        tmp_path / "2", {B: lambda x: x * 2}, {B: (A,)}, {B: 0.0}, broker=far_broker, receiver=receiver, sinks=(B,)
    )  # fmt: skip
    far.start()
    near.start()
    assert near_broker.heard.wait(DEADLINE_S)
    assert far.waiting(B) == 0
    assert sender.items == 0, "it was sent before its links were free"
    near.start_transfer(AB)
    near.wait()
    far.wait()
    assert (near_broker.ready, near_broker.done) == ([AB], [])
    assert (far_broker.ready, far_broker.done) == ([], [AB])
    assert (results(tmp_path / "2")["b"] == picture * 2).all()


def test_a_stage_that_hears_nothing_of_its_transfer_ends_when_it_is_stopped(
    tmp_path: Path, ends: Ends
) -> None:
    sender, _ = ends
    broker = Broker()
    stage = stage_of(tmp_path, {A: lambda: 1}, {}, {A: 0.0}, broker=broker, sender=sender)
    stage.start()
    assert broker.heard.wait(DEADLINE_S)
    began_s = time.monotonic()
    stage.stop()
    stage.wait()
    assert time.monotonic() - began_s < 5
    assert sender.items == 0


def test_a_peer_that_is_cut_breaks_the_stage_by_name(tmp_path: Path, ends: Ends) -> None:
    sender, receiver = ends
    stage = stage_of(tmp_path, {B: lambda x: x}, {B: (A,)}, {B: 0.0}, receiver=receiver)
    stage.start()
    until(lambda: receiver.connected)
    sender.close()
    with pytest.raises(FlowError, match="the sender went away"):
        stage.wait()


# Files


def test_files_travel_beside_values_and_get_places_of_their_own(tmp_path: Path, ends: Ends) -> None:
    large = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"end"
    sender, receiver = ends
    broker = Broker()

    def write() -> dict[str, Any]:
        for name, data in (("one/x.bin", large), ("two/x.bin", b"")):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_bytes(data)
        return {"large": tmp_path / "one/x.bin", "empty": tmp_path / "two/x.bin", "number": 5}

    def read(came: dict[str, Any]) -> tuple[bool, bytes, Any, bool]:
        inside = all(came[name].is_relative_to(tmp_path / "far") for name in ("large", "empty"))
        return came["large"].read_bytes() == large, came["empty"].read_bytes(), came["number"], inside

    near = stage_of(tmp_path / "near", {A: write}, {}, {A: 0.0}, broker=broker, sender=sender)
    far = stage_of(tmp_path / "far", {B: read}, {B: (A,)}, {B: 0.0}, receiver=receiver, sinks=(B,))
    far.start()
    near.start()
    near.start_transfer(AB)
    near.wait()
    far.wait()
    assert results(tmp_path / "far") == {"b": (True, b"", 5, True)}
    assert not (tmp_path / "far" / RECEIVED).exists(), "what arrived goes with the stage"


def test_a_path_to_no_file_is_named(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, {A: lambda: [1, Path("/nowhere/x.png")]}, {}, {A: 0.0}, sinks=(A,))
    stage.start()
    with pytest.raises(StageError, match=r"task a returned the path /nowhere/x\.png, where there is no file"):
        stage.wait()


def test_a_file_that_came_short_is_no_value(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path)
    incoming.add(FileNote("../../evil.bin", 3))
    incoming.add(b"ab")
    with pytest.raises(FlowError, match=r"2 bytes of evil\.bin came, expected 3"):
        incoming.value()
    incoming.add(b"c")
    assert incoming.value() == tmp_path / "evil.bin"
    with pytest.raises(FlowError, match="more came"):
        incoming.add(b"d")


@pytest.mark.parametrize("value", [[1, "x"], (1, 2), {"a": None}, "text", None, b"bytes"])
def test_what_is_no_file_travels_as_it_is(value: Any) -> None:
    [sent] = outgoing(value)
    assert sent is value


# Failures


def test_a_task_that_raises_is_named_and_the_others_are_closed(tmp_path: Path) -> None:
    class Closing:
        closed = False

        def __call__(self, x: int) -> int:
            return x

        def close(self) -> None:
            self.closed = True

    def fail() -> None:
        raise ValueError("no input today")

    later = Closing()
    stage = stage_of(tmp_path, {A: fail, B: later}, {B: (A,)}, {A: 0.0, B: 1.0}, sinks=(B,))
    stage.start()
    with pytest.raises(StageError, match="task a raised ValueError: no input today"):
        stage.wait()
    assert later.closed
    assert results(tmp_path) == {}


def test_a_generator_cannot_be_a_result(tmp_path: Path) -> None:
    def items() -> Iterator[int]:
        yield 1

    stage = stage_of(tmp_path, {A: items}, {}, {A: 0.0}, sinks=(A,))
    stage.start()
    with pytest.raises(StageError, match="task a: its result, a generator, cannot be kept"):
        stage.wait()


def test_the_results_of_an_earlier_job_of_that_name_go(tmp_path: Path) -> None:
    for value in ("first", "second"):
        stage = stage_of(tmp_path, {A: lambda value=value: value}, {}, {A: 0.0}, sinks=(A,))
        stage.start()
        stage.wait()
        assert results(tmp_path) == {"a": value}
