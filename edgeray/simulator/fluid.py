"""Flows as fluids: each sends one item at a time at a rate, which changes as others come and go."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from edgeray.simulator.capacities import Capacities
from edgeray.simulator.clock import LAST, WORLD, Clock
from edgeray.simulator.outcome import Sharing
from policies.flows.graph import Route
from policies.flows.sharing import max_min
from policies.model import DeviceId, LinkId, Network, link_id


class Arriving(Protocol):
    def arrived(self, _: Any = None) -> None:
        """The item that was sent is there."""
        ...


class _Link:
    """over: more was granted on it than it carries (or flows share links as they come): rates depend on who sends."""

    __slots__ = ("capacity_bps", "delay_s", "id", "over", "part", "pipes")

    def __init__(self, link: LinkId, capacity_bps: float, delay_s: float) -> None:
        self.id = link
        self.capacity_bps = capacity_bps
        self.delay_s = delay_s
        self.over = False
        self.part = 1.0
        self.pipes: dict[Pipe, None] = {}


class Pipe:
    """One flow's way through the network. taking_turns: of a one-shot job, whose transfers have links to themselves."""

    __slots__ = (
        "carried_bits", "contended", "delay_s", "due_s", "granted_bps", "item_bits", "left_bits", "links",
        "rate_bps", "sending", "since_s", "taking_turns", "whose",
    )  # fmt: skip

    def __init__(self, item_bits: float, whose: Arriving, *, taking_turns: bool) -> None:
        self.item_bits = item_bits
        self.whose = whose
        self.taking_turns = taking_turns
        self.links: tuple[_Link, ...] = ()
        self.granted_bps = self.rate_bps = self.delay_s = 0.0
        self.left_bits = self.since_s = self.carried_bits = 0.0
        self.due_s = math.inf
        self.sending = self.contended = False


