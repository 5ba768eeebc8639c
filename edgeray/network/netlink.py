"""The kernel's traffic control, rules and routes, through netlink. The only user of pyroute2.

pyroute2 reads an int as bytes/s and a string as bits/s: only ints go in. It runs an event loop of its own
and keeps its socket per thread, so all of it happens in one worker thread: any thread, and any async
actor, may use a KernelNetlink.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.tcmsg import plugins as tc_plugins

from edgeray.network import messages
from edgeray.network.state import (
    HANDLE_MAJOR,
    PROTOCOL,
    RULE_PRIORITY,
    Fifo,
    Filter,
    HtbClass,
    Item,
    KernelRefusalError,
    NetworkState,
    Operation,
    Root,
    Route,
    Rule,
    SegmentLimit,
)
from edgeray.network.types import FlowCounters

_ROOT_HANDLE = HANDLE_MAJOR << 16
_ETH_P_IP = 0x0800
_TCP = socket.IPPROTO_TCP
_ONLINK = 4
_MAX_SEGMENTS = 65_535

tc_plugins.setdefault("bfifo", tc_plugins["pfifo"])  # same options; pyroute2 lacks it

_T = TypeVar("_T")


class KernelNetlink:
    """Netlink of this process's network namespace, or of a named one (as made by `ip netns add`).

    Raises KernelRefusalError wherever the kernel says no.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        self._handlers: Mapping[type, Mapping[str, Callable[[Any], None]]] = {
            Root: {"add": self._add_root, "remove": self._remove_root},
            SegmentLimit: {
                "add": self._set_segments,
                "change": self._set_segments,
                "remove": self._restore_segments,
            },
            HtbClass: {"add": self._add_class, "change": self._change_class, "remove": self._remove_class},
            Fifo: {"add": self._add_fifo, "change": self._change_fifo, "remove": self._remove_fifo},
            Filter: {"add": self._add_filter, "remove": self._remove_filter},
            Route: {"add": self._add_route, "change": self._change_route, "remove": self._remove_route},
            Rule: {"add": self._add_rule, "remove": self._remove_rule},
        }
        self._ip: Any = None
        try:
            self._ip = self._run(lambda: IPRoute(netns=namespace, flags=0) if namespace else IPRoute())
        except BaseException:
            self._worker.shutdown()
            raise

    def close(self) -> None:
        if self._ip is not None:
            self._run(self._ip.close)
            self._ip = None
        self._worker.shutdown()

    def __enter__(self) -> KernelNetlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def interfaces(self) -> tuple[str, ...]:
        return self._run(lambda: tuple(sorted(self._names().values())))

    def foreign_qdisc(self, interface: str) -> str | None:
        """The kernel's own defaults have handle 0; what a person or a program made has another."""

        def find() -> str | None:
            for message in self._ip.tc("dump", index=self._index(interface)):
                major = message["handle"] >> 16
                if message["parent"] == messages.TC_ROOT and major not in (0, HANDLE_MAJOR):
                    return f"{message.get_attr('TCA_KIND')} {major:x}:"
            return None

        return self._run(find)

    def remove_foreign_qdisc(self, interface: str) -> None:
        self._run(lambda: self._ip.tc("del", index=self._index(interface), parent=messages.TC_ROOT))

    def read(self) -> NetworkState:
        return self._run(self._read)

    def apply(self, operation: Operation) -> None:
        handler = self._handlers[type(operation.item)][operation.action]
        self._run(lambda: handler(operation.item))

    def class_counters(self, interface: str) -> Mapping[int, FlowCounters]:
        def read() -> dict[int, FlowCounters]:
            return {
                message["handle"] & 0xFFFF: messages.counters(message)
                for message in self._ip.tc("get-class", index=self._index(interface))
                if message["handle"] >> 16 == HANDLE_MAJOR
            }

        return self._run(read)

    def egress(self, address: str) -> tuple[str, str] | None:
        """Interface and next hop by which packets to address leave; None when there is no route."""

        def look_up() -> tuple[str, str] | None:
            routes = self._ip.route("get", dst=address)
            if not routes or routes[0].get_attr("RTA_OIF") is None:
                return None
            names = self._names()
            return names[routes[0].get_attr("RTA_OIF")], routes[0].get_attr("RTA_GATEWAY") or address

        try:
            return self._run(look_up)
        except KernelRefusalError as refusal:
            if refusal.number in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                return None
            raise

    def may_change(self) -> bool:
        """Whether this process has CAP_NET_ADMIN here: asks for the removal of a qdisc that cannot exist.

        The kernel checks the right before anything else (EPERM), and then finds no such interface.
        """
        try:
            self._run(lambda: self._ip.tc("del", index=0x7FFFFFFF, parent=messages.TC_ROOT))
        except KernelRefusalError as refusal:
            return refusal.number not in (errno.EPERM, errno.EACCES)
        return True

    # Below here: in the worker thread only.

    def _run(self, call: Callable[[], _T]) -> _T:
        try:
            return self._worker.submit(call).result()
        except NetlinkError as error:
            raise KernelRefusalError(error.code, str(error.args[-1] if error.args else error)) from error

    def _names(self) -> dict[int, str]:
        return {link["index"]: link.get_attr("IFLA_IFNAME") for link in self._ip.get_links()}

    def _index(self, interface: str) -> int:
        try:
            (link,) = self._ip.link("get", ifname=interface)
        except NetlinkError as error:
            raise KernelRefusalError(error.code, f"no interface {interface}") from error
        return int(link["index"])

    def _read(self) -> NetworkState:
        links = {link["index"]: link for link in self._ip.get_links()}
        names = {index: link.get_attr("IFLA_IFNAME") for index, link in links.items()}
        qdiscs = list(self._ip.tc("dump"))
        items: list[Item] = []
        for message in qdiscs:
            if message["handle"] == _ROOT_HANDLE and message["parent"] == messages.TC_ROOT:
                items += self._read_interface(links[message["index"]], message, qdiscs)
        items += messages.routes(self._ip.route("dump", family=socket.AF_INET), names)
        items += messages.rules(self._ip.rule("dump", family=socket.AF_INET))
        return NetworkState.of(items)

    def _read_interface(self, link: Any, root: Any, qdiscs: Iterable[Any]) -> Iterable[Item]:
        index, name = link["index"], link.get_attr("IFLA_IFNAME")
        glob = root.get_nested("TCA_OPTIONS", "TCA_HTB_INIT")
        yield Root(interface=name, default_minor=glob["defcls"])
        segments = link.get_attr("IFLA_GSO_MAX_SEGS")
        if segments != _most_segments(link):
            yield SegmentLimit(interface=name, segments=segments)
        for message in self._ip.tc("get-class", index=index):
            if message["handle"] >> 16 == HANDLE_MAJOR:
                yield messages.htb_class(name, message)
        for message in qdiscs:
            ours = message["index"] == index and message["parent"] >> 16 == HANDLE_MAJOR
            if ours and message.get_attr("TCA_KIND") == "bfifo":
                limit = message.get_attr("TCA_OPTIONS")["limit"]
                yield Fifo(interface=name, minor=message["parent"] & 0xFFFF, limit_bytes=limit)
        for message in self._ip.tc("get-filter", index=index, parent=_ROOT_HANDLE):
            found = messages.u32_filter(name, message)
            if found is not None:
                yield found

    def _add_root(self, root: Root) -> None:
        self._ip.tc(
            "add",
            "htb",
            self._index(root.interface),
            _ROOT_HANDLE,
            parent=messages.TC_ROOT,
            default=root.default_minor,
        )

    def _remove_root(self, root: Root) -> None:
        self._ip.tc("del", index=self._index(root.interface), parent=messages.TC_ROOT, handle=_ROOT_HANDLE)

    def _set_segments(self, limit: SegmentLimit) -> None:
        self._ip.link("set", index=self._index(limit.interface), gso_max_segs=limit.segments)

    def _restore_segments(self, limit: SegmentLimit) -> None:
        (link,) = self._ip.get_links(self._index(limit.interface))
        self._ip.link("set", index=link["index"], gso_max_segs=_most_segments(link))

    def _add_class(self, htb: HtbClass) -> None:
        self._send_class("add-class", htb)

    def _change_class(self, htb: HtbClass) -> None:
        self._send_class("change-class", htb)

    def _send_class(self, command: str, htb: HtbClass) -> None:
        self._ip.tc(
            command,
            "htb",
            self._index(htb.interface),
            _ROOT_HANDLE | htb.minor,
            parent=_ROOT_HANDLE | htb.parent_minor,
            rate=htb.rate_bytes_per_s,
            ceil=htb.ceil_bytes_per_s,
            burst=_burst_bytes(htb.burst_ns, htb.rate_bytes_per_s),
            cburst=_burst_bytes(htb.ceil_burst_ns, htb.ceil_bytes_per_s),
            quantum=htb.quantum_bytes,
            prio=htb.priority,
        )

    def _remove_class(self, htb: HtbClass) -> None:
        self._ip.tc("del-class", index=self._index(htb.interface), handle=_ROOT_HANDLE | htb.minor, parent=0)

    def _add_fifo(self, fifo: Fifo) -> None:
        self._send_fifo("add", fifo)

    def _change_fifo(self, fifo: Fifo) -> None:
        self._send_fifo("replace", fifo)

    def _send_fifo(self, command: str, fifo: Fifo) -> None:
        self._ip.tc(
            command,
            "bfifo",
            self._index(fifo.interface),
            parent=_ROOT_HANDLE | fifo.minor,
            limit=fifo.limit_bytes,
        )

    def _remove_fifo(self, fifo: Fifo) -> None:
        self._ip.tc("del", index=self._index(fifo.interface), parent=_ROOT_HANDLE | fifo.minor)

    def _add_filter(self, item: Filter) -> None:
        self._ip.tc(
            "add-filter",
            "u32",
            self._index(item.interface),
            1,  # its number in the hash table that comes with the priority: without one, it could be made twice
            parent=_ROOT_HANDLE,
            prio=item.priority,
            protocol=_ETH_P_IP,
            target=_ROOT_HANDLE | item.minor,
            keys=_filter_keys(item),
        )

    def _remove_filter(self, item: Filter) -> None:
        index = self._index(item.interface)
        info = socket.htons(_ETH_P_IP) | item.priority << 16
        self._ip.tc("del-filter", index=index, parent=_ROOT_HANDLE, info=info)

    def _add_route(self, route: Route) -> None:
        self._send_route("add", route)

    def _change_route(self, route: Route) -> None:
        self._send_route("replace", route)

    def _send_route(self, command: str, route: Route) -> None:
        source = {} if route.source is None else {"prefsrc": route.source}
        self._ip.route(
            command,
            dst=f"{route.destination}/32",
            gateway=route.via,
            oif=self._index(route.interface),
            table=route.table,
            proto=PROTOCOL,
            flags=_ONLINK,
            **source,
        )

    def _remove_route(self, route: Route) -> None:
        self._ip.route("del", dst=f"{route.destination}/32", table=route.table, proto=PROTOCOL)

    def _add_rule(self, rule: Rule) -> None:
        self._ip.rule("add", **_rule_arguments(rule))

    def _remove_rule(self, rule: Rule) -> None:
        self._ip.rule("del", **_rule_arguments(rule))


