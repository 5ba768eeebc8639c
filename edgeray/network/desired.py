"""From flow rules to the qdiscs, classes, filters, routes and rules that this device must have.

Pure. Numbers of classes, filters and tables are the flow's port, so that a flow keeps its objects however
the others change, and a manager that starts anew finds what an earlier one made.

On every port: HTB root, one class for the link (rate = ceil = capacity), below it one class for control
traffic and one for each flow. The control class has a small guaranteed share, may take the whole link and
goes first. A flow's guarantee is its granted rate less its part of the control share; its ceil is the
granted rate itself, or what its rule lets it borrow. So guarantees never add up to more than the link,
flows reach their full grant while control is idle, and control always gets through. What the others leave
goes to those that may borrow; HTB serves whoever is below its guarantee first.

A flow's acknowledgements go back over the same hops (rules on the source port): by the shortest path they
could crowd a link far thinner than the flow's own route.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from edgeray.errors import NetworkApplyError
from edgeray.network.state import (
    FORWARD_TABLES,
    RETURN_TABLES,
    Fifo,
    Filter,
    HtbClass,
    Item,
    NetworkState,
    Root,
    Route,
    Rule,
    SegmentLimit,
)
from edgeray.network.types import DeviceNetwork, FlowRule, LinkPort
from policies.model.ids import DeviceId

FRAME_BYTES = 1514
"""A full Ethernet frame at MTU 1500, as tc counts it."""

LOWEST_PORT, HIGHEST_PORT = 1024, 64_511
"""TCP ports of flows: below are the minor numbers of links, above the filter priorities of neighbours."""

LOWEST_RATE_BPS = 64.0
"""Below this the kernel's rate tables (ticks of 64 ns in 32 bits) do not hold the time of a frame."""

_TICK_NS = 8_000  # 125 of the kernel's ticks: a whole number of both ticks and microseconds
_BURST_NS = 20_000_000
_LONGEST_BURST_NS = 60_000_000_000
_SHORTEST_QUEUE_FRAMES = 16


def desired_state(network: DeviceNetwork, rules: Sequence[FlowRule]) -> NetworkState:
    """What this device must have so that every rule that crosses it holds.

    Raises NetworkApplyError when a rule asks for what this device cannot do.
    """
    _check_unique(rules)
    ports = {port.peer: port for port in network.ports}
    items: list[Item] = []
    leaving: dict[str, list[FlowRule]] = defaultdict(list)
    for rule in sorted(rules, key=lambda rule: rule.port):
        if network.device not in rule.route:
            continue
        _check_rule(rule)
        hop = rule.route.index(network.device)
        if hop + 1 < len(rule.route):
            port = _port_to(ports, rule, rule.route[hop + 1], network)
            leaving[port.link].append(rule)
            items += _routing(rule, port, network if hop == 0 else None)
        if hop > 0:
            items += _return_routing(rule, _port_to(ports, rule, rule.route[hop - 1], network))
    for interface in sorted({port.interface for port in network.ports}):
        sharing = sorted((p for p in network.ports if p.interface == interface), key=lambda p: p.link)
        items += _shaping(interface, sharing, leaving)
    return NetworkState.of(items)


def egress_port(network: DeviceNetwork, rule: FlowRule) -> LinkPort | None:
    """The port through which a flow leaves this device; None at its end or off its route."""
    if network.device not in rule.route[:-1]:
        return None
    peer = rule.route[rule.route.index(network.device) + 1]
    return next((port for port in network.ports if port.peer == peer), None)


def link_minors(network: DeviceNetwork, port: LinkPort) -> tuple[int, int]:
    """Minor numbers of a port's link class and control class."""
    sharing = sorted(other.link for other in network.ports if other.interface == port.interface)
    place = sharing.index(port.link)
    return 2 * place + 1, 2 * place + 2


