"""The manager on the fake kernel: rollback, ownership, counters, and pacing mode."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import ONE_RADIO, OWN_PORTS, network, port, rule, rule_sets

from edgeray.errors import NetworkApplyError
from edgeray.network.desired import desired_state
from edgeray.network.fake import FakeNetlink
from edgeray.network.manager import NetworkManager, open_manager
from edgeray.network.state import NetworkState, Route
from edgeray.network.types import FlowRule, LinkCounters

INTERFACES = ("lo", "to-b", "to-c", "to-d", "wlan0")


@pytest.fixture
def kernel() -> FakeNetlink:
    return FakeNetlink(INTERFACES)


@settings(deadline=None)
@given(rule_sets(), rule_sets(), st.integers(min_value=0, max_value=40))
def test_a_refusal_anywhere_leaves_everything_as_it_was(
    first: tuple[FlowRule, ...], second: tuple[FlowRule, ...], at: int
) -> None:
    kernel = FakeNetlink(INTERFACES)
    manager = NetworkManager(OWN_PORTS, kernel)
    manager.apply(first)
    kernel.fail_at = at
    try:
        manager.apply(second)
    except NetworkApplyError as error:
        assert "refused on request; everything is as it was before" in str(error)
        assert manager.rules == first
        assert kernel.read() == desired_state(OWN_PORTS, first)
    else:
        assert manager.rules == second
        assert kernel.read() == desired_state(OWN_PORTS, second)


def test_a_failed_rollback_says_what_is_left_to_do(
    kernel: FakeNetlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = NetworkManager(OWN_PORTS, kernel)
    manager.apply([rule(5000, ("a", "b"), 1e6)])
    succeed, calls = kernel.apply, iter(range(100))

    def fail_from_third(operation):
        if next(calls) >= 2:
            kernel.fail_at = 0
        succeed(operation)

    monkeypatch.setattr(kernel, "apply", fail_from_third)
    with pytest.raises(NetworkApplyError, match=r"in part applied. To do: remove .*5001"):
        manager.apply([rule(5000, ("a", "b"), 1e6), rule(5001, ("a", "c"), 1e6)])


def test_bad_rules_change_nothing(kernel: FakeNetlink) -> None:
    manager = NetworkManager(OWN_PORTS, kernel)
    manager.apply([rule(5000, ("a", "b"), 1e6)])
    before = len(kernel.log)
    with pytest.raises(NetworkApplyError, match="links only to"):
        manager.apply([rule(5000, ("a", "e"), 1e6)])
    assert len(kernel.log) == before


def test_somebody_elses_qdisc_is_refused_by_name(kernel: FakeNetlink) -> None:
    kernel.foreign["to-c"] = "tbf 8001:"
    with pytest.raises(NetworkApplyError, match=r"to-c .*tbf 8001:.*--takeover"):
        NetworkManager(OWN_PORTS, kernel).apply([])
    assert kernel.log == []
    NetworkManager(OWN_PORTS, kernel, takeover=True).apply([])
    assert kernel.foreign == {}
    assert kernel.read() == desired_state(OWN_PORTS, [])


def test_a_missing_interface_is_named_with_those_there_are(kernel: FakeNetlink) -> None:
    lost = network(port("b", interface="eth7"))
    with pytest.raises(NetworkApplyError, match=r"no interface 'eth7' \(it has lo, to-b"):
        NetworkManager(lost, kernel).apply([])


def test_opening_shapes_links_and_adopts_flows(kernel: FakeNetlink) -> None:
    manager = NetworkManager(OWN_PORTS, kernel)
    manager.open()
    assert kernel.read() == desired_state(OWN_PORTS, [])
    flows = [rule(5000, ("a", "b"), 1e6)]
    manager.apply(flows)
    anew = NetworkManager(OWN_PORTS, kernel)
    anew.open()
    assert kernel.read() == desired_state(OWN_PORTS, flows)
    anew.clear()
    assert kernel.read() == NetworkState()


@pytest.mark.parametrize("device", [OWN_PORTS, ONE_RADIO])
def test_counters_of_a_flow_go_on_when_it_moves(kernel: FakeNetlink, device) -> None:
    manager = NetworkManager(device, kernel)
    flow = rule(5000, ("a", "b", "e"), 1e6)
    manager.apply([flow])
    kernel.send(device.ports[0].interface, 5000, 1000)
    manager.apply([replace(flow, rate_bps=2e6)])
    assert manager.flow_counters()[flow.flow].bytes == 1000
    for route, sent in ((("a", "c", "e"), 200), (("a", "b", "e"), 30)):
        manager.apply([replace(flow, route=route)])
        leaving = next(p for p in device.ports if p.peer == route[1])
        kernel.send(leaving.interface, 5000, sent)
    assert manager.flow_counters()[flow.flow].bytes == 1230
    assert manager.flow_counters()[flow.flow].packets == 3
    manager.apply([])
    assert manager.flow_counters() == {}


@pytest.mark.parametrize("stuck", [False, True])
def test_a_queue_left_behind_runs_empty_before_its_class_goes(
    kernel: FakeNetlink, monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    """Dropping it would cost the flow half its rate for a while. One that never empties is not waited for."""
    manager = NetworkManager(OWN_PORTS, kernel)
    flow = rule(5000, ("a", "b", "e"), 1e6)
    manager.apply([flow, rule(5001, ("a", "c"), 1e6)])
    count, backlogs, steps_then = kernel.class_counters, [3028, 1514, 0], []

    def draining(interface: str):
        found = dict(count(interface))
        if interface == "to-b" and any(isinstance(step.item, Route) for step in kernel.log[made:]):
            steps_then.append(len(kernel.log))
            backlog = 3028 if stuck else backlogs[min(len(steps_then), 3) - 1]
            found[5000] = replace(found[5000], backlog_bytes=backlog)
        return found

    made = len(kernel.log)
    monkeypatch.setattr(kernel, "class_counters", draining)
    manager.apply([replace(flow, route=("a", "c", "e")), rule(5001, ("a", "c"), 1e6)])
    assert len(steps_then) >= 3
    after = kernel.log[steps_then[2] :]
    assert [(step.action, type(step.item).__name__) for step in after] == [
        ("remove", "Filter"),
        ("remove", "HtbClass"),
    ]


def test_link_counters_tell_control_from_all(kernel: FakeNetlink) -> None:
    manager = NetworkManager(ONE_RADIO, kernel)
    manager.apply([rule(5000, ("a", "c"), 1e6)])
    kernel.send("wlan0", 5000, 1000)
    kernel.send("wlan0", 4, 60)
    counters = manager.link_counters()
    assert counters["a-c"] == LinkCounters(bytes=1060, control_bytes=60)
    assert counters["a-b"] == LinkCounters(bytes=0, control_bytes=0)


def test_flows_end_here_without_a_class(kernel: FakeNetlink) -> None:
    manager = NetworkManager(OWN_PORTS, kernel)
    manager.apply([rule(5000, ("b", "a"), 1e6)])
    assert manager.flow_counters() == {}


def test_pacing_records_only() -> None:
    manager = NetworkManager(OWN_PORTS, None, reason="not root")
    manager.open()
    manager.apply([rule(5000, ("a", "b"), 1e6)])
    assert (manager.enforcement, manager.reason) == ("pacing", "not root")
    assert [known.flow for known in manager.rules] == ["job/5000"]
    assert manager.flow_counters() == manager.link_counters() == {}
    with pytest.raises(NetworkApplyError, match="links only to"):
        manager.apply([rule(5000, ("a", "e"), 1e6)])
    manager.clear()
    assert manager.rules == ()


def test_devices_that_share_loopback_are_never_shaped() -> None:
    manager = open_manager(network(port("b", interface="lo"), port("c", interface="lo")))
    assert manager.enforcement == "pacing"
    assert "loopback" in manager.reason