def _most_segments(link: Any) -> int:
    most: int | None = link.get_attr("IFLA_TSO_MAX_SEGS")
    return _MAX_SEGMENTS if most is None else most


def _burst_bytes(burst_ns: int, bytes_per_s: int) -> float:
    """Bytes that pyroute2 turns back into this time; half a microsecond up, because it rounds down to one."""
    return bytes_per_s * (burst_ns + 500) / 1e9


def _address_number(address: str) -> int:
    return int.from_bytes(socket.inet_aton(address), "big")


def _filter_keys(item: Filter) -> list[str]:
    """Matches on the IPv4 header, 20 bytes long: protocol TCP, destination, destination port."""
    keys = [f"{_address_number(item.destination):#010x}/0xffffffff+{messages.DESTINATION_OFFSET}"]
    if item.port is not None:
        keys += ["0x45/0xff+0", f"{_TCP:#04x}/0xff+9", f"{item.port:#06x}/0xffff+{messages.PORT_OFFSET}"]
    return keys


def _rule_arguments(rule: Rule) -> dict[str, Any]:
    return {
        "dst": rule.destination,
        "dst_len": 32,
        "ip_proto": _TCP,
        f"{rule.side}_range": f"{rule.port}:{rule.port}",
        "table": rule.table,
        "priority": RULE_PRIORITY,
        "protocol": PROTOCOL,
    }
