"""The rule of bits, whatever comes in whatever order; and who gets the items, by a clock of the test's own."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offload_world import recipe_of

from edgeray.learner.messages import Feedback, wrong_with
from edgeray.offload.desk import Desk
from edgeray.offload.messages import Result, Telemetry
from edgeray.offload.recipe import Recipe
from edgeray.offload.speed import Speed
from policies.bandit.model import Offer, clean
from policies.bandit.registry import DISPATCHERS
from policies.model import DeviceId

DEADLINE_S = 10.0


class Watched:
    """A desk whose policy notes what it is asked and told."""

    def __init__(self, policy: str, helpers: str = "abc", **recipe: Any) -> None:
        self.bits: list[Feedback] = []
        self.offered: list[Offer] = []
        told = recipe_of(helpers, **{"deadline_s": DEADLINE_S, **recipe})
        self.desk = Desk(Recipe.of(told), policy, tell=self.bits.append)
        self.turn = 0
        chooses = self.desk.roster.policy.choose

        def choose(offer: Offer) -> int | None:
            self.offered.append(offer)
            return chooses(offer)

        self.desk.roster.policy.choose = choose  # type: ignore[method-assign]

    def enter(self, name: str) -> None:
        self.turn += 1
        self.desk.enter(DeviceId(name), self.turn)

    def result(
        self, name: str, number: int, now_s: float, *, turn: int | None = None, error: str | None = None
    ) -> float | None:
        turn = self.turn if turn is None else turn
        how = Telemetry(turn=turn, seen=number, queue=0, rate_per_s=None)
        told = Result(number=number, turn=turn, value=None, error=error, telemetry=how)
        return self.desk.result(DeviceId(name), told, now_s)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("item"), st.floats(0, 20)),
        st.tuples(
            st.just("result"), st.integers(1, 20), st.sampled_from("abc"), st.booleans(), st.integers(0, 2)
        ),
        st.tuples(st.just("enter"), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.sampled_from("abc")),
        st.tuples(st.just("expire"), st.floats(0, 8)),
        st.tuples(st.just("hear"), st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(st.sampled_from(DISPATCHERS), st.sampled_from(["discard", "deliver"]), st.integers(1, 4), EVENTS)
def test_each_item_gives_one_bit_with_the_offer_of_its_dispatch(
    policy: str, late: str, most: int, events: list[Any]
) -> None:
    """Bits that are late, doubled, lost, of another turn, or of an item that another helper had."""
    world = Watched(policy, late=late, most=most)
    desk = world.desk
    now_s, delivered, turns = 0.0, 0, dict.fromkeys("abc", 0)
    chosen: dict[int, Offer] = {}
    for event in events:
        match event:
            case "item", complexity:
                asked, refused, bits = len(world.offered), desk.refused, desk.bits
                choice = desk.decide(100.0, complexity, now_s)
                assert (choice.name is None) == (desk.refused == refused + 1)
                assert choice.name is None or choice.turn == turns[choice.name] > 0
                if choice.name is not None or desk.bits > bits:
                    chosen[choice.number] = world.offered[asked]
            case "result", number, name, raised, older:
                error = "it raised" if raised else None
                took_s = world.result(name, number, now_s, turn=turns[name] - older, error=error)
                delivered += took_s is not None
                assert took_s is None or (took_s >= 0 and not raised)
                assert took_s is None or late == "deliver" or took_s <= DEADLINE_S
            case "enter", name:
                world.enter(name)
                turns[name] = world.turn
            case "leave", name:
                desk.leave(DeviceId(name))
                turns[name] = 0
            case "expire", seconds:
                now_s += seconds
                desk.expire(now_s)
            case "hear", name, queue, seen:
                how = Telemetry(turn=turns[name], seen=seen, queue=queue, rate_per_s=2.0)
                desk.hear(DeviceId(name), how, now_s)
        told = desk.told(now_s)
        pending = len(chosen) - len(world.bits)
        fates = {fate: told[fate] for fate in ("met", "late", "failed", "lost")}
        assert told["items"] == sum(fates.values()) + told["refused"] + pending
        for fate, count in fates.items():
            assert count == sum(row[fate] for row in told["helpers"].values())
    desk.expire(now_s + 2 * DEADLINE_S)
    assert [bit.number for bit in world.bits] == list(range(1, len(chosen) + 1)), (
        "one bit for each that was chosen"
    )
    offers = [id(bit.offer) for bit in world.bits]
    assert sorted(offers) == sorted(id(offer) for offer in chosen.values()), (
        "each with the offer of its dispatch"
    )
    assert sum(bit.happy for bit in world.bits) == desk.met
    assert all(bit.helper in bit.helpers and len(bit.helpers) == len(bit.offer.queue) for bit in world.bits)
    assert [wrong_with(bit) for bit in world.bits] == [None] * len(world.bits), "the learner takes each"
    assert delivered >= desk.met
    assert desk.next_due_s is None


@pytest.mark.parametrize(("at_s", "happy"), [(DEADLINE_S, True), (DEADLINE_S + 1e-9, False)])
def test_a_result_at_its_deadline_is_in_time(at_s: float, happy: bool) -> None:
    """Also when nobody has looked at the deadlines before it comes."""
    world = Watched("jsq", "a")
    world.enter("a")
    world.desk.decide(1.0, 1.0, 0.0)
    world.desk.expire(DEADLINE_S)
    assert world.bits == []
    took_s = world.result("a", 1, at_s)
    assert ([bit.happy for bit in world.bits], took_s) == ([happy], at_s if happy else None)


def test_a_result_that_comes_twice_counts_once() -> None:
    world = Watched("jsq", "a")
    world.enter("a")
    world.desk.decide(1.0, 1.0, 0.0)
    assert world.result("a", 1, 1.0) == 1.0
    assert world.result("a", 1, 2.0) is None
    assert (world.desk.met, world.desk.discarded, len(world.bits)) == (1, 1, 1)


def test_a_result_of_another_turn_is_of_another_item() -> None:
    """A dispatcher that is begun anew numbers from 1 again, and helpers may bring results of the one before."""
    world = Watched("jsq", "a")
    world.enter("a")
    world.desk.decide(1.0, 1.0, 0.0)
    assert world.result("a", 1, 1.0, turn=world.turn - 1) is None
    assert (world.desk.under_way, world.bits) == (1, [])
    assert world.result("a", 1, 2.0) == 2.0


def test_what_is_sent_after_telemetry_was_measured_waits_too() -> None:
    """By the numbers of items, not by clocks, that differ from device to device. Held back, it is believed later."""
    world = Watched("jsq", "a", telemetry={"every_s": 1.0, "delay_s": 3.0})
    world.enter("a")
    for _ in range(5):
        world.desk.decide(1.0, 1.0, 0.0)
    how = Telemetry(turn=world.turn, seen=4, queue=1, rate_per_s=5.0)
    world.desk.hear(DeviceId("a"), how, 1.0)
    assert world.desk.told(3.9)["helpers"]["a"]["queue"] == 5
    assert world.desk.told(4.0)["helpers"]["a"]["queue"] == 2, "one there, and number 5"
    world.desk.decide(1.0, 1.0, 5.0)
    assert world.offered[-1].predicted_s[0] == pytest.approx(3 / 5)
    world.desk.hear(DeviceId("a"), Telemetry(turn=world.turn - 1, seen=6, queue=9, rate_per_s=5.0), 5.0)
    assert world.desk.told(9.0)["helpers"]["a"]["queue"] == 3, "of an earlier turn"


def test_what_a_dispatcher_measures_itself_goes_before_what_it_is_told() -> None:
    """Telemetry is held back for longer than this lasts, and was wrong; it knows the work that it sent, too."""
    world = Watched("jsq", "a", telemetry={"every_s": 1.0, "delay_s": 100.0})
    world.enter("a")
    way_s = 8.0 / world.desk._known[DeviceId("a")].spec.bps
    world.desk.hear(DeviceId("a"), Telemetry(turn=1, seen=0, queue=9, rate_per_s=1000.0), -100.0)
    world.desk.decide(1.0, 4.0, 0.0)
    world.desk.decide(1.0, 1.0, 0.0)
    world.desk.decide(1.0, 3.0, 0.0)
    assert world.offered[2].predicted_s[0] == pytest.approx((4 + 1 + 3) / 1000 + way_s), "as it told"
    world.result("a", 1, 2.0 + way_s)
    world.result("a", 2, 2.5 + way_s, error="it raised")
    world.desk.decide(1.0, 5.0, 2.5 + way_s)
    assert world.offered[3].predicted_s[0] == pytest.approx((3 + 5) / 2 + way_s), "4 in 2 s"
    world.desk.leave(DeviceId("a"))
    world.enter("a")
    world.desk.decide(1.0, 5.0, 3.0)
    assert world.offered[4].predicted_s[0] == pytest.approx(5 / 2 + way_s), "what was there is lost"


def test_late_telemetry_changes_nothing_once_results_come() -> None:
    """Dispatchers choose the same whether helpers are heard at once or 3 s late."""
    for policy in ("sed", "jsq", "hybrid"):
        chosen = []
        for delay_s in (0.0, 3.0):
            world = Watched(policy, "ab", telemetry={"every_s": 1.0, "delay_s": delay_s}, deadline_s=1.0)
            lines = {"a": Line(0.3), "b": Line(0.5)}
            for name in "ab":
                world.enter(name)
            names: list[str | None] = []
            ends: list[tuple[float, int, str]] = []
            for step in range(200):
                now_s = 0.25 * step
                while ends and ends[0][0] <= now_s:
                    end_s, number, name = heapq.heappop(ends)
                    how = Telemetry(
                        turn=1 + "ab".index(name),
                        seen=number,
                        queue=lines[name].queue(end_s),
                        rate_per_s=7.0 + number % 5,
                    )
                    told = Result(number=number, turn=how.turn, value=None, error=None, telemetry=how)
                    world.desk.result(DeviceId(name), told, end_s)
                world.desk.expire(now_s)
                choice = world.desk.decide(1.0, 1.0, now_s)
                names.append(choice.name)
                if choice.name is not None:
                    heapq.heappush(ends, (lines[choice.name].add(now_s), choice.number, choice.name))
            chosen.append(names)
        assert chosen[0] == chosen[1], policy
        assert set(chosen[0]) >= {"a", "b"}, policy


def test_a_helper_that_never_told_its_speed_is_chosen_all_the_same() -> None:
    for policy in DISPATCHERS:
        world = Watched(policy, "a")
        world.enter("a")
        assert world.desk.decide(1.0, 1.0, 0.0).name == "a", policy


# What is learned goes by name


@pytest.mark.parametrize("policy", DISPATCHERS)
@given(moves=st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=12))
def test_what_was_learned_survives_whoever_comes_and_goes(policy: str, moves: list[tuple[str, bool]]) -> None:
    world = Watched(policy, "abcd")
    for name in "abcd":
        world.enter(name)
    for number in range(1, 13):
        name = world.desk.decide(100.0, 1.0 + number % 3, float(number)).name
        if name is not None:
            world.result(
                name, number, number + 0.5, turn=1 + "abcd".index(name), error=None if number % 4 else "no"
            )
    learned = world.desk.roster.state()
    for name, comes in moves:
        world.enter(name) if comes else world.desk.leave(DeviceId(name))
        assert world.desk.roster.state() == learned
    there = world.desk.roster.names
    assert list(there) == sorted(there)
    again = Desk(Recipe.of(recipe_of("abcd")), policy, tell=lambda bit: None)
    again.roster.restore(learned or {})
    assert (again.roster.state(), again.roster.names) == (learned, ())


def test_the_row_that_learns_is_that_of_the_name() -> None:
    """b's item was offered when a was there; a has gone when its bit comes, and c is new."""
    world = Watched("ecolog", "abc")
    world.enter("a")
    world.enter("b")
    for name, rate_per_s in (("a", 3.0), ("b", 1.0)):
        world.desk.hear(DeviceId(name), Telemetry(turn=1, seen=0, queue=0, rate_per_s=rate_per_s), 0.0)
    policy = world.desk.roster.policy
    chooses, policy.choose = policy.choose, lambda offer: 1  # type: ignore[method-assign]
    assert world.desk.decide(5.0, 1.0, 0.0).name == "b"
    policy.choose = chooses  # type: ignore[method-assign]
    world.desk.leave(DeviceId("a"))
    world.desk.enter(DeviceId("c"), 99)
    assert world.result("b", 1, 1.0, turn=2) == 1.0
    (learned,) = world.bits
    assert (learned.helper, learned.helpers) == ("b", ("a", "b"))
    state = world.desk.roster.state()
    assert state is not None
    assert state["estimates"]["seen"] == [0, 1, 0]
    theta = np.array(state["estimates"]["theta"])
    assert [row.any() for row in theta] == [False, True, False]
    a, b = clean(learned.offer.features)
    assert theta[1] / np.linalg.norm(theta[1]) == pytest.approx(b / np.linalg.norm(b)), (
        "the first step is along x"
    )
    assert not np.allclose(a, b)


