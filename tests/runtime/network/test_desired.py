"""What a device must have for a set of flow rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import ADDRESSES, NETWORKS, ONE_RADIO, OWN_PORTS, network, port, rule, rule_sets

from edgeray.errors import NetworkApplyError
from edgeray.network.desired import FRAME_BYTES, control_bps, desired_state, link_minors, segment_limit
from edgeray.network.state import Fifo, Filter, HtbClass, NetworkState, Root, Route, Rule, SegmentLimit
from edgeray.network.types import DeviceNetwork, FlowRule


def of_type(state: NetworkState, kind: type) -> list:
    return [item for item in state.items if isinstance(item, kind)]


def flow_class(state: NetworkState, number: int) -> HtbClass:
    (found,) = [item for item in of_type(state, HtbClass) if item.minor == number]
    return found


@settings(deadline=None)
@given(st.sampled_from(NETWORKS), rule_sets())
def test_guarantees_fit_into_each_link(device: DeviceNetwork, rules: tuple[FlowRule, ...]) -> None:
    state = desired_state(device, rules)
    classes = of_type(state, HtbClass)
    for link in device.ports:
        whole, _ = link_minors(device, link)
        (parent,) = [c for c in classes if (c.interface, c.minor) == (link.interface, whole)]
        children = [c for c in classes if (c.interface, c.parent_minor) == (link.interface, whole)]
        assert parent.rate_bytes_per_s == parent.ceil_bytes_per_s == round(link.capacity_bps / 8)
        assert sum(child.rate_bytes_per_s for child in children) <= parent.rate_bytes_per_s + 8 * len(
            children
        )
        assert all(child.ceil_bytes_per_s <= parent.ceil_bytes_per_s for child in children)


@settings(deadline=None)
@given(st.sampled_from(NETWORKS), rule_sets())
def test_every_number_is_one_the_kernel_takes(device: DeviceNetwork, rules: tuple[FlowRule, ...]) -> None:
    for item in of_type(desired_state(device, rules), HtbClass):
        assert 8 <= item.rate_bytes_per_s <= item.ceil_bytes_per_s
        assert item.quantum_bytes >= FRAME_BYTES
        for burst_ns in (item.burst_ns, item.ceil_burst_ns):
            assert burst_ns % 8000 == 0
            assert burst_ns // 64 < 1 << 32
    for fifo in of_type(desired_state(device, rules), Fifo):
        assert fifo.limit_bytes >= 16 * FRAME_BYTES


@settings(deadline=None)
@given(st.sampled_from(NETWORKS), rule_sets(), st.randoms(use_true_random=False))
def test_order_of_rules_does_not_matter(device: DeviceNetwork, rules: tuple[FlowRule, ...], random) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)
    assert desired_state(device, shuffled) == desired_state(device, rules)


def test_a_flow_reaches_its_grant_and_leaves_control_its_share() -> None:
    state = desired_state(OWN_PORTS, [rule(5000, ("a", "b"), 10e6)])
    shaped = flow_class(state, 5000)
    assert shaped.ceil_bytes_per_s == 1_250_000
    assert shaped.rate_bytes_per_s == 1_225_000
    (control,) = [c for c in of_type(state, HtbClass) if (c.interface, c.minor) == ("to-b", 2)]
    assert (control.rate_bytes_per_s, control.ceil_bytes_per_s, control.priority) == (25_000, 1_250_000, 0)


def test_a_flow_that_borrows_is_guaranteed_its_rate_and_may_take_the_link() -> None:
    """Guarantees fit beside control's share; the ceil is what the rule says, at most the link."""
    rules = [
        rule(5000 + n, ("a", "b"), 1e6 * (n + 1), ceil_bps=ceil) for n, ceil in enumerate((5e6, 99e6, None))
    ]
    state = desired_state(OWN_PORTS, rules)
    classes = [flow_class(state, number) for number in (5000, 5001, 5002)]
    assert [c.rate_bytes_per_s for c in classes] == [122_500, 245_000, 367_500]
    assert [c.ceil_bytes_per_s for c in classes] == [625_000, 1_250_000, 375_000]


@settings(deadline=None)
@given(st.lists(st.floats(0.2e6, 20e6), min_size=1, max_size=8))
def test_guarantees_of_flows_that_borrow_never_add_up_to_more_than_the_link(rates_bps: list[float]) -> None:
    rules = [rule(5000 + n, ("a", "b"), rate, ceil_bps=10e6 + rate) for n, rate in enumerate(rates_bps)]
    state = desired_state(OWN_PORTS, rules)
    (control,) = [c for c in of_type(state, HtbClass) if (c.interface, c.minor) == ("to-b", 2)]
    classes = [flow_class(state, r.port) for r in rules]
    guaranteed = [c.rate_bytes_per_s for c in classes]
    assert sum(guaranteed) + control.rate_bytes_per_s <= 1_250_000
    assert {c.ceil_bytes_per_s for c in classes} == {1_250_000}
    for one, rate in zip(guaranteed, rates_bps, strict=True):
        assert one * max(10e6, sum(rates_bps)) == pytest.approx(1_225_000 * rate, rel=1e-3), "in proportion"


