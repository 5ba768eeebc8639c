"""Stages with real flows on loopback: order, joins, back pressure, drops, ends, failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from stage_cases import DEADLINE_S, E2, A, B, Collect, D, S, numbers, pair, stage_of, until

from edgeray.errors import StageError
from edgeray.node.code import TaskCode
from edgeray.node.stage import OUT_QUEUE_ITEMS
from edgeray.scheduler.effects import Inflow, Outflow
from policies.model import FlowId


def test_a_diamond_joins_by_item_number_and_ends_cleanly() -> None:
    sink = Collect()
    stage = stage_of(
        {S: numbers(50), A: lambda x: x * 2, B: lambda x: x * 3, D: sink},
        {A: (S,), B: (S,), D: (A, B)},
        sinks=(D,),
    )
    stage.start()
    stage.wait()
    assert sink.seen == [(2 * n, 3 * n) for n in range(50)]
    assert sink.closed == 1
    assert stage.sink_window(0, time.time())[D].items == 50


def test_a_task_that_raises_is_named_with_its_item() -> None:
    def fail_at_three(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    sink = Collect()
    stage = stage_of({S: numbers(10), A: fail_at_three, D: sink}, {A: (S,), D: (A,)}, sinks=(D,))
    stage.start()
    with pytest.raises(StageError, match="task a raised ValueError on item 3: three"):
        stage.wait()
    assert sink.closed == 1


def test_a_source_that_returns_no_iterator_is_named() -> None:
    stage = stage_of({S: lambda: 5, D: Collect()}, {D: (S,)}, sinks=(D,))
    stage.start()
    with pytest.raises(StageError, match="source s: its code returned int"):
        stage.wait()


def test_a_slow_task_holds_a_blocking_source_back() -> None:
    made: list[int] = []
    gate = threading.Semaphore(0)

    def source() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            yield n

    def slow(x: int) -> int:
        assert gate.acquire(timeout=DEADLINE_S)
        return x

    stage = stage_of({S: source, A: slow}, {A: (S,)}, sinks=(A,), depth=4)
    stage.start()
    # One in the task, four at its input, one that the source holds in its hand.
    until(lambda: len(made) == 6)
    gate.release()
    until(lambda: len(made) == 7)
    assert stage.waiting(A) <= 4
    stage.stop()
    gate.release(100)
    stage.wait()


def test_a_dropping_source_goes_on_and_counts_what_it_dropped() -> None:
    gate = threading.Semaphore(0)
    ended = threading.Event()

    def source() -> Iterator[int]:
        yield from range(200)
        ended.set()

    sink = Collect()

    def slow(x: int) -> int:
        assert gate.acquire(timeout=DEADLINE_S)
        return x

    stage = stage_of(
        {S: source, A: slow, D: sink},
        {A: (S,), D: (A,)},
        source=TaskCode(run="x:y", overflow="drop-oldest"),
        sinks=(D,),
    )
    stage.start()
    assert ended.wait(DEADLINE_S), "the source was blocked"
    gate.release(200)
    stage.wait()
    dropped = stage.counters()[S].dropped
    assert dropped > 0
    assert len(sink.seen) == 200 - dropped
    assert sink.seen == sorted(sink.seen)
    # The newest survive: what waited last is delivered.
    assert sink.seen[-OUT_QUEUE_ITEMS:] == [198, 199]


def test_the_granted_rate_paces_the_source() -> None:
    sink = Collect()
    stage = stage_of({S: numbers(10_000), D: sink}, {D: (S,)}, sinks=(D,))
    stage.pace(200.0)
    began = time.monotonic()
    stage.start()
    until(lambda: len(sink.seen) >= 40)
    spent_s = time.monotonic() - began
    stage.stop()
    stage.wait()
    assert spent_s >= 39 / 200 * 0.9


def test_two_stages_over_a_flow_there_and_back() -> None:
    """s and d on one device, a on another: d joins what came back with what it had all along."""
    there, back = FlowId("s->a"), FlowId("a->d")
    sender_1, receiver_1 = pair(there)
    sender_2, receiver_2 = pair(back)
    sink = Collect()
    near = stage_of(
        {S: numbers(80), D: sink},
        {D: (S, A)},
        outflows=(
            Outflow(
                flow=there,
                producer=S,
                consumer=A,
                address="127.0.0.1",
                port=1,
                rate_bps=1,
                peer=E2,
            ),
        ),
        inflows=(Inflow(flow=back, producer=A, consumer=D, peer=E2, port=2),),
        senders={there: sender_1},
        receivers={back: receiver_2},
        sinks=(D,),
        depth=12,
    )
    far = stage_of(
        {A: lambda x: -x},
        {A: (S,)},
        inflows=(Inflow(flow=there, producer=S, consumer=A, peer=E2, port=1),),
        outflows=(
            Outflow(
                flow=back,
                producer=A,
                consumer=D,
                address="127.0.0.1",
                port=2,
                rate_bps=1,
                peer=E2,
            ),
        ),
        senders={back: sender_2},
        receivers={there: receiver_1},
    )
    far.start()
    near.start()
    near.wait()
    far.wait()
    assert sink.seen == [(n, -n) for n in range(80)]


def test_a_peer_that_is_cut_breaks_the_stage_by_name() -> None:
    flow = FlowId("s->a")
    sender, receiver = pair(flow)
    near = stage_of(
        {S: numbers(10**9)},
        {},
        outflows=(
            Outflow(
                flow=flow,
                producer=S,
                consumer=A,
                address="127.0.0.1",
                port=1,
                rate_bps=1,
                peer=E2,
            ),
        ),
        senders={flow: sender},
    )
    far = stage_of(
        {A: Collect()},
        {A: (S,)},
        inflows=(Inflow(flow=flow, producer=S, consumer=A, peer=E2, port=1),),
        receivers={flow: receiver},
        sinks=(A,),
    )
    far.start()
    near.start()
    until(lambda: far.counters()[A].items > 10)
    far.stop()
    far.wait()
    with pytest.raises(Exception, match="flow"):
        near.wait()


def test_stop_is_prompt_while_everything_is_blocked() -> None:
    flow = FlowId("s->a")
    sender, receiver = pair(flow)
    near = stage_of(
        {S: lambda: iter(lambda: b"x" * 1000, None)},
        {},
        outflows=(
            Outflow(
                flow=flow,
                producer=S,
                consumer=A,
                address="127.0.0.1",
                port=1,
                rate_bps=1,
                peer=E2,
            ),
        ),
        senders={flow: sender},
    )
    near.start()
    until(lambda: near.waiting(S) == OUT_QUEUE_ITEMS)
    began = time.monotonic()
    near.stop()
    near.wait()
    assert time.monotonic() - began < 5
    receiver.close()
