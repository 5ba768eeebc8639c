"""Tasks, inboxes and flows of a stage, as edgeray/node and edgeray/dataplane have them, without the items' contents.

An item is the time at which its source made it: items keep their order everywhere, so nobody needs their numbers.
`lacks` of a task counts what keeps it from running: inputs without an item and outputs without room. So whether it can
run is one look, however many flows it has. These classes look into each other: together they are one hot loop.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any

from edgeray.errors import BadInputError
from edgeray.node.bounds import FLOW_BYTES, FLOW_ITEMS, OUT_QUEUE_ITEMS
from edgeray.simulator.clock import WORLD
from edgeray.simulator.fluid import Fluid, Pipe

if TYPE_CHECKING:
    from edgeray.simulator.stages import StageRun
    from policies.model import FlowId, TaskId

AT_ONCE = 100_000
"""So many items of one source at the same moment never fill any queues."""


class SinkLog:
    """What left one sink. count, first_s, last_s and latencies: from from_s on."""

    __slots__ = ("count", "first_s", "from_s", "items", "last_s", "latencies_s")

    def __init__(self) -> None:
        self.items = self.count = 0
        self.from_s = math.inf
        self.first_s = self.last_s = 0.0
        self.latencies_s = array("d")

    def add(self, now_s: float, created_s: float) -> None:
        self.items += 1
        if now_s >= self.from_s:
            if not self.count:
                self.first_s = now_s
            self.count += 1
            self.last_s = now_s
            self.latencies_s.append(now_s - created_s)


class TaskRun:
    """One task of a stage. work_s: what it computes per item, with what its flows take to send and receive.

    For a source: what its flows take; see SourceRun.
    """

    __slots__ = ("crossing", "id", "inputs", "lacks", "local", "sink", "stage", "work_s")

    def __init__(self, task: TaskId, work_s: float, stage: StageRun) -> None:
        self.id = task
        self.work_s = work_s
        self.stage = stage
        self.lacks = 0
        self.inputs: list[Inbox] = []
        self.local: list[Inbox] = []
        self.crossing: list[CrossingFlow] = []
        self.sink: SinkLog | None = None

    def take(self) -> float:
        """The next item of every input, as one; called when lacks is 0. Who waited to put more there is served."""
        created_s = math.inf
        for inbox in self.inputs:
            items = inbox.items
            item_s = items.popleft()
            if item_s < created_s:
                created_s = item_s
            if not items:
                self.lacks += 1
            if inbox.flow is not None:
                if inbox.flow.in_hand is not None:
                    inbox.flow.put_down()
            elif len(items) == inbox.depth - 1:
                inbox.producer.lacks -= 1  # of this stage, which looks again before it rests
        return created_s

    def deliver(self, created_s: float) -> None:
        """Pass an item on; called when there is room."""
        stage = self.stage
        if self.sink is not None:
            self.sink.add(stage.clock.now_s, created_s)
            stage.left(self.sink)
        for inbox in self.local:
            items = inbox.items
            items.append(created_s)
            if len(items) == 1:
                inbox.consumer.lacks -= 1
            if len(items) == inbox.depth:
                self.lacks += 1
        for flow in self.crossing:
            flow.queue.append(created_s)
            if len(flow.queue) == OUT_QUEUE_ITEMS:
                self.lacks += 1
            flow.pump()


class SourceRun(TaskRun):
    """A source: makes an item, waits for its pace, then for room; then the item is sent.

    make_s: computing time of making one. items_left: None when it never ends. holding: an item waits for room, made
    at created_s. Paced as edgeray/node/pace.py does it.
    """

    __slots__ = (
        "at_once", "created_s", "due_s", "granted_per_s", "holding", "items_left", "make_s", "making",
        "own_per_s",
    )  # fmt: skip

    def __init__(
        self, task: TaskId, work_s: float, stage: StageRun, *, make_s: float, own_per_s: float | None
    ) -> None:
        super().__init__(task, work_s, stage)
        self.make_s = make_s
        self.own_per_s = math.inf if own_per_s is None else own_per_s
        self.granted_per_s = math.inf
        self.items_left: int | None = None
        self.due_s = -math.inf
        self.created_s = 0.0
        self.at_once = 0
        self.making = self.holding = False

    def next(self) -> None:
        """Begin with the next item, if there is one."""
        if self.items_left is not None:
            if not self.items_left:
                return
            self.items_left -= 1
        if self.make_s > 0:
            self.making = True
        else:
            self.made()

    def made(self) -> None:
        """The item is there; wait until it is due."""
        self.making = False
        clock = self.stage.clock
        rate = min(self.own_per_s, self.granted_per_s)
        if 0 < rate < math.inf:
            self.due_s = max(self.due_s + 1 / rate, clock.now_s - 0.5 / rate)
            if self.due_s > clock.now_s:
                clock.at(self.due_s, WORLD, self._due)
                return
        self._hold()

    def _due(self, _: Any) -> None:
        if not self.stage.gone:
            self._hold()
            self.stage.wake()

    def _hold(self) -> None:
        now_s = self.stage.clock.now_s
        self.at_once = self.at_once + 1 if now_s == self.created_s else 0
        if self.at_once > AT_ONCE:
            raise BadInputError(
                f"source {self.id}: nothing that its items go through takes any time: it would never come to an end\n"
                "  remedy:   give the source items_per_s"
            )
        self.created_s = now_s
        self.holding = True


class Inbox:
    """Items of one producer that wait at a task. flow: what brings them; None inside a stage."""

    __slots__ = ("consumer", "depth", "flow", "items", "producer")

    def __init__(self, producer: TaskRun, consumer: TaskRun, depth: int, flow: CrossingFlow | None) -> None:
        self.producer = producer
        self.consumer = consumer
        self.depth = depth
        self.flow = flow
        self.items: deque[float] = deque()
        consumer.inputs.append(self)
        consumer.lacks += 1


class CrossingFlow:
    """A flow between devices: the producer's queue, a window of items under way, and the receiver's hand.

    under_way: sent and not taken by the receiver, of which unsent are still to go over the network, the first of
    them now if sending, and the rest has landed. in_hand: taken, and there is no room in the inbox.
    """

    __slots__ = (
        "fluid", "id", "in_hand", "inbox", "pipe", "producer", "queue", "sending", "under_way", "unsent", "window",
    )  # fmt: skip

    def __init__(self, flow: FlowId, item_bytes: float, fluid: Fluid) -> None:
        self.id = flow
        self.fluid = fluid
        self.pipe = Pipe(item_bytes * 8, self, taking_turns=False)
        self.window = window_items(item_bytes)
        self.producer: TaskRun
        self.inbox: Inbox
        self.queue: deque[float] = deque()
        self.under_way: deque[float] = deque()
        self.unsent = 0
        self.sending = False
        self.in_hand: float | None = None

    def pump(self) -> None:
        """Send what the window has room for."""
        queue, under_way = self.queue, self.under_way
        while queue and len(under_way) < self.window:
            if len(queue) == OUT_QUEUE_ITEMS:
                producer = self.producer
                producer.lacks -= 1
                if not producer.lacks:
                    producer.stage.wake()
            under_way.append(queue.popleft())
            self.unsent += 1
        if self.unsent and not self.sending:
            self.sending = True
            self.fluid.send(self.pipe)

    def arrived(self, _: Any = None) -> None:
        self.unsent -= 1
        self.sending = False
        self._take()

    def put_down(self) -> None:
        """The inbox has room for the item in hand: into it, and take the next."""
        assert self.in_hand is not None
        item_s, self.in_hand = self.in_hand, None
        self._put(item_s)
        self._take()

    def _take(self) -> None:
        under_way, inbox = self.under_way, self.inbox
        while len(under_way) > self.unsent and self.in_hand is None:
            item_s = under_way.popleft()
            if len(inbox.items) < inbox.depth:
                self._put(item_s)
            else:
                self.in_hand = item_s
        self.pump()

    def _put(self, item_s: float) -> None:
        inbox = self.inbox
        inbox.items.append(item_s)
        if len(inbox.items) == 1:
            consumer = inbox.consumer
            consumer.lacks -= 1
            if not consumer.lacks:
                consumer.stage.wake()


def window_items(item_bytes: float) -> int:
    """How many items of a size a flow lets be under way: a further one starts while fewer bytes than allowed are."""
    return FLOW_ITEMS if item_bytes <= 0 else max(1, min(FLOW_ITEMS, math.ceil(FLOW_BYTES / item_bytes)))
