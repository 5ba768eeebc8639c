"""Rates of real TCP flows in real namespaces, by the kernel's own counters."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from network_lab import (
    Lab,
    Transfer,
    may_make_namespaces,
    network_lab,
    read,
    wait_for_flows,
    wait_until,
    window,
)

from edgeray.network.desired import control_bps

WINDOW_S = 5.0

REFUSED = may_make_namespaces()
pytestmark = [pytest.mark.testbed, pytest.mark.skipif(REFUSED is not None, reason=str(REFUSED))]

ECHO_SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
connection, _ = server.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while data := connection.recv(4096):
    connection.sendall(data)
"""

ECHO_CLIENT = """
import socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for _ in range(20):
    start = time.monotonic()
    connection.sendall(bytes(200))
    got = 0
    while got < 200:
        got += len(connection.recv(4096))
    print(time.monotonic() - start, flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def star() -> Iterator[Lab]:
    """One device in the middle, with links of 0.5, 1, 10 and 100 Mbit/s."""
    with network_lab({("a", "b"): 0.5e6, ("a", "c"): 1e6, ("a", "d"): 10e6, ("a", "e"): 100e6}) as lab:
        yield lab


@pytest.fixture(scope="module")
def triangle() -> Iterator[Lab]:
    with network_lab({("a", "b"): 20e6, ("a", "c"): 4e6, ("b", "c"): 20e6}) as lab:
        yield lab


def start(lab: Lab, stack: ExitStack, *rules, seconds: float) -> list[Transfer]:
    return [stack.enter_context(lab.traffic(rule, seconds)) for rule in rules]


def test_a_flow_fills_its_link_from_half_to_a_hundred_megabits(star: Lab) -> None:
    """Wire rate within 3 % of the grant, and payload at 0.95 of the link's capacity or more."""
    capacities = {"b": 0.5e6, "c": 1e6, "d": 10e6, "e": 100e6}
    rules = [star.rule(f"to-{peer}", 5000, ("a", peer), rate) for peer, rate in capacities.items()]
    rules = [star.rule(r.flow, 5000 + n, r.route, r.rate_bps) for n, r in enumerate(rules)]
    star.apply(*rules)
    with ExitStack() as stack:
        transfers = start(star, stack, *rules, seconds=WINDOW_S + 3)
        wait_for_flows(star["a"], rules)
        ((first, last),) = window([star["a"]], WINDOW_S)
        results = [transfer.result() for transfer in transfers]
    for rule, result in zip(rules, results, strict=True):
        measured = first.rate_bps(last, rule.flow) / rule.rate_bps
        goodput = float(result["bytes"]) * 8 / float(result["seconds"]) / rule.rate_bps
        print(f"{rule.rate_bps / 1e6:g} Mbit/s: wire {measured:.4f}, goodput {goodput:.4f} of the grant")
        assert measured == pytest.approx(1.0, abs=0.03)
        assert 0.95 <= goodput <= 1.0


def test_flows_on_one_link_each_get_their_own_rate(star: Lab) -> None:
    """Also a thin one on a fast link, where one offloaded packet is much of its second."""
    rates = (0.5e6, 3e6, 16e6, 80e6)
    rules = [star.rule(f"f{n}", 5000 + n, ("a", "e"), rate) for n, rate in enumerate(rates)]
    star.apply(*rules)
    with ExitStack() as stack:
        start(star, stack, *rules, seconds=WINDOW_S + 5)
        wait_for_flows(star["a"], rules)
        ((first, last),) = window([star["a"]], WINDOW_S)
    for rule in rules:
        assert first.rate_bps(last, rule.flow) == pytest.approx(rule.rate_bps, rel=0.03), rule.flow


def test_control_gets_through_a_saturated_link(star: Lab) -> None:
    rule = star.rule("bulk", 5000, ("a", "c"), 1e6)
    star.apply(rule)
    address = star["c"].network.address
    with ExitStack() as stack:
        start(star, stack, rule, seconds=30)
        server = star["c"].python(ECHO_SERVER, address, 7000)
        stack.callback(server.communicate)
        stack.callback(server.kill)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        wait_for_flows(star["a"], [rule], after_s=1.0)
        first = read(star["a"])
        client = star["a"].python(ECHO_CLIENT, address, 7000)
        output, errors = client.communicate(timeout=30)
        last = read(star["a"])
    assert client.returncode == 0, errors
    round_trips_s = sorted(map(float, output.split()))
    assert len(round_trips_s) == 20
    print(f"round trips: median {statistics.median(round_trips_s):.4f} s, longest {round_trips_s[-1]:.4f} s")
    assert statistics.median(round_trips_s) < 0.05  # a full queue of the flow's class takes 0.19 s
    assert first.link_bps(last, "a-c") == pytest.approx(1e6, rel=0.06)  # in a second or two: saturated


