"""When intervals are announced, and to whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from edgeray.errors import StageError
from edgeray.training.fog.intervals import Intervals
from edgeray.training.fog.mover import Mover
from edgeray.training.lines import HELLO
from edgeray.training.messages import Interval, IntervalDone
from edgeray.training.records import RoundRecord
from policies.linear import SolverError
from tests.runtime.training.fog_cases import SEED, WITHIN_S, fog_of


class Clock:
    """Goes on only while somebody waits."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        changed.wait(0.001)
        self.now_s += seconds


class Rounds:
    """A server whose round is what `body` does."""

    def __init__(self, clock: Clock, clients: tuple[str, ...], body: Callable[[], None]) -> None:
        self.clients = clients
        self.here = set(clients)
        self.rounds_done = 1
        self.said: list[tuple[float, str, int]] = []
        self._changed = threading.Condition()
        self._clock = clock
        self._body = body

    def is_here(self, client: str) -> bool:
        return client in self.here

    def say(self, client: str, kind: str, value: Any) -> None:
        assert kind == "interval" and isinstance(value, Interval)
        with self._changed:
            self.said.append((self._clock.now_s, client, value.number))
            self._changed.notify_all()

    def until(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.said) >= count, WITHIN_S)

    def run_round(self) -> RoundRecord:
        self._body()
        return RoundRecord(
            number=2, clients=(), dropped={}, seconds_s=1.0, busy_s=0.0, peak_activation_bytes=0,
            peak_half_bytes=0, loss=0.0, samples=0, accuracy=None,
        )  # fmt: skip


def made(body: Callable[[], None], **changes: Any) -> tuple[Intervals, Rounds, Clock]:
    """Of clients a and b; the round is the second, of intervals 3 to 5."""
    fog, clock = fog_of("a", "b", interval_s=2.0, **changes), Clock()
    server = Rounds(clock, ("a", "b"), body)
    mover = Mover(fog, "federated", point_bytes=8.0, seed=SEED, devices={"a": "a", "b": "b"})
    intervals = Intervals(server, mover, fog, clock=clock, wait=lambda changed, s: clock.wait(changed, s))  # type: ignore[arg-type]
    return intervals, server, clock


def test_intervals_are_announced_in_time_once_everybody_is_ready() -> None:
    def body() -> None:
        assert intervals.overhear("a", HELLO, None)
        while clock.now_s < 103.0:  # it looks again and again whether b is ready, or gone
            threading.Event().wait(0.001)
        assert server.said == []
        assert intervals.overhear("b", HELLO, None)
        server.until(6)

    intervals, server, clock = made(body)
    intervals.run()
    assert [(client, number) for _, client, number in server.said] == [
        (client, number) for number in (3, 4, 5) for client in "ab"
    ]
    times = [at_s for at_s, client, _ in server.said if client == "a"]
    assert [at_s - times[0] for at_s in times] == pytest.approx([0.0, 2.0, 4.0])


def test_nobody_waits_for_who_is_gone() -> None:
    def body() -> None:
        server.here = {"a"}
        intervals.overhear("a", HELLO, None)
        server.until(3)

    intervals, server, _ = made(body)
    intervals.run()
    assert [(client, number) for _, client, number in server.said] == [("a", 3), ("a", 4), ("a", 5)]


def test_who_leaves_within_a_round_hears_no_more() -> None:
    def body() -> None:
        intervals.overhear("a", HELLO, None)
        intervals.overhear("b", HELLO, None)
        server.until(2)

    intervals, server, _ = made(body)
    say = server.say

    def leaving(client: str, kind: str, value: Any) -> None:
        say(client, kind, value)
        server.here.discard("b")

    server.say = leaving  # type: ignore[method-assign]
    body_before = server._body
    server._body = lambda: (body_before(), server.until(4))[0]  # type: ignore[func-returns-value]
    intervals.run()
    assert [(client, number) for _, client, number in server.said if number > 3] == [("a", 4), ("a", 5)]


def test_a_round_that_ends_early_is_announced_no_further() -> None:
    intervals, server, _ = made(lambda: None)  # nobody was ever ready
    record = intervals.run()
    assert server.said == [] and record.movement == {}


def test_the_record_says_what_became_of_points() -> None:
    done = IntervalDone(
        number=3, collected=5, kept=4, discarded=1, arrived=0, process_s=0.5, sent={}, transfer_s={}
    )  # fmt: skip

    def body() -> None:
        assert intervals.overhear("b", "interval-done", done)
        assert not intervals.overhear("stranger", "interval-done", done)
        assert not intervals.overhear("b", "interval-done", None)
        assert not intervals.overhear("b", "forward", None)

    intervals, _, _ = made(body)
    assert intervals.run().movement["b"]["kept"] == 4


@pytest.mark.parametrize("error", [ValueError("capacities"), SolverError("no optimum")])
def test_a_policy_without_a_plan_ends_the_job(error: Exception) -> None:
    intervals, _, _ = made(lambda: None)

    def begin(present: object) -> None:
        raise error

    intervals._mover.begin = begin  # type: ignore[method-assign]
    with pytest.raises(StageError, match=f"the policy finds no plan: {error}"):
        intervals.run()