class Fluid:
    """All links and flows. sharing "granted": a flow has its rate; where a link carries less than what was granted
    to those who send over it, all of them have the same part of theirs. "max-min": progressive filling."""

    def __init__(self, network: Network, clock: Clock, sharing: Sharing) -> None:
        self._clock = clock
        self._max_min = sharing == "max-min"
        self._capacities = Capacities(network)
        self._links = {
            link: _Link(link, spec.capacity_bps, spec.delay_s) for link, spec in network.links.items()
        }
        self._carried_bits = dict.fromkeys(network.links, 0.0)
        self._changed: dict[_Link, None] = {}
        self._sharing_soon = False

    # Flows

    def lay(self, pipe: Pipe, route: Sequence[DeviceId], granted_bps: float) -> None:
        """Give a pipe another route and rate, also while it sends: what is left takes the new ones."""
        links = tuple(self._links[link_id(a, b)] for a, b in pairwise(route))
        if links == pipe.links and granted_bps == pipe.granted_bps:
            return
        self._progress(pipe)
        touched = dict.fromkeys((*pipe.links, *links))
        if links != pipe.links:
            self._count(pipe)
            for link in pipe.links:
                del link.pipes[pipe]
            pipe.links = links
            pipe.delay_s = sum(link.delay_s for link in links)
            for link in links:
                link.pipes[pipe] = None
        pipe.granted_bps = granted_bps
        self._weigh(touched)
        self._contend(pipe)

    def close(self, pipe: Pipe) -> None:
        """The flow ends, its item under way with it."""
        self._count(pipe)
        pipe.sending = False
        pipe.due_s = math.inf
        for link in pipe.links:
            del link.pipes[pipe]
        self._weigh(pipe.links)
        pipe.links = ()

    def send(self, pipe: Pipe) -> None:
        """Send the next item; its owner is told when it is there."""
        clock = self._clock
        now_s = clock.now_s
        if pipe.item_bits <= 0:
            clock.at(now_s + pipe.delay_s, WORLD, pipe.whose.arrived)
            return
        pipe.left_bits = pipe.item_bits
        pipe.since_s = now_s
        pipe.sending = True
        if pipe.contended:
            pipe.rate_bps = 0.0
            self._share_soon(pipe.links)
        elif pipe.rate_bps > 0:
            pipe.due_s = due_s = now_s + pipe.item_bits / pipe.rate_bps
            clock.at(due_s, WORLD, self._sent, pipe)

    def _sent(self, pipe: Pipe) -> None:
        if pipe.due_s != self._clock.now_s:
            return  # a call from before the rate changed
        pipe.due_s = math.inf
        pipe.sending = False
        pipe.carried_bits += pipe.item_bits
        if pipe.contended:
            self._share_soon(pipe.links)
        if pipe.delay_s > 0:
            self._clock.at(self._clock.now_s + pipe.delay_s, WORLD, pipe.whose.arrived)
        else:
            pipe.whose.arrived()

    def _progress(self, pipe: Pipe) -> None:
        if pipe.sending:
            now_s = self._clock.now_s
            pipe.left_bits = max(pipe.left_bits - pipe.rate_bps * (now_s - pipe.since_s), 0.0)
            pipe.since_s = now_s

    def _set_rate(self, pipe: Pipe, rate_bps: float) -> None:
        if rate_bps == pipe.rate_bps and (pipe.due_s < math.inf or not pipe.sending):
            return
        self._progress(pipe)
        pipe.rate_bps = rate_bps
        if pipe.sending:
            pipe.due_s = self._clock.now_s + pipe.left_bits / rate_bps if rate_bps > 0 else math.inf
            self._clock.at(pipe.due_s, WORLD, self._sent, pipe)

    def _count(self, pipe: Pipe) -> None:
        """Credit the links of its route with what went over them."""
        for link in pipe.links:
            self._carried_bits[link.id] += pipe.carried_bits
        pipe.carried_bits = 0.0

    # Links

    def change(self, link: LinkId, capacity_bps: float) -> None:
        self._changed_capacity(self._capacities.change(link, capacity_bps, self._clock.now_s))

    def device_fails(self, device: DeviceId) -> None:
        self._changed_capacity(self._capacities.device_fails(device, self._clock.now_s))

    def device_returns(self, device: DeviceId) -> None:
        self._changed_capacity(self._capacities.device_returns(device, self._clock.now_s))

    def loads(self) -> dict[LinkId, float]:
        """What was carried over each link, as a part of what it could have carried; items under way not counted."""
        for link in self._links.values():
            for pipe in link.pipes:
                self._carried_bits[link.id] += pipe.carried_bits
        for link in self._links.values():
            for pipe in link.pipes:
                pipe.carried_bits = 0.0
        return self._capacities.loads(self._carried_bits, self._clock.now_s)

    def _changed_capacity(self, links: Iterable[LinkId]) -> None:
        for link in (self._links[name] for name in links):
            link.capacity_bps = self._capacities.bps(link.id)
            self._weigh([link])
            if link.over:
                self._share_soon([link])

    def _weigh(self, links: Iterable[_Link]) -> None:
        """Whether more was granted on these links than they carry, and what that means for who uses them."""
        for link in links:
            over = self._max_min or _granted(link) > link.capacity_bps * (1 + 1e-9)
            if over != link.over:
                link.over, link.part = over, 1.0
                for pipe in link.pipes:
                    self._contend(pipe)

    def _contend(self, pipe: Pipe) -> None:
        pipe.contended = any(link.over for link in pipe.links)
        if not pipe.contended:
            self._set_rate(pipe, pipe.granted_bps)
        elif pipe.sending:
            self._share_soon(pipe.links)

    # Contention

    def _share_soon(self, links: Iterable[_Link]) -> None:
        """Once everybody who starts or ends sending at this moment has."""
        for link in links:
            if link.over:
                self._changed[link] = None
        if not self._sharing_soon:
            self._sharing_soon = True
            self._clock.at(self._clock.now_s, LAST, self._share)

    def _share(self, _: Any) -> None:
        self._sharing_soon = False
        changed = list(self._changed)
        self._changed.clear()
        if self._max_min:
            self._fill(changed)
        else:
            self._scale(changed)

    def _scale(self, links: Sequence[_Link]) -> None:
        concerned: dict[Pipe, None] = {}
        for link in links:
            sending = [pipe for pipe in link.pipes if pipe.sending]
            granted_bps = sum(pipe.granted_bps for pipe in sending)
            link.part = min(1.0, link.capacity_bps / granted_bps) if granted_bps > 0 else 1.0
            concerned.update(dict.fromkeys(sending))
        for pipe in concerned:
            self._set_rate(pipe, pipe.granted_bps * min(link.part for link in pipe.links))

    def _fill(self, links: Sequence[_Link]) -> None:
        """Max-min among those who send over these links, over links that those use, and so on."""
        numbers = {link: number for number, link in enumerate(links)}
        pipes: dict[Pipe, None] = {}
        left = list(links)
        while left:
            for pipe in left.pop().pipes:
                if pipe.sending and pipe not in pipes:
                    pipes[pipe] = None
                    for link in pipe.links:
                        if link not in numbers:
                            numbers[link] = len(numbers)
                            left.append(link)
        routes = [Route(links=tuple(numbers[link] for link in pipe.links)) for pipe in pipes]
        capacity = np.array([link.capacity_bps for link in numbers])
        rates = max_min(routes, np.ones(len(routes)), capacity) if routes else np.zeros(0)
        for pipe, rate_bps in zip(pipes, rates.tolist(), strict=True):
            self._set_rate(pipe, rate_bps)


def _granted(link: _Link) -> float:
    """One-shot jobs' transfers take turns on a link: only one counts."""
    streams = sum(pipe.granted_bps for pipe in link.pipes if not pipe.taking_turns)
    return streams + max((pipe.granted_bps for pipe in link.pipes if pipe.taking_turns), default=0.0)
