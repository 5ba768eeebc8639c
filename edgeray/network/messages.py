"""Netlink messages about our classes, filters, routes and rules, as items of our network state.

The messages are pyroute2's; a message that is not about something of ours reads as nothing.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from edgeray.network.state import FORWARD_TABLES, PROTOCOL, RETURN_TABLES, Filter, HtbClass, Route, Rule
from edgeray.network.types import FlowCounters

TC_ROOT = 0xFFFFFFFF
TABLES = range(FORWARD_TABLES, RETURN_TABLES + 65_536)
TICK_NS = 64
DESTINATION_OFFSET, PORT_OFFSET = 16, 22
"""Where an IPv4 packet holds its destination and, after a header of 20 bytes, its TCP destination port."""


def htb_class(interface: str, message: Any) -> HtbClass:
    options = message.get_attr("TCA_OPTIONS")
    numbers = options.get_attr("TCA_HTB_PARMS")
    parent = message["parent"]
    return HtbClass(
        interface=interface,
        minor=message["handle"] & 0xFFFF,
        parent_minor=0 if parent == TC_ROOT else parent & 0xFFFF,
        rate_bytes_per_s=options.get_attr("TCA_HTB_RATE64") or numbers["rate"],
        ceil_bytes_per_s=options.get_attr("TCA_HTB_CEIL64") or numbers["ceil"],
        burst_ns=numbers["buffer"] * TICK_NS,
        ceil_burst_ns=numbers["cbuffer"] * TICK_NS,
        quantum_bytes=numbers["quantum"],
        priority=numbers["prio"],
    )


def u32_filter(interface: str, message: Any) -> Filter | None:
    """A filter of ours; None for the hash table that comes with it. What is not ours reads as nothing."""
    options = message.get_attr("TCA_OPTIONS")
    selector = None if options is None else options.get_attr("TCA_U32_SEL")
    if selector is None:
        return None
    matches = _keys(selector)
    port = matches.get(PORT_OFFSET)
    return Filter(
        interface=interface,
        priority=message["info"] >> 16,
        destination=socket.inet_ntoa(matches.get(DESTINATION_OFFSET, bytes(4))),
        port=None if port is None else int.from_bytes(port[:2], "big"),
        minor=options.get_attr("TCA_U32_CLASSID") & 0xFFFF,
    )


def _keys(selector: Any) -> dict[int, bytes]:
    """The value of each match, by its offset in the packet.

    From the raw bytes (struct tc_u32_key: mask, value, offset, mask of the offset): pyroute2 0.9 decodes
    keys 4 bytes too early.
    """
    first = selector.offset + 20
    raw = bytes(selector.data[first : first + 16 * selector["nkeys"]])
    return {offset: value for _mask, value, offset, _ in struct.iter_unpack("=4s4sii", raw)}


def routes(messages: Iterable[Any], names: Mapping[int, str]) -> Iterable[Route]:
    for message in messages:
        table = message.get_attr("RTA_TABLE")
        if message["proto"] == PROTOCOL and table in TABLES:
            yield Route(
                table=table,
                destination=message.get_attr("RTA_DST"),
                via=message.get_attr("RTA_GATEWAY"),
                interface=names[message.get_attr("RTA_OIF")],
                source=message.get_attr("RTA_PREFSRC"),
            )


def rules(messages: Iterable[Any]) -> Iterable[Rule]:
    for message in messages:
        table = message.get_attr("FRA_TABLE")
        to_port = message.get_attr("FRA_DPORT_RANGE")
        ports = to_port or message.get_attr("FRA_SPORT_RANGE")
        if message.get_attr("FRA_PROTOCOL") != PROTOCOL or table not in TABLES or ports is None:
            continue
        yield Rule(
            destination=message.get_attr("FRA_DST"),
            side="dport" if to_port else "sport",
            port=int(ports.partition(":")[0]),
            table=table,
        )


def counters(message: Any) -> FlowCounters:
    basic = message.get_nested("TCA_STATS2", "TCA_STATS_BASIC")
    queue = message.get_nested("TCA_STATS2", "TCA_STATS_QUEUE")
    return FlowCounters(
        bytes=basic["bytes"],
        packets=basic["packets"],
        dropped=queue["drops"],
        backlog_bytes=queue["backlog"],
    )
