"""How transfers of one direction share the links under a virtual clock; at most one transfer a device at a time."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Protocol

from policies.flows.graph import Floats
from policies.flows.sharing import rise
from policies.partition.steps import Steps

NEVER = float("inf")


class Line(Protocol):
    """next_s: when the next transfer ends, NEVER while there is none."""

    next_s: float

    def begin(self, now_s: float, device: int, bits: float) -> None: ...

    def take(self) -> int:
        """The device whose transfer ends at next_s; its transfer is over then."""
        ...


def make_line(steps: Steps, rates_bps: Floats, *, work_conserving: bool) -> Line:
    """One direction: each device at its rate, or at more while others are silent (then rates are guarantees).

    Guarantees share as HTB's classes do, and TCP at its best: what is free is borrowed in proportion to them, as far as
    the links hold it (weighted max-min).
    """
    rates = rates_bps.tolist()
    if not work_conserving:
        return CappedLine(rates)
    links = steps.binding()
    if len(links) == 1:
        return SharedLine(rates, links[0][1])
    shared = [link for link in links if len(link[0]) > 1]
    if len(shared) == 1:
        return StarLine(rates, *shared[0], steps.widths_bps().tolist())
    return LinkedLine(rates, links)


class CappedLine:
    """Each device has a rate of its own."""

    def __init__(self, rates_bps: Sequence[float]) -> None:
        self._rates_bps = rates_bps
        self._ends: list[tuple[float, int]] = []
        self.next_s = NEVER

    def begin(self, now_s: float, device: int, bits: float) -> None:
        heappush(self._ends, (now_s + bits / self._rates_bps[device], device))
        self.next_s = self._ends[0][0]

    def take(self) -> int:
        _, device = heappop(self._ends)
        self.next_s = self._ends[0][0] if self._ends else NEVER
        return device


class SharedLine:
    """One link that all cross: who sends shares all of it in proportion to the weights. O(log devices) a transfer.

    Virtual time, the bits that a weight of 1 was served, makes the order of ends independent of who comes later.
    Source: Parekh and Gallager 1993, A generalized processor sharing approach to flow control, sec. III.
    """

    def __init__(self, weights: Sequence[float], capacity_bps: float) -> None:
        self._weights = weights
        self._capacity_bps = capacity_bps
        self._ends: list[tuple[float, int]] = []
        self._sending = 0.0
        self._served = 0.0
        self._at_s = 0.0
        self.next_s = NEVER

    def begin(self, now_s: float, device: int, bits: float) -> None:
        if self._ends:
            self._served += (now_s - self._at_s) * self._capacity_bps / self._sending
        self._at_s = now_s
        self._sending += self._weights[device]
        heappush(self._ends, (self._served + bits / self._weights[device], device))
        self._look_ahead()

    def take(self) -> int:
        self._served, device = heappop(self._ends)
        self._at_s = self.next_s
        self._sending -= self._weights[device]
        if not self._ends:
            self._sending = self._served = 0.0  # so that rounding does not add up
        self._look_ahead()
        return device

    def _look_ahead(self) -> None:
        self.next_s = NEVER
        if self._ends:
            ahead = max(0.0, self._ends[0][0] - self._served)
            self.next_s = self._at_s + ahead * self._sending / self._capacity_bps


class LinkedLine:
    """Several links: weighted max-min among those who send, anew whenever one begins or ends."""

    def __init__(self, weights: Sequence[float], links: Sequence[tuple[tuple[int, ...], float]]) -> None:
        self._weights = weights
        self._links = links
        self._left: dict[int, float] = {}
        self._rates_bps: dict[int, float] = {}
        self._known: dict[tuple[int, ...], dict[int, float]] = {}
        self._at_s = 0.0
        self._next = -1
        self.next_s = NEVER

    def begin(self, now_s: float, device: int, bits: float) -> None:
        self._go_to(now_s)
        self._left[device] = bits
        self._share()

    def take(self) -> int:
        self._go_to(self.next_s)
        device = self._next
        del self._left[device]
        self._share()
        return device

    def _go_to(self, now_s: float) -> None:
        passed_s, self._at_s = now_s - self._at_s, now_s
        for device in self._left:
            self._left[device] = max(0.0, self._left[device] - passed_s * self._rates_bps[device])

    def _share(self) -> None:
        sending = tuple(sorted(self._left))
        if sending not in self._known:
            self._known[sending] = self._rates(sending)
        self._rates_bps = self._known[sending]
        self.next_s = NEVER
        if sending:
            ahead_s, self._next = min(
                (self._left[device] / self._rates_bps[device], device) for device in sending
            )
            self.next_s = self._at_s + ahead_s

    def _rates(self, sending: tuple[int, ...]) -> dict[int, float]:
        place = {device: number for number, device in enumerate(sending)}
        groups = [
            [(place[device], self._weights[device]) for device in on if device in place]
            for on, _ in self._links
        ]
        levels = rise(len(sending), groups, [bps for _, bps in self._links])
        return {device: levels[place[device]] * self._weights[device] for device in sending}


class StarLine(LinkedLine):
    """One link that several share, behind links of their own: the same rates as LinkedLine's, in less time."""

    def __init__(
        self, weights: Sequence[float], sharing: Sequence[int], shared_bps: float, widths_bps: Sequence[float]
    ) -> None:
        super().__init__(weights, ())
        self._shared_bps = shared_bps
        self._widths_bps = widths_bps
        self._sharing = sorted(sharing, key=lambda device: (widths_bps[device] / weights[device], device))

    def _rates(self, sending: tuple[int, ...]) -> dict[int, float]:
        weights, widths, room = self._weights, self._widths_bps, self._shared_bps
        rates = {device: widths[device] for device in sending}
        rising = [device for device in self._sharing if device in rates]
        weight = sum(weights[device] for device in rising)
        for place, device in enumerate(rising):  # who is full first, first
            if widths[device] * weight > room * weights[device]:
                rates |= {each: room / weight * weights[each] for each in rising[place:]}
                break
            room -= widths[device]
            weight -= weights[device]
        return rates
