"""What devices are told to do with points, from what was seen of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgeray.training.fog.mover import FULL, Mover
from edgeray.training.fog.settings import Fog
from edgeray.training.messages import Interval, IntervalDone
from policies.movement.instance import MovementInstance, MovementPlan
from policies.movement.rule import local
from tests.runtime.training.fog_cases import SEED, declared, fog_of

ABC = ("a", "b", "c")


def mover_of(fog: Fog, policy: str = "network-aware", point_bytes: float = 12.5) -> Mover:
    devices = {name: name for name in fog.clients}
    return Mover(fog, policy, point_bytes=point_bytes, seed=SEED, devices=devices)


def done(number: int, kept: int, process_s: float, **changes: Any) -> IntervalDone:
    given: dict[str, Any] = {
        "number": number,
        "collected": 4,
        "kept": kept,
        "discarded": 0,
        "arrived": 0,
        "process_s": process_s,
        "sent": {},
        "transfer_s": {},
    }
    return IntervalDone(**{**given, **changes})


def parts(told: dict[str, Interval]) -> dict[str, tuple[float, dict[str, float]]]:
    return {name: (round(one.keep, 9), dict(one.send)) for name, one in told.items()}


KEPT: tuple[float, dict[str, float]] = (1.0, {})


def test_what_nobody_has_measured_stays_where_it_is() -> None:
    mover = mover_of(fog_of(*ABC))
    mover.begin(ABC)
    assert parts(mover.interval(0, ABC)) == dict.fromkeys(ABC, KEPT)


def test_a_point_goes_where_it_was_measured_to_take_least() -> None:
    """a: 0.1 s a point, b: 0.01, c: 0.02; a link of 1 Mbps takes 0.1 ms for its 12.5 bytes."""
    mover = mover_of(fog_of(*ABC, interval_s=1.0))
    mover.begin(ABC)
    for name, seconds in (("a", 0.4), ("b", 0.04), ("c", 0.08)):
        mover.heard(name, done(0, 4, seconds))
    mover.begin(ABC)
    assert parts(mover.interval(3, ABC)) == {"a": (0.0, {"b": 1.0}), "b": KEPT, "c": (0.0, {"b": 1.0})}


def test_a_link_counts_as_it_was_measured_once_it_was() -> None:
    mover = mover_of(fog_of(*ABC, interval_s=1.0))
    mover.begin(ABC)
    for name, seconds in (("a", 0.4), ("b", 0.04), ("c", 0.08)):
        mover.heard(name, done(0, 4, seconds))
    mover.heard("a", done(1, 0, 0.0, sent={"b": 4}, transfer_s={"b": 0.2}))
    mover.begin(ABC)
    assert mover.interval(3, ABC)["a"].send == {"c": 1.0}  # 0.02 + 0.0001 is less than 0.01 + 0.05


def test_the_newest_stretch_counts() -> None:
    mover = mover_of(fog_of("a", "b", interval_s=2.0))
    mover.begin("ab")
    mover.heard("a", done(0, 4, 0.4))
    mover.heard("b", done(0, 4, 0.04))
    mover.begin("ab")
    mover.heard("b", done(3, 4, 0.8))  # a had nothing to process
    mover.begin("ab")
    assert parts(mover.interval(5, "ab")) == {"a": KEPT, "b": (0.0, {"a": 1.0})}


def test_who_has_processed_nothing_yet_counts_as_the_fastest() -> None:
    """c collects nothing: nobody would ever learn how fast it is."""
    mover = mover_of(fog_of(*ABC, interval_s=1.0, collect={"a": 4, "b": 4, "c": 0}))
    mover.begin(ABC)
    mover.heard("a", done(0, 4, 0.4))
    mover.heard("b", done(0, 4, 0.2))
    mover.heard("c", done(0, 0, 0.0, collected=0))
    mover.begin(ABC)
    told = mover.interval(3, ABC)
    assert told["b"].keep == 1.0  # as fast, and nearer
    assert sum(told["a"].send.values()) == 1.0
    assert told["c"].keep == 1.0


def test_no_device_is_given_more_than_an_interval_holds() -> None:
    """b takes 0.1 s a point: of an interval of 1 s it can do 8 points, 4 of which are its own."""
    mover = mover_of(fog_of(*ABC, interval_s=1.0, discard=0.5))
    mover.begin(ABC)
    for name, seconds in (("a", 4.0), ("b", 0.4), ("c", 4.0)):
        mover.heard(name, done(0, 4, seconds))
    mover.begin(ABC)
    told = mover.interval(3, ABC)
    to_b = 4 * (told["a"].send.get("b", 0.0) + told["c"].send.get("b", 0.0) + told["b"].keep)
    assert to_b == pytest.approx(FULL * 1.0 / 0.1)
    # a point of a or c costs 1 s there, and 0.5 s if it is discarded
    left = [1.0 - one.keep - sum(one.send.values()) for one in (told["a"], told["c"])]
    assert 4 * sum(left) == pytest.approx(4.0)


def test_declared_costs_are_planned_with_from_the_first_interval_on() -> None:
    fog = fog_of(*ABC)
    fog = fog_of(*ABC, **declared(fog, {"a": 1.0, "b": 0.5, "c": 0.1}, 0.2))
    for policy in ("network-aware", "theorem-3", "network-aware-estimated"):
        mover = mover_of(fog, policy)
        mover.begin(ABC)
        found = parts(mover.interval(0, ABC))
        assert found == {"a": (0.0, {"c": 1.0}), "b": (0.0, {"c": 1.0}), "c": KEPT}, policy


def test_nobody_sends_to_who_is_not_here_nor_in_the_last_interval() -> None:
    fog = fog_of(*ABC)
    fog = fog_of(*ABC, **declared(fog, {"a": 1.0, "b": 0.5, "c": 0.1}, 0.2))
    mover = mover_of(fog)
    mover.begin(ABC)
    assert parts(mover.interval(1, ("a", "b"))) == {"a": KEPT, "b": KEPT}  # c was here when this was planned
    assert parts(mover.interval(6, ABC)) == dict.fromkeys(ABC, KEPT)
    mover.begin(("a", "b"))
    assert parts(mover.interval(2, ABC))["a"] == (0.0, {"b": 1.0})
    mover.begin(ABC)
    assert parts(mover.interval(3, ABC))["a"] == (0.0, {"c": 1.0})


def test_keepers_keep_whatever_it_costs() -> None:
    fog = fog_of(*ABC)
    fog = fog_of(*ABC, **declared(fog, {"a": 99.0, "b": 0.5, "c": 0.1}, 0.2))
    for policy in ("local", "federated"):
        mover = mover_of(fog, policy)
        mover.begin(ABC)
        assert parts(mover.interval(0, ABC)) == dict.fromkeys(ABC, KEPT)


def test_errors_by_the_square_root_cost_at_the_mean_what_a_lost_point_does() -> None:
    """A device alone processes its 8 points as long as that costs less a point than discarding, 3; at 4 it is
    worth (3 / 4)^(2/3) of them, where the error falls by 4 a point."""
    for cost, kept in ((2.9, 1.0), (3.1, (3.0 / 3.1) ** (2 / 3)), (4.0, (3.0 / 4.0) ** (2 / 3))):
        fog = fog_of("a", collect={"a": 8}, discard=3.0, process={"a": cost}, link={})
        mover = mover_of(fog, "network-aware-sqrt-exact")
        mover.begin("a")
        assert mover.interval(0, "a")["a"].keep == pytest.approx(kept, abs=1e-3)


def test_a_policy_of_ones_own_decides() -> None:
    fog = fog_of(*ABC)
    fog = fog_of(*ABC, **declared(fog, {"a": 1.0, "b": 0.5, "c": 0.1}, 0.2))
    mover = mover_of(fog, f"{__name__}:all_to_the_last")
    mover.begin(ABC)
    assert mover.interval(0, ABC)["a"].send == {"c": 1.0}


def all_to_the_last(instance: MovementInstance) -> MovementPlan:
    plan = local(instance)
    plan.sent[0, :, -1] = instance.D[0]
    return plan


def test_costs_are_accounted_for_as_declared_else_as_measured() -> None:
    fog = fog_of("a", "b", discard=3.0)
    told = done(0, 2, 0.5, collected=9, discarded=1, arrived=3, sent={"b": 6}, transfer_s={"b": 0.25})
    points = {"collected": 9, "kept": 2, "sent": 6, "discarded": 1, "arrived": 3, "processed": 5}
    measured = mover_of(fog)
    measured.begin("ab")
    measured.heard("a", told)
    assert measured.movement() == {
        "a": {**points, "process_cost": 0.5, "transfer_cost": 0.25, "discard_cost": 3.0}
    }
    given = mover_of(fog_of("a", "b", discard=3.0, **declared(fog, {"a": 2.0, "b": 0.1}, 0.5)))
    given.begin("ab")
    given.heard("a", told)
    given.heard("a", told)
    doubled = {key: 2 * value for key, value in points.items()}
    assert given.movement()["a"] == {
        **doubled, "process_cost": 20.0, "transfer_cost": 6.0, "discard_cost": 6.0,
    }  # fmt: skip
    given.begin("ab")
    assert given.movement() == {}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown policy 'best' of fog training, expected one of local"):
        mover_of(fog_of("a"), "best")
    mover = mover_of(fog_of("a", "b"))
    with pytest.raises(ValueError, match="of clients that there are not"):
        mover.heard("c", done(0, 1, 0.1))
    with pytest.raises(ValueError, match="of clients that there are not"):
        mover.heard("a", done(0, 1, 0.1, sent={"c": 1}))


def test_settings_travel_as_plain_json() -> None:
    fog = fog_of(*ABC, **declared(fog_of(*ABC), {"a": 1.0, "b": 0.5, "c": 0.1}, 0.2))
    assert Fog.of(json.loads(json.dumps(fog.as_args()))) == fog
    assert (fog.rounds, list(fog.intervals_of(1)), list(fog.intervals_of(3))) == (3, [0, 1, 2], [6])
