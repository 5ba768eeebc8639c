"""Connections between tasks of mode loop: both ways, opened again after a break, and never stuck."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_ends import AB, BA, A, B, free_ports, line_of, new_keys

from edgeray.dataplane import FlowSecurity
from edgeray.errors import FlowError, StageError
from edgeray.node.lines import Connection, Line
from policies.model import FlowId, TaskId

DEADLINE_S = 20.0
Keys = dict[FlowId, FlowSecurity]


class Call(threading.Thread):
    """A call in the background."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error

    def result(self, deadline_s: float = DEADLINE_S) -> Any:
        self.join(deadline_s)
        assert not self.is_alive(), f"the call did not return within {deadline_s} s"
        if self._error is not None:
            raise self._error
        return self._value


class Ends:
    """Both ends of one line, closed in the end."""

    def __init__(self) -> None:
        self.ports = free_ports(2)
        self.keys = new_keys()
        self.lines: list[Line] = []

    def line(self, me: TaskId, **more: Any) -> Line:
        line = line_of(me, self.ports, self.keys, **more)
        self.lines.append(line)
        return line


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for line in made.lines:
        line.close()


def both(ends: Ends) -> tuple[Connection, Connection]:
    return ends.line(A).connect(), ends.line(B).connect()


def exchange(one: Connection, other: Connection) -> None:
    """Something goes each way."""
    one.send("there")
    assert other.receive(DEADLINE_S) == "there"
    other.send("back")
    assert one.receive(DEADLINE_S) == "back"


def test_values_go_both_ways_at_once_in_order(ends: Ends) -> None:
    a, b = both(ends)

    def talk(connection: Connection, first: int) -> list[int]:
        sending = Call(lambda: [connection.send(first + number) for number in range(100)])
        received = [connection.receive(DEADLINE_S) for _ in range(100)]
        sending.result()
        return received

    other = Call(lambda: talk(b, 1000))
    assert talk(a, 0) == list(range(1000, 1100))
    assert other.result() == list(range(100))


def test_whichever_end_is_there_first_waits_for_the_other(ends: Ends) -> None:
    for first, second in ((A, B), (B, A)):
        early = ends.line(first).connect()
        sent = Call(lambda early=early: early.send("hello"))
        with pytest.raises(FlowError, match="not opened its end"):
            early.receive(0.3)
        assert sent.is_alive()
        late = ends.line(second).connect()
        assert late.receive(DEADLINE_S) == "hello"
        sent.result()
        early.close()
        late.close()


def test_nothing_in_time_leaves_the_connection_open(ends: Ends) -> None:
    a, b = both(ends)
    exchange(a, b)
    with pytest.raises(FlowError, match=r"nothing came within 0\.05 s"):
        a.receive(0.05)
    assert not a.closed
    exchange(b, a)


def test_arrays_of_many_megabytes_travel_as_one_value_that_lies_on_what_came(ends: Ends) -> None:
    """60 MB, seven times the window of bytes. The arrays are views of what was received, not copies of it."""
    a, b = both(ends)
    weights = {f"layer{n}": np.full(1_500_000, n, np.float32) for n in range(10)}
    sending = Call(lambda: a.send(weights))
    got = b.receive(DEADLINE_S)
    sending.result()
    assert all(np.array_equal(got[name], weights[name]) for name in weights)
    assert all(array.base is not None and array.flags.writeable for array in got.values())
    size = sum(array.nbytes for array in weights.values())
    assert size <= a.sent_bytes == b.received_bytes <= size + 4096
    assert (a.received_bytes, b.sent_bytes) == (0, 0)


def test_an_item_that_takes_many_peer_timeouts_is_no_lost_peer(ends: Ends) -> None:
    """The kernel drains it at the rate of the flow; a peer that is silent for half a second would be lost."""
    a = ends.line(A, rate_bps=1.6e7, peer_timeout_s=0.5).connect()
    b = ends.line(B, peer_timeout_s=0.5).connect()
    exchange(a, b)
    began_s = time.monotonic()
    a.send(np.zeros(4_000_000, np.uint8))  # the window is full, and this end waits for room
    sending = Call(lambda: [a.send(np.zeros(3_000_000, np.uint8)), a.finish()])
    assert b.receive(DEADLINE_S).nbytes == 4_000_000
    assert b.receive(DEADLINE_S).nbytes == 3_000_000
    with pytest.raises(FlowError, match="has ended the connection"):
        b.receive(DEADLINE_S)
    sending.result()
    assert time.monotonic() - began_s > 1.5, "it was not paced, so nothing was tried"


