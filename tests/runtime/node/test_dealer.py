"""Who gets an item, by a clock of the test's own: nobody is overfull, no item is refused, and bits tell the truth."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.node.bounds import REPLICA_ITEMS
from edgeray.node.replicas import Dealer
from policies.bandit.registry import DISPATCHERS
from policies.model import Replicas, TaskId

COPIES = (TaskId("a.1"), TaskId("a.2"), TaskId("a.3"))


class World:
    """A dealer and its clock."""

    def __init__(self, dispatch: str, copies: tuple[TaskId, ...] = COPIES, deadline_s: float = 1.0) -> None:
        self.now_s = 0.0
        replicas = Replicas(
            task=TaskId("a"), producer=TaskId("s"), copies=copies, dispatch=dispatch, deadline_s=deadline_s
        )
        self.dealer = Dealer(replicas, dict.fromkeys(copies, 1e8), clock=lambda: self.now_s)

    def told(self) -> dict[str, Any]:
        return self.dealer.told()


STEPS = st.lists(
    st.one_of(st.just(("give",)), st.tuples(st.just("done"), st.integers(0, 2), st.floats(0, 3))), max_size=80
)


@given(st.sampled_from(DISPATCHERS), STEPS)
def test_numbers_follow_each_other_nobody_has_too_much_and_all_are_accounted_for(
    dispatch: str, steps: list[Any]
) -> None:
    world = World(dispatch)
    given_, under_way = dict.fromkeys(COPIES, 0), dict.fromkeys(COPIES, 0)
    for step in steps:
        match step:
            case ["give"]:
                assert world.dealer.has_room() == (min(under_way.values()) < REPLICA_ITEMS)
                if world.dealer.has_room():
                    copy, number = world.dealer.give(1000)
                    assert number == given_[copy] == world.dealer.given(copy) - 1
                    given_[copy] += 1
                    under_way[copy] += 1
                    assert under_way[copy] <= REPLICA_ITEMS
            case ["done", which, seconds]:
                copy = COPIES[which]
                assert world.dealer.idle(copy) == (under_way[copy] == 0)
                world.now_s += seconds
                if under_way[copy]:
                    world.dealer.done(copy, seconds)
                    under_way[copy] -= 1
    now = world.told()
    assert now["refused"] == now["failed"] == now["lost"] == 0
    assert now["items"] == sum(given_.values())
    assert {copy: row["sent"] for copy, row in now["helpers"].items()} == given_
    assert {copy: row["queue"] for copy, row in now["helpers"].items()} == under_way
    assert now["items"] - sum(under_way.values()) <= now["met"] + now["late"] <= now["items"]


@pytest.mark.parametrize("dispatch", ["jsq", "sed", "hybrid"])
def test_who_is_five_times_as_fast_gets_most(dispatch: str) -> None:
    world = World(dispatch, COPIES[:2], deadline_s=1.0)
    busy_s = dict(zip(COPIES, (0.05, 0.25), strict=False))
    ends: dict[TaskId, deque[float]] = {copy: deque() for copy in busy_s}
    for item in range(400):
        world.now_s = item / 15
        for copy, due in ends.items():
            while due and due[0] <= world.now_s:
                due.popleft()
                world.dealer.done(copy, busy_s[copy])
        assert world.dealer.has_room()
        copy, _ = world.dealer.give(1000)
        start_s = max(world.now_s, ends[copy][-1] if ends[copy] else 0.0)
        ends[copy].append(start_s + busy_s[copy])
    now = world.told()
    assert now["helpers"]["a.1"]["sent"] > 2 * now["helpers"]["a.2"]["sent"]
    assert now["late"] <= 20


def test_what_is_not_done_in_time_is_late_before_it_is_done_and_stays_so() -> None:
    world = World("round-robin", COPIES[:2], deadline_s=1.0)
    world.dealer.give(1)
    world.now_s = 1.5
    assert world.told()["late"] == 1
    world.dealer.done(COPIES[0], 1.4)
    assert (world.told()["met"], world.told()["late"]) == (0, 1)


def test_an_answer_that_was_held_back_counts_from_when_the_item_was_done() -> None:
    world = World("round-robin", COPIES[:2], deadline_s=1.0)
    world.dealer.give(1)
    world.now_s = 0.99
    world.dealer.done(COPIES[0], 0.5, held_s=0.2)
    assert world.told()["met"] == 1
