"""A device's intervals, one by one: what is processed in which, what is told of it, and what is measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from edgeray.errors import FlowError
from edgeray.training.channel import LocalChannel, local_pair
from edgeray.training.data import Pack
from edgeray.training.fog.collected import Collector
from edgeray.training.fog.data import FogData
from edgeray.training.fog.points import Exchange
from edgeray.training.lines import HELLO
from edgeray.training.messages import Interval, IntervalDone, Points
from tests.runtime.training.fog_cases import SEED, WITHIN_S, Numbers, Switch, fog_of

SAMPLES = np.arange(40)


@dataclass
class Bench:
    """Device a with one peer, b, and the server, both by hand. now_s: by the device's clock."""

    now_s: float = 0.0
    switch: Switch = field(default_factory=Switch)

    def __post_init__(self) -> None:
        fog = fog_of("a", "b", intervals=5, aggregate=3)
        self.exchange = Exchange(["b"], lambda peer: self.switch.connect("a", peer), clock=lambda: self.now_s)
        self.collector = Collector(SAMPLES, 4, seed=SEED, device="a")
        self.data = FogData(
            Numbers(200),
            self.collector,
            self.exchange,
            fog,
            batch_size=4,
            seed=SEED,
            client="a",
            clock=lambda: self.now_s,
        )
        self.server: LocalChannel
        near, self.server = local_pair()
        self.data.attach(near)

    def say(self, number: int, keep: float, send: float = 0.0) -> None:
        self.server.send("interval", Interval(number=number, keep=keep, send={"b": send} if send else {}))

    def processed(self, round_number: int, epoch: int, seconds: float = 0.0) -> list[int]:
        """The numbers of an interval's points, each batch of which takes so long."""
        found: list[int] = []
        for inputs, labels in self.data.batches(round_number, epoch):
            assert torch.equal(labels, inputs.flatten().long() % 2)
            found += [int(one) for one in inputs.flatten()]
            self.now_s += seconds
        return sorted(found)

    def done(self) -> IntervalDone:
        while True:
            kind, value = self.server.receive(WITHIN_S)
            if kind != HELLO:
                assert kind == "interval-done" and isinstance(value, IntervalDone)
                return value

    def points(self, number: int) -> list[int]:
        return sorted(self.collector.points(number).tolist())


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.exchange.close()


def open_line(bench: Bench) -> LocalChannel:
    bench.exchange.start()
    peer = bench.switch.connect("b", "a")
    assert isinstance(peer, LocalChannel)
    peer.send(HELLO, None)
    assert peer.receive(WITHIN_S) == (HELLO, None)
    assert bench.exchange.wait_open(WITHIN_S)
    return peer


def arrive(bench: Bench, peer: LocalChannel, number: int, interval: int, *labels: int) -> None:
    pack = Pack(inputs=torch.tensor([[float(one)] for one in labels]), labels=torch.tensor(labels) % 2)
    peer.send("points", Points(number=number, interval=interval, pack=pack))
    assert peer.receive(WITHIN_S) == ("got", number)
    with bench.exchange.changed:
        assert bench.exchange.changed.wait_for(
            lambda: any(one.number == number for one in bench.exchange._arrived), WITHIN_S
        )


