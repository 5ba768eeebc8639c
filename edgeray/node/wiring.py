"""Where a stage's items are between its threads: inboxes, outgoing queues, and who waits for which of them.

Everything is bounded: a task runs only when all its outputs have room. One lock guards all; each thread waits on a
condition of its own, so that an item wakes only who it concerns. On a thin device waking everybody would cost more
than the tasks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from edgeray.node.bounds import OUT_QUEUE_ITEMS, REPLICA_ITEMS
from edgeray.node.inbox import Inbox, Item
from edgeray.node.replicas import Dealing
from edgeray.offload.messages import size_bytes
from edgeray.scheduler.effects import StagePlan
from policies.model import FlowId, TaskId


class Listener(Protocol):
    """The end of a flow to a replica, whose thread waits for answers (edgeray.dataplane.FlowSender)."""

    def wake(self) -> None: ...


class Wiring:
    """lock: the stage's, which nobody who calls this holds, but where it says so. stop: what waits returns when it is set
    and `wake_all` is called. senders: of outgoing flows."""

    def __init__(
        self,
        plan: StagePlan,
        lock: threading.Lock,
        stop: threading.Event,
        dealing: Dealing,
        senders: Mapping[FlowId, Listener],
    ) -> None:
        self._plan, self._lock, self._stop = plan, lock, stop
        self._dealing, self._senders = dealing, senders
        self._work_ready = threading.Condition(lock)
        self._queued = {flow.flow: threading.Condition(lock) for flow in plan.outflows}
        # Of who may wait to pass an item of this task on: its source, or the receiver of its flow by consumer.
        self.room = {
            task: threading.Condition(lock)
            for task in (*(t for t in plan.tasks if not plan.inputs[t]), *(f.flow for f in plan.inflows))
        }
        self._entry: dict[tuple[TaskId, TaskId], TaskId | FlowId] = {
            (flow.producer, flow.consumer): flow.flow for flow in plan.inflows
        }
        self.copies = {copy for replicas in plan.replicas for copy in replicas.copies}
        self._alike = {
            copy: [other for other in replicas.copies if other in plan.tasks]
            for replicas in plan.replicas
            for copy in replicas.copies
        }
        self._inboxes = {task: _inbox(plan, task) for task in plan.tasks if plan.inputs[task]}
        self._local: dict[TaskId, list[TaskId]] = {
            task: [c for c in plan.tasks if task in plan.inputs[c] and c not in dealing]
            for task in plan.tasks
        }
        self._out: dict[TaskId, list[FlowId]] = {task: [] for task in plan.tasks}
        self._flow_to: dict[TaskId, FlowId] = {}  # replicas elsewhere that get their items from here
        for flow in plan.outflows:
            if flow.consumer in dealing:
                self._flow_to[flow.consumer] = flow.flow
            else:
                self._out[flow.producer].append(flow.flow)
        self._queues: dict[FlowId, deque[Item]] = {flow.flow: deque() for flow in plan.outflows}
        self._finished: dict[FlowId, int] = {}

    @property
    def fed(self) -> tuple[TaskId, ...]:
        """The tasks that have inputs."""
        return tuple(self._inboxes)

    def waiting(self, task: TaskId) -> int:
        """Items that wait at a task's inputs, or at its outputs for a source."""
        with self._lock:
            if task in self._inboxes:
                return self._inboxes[task].waiting
            mine = [flow.flow for flow in self._plan.outflows if flow.producer == task]
            return max((len(self._queues[flow]) for flow in mine), default=0)

    def wake_all(self) -> None:
        """Called with the lock held."""
        for condition in (self._work_ready, *self._queued.values(), *self.room.values()):
            condition.notify_all()

    # Tasks

    def next(self, tasks: Sequence[TaskId]) -> tuple[TaskId, tuple[Item, ...] | None] | None:
        """The first of these tasks that can run, with its inputs, or whose inputs have ended, with None.

        Waits for it. None when there are none, or at the stop.
        """
        with self._lock:
            while tasks and not self._stop.is_set():
                for task in tasks:
                    if self._can_run(task):
                        task = min(
                            filter(self._can_run, self._alike.get(task, [task])), key=self._next_number
                        )
                        return task, self._take(task)
                    if self._inboxes[task].ended:
                        return task, None
                self._work_ready.wait()
        return None

    def _can_run(self, task: TaskId) -> bool:
        return self._inboxes[task].ready() and self.has_room(task)

    def _next_number(self, task: TaskId) -> int:
        """Of the item that a task has next: of replicas here the one with the oldest goes first, or one would starve."""
        first = self._inboxes[task].first()
        assert first is not None, "it has one"
        return int(first.value[0]) if task in self.copies else first.number

    def _take(self, task: TaskId) -> tuple[Item, ...]:
        """A joined item out of a task's inbox; who waited to put the next one there is woken."""
        items = self._inboxes[task].take()
        for producer in self._plan.inputs[task]:
            entry = self._entry.get((producer, task), producer)
            if entry in self.room:
                self.room[entry].notify_all()
        return items

    def has_room(self, task: TaskId) -> bool:
        """Whether all outputs of a task can take its next item. Called with the lock held."""
        number = self._next_number(task) if task in self.copies and self._inboxes[task].ready() else None
        return (
            all(self._inboxes[c].has_room(task, number) for c in self._local[task])
            and all(len(self._queues[flow]) < OUT_QUEUE_ITEMS for flow in self._out[task])
            and self._dealing.has_room(task)
        )

    def await_room(self, task: TaskId) -> bool:
        """Wait until a source's next item has room; False at the stop."""
        with self._lock:
            while not (self._stop.is_set() or self.has_room(task)):
                self.room[task].wait()
            return not self._stop.is_set()

    def deliver(self, task: TaskId, item: Item) -> None:
        """Pass on what a task gave; there must be room."""
        size = size_bytes(item.value) if self._dealing.deals(task) else 0
        with self._lock:
            for copy, given in self._dealing.deal(task, item, size):
                self._give(task, copy, given)
            for consumer in self._local[task]:
                self._inboxes[consumer].add(task, item)
            self._work_ready.notify_all()
            for flow in self._out[task]:
                self._queues[flow].append(item)
                self._queued[flow].notify_all()

    def _give(self, producer: TaskId, copy: TaskId, item: Item) -> None:
        if copy in self._flow_to:
            self._queues[self._flow_to[copy]].append(item)
            self._senders[self._flow_to[copy]].wake()
        else:
            self._inboxes[copy].add(producer, item)

    def end(self, task: TaskId, items: int) -> None:
        """Pass on that a task has ended, after so many items."""
        with self._lock:
            for consumer in self._local[task]:
                self._inboxes[consumer].end(task, items)
            for flow in self._out[task]:
                self._finished[flow] = items
            for copy, given in self._dealing.ends(task):
                if copy in self._flow_to:
                    self._finished[self._flow_to[copy]] = given
                    self._senders[self._flow_to[copy]].wake()
                else:
                    self._inboxes[copy].end(task, given)
            self.wake_all()

    # Flows

    def next_out(self, flow: FlowId) -> Item | int | None:
        """Wait for the next item that leaves; the count of items once that was the last; None at the stop.

        An item counts as queued until `has_left`.
        """
        queue = self._queues[flow]
        with self._lock:
            while not (queue or self._stop.is_set() or flow in self._finished):
                self._queued[flow].wait()
            if self._stop.is_set():
                return None
            return queue[0] if queue else self._finished[flow]

    def has_left(self, flow: FlowId, producer: TaskId) -> None:
        with self._lock:
            self._queues[flow].popleft()
            self.room.get(producer, self._work_ready).notify_all()

    def next_for_replica(self, flow: FlowId, copy: TaskId) -> Item | int | None:
        """The next item for a replica elsewhere, if there is one; the count of items once it has done the last."""
        with self._lock:
            if self._queues[flow]:
                return self._queues[flow].popleft()
            return self._finished[flow] if flow in self._finished and self._dealing.idle(copy) else None

    def has_done(self, producer: TaskId, copy: TaskId, busy_s: float, held_s: float = 0.0) -> None:
        """A replica has done the oldest item that was dealt to it here."""
        with self._lock:
            self._dealing.done(copy, busy_s, held_s)
            self.room.get(producer, self._work_ready).notify_all()

    def put(self, flow: FlowId, producer: TaskId, consumer: TaskId, item: Item) -> None:
        """An item that came; waits for room, at the stop no longer."""
        inbox, number = self._inboxes[consumer], item.value[0] if producer in self.copies else None
        with self._lock:
            while not (self._stop.is_set() or inbox.has_room(producer, number)):
                self.room[flow].wait()
            inbox.add(producer, item)
            self._work_ready.notify_all()

    def end_input(self, producer: TaskId, consumer: TaskId, items: int) -> None:
        """Nothing more comes."""
        with self._lock:
            self._inboxes[consumer].end(producer, items)
            self._work_ready.notify_all()


def _inbox(plan: StagePlan, task: TaskId) -> Inbox:
    producers = plan.inputs[task]
    merged = [replicas.copies for replicas in plan.replicas if replicas.copies[0] in producers]
    dealt = any(task in replicas.copies for replicas in plan.replicas)
    ahead = REPLICA_ITEMS * max((len(copies) for copies in merged), default=int(dealt))
    return Inbox(producers, plan.depth_items + ahead, merged)
