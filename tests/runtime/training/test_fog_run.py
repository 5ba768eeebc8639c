"""Runs of fog training within one process: where points are processed, what is averaged, and who comes and goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from edgeray.errors import FlowError
from edgeray.training.data import Sample
from edgeray.training.fog.settings import Fog
from edgeray.training.messages import Interval
from edgeray.training.records import RoundRecord
from policies.movement.instance import movement_instance
from policies.movement.linear import network_aware
from tests.runtime.training.cases import assert_equal_bits, federated_learning
from tests.runtime.training.fog_cases import (
    WITHIN_S,
    Case,
    Device,
    declared,
    fog_of,
    settings_of,
    small_model,
)

ABC = ("a", "b", "c")
COSTS = {"a": 1.0, "b": 0.9, "c": 0.1}


def totals(records: list[RoundRecord], client: str) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for record in records:
        for key, value in record.movement.get(client, {}).items():
            sums[key] += value  # type: ignore[assignment]
    return {
        key: float(sums[key]) for key in ("collected", "kept", "sent", "discarded", "arrived", "processed")
    }


def unequal(policy: str, **changes: Any) -> tuple[Case, Fog]:
    fog = fog_of(*ABC)
    fog = fog_of(*ABC, **{**declared(fog, COSTS, 0.05), **changes})
    return Case(fog, policy), fog


@pytest.mark.parametrize(
    ("policy", "discard"),
    [("local", 0.5), ("federated", 0.5), ("network-aware", 0.5), ("network-aware-sqrt", 0.5)],
)
def test_every_point_is_processed_once_or_discarded(policy: str, discard: float) -> None:
    case, _ = unequal(policy, discard=discard)
    records = case.run()
    collected = Counter(point for name in ABC for point in case.collected(name))
    processed = Counter(point for device in case.devices.values() for point in device.processed)
    assert not processed - collected  # none twice
    sums = {name: totals(records, name) for name in ABC}
    for name, one in sums.items():
        assert one["collected"] == len(case.collected(name))
        assert one["collected"] == one["kept"] + one["sent"] + one["discarded"]
        assert one["processed"] == one["kept"] + one["arrived"] == len(case.devices[name].processed)
    assert sum(one["arrived"] for one in sums.values()) == sum(one["sent"] for one in sums.values())
    lost = collected - processed
    assert lost.total() == sum(one["discarded"] for one in sums.values())
    moved = sum(one["sent"] for one in sums.values())
    assert (moved > 0) == (policy not in ("local", "federated"))


def test_what_is_discarded_is_what_the_policy_says() -> None:
    """Processing costs more than it is worth, but at c; there is no way there."""
    case, fog = unequal("network-aware", discard=0.5, links=(("a", "b"),), link_bps=(1e6,))
    records = case.run()
    assert totals(records, "a")["discarded"] == totals(records, "a")["collected"] > 0
    assert totals(records, "c")["discarded"] == 0
    assert case.devices["a"].processed == case.devices["b"].processed == []
    assert case.devices["c"].processed == case.collected("c")
    costs = [one for record in records for one in [record.movement["a"]]]
    assert sum(one["discard_cost"] for one in costs) == 0.5 * totals(records, "a")["collected"]
    assert records[-1].movement["c"]["process_cost"] == pytest.approx(
        0.1 * records[-1].movement["c"]["processed"]
    )
    assert fog.rounds == len(records) == 3


def test_perfect_information_is_carried_out_as_planned() -> None:
    case, fog = unequal("network-aware", perfect=True)
    records = case.run()
    collected = [[len(case._collector(name).points(t)) for name in ABC] for t in range(fog.intervals)]
    plan = network_aware(
        movement_instance(collected, [COSTS[name] for name in ABC], [[0.05] * 3] * 3, fog.discard)
    )
    for i, name in enumerate(ABC):
        found = totals(records, name)
        assert found["kept"] == plan.kept[:, i].sum()
        assert found["sent"] == plan.sent[:, i].sum()
        assert found["arrived"] == plan.sent[:, :, i].sum()
    assert plan.sent.sum() > 0
    cost = sum(
        record.movement[name][kind]
        for record in records
        for name in ABC
        for kind in ("process_cost", "transfer_cost", "discard_cost")
    )
    assert cost == pytest.approx(plan.total)


class Replay:
    """What a device processed, again. samples: of the round that was asked for last."""

    def __init__(self, device: Device) -> None:
        self._seen = device.seen
        self.samples = 0

    labels = torch.empty(0)
    waited_s = 0.0

    def batches(self, round_number: int, epoch: int) -> Iterator[Sample]:
        if epoch == 0:
            self.samples = 0
        for inputs, labels in self._seen[round_number, epoch]:
            self.samples += len(labels)
            yield inputs, labels


@pytest.mark.parametrize("policy", ["federated", "network-aware-sqrt"])
def test_weights_are_averaged_by_the_points_processed(policy: str) -> None:
    """Eq. 4, against plain torch on the same batches, bit for bit."""
    case, fog = unequal(policy, discard=0.5, collect={"a": 1, "b": 7, "c": 3})
    records = case.run()
    data = {name: Replay(device) for name, device in case.devices.items()}
    expected = federated_learning(small_model(), data, settings_of(fog), fog.rounds)
    assert_equal_bits(case.server.weights, expected)
    assert all(record.samples == sum(one.samples for one in record.clients) for record in records)
    assert len({one.samples for one in records[0].clients}) > 1


def test_local_learning_averages_nothing() -> None:
    case, fog = unequal("local")
    case.run()
    own: list[dict[str, Tensor]] = []
    for name in ABC:
        data = {name: Replay(case.devices[name])}
        own.append(federated_learning(small_model(), data, settings_of(fog), fog.rounds))
    assert not torch.equal(own[0]["0.weight"], own[1]["0.weight"])
    for name, weights in zip(ABC, own, strict=True):
        assert_equal_bits(case.server._own[name], weights)


def test_a_device_that_is_gone_gets_no_points_and_comes_back_next_round() -> None:
    case, _ = unequal("network-aware", process={"a": 1.0, "b": 1.0, "c": 0.1})  # all goes to c
    a, b, c = (case.devices[name] for name in ABC)

    def leave(round_number: int, epoch: int) -> None:
        if round_number == 1 and epoch == 1:
            case.switch.cut |= {frozenset("ac"), frozenset("bc")}
            for peer in "ab":
                case.switch.channels["c", peer].close()
            assert c.channel is not None
            c.channel.close()

    said: list[tuple[str, Interval]] = []
    say = case.server.say

    def noted(client: str, kind: str, value: Any) -> None:
        said.append((client, value))
        say(client, kind, value)

    c.before_batch = leave
    case.server.say = noted  # type: ignore[method-assign]
    for device in (a, b, c):
        device.join(case.server)
    first = case.intervals.run()
    assert [one.client for one in first.clients] == ["a", "b"]
    assert "c" in first.dropped
    assert isinstance(c.error, FlowError)
    second = case.intervals.run()
    assert [one.client for one in second.clients] == ["a", "b"]
    assert [interval.send for _, interval in said if interval.number >= 3] == [{}] * 6
    points = second.movement["a"]["collected"] + second.movement["b"]["collected"]
    assert second.samples >= points > 0  # beside what had been on its way to c

    case.switch.cut.clear()
    assert (
        a.exchange.wait_open(WITHIN_S) and b.exchange.wait_open(WITHIN_S) and c.exchange.wait_open(WITHIN_S)
    )
    c.join(case.server)
    third = case.intervals.run()
    assert [one.client for one in third.clients] == ["a", "b", "c"]
    case.end()
    here = [totals([first, second, third], name) for name in "ab"]
    for one in here:
        assert one["collected"] == one["kept"] + one["sent"] + one["discarded"]


def test_without_any_points_weights_stay_and_rounds_go_on() -> None:
    case, _ = unequal("network-aware", discard=0.0)
    before = {name: value.clone() for name, value in case.server.weights.items()}
    records = case.run()
    assert_equal_bits(case.server.weights, before)
    assert [record.samples for record in records] == [0, 0, 0]
    assert all(device.processed == [] for device in case.devices.values())


def test_a_device_that_hears_of_intervals_late_does_those_that_are_left() -> None:
    case, _ = unequal("federated")
    device = case.devices["a"]
    device.join(case.server)
    near = device.channel
    assert near is not None and near.peer is not None
    told: list[int] = []
    say = case.server.say

    def late(client: str, kind: str, value: Any) -> None:
        if kind == "interval" and isinstance(value, Interval) and value.number != 1:
            told.append(value.number)
            say(client, kind, value)

    case.server.say = late  # type: ignore[method-assign]
    case.intervals.run()
    assert told == [0, 2]
    assert device.seen[1, 1] == []
    case.server.say = say  # type: ignore[method-assign]
    case.end()
    expected = sorted(int(one) for t in (0, 2) for one in case._collector("a").points(t))
    assert device.processed == expected


def test_a_server_that_says_something_else_is_not_followed() -> None:
    case, _ = unequal("federated")
    device = case.devices["a"]
    device.join(case.server)
    case.server.say = lambda client, kind, value: say(client, "progress", None)  # type: ignore[method-assign]
    say = type(case.server).say.__get__(case.server)
    with pytest.raises(FlowError, match="no client finished round 1"):
        case.intervals.run()
    assert device.thread is not None
    device.thread.join(WITHIN_S)
    assert "expected the next interval" in str(device.error)
    case.end()