def test_kept_points_are_processed_at_once_and_timed(bench: Bench) -> None:
    bench.say(0, keep=1.0)
    points = bench.points(0)
    assert bench.processed(1, 0, seconds=0.5) == points
    assert bench.server.receive(WITHIN_S) == (HELLO, None)  # before it waited for the interval
    done = bench.done()
    batches = -(-len(points) // 4)
    assert done == IntervalDone(
        number=0,
        collected=len(points),
        kept=len(points),
        discarded=0,
        arrived=0,
        process_s=0.5 * batches,
        sent={},
        transfer_s={},
    )
    assert bench.data.samples == len(points) > 4


def test_what_others_collected_in_an_interval_is_processed_in_the_next(bench: Bench) -> None:
    peer = open_line(bench)
    for number in range(3):
        bench.say(number, keep=0.0)
    assert bench.processed(1, 0) == []
    arrive(bench, peer, 1, 0, 101, 102)
    arrive(bench, peer, 2, 1, 103)
    assert bench.processed(1, 1) == [101, 102]
    assert bench.processed(1, 2) == [103]
    tallies = [bench.done() for _ in range(3)]
    assert [one.arrived for one in tallies] == [0, 2, 1]
    assert [one.discarded for one in tallies] == [one.collected for one in tallies]
    assert bench.data.samples == 3


def test_points_that_come_late_are_processed_in_the_next_round(bench: Bench) -> None:
    peer = open_line(bench)
    for number in range(3):
        bench.say(number, keep=0.0)
        bench.processed(1, number)
    arrive(bench, peer, 1, 0, 101)
    bench.say(3, keep=0.0)
    assert bench.processed(2, 0) == [101]
    assert bench.data.samples == 1  # of this round


def test_a_round_that_begins_again_begins_without_the_points_of_its_first_try(bench: Bench) -> None:
    peer = open_line(bench)
    bench.say(3, keep=0.0)
    bench.processed(2, 0)
    arrive(bench, peer, 1, 2, 101)  # of the round before
    arrive(bench, peer, 2, 3, 102)
    bench.say(3, keep=0.0)
    assert bench.processed(2, 0) == [101]
    bench.say(4, keep=0.0)
    peer.close()  # nobody to wait for
    assert bench.processed(2, 1) == []


def test_points_count_as_sent_when_the_peer_has_them(bench: Bench) -> None:
    peer = open_line(bench)
    bench.say(0, keep=0.0, send=1.0)
    assert bench.processed(1, 0) == []
    done = bench.done()
    assert (done.collected, done.kept, done.sent) == (len(bench.points(0)), 0, {})
    kind, sent = peer.receive(WITHIN_S)
    assert kind == "points" and sent.interval == 0
    assert sorted(int(one) for one in sent.pack.inputs.flatten()) == bench.points(0)
    bench.now_s += 3.0
    peer.send("got", sent.number)
    with bench.exchange.changed:
        line = bench.exchange._lines["b"]
        assert bench.exchange.changed.wait_for(lambda: line.sent.points > 0, WITHIN_S)
    bench.say(1, keep=1.0)
    bench.processed(1, 1)
    done = bench.done()
    assert (done.sent, done.transfer_s) == ({"b": len(bench.points(0))}, {"b": 3.0})


def test_what_nobody_took_is_processed_where_it_was_collected(bench: Bench) -> None:
    peer = open_line(bench)
    bench.say(0, keep=0.0, send=1.0)
    assert bench.processed(1, 0) == []
    peer.receive(WITHIN_S)
    peer.close()
    with bench.exchange.changed:
        assert bench.exchange.changed.wait_for(lambda: bool(bench.exchange._returned), WITHIN_S)
    bench.say(1, keep=0.0, send=1.0)  # and there is no line any more
    assert bench.processed(1, 1) == sorted([*bench.points(0), *bench.points(1)])
    first, second = bench.done(), bench.done()
    assert (first.kept, second.kept) == (0, len(bench.points(0)) + len(bench.points(1)))
    assert first.sent == second.sent == {}


def test_the_last_interval_waits_for_what_is_on_its_way(bench: Bench) -> None:
    peer = open_line(bench)
    bench.say(4, keep=1.0)
    found: list[int] = []
    working = threading.Thread(target=lambda: found.extend(bench.processed(2, 1)), daemon=True)
    working.start()
    kind, last = peer.receive(WITHIN_S)
    assert kind == "points" and not len(last.pack.labels)  # the device sends no more
    arrive(bench, peer, 1, 3, 101)
    nothing = Pack(inputs=torch.empty(0), labels=torch.empty(0, dtype=torch.int64))
    peer.send("points", Points(number=2, interval=4, pack=nothing))
    assert peer.receive(WITHIN_S) == ("got", 2)
    assert working.is_alive()
    peer.send("got", last.number)
    working.join(WITHIN_S)
    assert found == sorted([*bench.points(4), 101])
    done = bench.done()
    assert (done.kept, done.arrived) == (len(bench.points(4)), 1)


def test_there_are_no_intervals_after_the_last(bench: Bench) -> None:
    assert bench.processed(2, 2) == []  # 5 intervals in rounds of 3


def test_waiting_for_the_server_is_not_computing(bench: Bench) -> None:
    near, far = local_pair()

    class Slow:
        def send(self, kind: str, value: object) -> None:
            near.send(kind, value)

        def receive(self, timeout_s: float | None) -> tuple[str, object]:
            bench.now_s += 2.0
            return near.receive(timeout_s)

        def close(self) -> None:
            near.close()

    bench.data.attach(Slow())
    bench.server = far
    bench.say(0, keep=1.0)
    bench.processed(1, 0, seconds=0.25)
    assert bench.data.waited_s == 2.0
    assert bench.done().process_s < 2.0


def test_a_device_without_a_server_says_so() -> None:
    fog = fog_of("a")
    data = FogData(
        Numbers(9),
        Collector(SAMPLES[:9], 1, seed=0, device="a"),
        Exchange([], lambda peer: local_pair()[0]),
        fog,
        batch_size=1,
        seed=0,
        client="a",
    )
    with pytest.raises(FlowError, match="no channel to the server"):
        list(data.batches(1, 0))
