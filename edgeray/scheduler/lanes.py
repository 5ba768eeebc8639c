"""Whose turn it is to send: the transfers of one-shot jobs, of which a link carries one at a time. Pure."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from edgeray.scheduler.footprint import crossing_flows, route_links
from policies.model import FlowId, JobId, LinkId, Plan

LATE_S = 1e-6
"""A transfer is late when it is not ready so long after its planned start: more than sums of floats differ by."""

Transfer = tuple[JobId, FlowId]


@dataclass(slots=True, kw_only=True)
class _Sender:
    """One job's transfers that are not done.

    links: of each, its route. due_s: its planned start. lanes: of each link, in the planned order, those that have
    neither started nor are late: the first of them keeps the others back. passed: those that have, or are.
    ready: those that have their data; early: of these, the ones that are kept back. able: of each link, those that
    go as soon as their links are free, the earliest planned first.
    """

    links: dict[FlowId, tuple[LinkId, ...]]
    due_s: dict[FlowId, float]
    lanes: dict[LinkId, deque[FlowId]] = field(default_factory=dict)
    passed: set[FlowId] = field(default_factory=set)
    ready: set[FlowId] = field(default_factory=set)
    early: set[FlowId] = field(default_factory=set)
    able: dict[LinkId, list[tuple[float, FlowId]]] = field(default_factory=dict)


class Lanes:
    """Grants transfers their links: all of a route, to one transfer at a time.

    Within a job, who is planned next on a link goes next; once its planned start has passed and it still is not
    ready, whoever is ready may go, the earliest planned first. Between jobs, a link serves the one that has waited
    for it longest, and waits for that one's other links too, so that long routes do not starve; whoever has
    waited longest of all can always go once its links are free, so nobody waits in a circle.
    Late, repeated and unknown messages change nothing. Complexity: an event touches only the links that it frees
    and those of transfers whose turn comes.
    """

    def __init__(self) -> None:
        self._senders: dict[JobId, _Sender] = {}
        self._queues: dict[LinkId, dict[Transfer, None]] = {}
        self._sending: dict[Transfer, tuple[LinkId, ...]] = {}
        self._busy: set[LinkId] = set()
        self._stirred: set[LinkId] = set()
        self._due: list[tuple[float, JobId, FlowId]] = []
        self._early = 0

    @property
    def sending(self) -> Collection[Transfer]:
        """The transfers that hold their links."""
        return self._sending.keys()

    def open_flows(self, job: JobId) -> tuple[FlowId, ...]:
        """The job's transfers that are not done; () for a job that is not here."""
        return tuple(self._senders[job].links) if job in self._senders else ()

    def admit(self, job: JobId, plan: Plan, started_s: float) -> None:
        """Take in a job that starts.

        Flows that the plan's timetable does not know have no turn of their own: they go when links are free.
        """
        links = {flow: route_links(plan.routes[flow]) for flow in crossing_flows(plan)}
        spans = plan.timetable.transfers if plan.timetable else {}
        due_s = {flow: started_s + spans[flow][0] if flow in spans else started_s for flow in links}
        sender = self._senders[job] = _Sender(links=links, due_s=due_s)
        for flow in sorted(links, key=lambda flow: (*spans.get(flow, (0, 0)), flow)):
            if flow not in spans:
                sender.passed.add(flow)
                continue
            heapq.heappush(self._due, (due_s[flow] + LATE_S, job, flow))
            for link in links[flow]:
                sender.lanes.setdefault(link, deque()).append(flow)

    def ready(self, job: JobId, flow: FlowId) -> bool:
        """A transfer has its data. True when it was told to start before: it may not have heard."""
        sender = self._senders.get(job)
        if sender is None or flow not in sender.links:
            return False
        if flow not in sender.ready:
            sender.ready.add(flow)
            sender.early.add(flow)
            self._early += 1
            self._look(job, flow)
        return (job, flow) in self._sending

    def done(self, job: JobId, flow: FlowId) -> None:
        """A transfer has arrived: its links are free."""
        if (job, flow) in self._sending:
            self._free(job, flow)
            del self._senders[job].links[flow]

    def drop(self, job: JobId) -> None:
        """The job is over, however it ended: it sends nothing more."""
        sender = self._senders.pop(job, None)
        if sender is None:
            return
        self._early -= len(sender.early)
        for flow in sender.links:
            self._free(job, flow)
        for link, flows in sender.able.items():
            self._stirred.add(link)
            for _, flow in flows:
                del self._queues[link][job, flow]

    def grants(self, at_s: float) -> list[Transfer]:
        """The transfers that may start now; they hold their links until they are done."""
        while self._due and self._due[0][0] <= at_s:
            _, job, flow = heapq.heappop(self._due)
            if job in self._senders and flow not in self._senders[job].passed:
                self._pass(job, flow)
        granted: list[Transfer] = []
        while found := sorted({first for link in self._stirred if (first := self._first(link))}):
            for _, job, flow in found:
                if self._may_go(job, flow):
                    self._start(job, flow)
                    granted.append((job, flow))
        self._stirred.clear()
        return granted

    def wake_s(self) -> float | None:
        """When `grants` should be asked again though nothing happens: somebody planned ahead may be late by then.

        None when nobody is kept back by another's planned start.
        """
        while self._due and not self._is_ahead(*self._due[0][1:]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._early and self._due else None

    def _is_ahead(self, job: JobId, flow: FlowId) -> bool:
        return job in self._senders and flow not in self._senders[job].passed

    def _pass(self, job: JobId, flow: FlowId) -> None:
        """It has started or is late: it keeps nobody back any more, and nobody keeps it back."""
        sender = self._senders[job]
        sender.passed.add(flow)
        self._look(job, flow)
        for link in sender.links[flow]:
            lane = sender.lanes[link]
            while lane and lane[0] in sender.passed:
                lane.popleft()
            if lane:
                self._look(job, lane[0])

    def _look(self, job: JobId, flow: FlowId) -> None:
        """Whether the turn of one that is ready has come."""
        sender = self._senders[job]
        links = sender.links[flow]
        if flow not in sender.early:
            return
        if flow in sender.passed or all(sender.lanes[link][0] == flow for link in links):
            sender.early.remove(flow)
            self._early -= 1
            self._stirred.update(links)
            for link in links:
                insort(sender.able.setdefault(link, []), (sender.due_s[flow], flow))
                self._queues.setdefault(link, {})[job, flow] = None

    def _first(self, link: LinkId) -> tuple[float, JobId, FlowId] | None:
        """Who goes next over this link, if somebody can go now."""
        if link in self._busy or not self._queues.get(link):
            return None
        job = self._served(link)
        for due_s, flow in self._senders[job].able[link]:
            if self._may_go(job, flow):
                return due_s, job, flow
        return None

    def _served(self, link: LinkId) -> JobId:
        return next(iter(self._queues[link]))[0]

    def _may_go(self, job: JobId, flow: FlowId) -> bool:
        links = self._senders[job].links[flow]
        return self._busy.isdisjoint(links) and all(self._served(link) == job for link in links)

    def _start(self, job: JobId, flow: FlowId) -> None:
        sender = self._senders[job]
        links = self._sending[job, flow] = sender.links[flow]
        self._busy.update(links)
        for link in links:
            sender.able[link].remove((sender.due_s[flow], flow))
            del self._queues[link][job, flow]
        if flow not in sender.passed:
            self._pass(job, flow)

    def _free(self, job: JobId, flow: FlowId) -> None:
        links = self._sending.pop((job, flow), ())
        self._busy.difference_update(links)
        self._stirred.update(links)