@pytest.mark.parametrize("act", ["receive", "send", "finish"])
@pytest.mark.parametrize("opened", [False, True], ids=["opening", "open"])
def test_close_wakes_whoever_waits(ends: Ends, act: str, opened: bool) -> None:
    a = ends.line(A).connect()
    if opened:
        exchange(a, ends.line(B).connect())

    def wait() -> None:
        if act == "receive":
            a.receive(None)
        elif act == "finish":
            a.finish()
        while True:
            a.send(b"x")

    waiting = Call(wait)
    waiting.join(0.3)
    assert waiting.is_alive()
    a.close()
    with pytest.raises(FlowError, match="connection with b is closed"):
        waiting.result(2.0)
    with pytest.raises(FlowError, match="connection with b is closed"):
        a.send("more")


def test_a_closed_end_is_told_to_the_other_after_what_was_sent(ends: Ends) -> None:
    a, b = both(ends)
    exchange(a, b)
    a.send("last")
    finishing = Call(a.finish)
    assert b.receive(DEADLINE_S) == "last"
    with pytest.raises(FlowError, match="a has ended the connection"):
        b.receive(DEADLINE_S)
    finishing.result()
    a.close()
    b.close()
    c, d = both(ends)
    exchange(c, d)
    c.close()
    with pytest.raises(FlowError, match="went away"):
        d.receive(DEADLINE_S)
    assert d.closed
    with pytest.raises(FlowError):
        d.send("anybody there?")


