"""One suite for the fake kernel and the real one, so that what holds on the fake holds on a device."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_cases import ADDRESSES, NETWORKS, ONE_RADIO, OWN_PORTS, rule, rule_sets

from edgeray.network.desired import desired_state
from edgeray.network.diff import diff
from edgeray.network.fake import FakeNetlink
from edgeray.network.netlink import KernelNetlink
from edgeray.network.state import (
    Filter,
    HtbClass,
    Item,
    KernelRefusalError,
    Netlink,
    NetworkState,
    Operation,
    Root,
    Rule,
    SegmentLimit,
)

INTERFACES = ("to-b", "to-c", "to-d", "wlan0")
RULES = (
    rule(5000, ("a", "b"), 1e6),
    rule(5001, ("a", "c", "e"), 0.5e6),
    rule(5002, ("b", "a", "d"), 40e6),
    rule(5003, ("c", "a"), 333_333.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    netlink: Netlink
    add_foreign_qdisc: Callable[[str], object]

    def perform(self, desired: NetworkState) -> None:
        for step in diff(desired, self.netlink.read()):
            self.netlink.apply(step)

    def refuses(self, action: str, item: Item) -> int:
        with pytest.raises(KernelRefusalError) as refusal:
            self.netlink.apply(Operation(action=action, item=item))
        assert refusal.value.reason
        return refusal.value.number


def fake_kernel() -> Iterator[Kernel]:
    netlink = FakeNetlink(("lo", *INTERFACES))
    yield Kernel(
        netlink=netlink, add_foreign_qdisc=lambda interface: netlink.foreign.update({interface: "tbf 1:"})
    )


def real_kernel() -> Iterator[Kernel]:
    namespace = f"edgecontract{os.getpid()}"

    def run(words: str) -> None:
        subprocess.run(words.split(), check=True, capture_output=True)

    try:
        run(f"ip netns add {namespace}")
    except subprocess.CalledProcessError as error:
        pytest.skip(
            f"the real kernel needs root for a namespace (CI has it): {error.stderr.decode().strip()}"
        )
    try:
        run(f"ip -n {namespace} link set lo up")
        run(f"ip -n {namespace} addr add {ADDRESSES['a']}/32 dev lo")
        for number, name in enumerate(INTERFACES):
            run(f"ip -n {namespace} link add {name} type veth peer name far{number}")
            run(f"ip -n {namespace} link set {name} up")
        with KernelNetlink(namespace) as netlink:
            yield Kernel(
                netlink=netlink,
                add_foreign_qdisc=lambda name: run(
                    f"tc -n {namespace} qdisc replace dev {name} root handle 1: "
                    "tbf rate 1mbit burst 10k limit 10k"
                ),
            )
    finally:
        run(f"ip netns del {namespace}")


@pytest.fixture(scope="module", params=[fake_kernel, real_kernel], ids=["fake", "real"])
def module_kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    yield from request.param()


@pytest.fixture
def kernel(module_kernel: Kernel) -> Iterator[Kernel]:
    yield module_kernel
    for name in INTERFACES:
        if module_kernel.netlink.foreign_qdisc(name):
            module_kernel.netlink.remove_foreign_qdisc(name)
    module_kernel.perform(NetworkState())
    assert module_kernel.netlink.read() == NetworkState()


@pytest.mark.parametrize("device", NETWORKS)
def test_what_is_written_reads_back_equal(kernel: Kernel, device) -> None:
    desired = desired_state(device, RULES)
    kernel.perform(desired)
    assert kernel.netlink.read() == desired


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(st.sampled_from(NETWORKS), rule_sets()), min_size=2, max_size=3))
def test_any_sequence_ends_where_it_should(kernel: Kernel, history) -> None:
    for device, rules in history:
        desired = desired_state(device, rules)
        kernel.perform(desired)
        assert kernel.netlink.read() == desired
        assert diff(desired, kernel.netlink.read()) == []


@pytest.mark.parametrize("kind", [Root, HtbClass, Filter, Rule])
def test_nothing_is_made_twice(kernel: Kernel, kind: type) -> None:
    kernel.perform(desired_state(OWN_PORTS, RULES))
    before = kernel.netlink.read()
    item = next(item for item in before.items if isinstance(item, kind))
    assert kernel.refuses("add", item) in (errno.EEXIST, errno.ENOSPC)
    assert kernel.netlink.read() == before


def test_what_is_not_there_cannot_go_or_change(kernel: Kernel) -> None:
    kernel.perform(desired_state(OWN_PORTS, []))
    there = set(kernel.netlink.read().items)
    for item in desired_state(OWN_PORTS, RULES).items:
        if item not in there:
            assert kernel.refuses("remove", item)
    (missing,) = [c for c in desired_state(OWN_PORTS, RULES[:1]).items if c not in there and is_class(c)]
    assert kernel.refuses("change", missing) == errno.ENOENT


def is_class(item: Item) -> bool:
    return isinstance(item, HtbClass)


def test_a_class_in_use_cannot_go(kernel: Kernel) -> None:
    desired = desired_state(OWN_PORTS, RULES)
    kernel.perform(desired)
    filtered = next(c for c in desired.items if isinstance(c, HtbClass) and c.minor == 5000)
    parent = next(c for c in desired.items if isinstance(c, HtbClass) and c.minor == 1)
    assert kernel.refuses("remove", filtered) == errno.EBUSY
    assert kernel.refuses("remove", parent) == errno.EBUSY
    assert kernel.netlink.read() == desired


def test_a_class_cannot_move_below_another(kernel: Kernel) -> None:
    """The kernel says yes and leaves it where it is, which is why diff makes it anew."""
    kernel.perform(desired_state(ONE_RADIO, RULES[:1]))
    (flow,) = [c for c in kernel.netlink.read().items if isinstance(c, HtbClass) and c.minor == 5000]
    kernel.netlink.apply(Operation(action="change", item=replace(flow, parent_minor=3)))
    assert flow in kernel.netlink.read().items


def test_an_unknown_interface_is_refused(kernel: Kernel) -> None:
    assert kernel.refuses("add", Root(interface="nowhere", default_minor=2)) == errno.ENODEV
    with pytest.raises(KernelRefusalError, match="nowhere"):
        kernel.netlink.class_counters("nowhere")


def test_only_what_somebody_made_is_foreign(kernel: Kernel) -> None:
    assert [kernel.netlink.foreign_qdisc(name) for name in ("lo", *INTERFACES)] == [None] * 5
    kernel.perform(desired_state(OWN_PORTS, []))
    assert kernel.netlink.foreign_qdisc("to-b") is None
    kernel.add_foreign_qdisc("wlan0")
    assert kernel.netlink.foreign_qdisc("wlan0") == "tbf 1:"
    assert kernel.refuses("add", Root(interface="wlan0", default_minor=2)) == errno.EEXIST
    kernel.netlink.remove_foreign_qdisc("wlan0")
    assert kernel.netlink.foreign_qdisc("wlan0") is None


def test_counters_are_by_minor_number(kernel: Kernel) -> None:
    assert kernel.netlink.class_counters("to-b") == {}
    kernel.perform(desired_state(OWN_PORTS, RULES))
    counters = kernel.netlink.class_counters("to-b")
    assert sorted(counters) == [1, 2, 5000]
    assert (counters[5000].bytes, counters[5000].dropped, counters[5000].backlog_bytes) == (0, 0, 0)


def test_the_segment_limit_goes_back_to_the_devices_own(kernel: Kernel) -> None:
    kernel.perform(desired_state(OWN_PORTS, []))
    limits = [item for item in kernel.netlink.read().items if isinstance(item, SegmentLimit)]
    assert [(limit.interface, limit.segments) for limit in limits] == [("to-b", 1), ("to-c", 1), ("to-d", 4)]
    kernel.netlink.apply(Operation(action="remove", item=limits[0]))
    assert limits[0] not in kernel.netlink.read().items
