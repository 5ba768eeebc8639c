"""Points on their way between devices: taken, or back where they were collected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import torch

from edgeray.errors import FlowError
from edgeray.training.channel import Channel
from edgeray.training.data import Pack
from edgeray.training.fog.points import MOST_BYTES, MOST_WAITING, Exchange, Sent
from edgeray.training.lines import HELLO
from edgeray.training.messages import Points
from tests.runtime.training.fog_cases import WITHIN_S, Switch


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def a(switch: Switch, clock: Clock) -> Iterator[Exchange]:
    made = Exchange(["b"], lambda peer: switch.connect("a", peer), clock=clock)
    with ExitStack() as stack:
        stack.callback(made.close)
        yield made


def pack(*numbers: int) -> Pack:
    return Pack(inputs=torch.tensor([[float(n)] for n in numbers]), labels=torch.tensor(numbers))


def numbers(points: list[Points]) -> list[int]:
    return [int(one) for each in points for one in each.pack.labels]


def until(exchange: Exchange, true: object) -> None:
    with exchange.changed:
        assert exchange.changed.wait_for(true, WITHIN_S)  # type: ignore[arg-type]


class Peer:
    """The other end of a's line, by hand."""

    def __init__(self, switch: Switch) -> None:
        self.channel: Channel = switch.connect("b", "a")
        self.channel.send(HELLO, None)
        assert self.channel.receive(WITHIN_S) == (HELLO, None)

    def points(self) -> Points:
        kind, value = self.channel.receive(WITHIN_S)
        assert kind == "points" and isinstance(value, Points)
        return value


def test_points_arrive_and_count_as_sent_once_the_peer_has_them(
    a: Exchange, switch: Switch, clock: Clock
) -> None:
    a.start()
    peer = Peer(switch)
    assert a.wait_open(WITHIN_S)
    assert a.send("b", 4, pack(1, 2, 3))
    came = peer.points()
    assert (came.interval, numbers([came])) == (4, [1, 2, 3])
    assert a.take_sent() == {}
    clock.now_s = 2.5
    peer.channel.send("got", came.number)
    until(a, lambda: a._lines["b"].sent.points == 3)
    assert a.take_sent() == {"b": Sent(3, 2.5)}
    assert a.take_sent() == {} and a.take_returned() == []


def test_points_of_an_interval_are_taken_in_a_later_one(a: Exchange, switch: Switch) -> None:
    a.start()
    peer = Peer(switch)
    for number, interval in enumerate((3, 4)):
        peer.channel.send("points", Points(number=number, interval=interval, pack=pack(interval)))
        assert peer.channel.receive(WITHIN_S) == ("got", number)
    until(a, lambda: len(a._arrived) == 2)
    assert numbers(a.take_arrived(3)) == []
    assert numbers(a.take_arrived(4)) == [3]
    assert numbers(a.take_arrived(9)) == [4]
    assert a.take_arrived(9) == []


def test_without_an_open_line_nothing_is_taken_to_be_sent(a: Exchange) -> None:
    a.start()
    assert not a.send("b", 0, pack(1))
    assert not a.send("stranger", 0, pack(1))


def test_what_was_not_taken_comes_back_when_the_line_breaks(a: Exchange, switch: Switch) -> None:
    a.start()
    peer = Peer(switch)
    assert a.wait_open(WITHIN_S)
    a.send("b", 0, pack(1, 2))
    peer.channel.send("got", peer.points().number)
    until(a, lambda: a._lines["b"].sent.points == 2)
    a.send("b", 0, pack(3))
    a.send("b", 0, pack(4, 5))
    peer.points()
    peer.channel.close()
    until(a, lambda: len(a._returned) == 2)
    assert sorted(numbers(a.take_returned())) == [3, 4, 5]
    assert a.take_sent()["b"].points == 2

    again = Peer(switch)  # and the line is there again
    assert a.wait_open(WITHIN_S)
    assert a.send("b", 1, pack(6))
    assert numbers([again.points()]) == [6]


def test_a_peer_that_does_not_say_that_it_got_points_does_not_get_them(switch: Switch, clock: Clock) -> None:
    a = Exchange(["b"], lambda peer: switch.connect("a", peer), got_within_s=0.01, clock=clock)
    a.start()
    try:
        peer = Peer(switch)
        assert a.wait_open(WITHIN_S)
        a.send("b", 0, pack(1))
        assert numbers([peer.points()]) == [1]
        until(a, lambda: bool(a._returned))
        assert numbers(a.take_returned()) == [1]
        with pytest.raises(FlowError):  # so that a late "got" cannot come
            peer.channel.receive(WITHIN_S)
    finally:
        a.close()


def test_a_line_that_is_too_slow_gets_no_more(a: Exchange, switch: Switch) -> None:
    a.start()
    peer = Peer(switch)
    assert a.wait_open(WITHIN_S)
    assert a.send("b", 0, pack(0))
    peer.points()  # under way until it is acknowledged
    for number in range(MOST_WAITING):
        assert a.send("b", 0, pack(number))
    assert not a.send("b", 0, pack(99))


def test_many_points_go_in_several_messages(a: Exchange, switch: Switch) -> None:
    a.start()
    peer = Peer(switch)
    assert a.wait_open(WITHIN_S)
    large = Pack(
        inputs=torch.zeros(5, MOST_BYTES // 4 // 2 - 100), labels=torch.arange(5), mean=1.0, deviation=2.0
    )
    assert a.send("b", 0, large)
    came = []
    for _ in range(3):
        came.append(peer.points())
        peer.channel.send("got", came[-1].number)
    assert [len(one.pack.labels) for one in came] == [2, 2, 1]
    assert numbers(came) == [0, 1, 2, 3, 4]
    assert {(one.pack.mean, one.pack.deviation) for one in came} == {(1.0, 2.0)}


def test_a_device_is_finished_when_its_peers_are(a: Exchange, switch: Switch) -> None:
    a.start()
    peer = Peer(switch)
    assert a.wait_open(WITHIN_S)
    a.send("b", 5, pack(1))
    finishing = threading.Thread(target=a.finish, args=(6,), daemon=True)
    finishing.start()
    first = peer.points()
    peer.channel.send("got", first.number)
    last = peer.points()
    assert (numbers([last]), last.interval) == ([], 6)
    peer.channel.send("got", last.number)
    peer.channel.send("points", Points(number=1, interval=5, pack=pack(8)))
    assert peer.channel.receive(WITHIN_S) == ("got", 1)
    assert finishing.is_alive()  # there may be more
    peer.channel.send("points", Points(number=2, interval=6, pack=pack()))
    finishing.join(WITHIN_S)
    assert not finishing.is_alive()
    assert numbers(a.take_arrived(7)) == [8]
    assert a.take_sent()["b"].points == 1


def test_who_waits_in_vain_for_peers_to_finish_closes_its_lines(switch: Switch, clock: Clock) -> None:
    a = Exchange(["b"], lambda peer: switch.connect("a", peer), got_within_s=0.05, clock=clock)
    a.start()
    peer = Peer(switch)
    assert a.wait_open(WITHIN_S)
    a.finish(3)
    with pytest.raises(FlowError):
        while True:
            peer.channel.receive(WITHIN_S)
    assert not a.send("b", 3, pack(1))
    a.finish(3)  # and again: nobody is there to wait for