def test_both_may_finish_at_once_and_what_came_meanwhile_is_kept(ends: Ends) -> None:
    a, b = both(ends)
    for number in range(3):
        b.send(number)
    finishing = Call(b.finish)
    Call(a.finish).result()
    assert [a.receive(DEADLINE_S) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(FlowError, match="b has ended the connection"):
        a.receive(DEADLINE_S)
    finishing.result()


def test_what_cannot_be_sent_is_the_tasks_fault_and_breaks_nothing(ends: Ends) -> None:
    a, b = both(ends)
    with pytest.raises(StageError, match="a function, cannot be sent"):
        a.send(lambda: None)
    exchange(a, b)


@pytest.mark.parametrize("who", ["a", "b", "both"])
def test_a_connection_is_opened_anew_on_the_same_ports(ends: Ends, who: str) -> None:
    """Also by one end alone: the other is told that its connection broke, and opens again."""
    lines = {"a": ends.line(A), "b": ends.line(B)}
    a, b = lines["a"].connect(), lines["b"].connect()
    exchange(a, b)
    for _ in range(3):
        a.send("left over")
        old = (a, b)
        if who in ("a", "both"):
            a = lines["a"].connect()
        if who in ("b", "both"):
            b = lines["b"].connect()
        if who == "a":
            with pytest.raises(FlowError, match="went away"):
                drain(b)
            b = lines["b"].connect()
        if who == "b":
            with pytest.raises(FlowError, match="went away"):
                drain(a)
            a = lines["a"].connect()
        exchange(a, b)
        assert all(connection.closed for connection in old)
    sent, received = lines["a"].counters()[AB], lines["b"].counters()[AB]
    assert sent[0] == 7, "of all connections: four exchanges and what was left over"
    assert received[0] >= 4
    assert lines["b"].counters()[BA][0] == 4


def drain(connection: Connection) -> None:
    while True:
        connection.receive(DEADLINE_S)


def test_an_end_that_nobody_looks_at_neither_keeps_nor_takes_the_line(ends: Ends) -> None:
    """Its owner computes. The peer opens anew, again and again; what it says goes to no old connection."""
    line_a, line_b = ends.line(A), ends.line(B)
    old = line_a.connect()
    exchange(old, line_b.connect())
    for attempt in range(3):
        connection = line_b.connect()
        with pytest.raises(FlowError, match="not opened its end"):
            connection.receive(0.4)
        sent = Call(lambda c=connection: c.send("new"))
        if attempt < 2:
            connection.close()
            with pytest.raises(FlowError):
                sent.result()
    with pytest.raises(FlowError, match="went away"):
        old.receive(DEADLINE_S)
    new = line_a.connect()
    assert new.receive(DEADLINE_S) == "new"
    exchange(new, connection)


def test_a_stranger_on_the_port_takes_nothing(ends: Ends) -> None:
    strange = Ends()
    strange.ports = ends.ports
    a = ends.line(A).connect()
    stranger = strange.line(B).connect()  # b's ports, but not its keys
    with pytest.raises(FlowError, match="not opened its end"):
        stranger.receive(0.5)
    strange.lines[0].close()
    exchange(a, ends.line(B).connect())


def test_a_port_that_stays_taken_is_told(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeray.node.lines.BIND_TIMEOUT_S", 0.3)
    taken = ends.line(A).connect()
    other = ends.line(A).connect()
    connections = Call(lambda: taken.receive(None)), Call(lambda: other.receive(None))
    by_s = time.monotonic() + DEADLINE_S
    while all(call.is_alive() for call in connections):
        assert time.monotonic() < by_s
        connections[0].join(0.05)
    loser = next(call for call in connections if not call.is_alive())
    with pytest.raises(FlowError, match="cannot listen"):
        loser.result()


def test_a_closed_line_opens_no_more(ends: Ends) -> None:
    line = ends.line(A)
    connection = line.connect()
    line.close()
    assert connection.closed
    with pytest.raises(FlowError, match="stage has been stopped"):
        line.connect()


# Processes that are killed

CHILD = """
import json, sys
import numpy as np
folder, me, ports, rate_bps, keys = json.loads(sys.argv[1])
sys.path.insert(0, folder)
from line_ends import line_of
from edgeray.dataplane import FlowSecurity
keys = {flow: FlowSecurity(**found) for flow, found in keys.items()}
connection = line_of(me, ports, keys, rate_bps=rate_bps).connect()
for number in range(1000):
    got = connection.receive(None)
    connection.send((number, got))
    if got == "flood":
        print("flooding", flush=True)
        while True:
            connection.send(np.zeros(20_000_000, np.uint8))
"""


@contextmanager
def child(ends: Ends, me: TaskId, rate_bps: float | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process at the other end: answers what it gets with its number, and on "flood" sends large items."""
    keys = {flow: asdict(found) for flow, found in ends.keys.items()}
    told = json.dumps([str(Path(__file__).parent), me, ends.ports, rate_bps, keys])
    command = [sys.executable, "-c", CHILD, told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as found:
        try:
            yield found
        finally:
            found.kill()


@pytest.mark.parametrize("me", [A, B])
@pytest.mark.parametrize("sending", ["child", "here"])
def test_a_killed_process_comes_back_in_the_middle_of_a_message(ends: Ends, me: TaskId, sending: str) -> None:
    """Whichever end is killed, and whichever sends: the rest of a message never shows, and the line works again.

    20 MB at 80 Mbit/s take 2 s, and the process is killed long before.
    """
    line = ends.line(me, rate_bps=8e7)
    other = B if me == A else A
    for _ in range(2):
        connection = line.connect()
        with child(ends, other, rate_bps=8e7) as process:
            connection.send("first")
            assert connection.receive(DEADLINE_S) == (0, "first")
            if sending == "child":
                connection.send("flood")
                assert connection.receive(DEADLINE_S) == (1, "flood")
                assert process.stdout is not None
                assert process.stdout.readline() == "flooding\n"
            else:
                connection.send(np.zeros(20_000_000, np.uint8))
            process.kill()
            with pytest.raises(FlowError, match="went away"):
                drain(connection) if sending == "child" else connection.finish()
        assert connection.closed
    connection = line.connect()
    with child(ends, other):
        connection.send("again")
        assert connection.receive(DEADLINE_S) == (0, "again")


def test_a_killed_process_is_missed_while_the_kernel_still_sends_for_it(ends: Ends) -> None:
    """What lay in its buffers goes on for a minute, as if somebody were there; the other flow tells."""
    line = ends.line(A)
    connection = line.connect()
    with child(ends, B, rate_bps=4e5) as process:
        connection.send("flood")
        assert connection.receive(DEADLINE_S) == (0, "flood")
        assert process.stdout is not None
        assert process.stdout.readline() == "flooding\n"
        process.kill()
        with pytest.raises(FlowError, match="went away"):
            drain(connection)
    connection = line.connect()
    with child(ends, B):
        connection.send("hello")
        assert connection.receive(DEADLINE_S) == (0, "hello")
