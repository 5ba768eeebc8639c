"""The helpers that are there, and a policy that chooses among them; what was learned of the others is kept by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from policies.bandit.model import Dispatcher, Learning, Offer
from policies.model import DeviceId

Rows = dict[tuple[str, str], Any]
"""What a policy's state has of one helper: its rows of the lists there, by where they are."""


class Roster:
    """Names are in the order of the job's description. make: the policy, for so many helpers.

    All are there at first. A policy forgets who leaves (`resize`), so his rows of its state are taken out before, and
    put back when he comes again: what was learned meanwhile of others stays, and what was learned of him is as old as
    his last bit.
    """

    def __init__(self, names: Sequence[DeviceId], make: Callable[[int], Dispatcher]) -> None:
        self.all = tuple(names)
        self.names = self.all
        self.policy = make(len(self.all))
        self._kept: dict[DeviceId, Rows] = {}
        self._fresh = _rows(self.policy.state(), self.all) if isinstance(self.policy, Learning) else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """What another policy of this kind has learned of all helpers. Raises ValueError for what is no such state, and
        then forgets nothing."""
        if not isinstance(self.policy, Learning):
            return
        away = [name for name in self.all if name not in self.names]
        for name in away:
            self.enter(name)
        try:
            self.policy.restore(state)
        finally:
            for name in away:
                self.leave(name)

    def leave(self, name: DeviceId) -> None:
        if name not in self.names:
            return
        if isinstance(self.policy, Learning):
            self._kept[name] = _rows(self.policy.state(), self.names)[name]
        self._become(tuple(other for other in self.names if other != name))

    def enter(self, name: DeviceId) -> None:
        if name in self.names:
            return
        self._become(tuple(other for other in self.all if other == name or other in self.names))
        rows = self._kept.pop(name, None)
        if rows is not None and isinstance(self.policy, Learning):
            state = self.policy.state()
            found = _rows(state, self.names)
            self.policy.restore(_with_rows(state, [rows if n == name else found[n] for n in self.names]))

    def state(self) -> dict[str, Any] | None:
        """What was learned of all helpers, also of those who are not there; None where nothing is."""
        if not isinstance(self.policy, Learning):
            return None
        state = self.policy.state()
        found = {**self._fresh, **self._kept, **_rows(state, self.names)}
        return _with_rows(state, [found[name] for name in self.all])

    def feedback(self, name: DeviceId, offer: Offer, names: Sequence[DeviceId], happy: bool) -> None:
        """A bit of one who is there. names: of the offer's rows, who may be others than those now."""
        if tuple(names) != self.names:
            row = names.index(name)
            offer = _of_rows(offer, [names.index(n) if n in names else row for n in self.names])
        self.policy.feedback(self.names.index(name), offer, happy)

    def _become(self, names: tuple[DeviceId, ...]) -> None:
        self.policy.resize([self.names.index(name) if name in self.names else None for name in names])
        self.names = names


def _rows(state: Mapping[str, Any], names: Sequence[DeviceId]) -> dict[DeviceId, Rows]:
    """By name. Lists in a policy's state have a row a helper; all else in it is common to all of them."""
    found: dict[DeviceId, Rows] = {name: {} for name in names}
    for part, values in state.items():
        if not isinstance(values, Mapping):
            continue
        for key, value in values.items():
            if isinstance(value, list):
                for name, row in zip(names, value, strict=True):
                    found[name][part, key] = row
    return found


def _with_rows(state: Mapping[str, Any], rows: Sequence[Rows]) -> dict[str, Any]:
    """The state with these rows in the place of its own."""
    return {
        part: {
            key: [row[part, key] for row in rows] if isinstance(value, list) else value
            for key, value in values.items()
        }
        if isinstance(values, Mapping)
        else values
        for part, values in state.items()
    }


def _of_rows(offer: Offer, rows: Sequence[int]) -> Offer:
    taken = list(rows)
    return replace(
        offer,
        features=offer.features[taken],
        queue=offer.queue[taken],
        predicted_s=offer.predicted_s[taken],
        transfer_s=offer.transfer_s[taken],
    )
