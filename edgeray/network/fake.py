"""A kernel in memory: what KernelNetlink does, for tests without root. One contract suite runs on both."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeray.network.state import (
    Filter,
    HtbClass,
    Item,
    KernelRefusalError,
    Key,
    NetworkState,
    Operation,
    Root,
    Rule,
)
from edgeray.network.types import NO_TRAFFIC, FlowCounters


class FakeNetlink:
    """Keeps items as the kernel does, and refuses what the kernel refuses.

    fail_at: how many more operations succeed before one is refused (None: all). log: what was applied.
    """

    def __init__(self, interfaces: Sequence[str]) -> None:
        self._interfaces = tuple(sorted(interfaces))
        self._items: dict[Key, Item] = {}
        self._counters: dict[tuple[str, int], FlowCounters] = {}
        self.foreign: dict[str, str] = {}
        self.fail_at: int | None = None
        self.log: list[Operation] = []

    def close(self) -> None:
        pass

    def interfaces(self) -> tuple[str, ...]:
        return self._interfaces

    def foreign_qdisc(self, interface: str) -> str | None:
        self._check_interface(interface)
        return self.foreign.get(interface)

    def remove_foreign_qdisc(self, interface: str) -> None:
        if interface not in self.foreign:
            raise KernelRefusalError(errno.ENOENT, "no such qdisc")
        del self.foreign[interface]

    def read(self) -> NetworkState:
        return NetworkState.of(self._items)

    def class_counters(self, interface: str) -> Mapping[int, FlowCounters]:
        self._check_interface(interface)
        return {minor: counters for (name, minor), counters in self._counters.items() if name == interface}

    def send(self, interface: str, minor: int, size_bytes: int) -> None:
        """Let a packet leave through a class, so that it and the classes above it count it."""
        counters = self._counters[interface, minor]
        self._counters[interface, minor] = replace(
            counters, bytes=counters.bytes + size_bytes, packets=counters.packets + 1
        )
        parent = next(
            item.parent_minor
            for item in self._items.values()
            if isinstance(item, HtbClass) and (item.interface, item.minor) == (interface, minor)
        )
        if parent:
            self.send(interface, parent, size_bytes)

    def apply(self, operation: Operation) -> None:
        if self.fail_at is not None:
            if self.fail_at == 0:
                self.fail_at = None
                raise KernelRefusalError(errno.ENOBUFS, "refused on request")
            self.fail_at -= 1
        item = operation.item
        if not isinstance(item, Rule):
            self._check_interface(item.interface)
        if operation.action == "add":
            self._add(item)
        elif operation.action == "change":
            self._change(item)
        else:
            self._remove(item)
        self.log.append(operation)

    def _add(self, item: Item) -> None:
        if item.key in self._items:
            raise KernelRefusalError(errno.EEXIST, "it is there already")
        if isinstance(item, Root) and item.interface in self.foreign:
            raise KernelRefusalError(errno.EEXIST, "another root qdisc is there")
        for key in item.needs:
            if key not in self._items:
                raise KernelRefusalError(errno.ENOENT, "what it belongs to is not there")
        self._items[item.key] = item
        if isinstance(item, HtbClass):
            self._counters[item.interface, item.minor] = NO_TRAFFIC

    def _change(self, item: Item) -> None:
        old = self._items.get(item.key)
        if old is None:
            raise KernelRefusalError(errno.ENOENT, "it is not there")
        if isinstance(item, (Root, Filter, Rule)):
            raise KernelRefusalError(errno.EOPNOTSUPP, "it cannot be changed in place")
        if isinstance(old, HtbClass) and isinstance(item, HtbClass):
            item = replace(item, parent_minor=old.parent_minor)  # the kernel takes no notice of another one
        self._items[item.key] = item

    def _remove(self, item: Item) -> None:
        if item.key not in self._items:
            raise KernelRefusalError(errno.ENOENT, "it is not there")
        users = [other for other in self._items.values() if item.key in other.needs]
        if isinstance(item, HtbClass) and any(isinstance(user, (HtbClass, Filter)) for user in users):
            raise KernelRefusalError(errno.EBUSY, "classes or filters use it")
        self._drop(item)

    def _drop(self, item: Item) -> None:
        """Take item away with what the kernel takes away."""
        for other in list(self._items.values()):
            if item.key in other.needs and other.key in self._items:
                self._drop(other)
        del self._items[item.key]
        if isinstance(item, HtbClass):
            del self._counters[item.interface, item.minor]

    def _check_interface(self, interface: str) -> None:
        if interface not in self._interfaces:
            raise KernelRefusalError(errno.ENODEV, f"no interface {interface}")
