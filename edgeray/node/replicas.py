"""Who gets an item of a task with replicas: decided where its items come from, by what became of those before."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgeray.learner.link import Link
from edgeray.learner.messages import Feedback, learned_as
from edgeray.node.bounds import REPLICA_ITEMS
from edgeray.node.crew import Crew
from edgeray.node.inbox import Item
from edgeray.offload.desk import Desk
from edgeray.offload.messages import Result, Telemetry
from edgeray.offload.recipe import HelperSpec, Terms
from edgeray.offload.speed import Speed
from edgeray.scheduler.effects import StagePlan
from policies.bandit.offers import FEATURES
from policies.model import DeviceId, Replicas, TaskId

log = logging.getLogger(__name__)

_TURN = 1  # a copy that goes takes the job with it


class Dealer:
    """The items of one task's replicas. Not thread-safe: its stage holds a lock. clock: monotonic.

    Each item goes to one copy, chosen by the dispatcher of the job file, with what is known of all of them: how many it
    has not done yet, which is known exactly, how fast it did the last ones, and the rate of the way there. The bit of
    an item is whether it was done by its deadline, counted from here; it is given as soon as that is known. Nobody
    refuses an item, for the stream is to lose none: while all are full, its producer waits.
    bps: of the way to each copy. link: with the learner.
    """

    def __init__(
        self,
        replicas: Replicas,
        bps: Mapping[TaskId, float],
        link: Link | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.replicas = replicas
        self._link = link
        self.copies = replicas.copies
        self._clock = clock
        helpers = {
            DeviceId(copy): HelperSpec(task=copy, device=DeviceId(copy), cpus=1.0, bps=bps[copy])
            for copy in self.copies
        }
        terms = Terms(
            helpers=helpers,
            deadline_s=replicas.deadline_s,
            late="deliver",
            refuse=False,
            most=REPLICA_ITEMS,
        )
        self._desk = Desk(terms, replicas.dispatch, tell=self._learned)
        self._given = dict.fromkeys(self.copies, 0)
        self._under_way: dict[TaskId, deque[int]] = {copy: deque() for copy in self.copies}
        self._last = dict.fromkeys(self.copies, 0)  # the newest item of each, as the desk counts
        self._speeds = {copy: Speed() for copy in self.copies}
        for name in helpers:
            self._desk.enter(name, _TURN)

    def has_room(self) -> bool:
        """Whether anybody can take an item."""
        return any(self._desk.has_room(DeviceId(copy)) for copy in self.copies)

    def give(self, size_bytes: int) -> tuple[TaskId, int]:
        """Who gets the next item, and its number among his; there must be room."""
        self.look()
        choice = self._desk.decide(size_bytes, 1.0, self._clock())
        assert choice.name is not None, "it may not refuse, and there is room"
        copy = TaskId(choice.name)
        number = self._given[copy]
        self._given[copy] = number + 1
        self._last[copy] = choice.number
        self._under_way[copy].append(choice.number)
        return copy, number

    def done(self, copy: TaskId, busy_s: float, held_s: float = 0.0) -> None:
        """A copy has done the oldest of its items, in so much time, and so long ago."""
        number = self._under_way[copy].popleft()
        self._speeds[copy].add(busy_s, 1.0)
        how = Telemetry(
            turn=_TURN,
            seen=self._last[copy],
            queue=len(self._under_way[copy]),
            rate_per_s=self._speeds[copy].per_s,
        )
        result = Result(number=number, turn=_TURN, value=None, error=None, telemetry=how)
        self._desk.result(DeviceId(copy), result, self._clock() - held_s)

    def look(self) -> None:
        """Items whose deadline has passed are late."""
        self._desk.expire(self._clock())

    def given(self, copy: TaskId) -> int:
        """Items that it was given so far."""
        return self._given[copy]

    def idle(self, copy: TaskId) -> bool:
        """Whether it has done all that it was given."""
        return not self._under_way[copy]

    def go_on(self, lock: threading.Lock) -> None:
        """Go on with what the learner has, which gets to know all that is learned from now on. lock: not held."""
        if self._link is None:
            return
        about = {
            "policy": self.replicas.dispatch,
            "helpers": list(self.copies),
            "dimensions": FEATURES,
            "seed": 0,
        }
        state = self._link.restore(about)
        if state is not None:
            try:
                self._desk.roster.restore(state)
            except ValueError as error:
                log.warning("the learner's state is none of these replicas', which begin without: %s", error)

        def mine() -> Mapping[str, Any]:
            with lock:
                return self._desk.state()

        self._link.backed_by(mine)

    def _learned(self, feedback: Feedback) -> None:
        if self._link is not None:
            self._link.tell(feedback)

    def told(self) -> dict[str, Any]:
        """Plain data (JSON), counted since the start."""
        self.look()
        return {"policy": self.replicas.dispatch, **self._desk.told(self._clock())}


class Dealing:
    """All that a stage deals out: dealers by the task that the items come from. Its lock is held, but in
    `go_on` and `close`.

    learner: calls it; None: nobody is told what was learned.
    """

    def __init__(self, plan: StagePlan, lock: threading.Lock, learner: Callable[..., Any] | None) -> None:
        self._lock = lock
        self._links = Crew(threading.Lock(), lambda: None)
        self._dealers: dict[TaskId, list[Dealer]] = {}
        self._dealer_of: dict[TaskId, Dealer] = {}
        rates_bps = {flow.consumer: flow.rate_bps for flow in plan.outflows}
        for replicas in plan.replicas:
            if replicas.producer not in plan.tasks:
                continue
            link = None
            if learner is not None:
                link = Link(
                    learner, learned_as(plan.job, replicas.task), self._links.spawn, self._links.ended
                )
            bps = {copy: rates_bps.get(copy, math.inf) for copy in replicas.copies}
            dealer = Dealer(replicas, bps, link)
            self._dealers.setdefault(replicas.producer, []).append(dealer)
            self._dealer_of |= dict.fromkeys(replicas.copies, dealer)

    def __contains__(self, copy: TaskId) -> bool:
        """Whether it is a replica that gets its items from here."""
        return copy in self._dealer_of

    def deals(self, task: TaskId) -> bool:
        """Whether what a task gives goes to replicas, too."""
        return task in self._dealers

    def has_room(self, task: TaskId) -> bool:
        return all(dealer.has_room() for dealer in self._dealers.get(task, ()))

    def deal(self, task: TaskId, item: Item, size_bytes: int) -> Iterator[tuple[TaskId, Item]]:
        """To whom an item of a task goes, and as what; there must be room."""
        for dealer in self._dealers.get(task, ()):
            copy, number = dealer.give(size_bytes)
            yield copy, Item(number, (item.number, item.value), item.created_s)

    def ends(self, task: TaskId) -> Iterator[tuple[TaskId, int]]:
        """How many items of a task that has ended each replica was given."""
        for dealer in self._dealers.get(task, ()):
            for copy in dealer.copies:
                yield copy, dealer.given(copy)

    def done(self, copy: TaskId, busy_s: float, held_s: float) -> None:
        self._dealer_of[copy].done(copy, busy_s, held_s)

    def idle(self, copy: TaskId) -> bool:
        """Whether a replica has done all that it was given."""
        return self._dealer_of[copy].idle(copy)

    def go_on(self) -> None:
        """With what the learner has. May take a moment; the lock must not be held."""
        for dealers in self._dealers.values():
            for dealer in dealers:
                dealer.go_on(self._lock)

    def close(self) -> None:
        """Tell the learner what is left to tell. The lock must not be held."""
        self._links.end()
        self._links.join()

    def told(self) -> dict[str, Any]:
        """By task; plain data."""
        return {
            dealer.replicas.task: dealer.told() for dealers in self._dealers.values() for dealer in dealers
        }
