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


@given(st.data(), st.integers(2, 4), st.integers(0, 30), st.integers(1, 4), st.booleans())
def test_replicas_bring_all_items_in_order_whoever_has_them_and_whoever_is_slow(
    data: st.DataObject, copies: int, items: int, capacity: int, beside: bool
) -> None:
    """With the least room and in any interleaving nobody waits for ever."""
    names = [f"copy{at}" for at in range(copies)]
    lines: dict[str, list[Item]] = {name: [] for name in names}
    for number in range(items):
        mine = lines[data.draw(st.sampled_from(names))]
        mine.append(Item(len(mine), (number, f"v{number}"), float(number)))
    inbox = Inbox([*names, *(["beside"] if beside else [])], capacity, [names])
    counts, sent = {name: len(mine) for name, mine in lines.items()}, dict.fromkeys([*names, "beside"], 0)
    if beside:
        lines["beside"] = [Item(number, -number, 0.0) for number in range(items)]
    open_lines, found = set(lines), []
    while not inbox.ended:
        ready = [name for name in sorted(open_lines) if not lines[name] or _fits(inbox, name, lines[name][0])]
        name = data.draw(st.sampled_from(ready))
        if lines[name]:
            inbox.add(name, lines[name].pop(0))
            sent[name] += 1
        else:
            inbox.end(name, sent[name])
            open_lines.discard(name)
        while inbox.ready():
            found.append(inbox.take())
        assert inbox.waiting <= capacity + 1  # and the one that is due
    assert [one[0] for one in found] == [Item(number, f"v{number}", float(number)) for number in range(items)]
    assert not beside or [one[1].value for one in found] == [-number for number in range(items)]
    assert {name: sent[name] for name in names} == counts


def _fits(inbox: Inbox, name: str, item: Item) -> bool:
    return inbox.has_room(name, item.value[0] if name.startswith("copy") else None)


def test_an_item_that_two_replicas_bring_is_a_flow_error() -> None:
    inbox = Inbox(["a.1", "a.2"], 4, [["a.1", "a.2"]])
    inbox.add("a.1", Item(0, (3, None), 0.0))
    with pytest.raises(FlowError, match=r"input a\.2 brought item 3, which has come before"):
        inbox.add("a.2", Item(0, (3, None), 0.0))
    with pytest.raises(FlowError, match=r"input a\.2 brought item 1, expected item 0"):
        inbox.add("a.2", Item(1, (4, None), 0.0))


def test_replicas_that_end_with_an_item_missing_are_a_flow_error() -> None:
    inbox = Inbox(["a.1", "a.2"], 4, [["a.1", "a.2"]])
    inbox.add("a.1", Item(0, (1, None), 0.0))
    inbox.end("a.1", 1)
    with pytest.raises(FlowError, match="some before the last are missing"):
        inbox.end("a.2", 0)