def test_bulk_control_traffic_gets_its_share_and_the_flow_the_rest(star: Lab) -> None:
    """Ray's own transfers meet flows that were granted the whole link: nobody starves."""
    flow = star.rule("bulk", 5000, ("a", "d"), 10e6)
    ray = star.rule("ray", 7001, ("a", "d"), 10e6)
    star.apply(flow)
    with ExitStack() as stack:
        start(star, stack, flow, ray, seconds=WINDOW_S + 3)
        wait_for_flows(star["a"], [flow], after_s=1.0)
        ((first, last),) = window([star["a"]], WINDOW_S)
    share = control_bps(10e6)
    assert first.control_bps(last, "a-d") >= 0.9 * share
    assert first.rate_bps(last, "bulk") == pytest.approx(10e6 - share, rel=0.03)


def test_a_two_hop_route_is_really_taken(triangle: Lab) -> None:
    rule = triangle.rule("detour", 5000, ("a", "b", "c"), 10e6)
    triangle.apply(rule)
    with triangle.traffic(rule, 4) as transfer:
        wait_for_flows(triangle["a"], [rule])
        (a, b, c) = window([triangle[name] for name in "abc"], 2)
        result = transfer.result()
    assert result["peer"] == triangle["a"].network.address
    assert a[0].rate_bps(a[1], "detour") == pytest.approx(10e6, rel=0.03)
    assert b[0].rate_bps(b[1], "detour") == pytest.approx(10e6, rel=0.03)
    assert a[0].link_bps(a[1], "a-c") < 20e3
    assert c[0].link_bps(c[1], "a-c") < 20e3  # acknowledgements, too, go back by b
    assert c[0].link_bps(c[1], "b-c") > 50e3


def test_a_running_flow_takes_another_route_and_rate_and_others_notice_nothing(triangle: Lab) -> None:
    moving = triangle.rule("moving", 5000, ("a", "c"), 2e6)
    other = triangle.rule("other", 5001, ("a", "c"), 1.5e6)
    moved = triangle.rule("moving", 5000, ("a", "b", "c"), 8e6)
    triangle.apply(moving, other)
    with ExitStack() as stack:
        transfers = start(triangle, stack, moving, other, seconds=7)
        wait_for_flows(triangle["a"], [moving, other])
        begin = read(triangle["a"])
        triangle.apply(moved, other)
        wait_until(lambda: triangle["b"].manager.flow_counters()["moving"].bytes > 500_000)
        ((first, last),) = window([triangle["a"]], 2)
        results = [transfer.result() for transfer in transfers]
        end = read(triangle["a"])
    assert begin.rate_bps(last, "other") == pytest.approx(1.5e6, rel=0.03)
    assert first.rate_bps(last, "moving") == pytest.approx(8e6, rel=0.03)
    assert end.flows["moving"].bytes >= float(results[0]["bytes"])  # counted on both routes
    assert float(results[0]["bytes"]) > 2.5e6


def everything(lab: Lab) -> list[str]:
    """All that the manager could have touched, in the kernel's own words."""
    commands = ("tc qdisc show", "ip -d rule show", "ip route show table all", "ip -d link show")
    return [device.run(*command.split()) for device in lab.devices.values() for command in commands]


def test_clear_leaves_nothing() -> None:
    """Also by a manager that knows nothing of the one that died."""
    with network_lab({("a", "b"): 1e6, ("b", "c"): 1e6}) as lab:
        before = everything(lab)
        lab.apply(lab.rule("f", 5000, ("a", "b", "c"), 0.5e6), lab.rule("g", 5001, ("b", "a"), 0.5e6))
        assert everything(lab) != before
        for device in lab.devices.values():
            type(device.manager)(device.network, device.netlink).clear()
        assert everything(lab) == before


def test_somebody_elses_qdisc_stays_unless_taken_over() -> None:
    with network_lab({("a", "b"): 1e6}) as lab:
        foreign = "tc qdisc add dev to-b root handle 1: tbf rate 9mbit burst 20k limit 20k"
        lab["a"].run(*foreign.split())
        before = everything(lab)
        with pytest.raises(Exception, match=r"to-b has a root qdisc .* tbf 1:"):
            lab["a"].manager.apply([])
        assert everything(lab) == before
        type(lab["a"].manager)(lab["a"].network, lab["a"].netlink, takeover=True).apply([])
        assert "qdisc htb ed9e: root" in lab["a"].run("tc", "qdisc", "show", "dev", "to-b")


def test_an_unprivileged_process_only_records() -> None:
    program = (
        "from edgeray.network.manager import open_manager\n"
        "from edgeray.network.types import DeviceNetwork\n"
        "manager = open_manager(DeviceNetwork(device='a', address='10.158.0.1', ports=()))\n"
        "print(manager.enforcement, '-', manager.reason)\n"
    )
    with network_lab({("a", "b"): 1e6}) as lab:
        allowed = lab["a"].run(sys.executable, "-c", program)
        denied = lab["a"].run("setpriv", "--bounding-set", "-net_admin", sys.executable, "-c", program)
    assert allowed.startswith("tc")
    assert denied.strip() == "pacing - no CAP_NET_ADMIN in this network namespace"
