"""The steps from what is there to what should be there, on the fake kernel with its refusals."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import NETWORKS, ONE_RADIO, OWN_PORTS, rule, rule_sets

from edgeray.network.desired import desired_state
from edgeray.network.diff import diff, merge
from edgeray.network.fake import FakeNetlink
from edgeray.network.state import HtbClass, NetworkState, Operation, Route
from edgeray.network.types import DeviceNetwork, FlowRule

INTERFACES = ("to-b", "to-c", "to-d", "wlan0")


def perform(kernel: FakeNetlink, desired: NetworkState) -> list[Operation]:
    steps = diff(desired, kernel.read())
    for step in steps:
        kernel.apply(step)
    return steps


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NETWORKS), rule_sets()), max_size=6))
def test_any_sequence_ends_where_it_should(
    history: list[tuple[DeviceNetwork, tuple[FlowRule, ...]]],
) -> None:
    kernel = FakeNetlink(INTERFACES)
    for device, rules in history:
        desired = desired_state(device, rules)
        perform(kernel, desired)
        assert kernel.read() == desired
        assert diff(desired, kernel.read()) == []
    perform(kernel, NetworkState())
    assert kernel.read() == NetworkState()


@settings(deadline=None)
@given(st.sampled_from(NETWORKS), rule_sets(), rule_sets())
def test_a_flow_that_stays_as_it_is_is_not_touched(
    device: DeviceNetwork, kept: tuple[FlowRule, ...], others: tuple[FlowRule, ...]
) -> None:
    """Also when the link is granted out twice over, only its own numbers may move, never in a rebuild."""
    ports = {known.port for known in kept}
    kernel = FakeNetlink(INTERFACES)
    perform(kernel, desired_state(device, kept))
    steps = perform(kernel, desired_state(device, [*kept, *(o for o in others if o.port not in ports)]))
    for step in steps:
        touched = {getattr(step.item, name, None) for name in ("minor", "port")} | {
            getattr(step.item, "table", 0) % 100_000
        }
        if touched & ports:
            assert step.action == "change"
            assert isinstance(step.item, HtbClass)


def test_a_flow_that_moves_finds_its_class_before_its_packets_come() -> None:
    kernel = FakeNetlink(INTERFACES)
    moving, other = rule(5000, ("a", "b", "e"), 1e6), rule(5001, ("a", "b"), 1e6)
    perform(kernel, desired_state(OWN_PORTS, [moving, other]))
    moved = replace(moving, route=("a", "c", "e"))
    steps = perform(kernel, desired_state(OWN_PORTS, [moved, other]))
    assert [(step.action, type(step.item).__name__) for step in steps] == [
        ("add", "HtbClass"),
        ("add", "Fifo"),
        ("add", "Filter"),
        ("change", "Route"),
        ("remove", "Filter"),
        ("remove", "HtbClass"),
    ]
    (route,) = [step.item for step in steps if isinstance(step.item, Route)]
    assert route.interface == "to-c"
    assert [step.item.interface for step in steps[:3]] == ["to-c"] * 3


def test_a_flow_that_moves_within_a_radio_is_made_anew_and_others_stay() -> None:
    """The kernel cannot move a class below another, so this one flow goes through control for an instant."""
    kernel = FakeNetlink(INTERFACES)
    moving, other = rule(5000, ("a", "b", "e"), 1e6), rule(5001, ("a", "b"), 1e6)
    perform(kernel, desired_state(ONE_RADIO, [moving, other]))
    steps = perform(kernel, desired_state(ONE_RADIO, [replace(moving, route=("a", "c", "e")), other]))
    assert {getattr(step.item, "minor", 5000) for step in steps} == {5000}
    assert [step.action for step in steps] == ["remove", "remove", "add", "add", "add", "change"]


def test_merge_keeps_what_is_over() -> None:
    base = desired_state(OWN_PORTS, [rule(5000, ("a", "b"), 1e6)])
    over = desired_state(OWN_PORTS, [rule(5000, ("a", "b"), 2e6), rule(5001, ("a", "b"), 1e6)])
    assert merge(base, over) == over
    assert merge(base, NetworkState()) == base