# Who gets the items


class Line:
    """A helper under a virtual clock: one item after the other, each takes `item_s`."""

    def __init__(self, item_s: float) -> None:
        self.item_s = item_s
        self.free_s = 0.0
        self.ends_s: deque[float] = deque()

    def add(self, now_s: float) -> float:
        self.free_s = max(self.free_s, now_s) + self.item_s
        self.ends_s.append(self.free_s)
        return self.free_s

    def queue(self, now_s: float) -> int:
        while self.ends_s and self.ends_s[0] <= now_s:
            self.ends_s.popleft()
        return len(self.ends_s)


def sent_to_slow(policy: str, *, items: int = 1200, honest: bool) -> tuple[float, float]:
    """Of the items after a has become ten times slower: the part that it got, and the part of all that was met.

    honest: helpers tell how fast they are; else a goes on to say that it is as fast as before.
    """
    world = Watched(policy, "abc", deadline_s=0.5)
    desk, lines = world.desk, {name: Line(0.1) for name in "abc"}
    turns = {}
    for name in "abc":
        world.enter(name)
        turns[name] = world.turn
    ends: list[tuple[float, int, str]] = []
    counted, newest, met_before = Counter[str](), Counter[str](), 0
    for step in range(items):
        now_s = step * 0.08
        if step == items // 2:
            lines["a"].item_s = 1.0
            counted, met_before = Counter(), desk.met
        while ends and ends[0][0] <= now_s:
            end_s, number, name = heapq.heappop(ends)
            desk.expire(end_s)
            rate_per_s = 1 / lines[name].item_s if honest else 10.0
            how = Telemetry(
                turn=turns[name], seen=newest[name], queue=lines[name].queue(end_s), rate_per_s=rate_per_s
            )
            told = Result(number=number, turn=turns[name], value=None, error=None, telemetry=how)
            desk.result(DeviceId(name), told, end_s)
        desk.expire(now_s)
        choice = desk.decide(1000.0, 1.0, now_s)
        if choice.name is not None:
            counted[choice.name] += 1
            newest[choice.name] = choice.number
            heapq.heappush(ends, (lines[choice.name].add(now_s), choice.number, choice.name))
    late = items - items // 2
    return counted["a"] / late, (desk.met - met_before) / late


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("policy", ["toof", "hybrid"])
def test_a_throttled_helper_gets_fewer_items(policy: str, honest: bool) -> None:
    """Than in turn, whether its telemetry says so, or only the bits do. Hybrid makes up for it; TOOF does not see that
    those whom it sends everything are overrun (see the spec)."""
    in_turn, met_in_turn = sent_to_slow("round-robin", honest=honest)
    part, met = sent_to_slow(policy, honest=honest)
    assert part < in_turn
    assert policy == "toof" or met > met_in_turn


def test_speed_is_a_mean_that_forgets() -> None:
    speed = Speed()
    assert speed.per_s is None
    speed.add(2.0, 4.0)
    assert speed.per_s == 2.0
    speed.add(1.0, 0.0)
    assert speed.per_s == 2.0, "what is no work tells nothing"
    for _ in range(60):
        speed.add(1.0, 1.0)
    assert speed.per_s == pytest.approx(1.0, abs=1e-3)  # 0.8 ** 60 is 1.5e-6 of the first
