"""Whose turn it is to send: the transfers of one-shot jobs, of which a link carries one at a time. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from edgeray.scheduler.footprint import crossing_flows, route_links
from policies.model import FlowId, JobId, LinkId, Plan

LATE_S = 1e-6
"""A transfer is late when it is not ready so long after its planned start: more than sums of floats differ by."""

Transfer = tuple[JobId, FlowId]


@dataclass(slots=True, kw_only=True)
class _Sender:
    """One job: the links and the planned starts of its transfers that are not done, and of each link the order."""

    links: dict[FlowId, tuple[LinkId, ...]]
    due_s: dict[FlowId, float]
    lanes: dict[LinkId, deque[FlowId]]


class Lanes:
    """Grants transfers their links: all of a route, to one transfer at a time.

    Within a job, who is planned next on a link goes next; once its planned start has passed and it still is not
    ready, whoever is ready may go, the earliest planned first. Between jobs, who was ready first goes first, and
    keeps later ones off the links that it waits for, so that long routes do not starve.
    Late, repeated and unknown messages change nothing. Complexity of `grants`: O(waiting x hops).
    """

    def __init__(self) -> None:
        self._senders: dict[JobId, _Sender] = {}
        self._waiting: dict[Transfer, None] = {}
        self._sending: dict[Transfer, tuple[LinkId, ...]] = {}
        self._busy: set[LinkId] = set()
        self._now_s = 0.0

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
        planned = sorted((flow for flow in links if flow in spans), key=lambda flow: (spans[flow], flow))
        lanes: dict[LinkId, deque[FlowId]] = {}
        for flow in planned:
            for link in links[flow]:
                lanes.setdefault(link, deque()).append(flow)
        due_s = {flow: started_s + spans[flow][0] if flow in spans else -float("inf") for flow in links}
        self._senders[job] = _Sender(links=links, due_s=due_s, lanes=lanes)

    def ready(self, job: JobId, flow: FlowId) -> bool:
        """A transfer has its data. True when it was told to start before: it may not have heard."""
        sender = self._senders.get(job)
        if sender is None or flow not in sender.links:
            return False
        if (job, flow) in self._sending:
            return True
        self._waiting.setdefault((job, flow))
        return False

    def done(self, job: JobId, flow: FlowId) -> None:
        """A transfer has arrived: its links are free."""
        if (job, flow) in self._sending:
            self._busy.difference_update(self._sending.pop((job, flow)))
            del self._senders[job].links[flow]

    def drop(self, job: JobId) -> None:
        """The job is over, however it ended: it sends nothing more."""
        sender = self._senders.pop(job, None)
        for flow in sender.links if sender else ():
            self._waiting.pop((job, flow), None)
            self._busy.difference_update(self._sending.pop((job, flow), ()))

    def grants(self, at_s: float) -> list[Transfer]:
        """The transfers that may start now; they hold their links until they are done."""
        self._now_s = max(at_s, self._now_s)  # events of several threads may overtake each other
        if not self._waiting:
            return []
        granted: list[Transfer] = []
        claimed: dict[LinkId, JobId] = {}
        for job, flow in self._queue():
            links = self._links_of((job, flow))
            if self._busy.isdisjoint(links) and all(claimed.get(link, job) == job for link in links):
                del self._waiting[job, flow]
                self._sending[job, flow] = links
                self._busy.update(links)
                granted.append((job, flow))
            else:
                for link in links:
                    claimed.setdefault(link, job)
        return granted

    def wake_s(self) -> float | None:
        """When `grants` should be asked again though nothing happens: someone planned ahead is late by then.

        None when nobody waits for another's planned start.
        """
        times = [
            self._senders[job].due_s[ahead] + LATE_S
            for job, flow in self._waiting
            if self._busy.isdisjoint(self._links_of((job, flow)))
            for ahead in self._ahead(job, flow)
        ]
        return min(times, default=None)

    def _queue(self) -> Iterator[Transfer]:
        """Those whose turn it is in their job: between jobs as they became ready, within a job as planned."""
        if self._busy and all(not self._busy.isdisjoint(self._links_of(key)) for key in self._waiting):
            return
        able = [key for key in self._waiting if next(self._ahead(*key), None) is None]
        planned: dict[JobId, deque[FlowId]] = {}
        for job, flow in sorted(able, key=lambda key: (self._senders[key[0]].due_s[key[1]], key)):
            planned.setdefault(job, deque()).append(flow)
        for job, _ in able:
            yield job, planned[job].popleft()

    def _links_of(self, transfer: Transfer) -> tuple[LinkId, ...]:
        return self._senders[transfer[0]].links[transfer[1]]

    def _ahead(self, job: JobId, flow: FlowId) -> Iterator[FlowId]:
        """Who is to go before flow on its links, and is not late."""
        sender = self._senders[job]
        if self._late(sender, flow):
            return
        for link in sender.links[flow]:
            lane = sender.lanes[link]
            while self._passed(job, lane[0]):
                lane.popleft()
            if lane[0] != flow:
                yield lane[0]

    def _passed(self, job: JobId, flow: FlowId) -> bool:
        """Whether nobody has to wait for the turn of flow: it was granted, or it is late."""
        sender = self._senders[job]
        return flow not in sender.links or (job, flow) in self._sending or self._late(sender, flow)

    def _late(self, sender: _Sender, flow: FlowId) -> bool:
        return self._now_s >= sender.due_s[flow] + LATE_S
