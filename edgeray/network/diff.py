"""From what the kernel has to what it should have: the steps, in an order that works."""

from __future__ import annotations

from edgeray.network.state import Fifo, Filter, HtbClass, Item, Key, NetworkState, Operation, Root, Rule


def diff(desired: NetworkState, actual: NetworkState) -> list[Operation]:
    """The operations that turn actual into desired; none when they are equal.

    Make before break: everything new is in place before anything old goes, so that a flow that moves to
    another port finds its class there. Only what cannot be changed in place is taken away first.
    """
    wanted, present = desired.by_key(), actual.by_key()
    rebuilt = _rebuilt(wanted, actual)
    gone = {key for key in present if key not in wanted} | rebuilt
    steps = _removals(actual, rebuilt, gone)
    for item in desired.items:
        if item.key not in present or item.key in rebuilt:
            steps.append(Operation(action="add", item=item))
        elif item != present[item.key]:
            steps.append(Operation(action="change", item=item))
    return steps + _removals(actual, gone - rebuilt, gone)


def merge(base: NetworkState, over: NetworkState) -> NetworkState:
    """All of both; where both have an item, that of over."""
    return NetworkState.of({**base.by_key(), **over.by_key()})


def _rebuilt(wanted: dict[Key, Item], actual: NetworkState) -> set[Key]:
    """What must go before it can come back, with all that hangs on it."""
    rebuilt: set[Key] = set()
    for item in actual.items:
        new = wanted.get(item.key)
        if any(key in rebuilt for key in item.needs) or (new is not None and not _changes(item, new)):
            rebuilt.add(item.key)
    return rebuilt


def _changes(old: Item, new: Item) -> bool:
    """Whether the kernel can give old the settings of new in place."""
    if isinstance(old, HtbClass) and isinstance(new, HtbClass):
        return old.parent_minor == new.parent_minor
    if isinstance(old, (Root, Filter, Rule)):
        return old == new
    return True


def _removals(actual: NetworkState, keys: set[Key], gone: set[Key]) -> list[Operation]:
    """Removals, last made first; what the kernel drops by itself with its owner is left out."""
    return [
        Operation(action="remove", item=item)
        for item in reversed(actual.items)
        if item.key in keys and not _dies_with_owner(item, gone)
    ]


def _dies_with_owner(item: Item, gone: set[Key]) -> bool:
    if isinstance(item, (HtbClass, Fifo, Filter)) and (0, item.interface, 0) in gone:
        return True
    return isinstance(item, Fifo) and any(key in gone for key in item.needs)
