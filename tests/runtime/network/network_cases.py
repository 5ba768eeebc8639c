"""Networks and flow rules for the tests of the network manager."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from edgeray.network.types import DeviceNetwork, FlowRule, LinkPort

ADDRESSES = {name: f"10.158.0.{number}" for number, name in enumerate("abcde", start=1)}


def port(peer: str, capacity_bps: float = 10e6, interface: str | None = None, device: str = "a") -> LinkPort:
    return LinkPort(
        link="-".join(sorted((device, peer))),
        interface=interface or f"to-{peer}",
        peer=peer,
        peer_address=ADDRESSES[peer],
        capacity_bps=capacity_bps,
    )


def network(*ports: LinkPort, device: str = "a") -> DeviceNetwork:
    return DeviceNetwork(device=device, address=ADDRESSES[device], ports=ports)


def rule(
    number: int,
    route: Sequence[str],
    rate_bps: float,
    flow: str | None = None,
    ceil_bps: float | None = None,
) -> FlowRule:
    return FlowRule(
        flow=flow or f"job/{number}",
        port=number,
        source_address=ADDRESSES[route[0]],
        destination_address=ADDRESSES[route[-1]],
        destination=route[-1],
        route=tuple(route),
        rate_bps=rate_bps,
        ceil_bps=ceil_bps,
    )


OWN_PORTS = network(port("b"), port("c", 1e6), port("d", 100e6))
"""A device with a link of its own to each neighbour, as on the testbed."""

ONE_RADIO = network(port("b", 20e6, "wlan0"), port("c", 20e6, "wlan0"), port("d", 5e6, "wlan0"))
"""A device that reaches all its neighbours over one interface."""

NETWORKS = (OWN_PORTS, ONE_RADIO)

ROUTES = (
    ("a", "b"),
    ("a", "c"),
    ("a", "d"),
    ("b", "a"),
    ("a", "b", "e"),
    ("a", "c", "e"),
    ("b", "a", "c"),
    ("c", "a", "d", "e"),
    ("d", "e"),
)

RATES_BPS = st.sampled_from((80.0, 100e3, 333_333.0, 0.5e6, 1e6, 7e6, 40e6))


@st.composite
def rule_sets(draw: st.DrawFn) -> tuple[FlowRule, ...]:
    """Up to six flows, with ports from a small pool so that sets overlap and ports are used again; some may borrow."""
    numbers = draw(st.lists(st.sampled_from((1024, 5000, 5001, 5002, 40000, 64511)), unique=True, max_size=6))
    rates = [(draw(RATES_BPS), draw(st.sampled_from((None, 1.0, 8.0, 1e4)))) for _ in numbers]
    return tuple(
        rule(number, draw(st.sampled_from(ROUTES)), rate, ceil_bps=more and more * rate)
        for number, (rate, more) in zip(numbers, rates, strict=True)
    )