def control_bps(capacity_bps: float) -> float:
    """The share of a link that control traffic is guaranteed: 2 %, at least 32 kbit/s, at most 10 %."""
    return min(max(0.02 * capacity_bps, 32_000.0), 0.10 * capacity_bps)


def segment_limit(capacity_bps: float) -> int:
    """Segments that one offloaded packet may hold on a link: about 0.5 ms of it, from 1 to 8.

    HTB lets a packet go whole once a class is out of debt, and a fifo takes it whole or not at all. The
    usual 64 KB are a second of a 0.5 Mbit/s class, and more than its queue: then nothing gets through.
    """
    return max(1, min(_SHORTEST_QUEUE_FRAMES // 2, int(capacity_bps / 8 * 0.0005 / FRAME_BYTES)))


def _check_unique(rules: Sequence[FlowRule]) -> None:
    seen: dict[int | str, FlowRule] = {}
    for rule in rules:
        for name in (rule.port, rule.flow):
            if name in seen:
                raise NetworkApplyError(
                    f"flows {seen[name].flow!r} and {rule.flow!r} both have {name!r}; "
                    "expected a name and a TCP port of their own for each"
                )
            seen[name] = rule


def _check_rule(rule: FlowRule) -> None:
    if not LOWEST_PORT <= rule.port <= HIGHEST_PORT:
        raise NetworkApplyError(
            f"flow {rule.flow!r}: TCP port {rule.port}; expected {LOWEST_PORT} to {HIGHEST_PORT}"
        )
    if not (math.isfinite(rule.rate_bps) and rule.rate_bps >= LOWEST_RATE_BPS):
        raise NetworkApplyError(
            f"flow {rule.flow!r}: granted {rule.rate_bps} bit/s; expected at least {LOWEST_RATE_BPS:g}"
        )
    if rule.ceil_bps is not None and not rule.ceil_bps >= rule.rate_bps:
        raise NetworkApplyError(
            f"flow {rule.flow!r}: may take {rule.ceil_bps} bit/s; expected at least what it is granted, "
            f"{rule.rate_bps:g}"
        )
    if len(set(rule.route)) != len(rule.route) or len(rule.route) < 2:
        raise NetworkApplyError(
            f"flow {rule.flow!r}: route {' - '.join(rule.route)}; expected two or more devices, none twice"
        )


def _port_to(
    ports: Mapping[DeviceId, LinkPort], rule: FlowRule, peer: DeviceId, network: DeviceNetwork
) -> LinkPort:
    if peer not in ports:
        raise NetworkApplyError(
            f"flow {rule.flow!r}: its route goes from {network.device} to {peer}, but {network.device} has "
            f"links only to {', '.join(sorted(ports)) or 'nobody'}"
        )
    return ports[peer]


def _routing(rule: FlowRule, port: LinkPort, sender: DeviceNetwork | None) -> list[Item]:
    table = FORWARD_TABLES + rule.port
    return [
        Route(
            table=table,
            destination=rule.destination_address,
            via=port.peer_address,
            interface=port.interface,
            source=None if sender is None else rule.source_address,
        ),
        Rule(destination=rule.destination_address, side="dport", port=rule.port, table=table),
    ]


def _return_routing(rule: FlowRule, port: LinkPort) -> list[Item]:
    table = RETURN_TABLES + rule.port
    return [
        Route(
            table=table,
            destination=rule.source_address,
            via=port.peer_address,
            interface=port.interface,
            source=None,
        ),
        Rule(destination=rule.source_address, side="sport", port=rule.port, table=table),
    ]


def _shaping(
    interface: str, sharing: Sequence[LinkPort], leaving: Mapping[str, Sequence[FlowRule]]
) -> list[Item]:
    """Qdisc, classes and filters of one interface.

    With one link on it, all that no filter matches is that link's control traffic. With several, each
    neighbour's traffic is told by its address, and what goes elsewhere (a person's ssh, the Internet)
    is left unshaped.
    """
    alone = len(sharing) == 1
    items: list[Item] = [
        Root(interface=interface, default_minor=2 if alone else 0),
        SegmentLimit(interface=interface, segments=segment_limit(min(p.capacity_bps for p in sharing))),
    ]
    for place, port in enumerate(sharing):
        link_minor, control_minor = 2 * place + 1, 2 * place + 2
        capacity, control = port.capacity_bps, control_bps(port.capacity_bps)
        items.append(_htb_class(port, link_minor, 0, capacity, capacity, 0))
        items += _leaf(port, control_minor, link_minor, control, capacity, 0)
        if not alone:
            items.append(
                Filter(
                    interface=interface,
                    priority=HIGHEST_PORT + 1 + place,
                    destination=port.peer_address,
                    port=None,
                    minor=control_minor,
                )
            )
        flows = leaving.get(port.link, ())
        granted = max(capacity, sum(rule.rate_bps for rule in flows))
        for rule in flows:
            guaranteed = rule.rate_bps * (capacity - control) / granted
            borrows = rule.ceil_bps is not None
            ceil = min(rule.rate_bps if rule.ceil_bps is None else rule.ceil_bps, capacity)
            items += _leaf(port, rule.port, link_minor, guaranteed, ceil, 1, borrows=borrows)
            items.append(
                Filter(
                    interface=interface,
                    priority=rule.port,
                    destination=rule.destination_address,
                    port=rule.port,
                    minor=rule.port,
                )
            )
    return items


def _leaf(
    port: LinkPort,
    minor: int,
    parent: int,
    rate_bps: float,
    ceil_bps: float,
    priority: int,
    *,
    borrows: bool = False,
) -> list[Item]:
    """A class and its queue: 0.1 s at its ceil but at most 0.5 s at its guarantee, and at least 16 frames.

    The bound by the guarantee is for control: on a busy link, a heartbeat must not wait long behind bulk. A flow
    that borrows has 25 ms at its ceil: 0.5 s at a small guarantee is too little for TCP to fill what the others
    leave, and where they leave nothing it is this flow's own packets alone that wait longer.
    """
    queue = min(int(ceil_bps / 8 * 0.1), int(rate_bps / 8 * 0.5))
    if borrows:
        queue = int(ceil_bps / 8 * 0.025)
    limit = max(_SHORTEST_QUEUE_FRAMES * FRAME_BYTES, queue)
    return [
        _htb_class(port, minor, parent, rate_bps, ceil_bps, priority),
        Fifo(interface=port.interface, minor=minor, limit_bytes=limit),
    ]


def _htb_class(
    port: LinkPort, minor: int, parent: int, rate_bps: float, ceil_bps: float, priority: int
) -> HtbClass:
    """quantum: what a class may borrow in one turn, in proportion to its rate but never under one frame."""
    rate = max(int(LOWEST_RATE_BPS / 8), int(rate_bps / 8))
    ceil = max(rate, round(ceil_bps / 8))
    return HtbClass(
        interface=port.interface,
        minor=minor,
        parent_minor=parent,
        rate_bytes_per_s=rate,
        ceil_bytes_per_s=ceil,
        burst_ns=_burst_ns(rate),
        ceil_burst_ns=_burst_ns(ceil),
        quantum_bytes=max(FRAME_BYTES, min(60_000, rate // 1000)),
        priority=priority,
    )


def _burst_ns(bytes_per_s: int) -> int:
    """20 ms, which a late timer on a busy machine may cost, and at least two frames.

    Over 10 s that is 0.2 % (0.5 % at 0.5 Mbit/s, where two frames take 48 ms).
    """
    frames_ns = 2 * FRAME_BYTES * 1_000_000_000 // bytes_per_s
    longest = min(max(_BURST_NS, frames_ns), _LONGEST_BURST_NS)
    return -(-longest // _TICK_NS) * _TICK_NS
