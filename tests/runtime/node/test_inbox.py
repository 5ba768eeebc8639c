"""Items of several inputs meet by number, whatever their speeds, and nothing grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.errors import FlowError
from edgeray.node.inbox import Inbox, Item


@given(st.data(), st.integers(1, 4), st.integers(0, 20), st.integers(1, 5))
def test_any_interleaving_gives_all_sets_in_order(
    data: st.DataObject, inputs: int, items: int, capacity: int
) -> None:
    names = [f"in{at}" for at in range(inputs)]
    inbox = Inbox(names, capacity)
    sent = dict.fromkeys(names, 0)
    found: list[tuple[Item, ...]] = []
    while not inbox.ended:
        name = data.draw(st.sampled_from([n for n in names if sent[n] <= items and inbox.has_room(n)]))
        if sent[name] < items:
            inbox.add(name, Item(sent[name], (name, sent[name]), 0.0))
        else:
            inbox.end(name, items)
        sent[name] += 1
        while inbox.ready():
            found.append(inbox.take())
        assert inbox.waiting <= capacity
    assert [[item.value for item in one] for one in found] == [
        [(name, number) for name in names] for number in range(items)
    ]


def test_an_input_that_runs_ahead_has_no_room_until_the_other_catches_up() -> None:
    inbox = Inbox(["fast", "slow"], 2)
    for number in range(2):
        inbox.add("fast", Item(number, None, 0.0))
    assert not inbox.has_room("fast")
    assert not inbox.ready()
    inbox.add("slow", Item(0, None, 0.0))
    assert inbox.ready()
    inbox.take()
    assert inbox.has_room("fast")


def test_it_has_not_ended_while_items_wait() -> None:
    inbox = Inbox(["a"], 4)
    inbox.add("a", Item(0, None, 0.0))
    inbox.end("a", 1)
    assert not inbox.ended
    inbox.take()
    assert inbox.ended


def test_what_is_not_due_is_a_flow_error() -> None:
    inbox = Inbox(["a", "b"], 4)
    with pytest.raises(FlowError, match="input a brought item 1, expected item 0"):
        inbox.add("a", Item(1, None, 0.0))
    inbox.add("a", Item(0, None, 0.0))
    with pytest.raises(FlowError, match="input a brought item 0, expected item 1"):
        inbox.add("a", Item(0, None, 0.0))
    with pytest.raises(FlowError, match="ended after 3 items, but 1 came"):
        inbox.end("a", 3)
    inbox.end("a", 1)
    with pytest.raises(FlowError, match="expected its end"):
        inbox.add("a", Item(1, None, 0.0))
    with pytest.raises(FlowError, match="input a ended after 1 items, input b after 0"):
        inbox.end("b", 0)