def test_the_queue_of_a_flow_that_borrows_fits_what_it_may_take() -> None:
    """25 ms at its ceil, however little it is guaranteed; a flow that does not borrow has 100."""
    rules = [
        rule(5000, ("a", "d"), 0.1e6, ceil_bps=100e6),
        rule(5001, ("a", "d"), 10e6, ceil_bps=20e6),
        rule(5002, ("a", "d"), 20e6),
    ]
    fifos = [f for f in of_type(desired_state(OWN_PORTS, rules), Fifo) if f.minor >= 5000]
    assert [fifo.limit_bytes for fifo in fifos] == [312_500, 62_500, 250_000]


@pytest.mark.parametrize(
    ("capacity_bps", "expected"), [(100e3, 10e3), (1e6, 32e3), (1.6e6, 32e3), (10e6, 200e3), (1e9, 20e6)]
)
def test_control_share(capacity_bps: float, expected: float) -> None:
    assert control_bps(capacity_bps) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("capacity_bps", "expected"), [(0.5e6, 1), (10e6, 1), (50e6, 2), (100e6, 4), (1e9, 8)]
)
def test_offloaded_packets_fit_thin_links(capacity_bps: float, expected: int) -> None:
    assert segment_limit(capacity_bps) == expected


@pytest.mark.parametrize("rate_bps", [0.5e6, 1e6, 10e6, 100e6, 1e9])
def test_a_burst_is_small_beside_ten_seconds(rate_bps: float) -> None:
    state = desired_state(network(port("b", 1e9)), [rule(5000, ("a", "b"), rate_bps)])
    shaped = flow_class(state, 5000)
    assert shaped.ceil_burst_ns <= 0.01 * 10e9
    assert shaped.ceil_burst_ns * 1e-9 * rate_bps / 8 >= 2 * FRAME_BYTES - 1


def test_changing_one_rate_changes_one_class_and_its_queue() -> None:
    rules = [rule(5000, ("a", "b"), 1e6), rule(5001, ("a", "b"), 2e6), rule(5002, ("a", "c"), 0.5e6)]
    before = desired_state(OWN_PORTS, rules)
    after = desired_state(OWN_PORTS, [replace(rules[0], rate_bps=7e6), *rules[1:]])
    changed = set(after.items) - set(before.items)
    assert {(type(item), item.minor) for item in changed} == {(HtbClass, 5000), (Fifo, 5000)}


def test_routing_as_sender_forwarder_and_receiver() -> None:
    crossing = rule(5000, ("b", "a", "c"), 1e6)

    def routing(name: str, *neighbours: str) -> list[Route | Rule]:
        device = network(*(port(peer, device=name) for peer in neighbours), device=name)
        state = desired_state(device, [crossing])
        return [*of_type(state, Route), *of_type(state, Rule)]

    ahead = Rule(destination=ADDRESSES["c"], side="dport", port=5000, table=158_005_000)
    back = Rule(destination=ADDRESSES["b"], side="sport", port=5000, table=158_105_000)

    def route(rule: Rule, hop: str, source: str | None = None) -> Route:
        return Route(
            table=rule.table,
            destination=rule.destination,
            via=ADDRESSES[hop],
            interface=f"to-{hop}",
            source=source,
        )

    assert routing("b", "a", "d") == [route(ahead, "a", ADDRESSES["b"]), ahead]
    assert routing("a", "b", "c") == [route(back, "b"), route(ahead, "c"), back, ahead]
    assert routing("c", "a", "d") == [route(back, "a"), back]
    assert routing("d", "b", "c") == []


def test_a_dedicated_interface_shapes_all_and_a_shared_one_only_its_neighbours() -> None:
    own, radio = desired_state(OWN_PORTS, []), desired_state(ONE_RADIO, [])
    assert [root.default_minor for root in of_type(own, Root)] == [2, 2, 2]
    assert of_type(own, Filter) == []
    assert [root.default_minor for root in of_type(radio, Root)] == [0]
    assert {f.destination: f.minor for f in of_type(radio, Filter)} == {
        ADDRESSES["b"]: 2,
        ADDRESSES["c"]: 4,
        ADDRESSES["d"]: 6,
    }
    assert [limit.segments for limit in of_type(radio, SegmentLimit)] == [segment_limit(5e6)]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([rule(5000, ("a", "e"), 1e6)], "links only to b, c, d"),
        ([rule(80, ("a", "b"), 1e6)], "TCP port 80"),
        ([rule(64512, ("a", "b"), 1e6)], "TCP port 64512"),
        ([rule(5000, ("a", "b"), 0.0)], "granted 0.0"),
        ([rule(5000, ("a", "b"), float("nan"))], "granted nan"),
        ([rule(5000, ("a", "b"), 1e6, ceil_bps=0.9e6)], "may take 900000.0 bit/s; expected at least"),
        ([rule(5000, ("a", "b"), 1e6, ceil_bps=float("nan"))], "may take nan"),
        ([rule(5000, ("a", "b", "a"), 1e6)], "none twice"),
        ([rule(5000, ("a", "b"), 1e6), rule(5000, ("a", "c"), 1e6, "other")], "both have 5000"),
        ([rule(5000, ("a", "b"), 1e6, "x"), rule(5001, ("a", "c"), 1e6, "x")], "both have 'x'"),
    ],
)
def test_what_this_device_cannot_do_is_named(rules: list[FlowRule], words: str) -> None:
    with pytest.raises(NetworkApplyError, match=words):
        desired_state(OWN_PORTS, rules)
