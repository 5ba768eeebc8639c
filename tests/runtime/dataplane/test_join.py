"""Items of several inputs meet by number, whatever their speeds, and nothing grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.dataplane import EndOfStream, Item, ItemJoin
from edgeray.errors import FlowError


def item(number: int, value: object = None) -> Item:
    return Item(number, value, 0.0, 0.0, 0)


@given(st.data(), st.integers(1, 4), st.integers(0, 20), st.integers(1, 5))
def test_any_interleaving_gives_all_sets_in_order(
    data: st.DataObject, inputs: int, items: int, max_waiting: int
) -> None:
    names = [f"in{at}" for at in range(inputs)]
    join = ItemJoin(names, max_waiting=max_waiting)
    given_so_far = dict.fromkeys(names, 0)
    found = []
    while not join.ended:
        name = data.draw(st.sampled_from(join.wants()))
        number = given_so_far[name]
        given_so_far[name] += 1
        join.add(name, item(number, (name, number)) if number < items else EndOfStream(items))
        found += join.ready()
        assert all(join.waiting(other) <= max_waiting for other in names)
    assert [number for number, _ in found] == list(range(items))
    for number, one in found:
        assert list(one) == names
        assert [part.value for part in one.values()] == [(name, number) for name in names]
    assert join.wants() == ()


def test_an_input_that_runs_ahead_is_left_alone() -> None:
    join = ItemJoin(["fast", "slow"], max_waiting=2)
    join.add("fast", item(0))
    assert join.wants() == ("fast", "slow")
    join.add("fast", item(1))
    assert join.wants() == ("slow",)
    assert join.ready() == []
    join.add("slow", item(0))
    assert [number for number, _ in join.ready()] == [0]
    assert join.wants() == ("fast", "slow")


def test_it_has_not_ended_while_sets_wait() -> None:
    join = ItemJoin(["a"])
    join.add("a", item(0))
    join.add("a", EndOfStream(1))
    assert not join.ended
    join.ready()
    assert join.ended


def test_what_is_not_due_is_a_flow_error() -> None:
    join = ItemJoin(["a", "b"])
    join.add("a", item(0))
    with pytest.raises(FlowError, match="item 2, expected item 1"):
        join.add("a", item(2))
    with pytest.raises(FlowError, match="item 0, expected item 1"):
        join.add("a", item(0))
    with pytest.raises(FlowError, match="ended after 5 items, but 1 came"):
        join.add("a", EndOfStream(5))
    with pytest.raises(FlowError, match="no input 'c'"):
        join.add("c", item(0))
    join.add("a", EndOfStream(1))
    with pytest.raises(FlowError, match="goes on after its end"):
        join.add("a", item(1))
    with pytest.raises(FlowError, match="input 'a' ended after 1 items, input 'b' after 0"):
        join.add("b", EndOfStream(0))


@pytest.mark.parametrize(("inputs", "max_waiting"), [([], 1), (["a", "a"], 1), (["a"], 0)])
def test_senseless_joins_are_refused(inputs: list[str], max_waiting: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        ItemJoin(inputs, max_waiting=max_waiting)
