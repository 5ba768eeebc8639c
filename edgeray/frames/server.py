"""The server of a job of frames: its clock leads them, its policy grants slots, and it does what it is sent."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from edgeray.errors import StageError
from edgeray.frames.clock import Clock
from edgeray.frames.estimates import Mean
from edgeray.frames.messages import Done, Got, Packet, Report
from edgeray.frames.planner import Planner
from edgeray.frames.recipe import Recipe
from edgeray.frames.work import Work
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.streams.peers import Connection, Remote
from policies.model import DeviceId, TaskId

log = logging.getLogger(__name__)

REPORTS = 0.25
"""Of a frame: users that have not reported by then are planned without."""
AWAY_S = 60.0
"""When all others' packets are done, a user that is away is waited for so long."""
FINISH_S = 5.0
"""For the last reports."""
REPORT_BYTES = 500
"""Of a report on its way, encrypted and with all headers, about."""


class Learner(Protocol):
    """What is needed of a LearnerLink (edgeray.learner.link)."""

    def restore(self, about: Mapping[str, Any]) -> Mapping[str, Any] | None: ...
    def keep(self, state: Mapping[str, Any]) -> None: ...


class Context(Protocol):
    """What the server needs of its stage (edgeray.node.online.OnlineContext)."""

    output_dir: Path
    stop: threading.Event

    @property
    def learner(self) -> Learner: ...
    def connect(self, peer: TaskId) -> Connection: ...
    def spawn(self, name: str, body: Callable[[], None]) -> None: ...
    def attach(self, agent: Server) -> None: ...
    def share(self, rates_bps: Mapping[TaskId, float]) -> None: ...


class Server:
    """recipe: of `Recipe.of`. policy: of `policies.deadline.policy.FRAME_POLICIES`. clock: that leads all frames.

    late: packets whose frame was over before they were done here.
    """

    def __init__(
        self, recipe: Mapping[str, Any], device: DeviceId, policy: str, clock: Clock | None = None
    ) -> None:
        self.counters = TaskCounters()
        self.late = 0
        self._recipe, self._policy, self._clock = Recipe.of(recipe), policy, clock or Clock()
        self._planner = Planner(self._recipe, policy)
        self._work = Work(self._recipe.work)
        self._device = device
        self._changed = threading.Condition()
        self._peers: dict[DeviceId, Remote] = {}
        self._frame = -1  # that packets are done for; -1: none
        self._packets: deque[Packet] = deque()
        self._seconds = Mean()
        self._done = 0  # in this frame, in time or not
        self._results = SinkLog()
        self._rates_bps: dict[TaskId, float] = {}
        self._only_away_s: float | None = None  # since when packets are left only of users that are away
        self._stop = threading.Event()
        least_bps = REPORT_BYTES * 8 / (REPORTS * self._recipe.frame_s)
        if self._recipe.rate_bps(0) < least_bps:
            log.warning(
                "%.3g bit/s carry no report within %g s, so users that were granted nothing seem to be away\n"
                "  remedy:   a 'floor' of at least %.3g bit/s, or longer frames",
                self._recipe.rate_bps(0),
                REPORTS * self._recipe.frame_s,
                least_bps,
            )

    def __call__(self, context: Context) -> None:
        """Run until the stage is stopped, or the job is over."""
        self._stop = context.stop
        self._work.load(context.output_dir)
        self._restore(context.learner)
        for device, task in self._recipe.tasks.items():
            self._peers[device] = Remote(
                device,
                lambda task=task: context.connect(task),  # type: ignore[misc]
                self._take,
                self._opened,
                context.spawn,
                context.stop,
            )
        for peer in self._peers.values():
            peer.open()
        context.spawn("waker", self._wake)
        context.spawn("work", self._compute)
        context.attach(self)
        self._await_users()
        self._run(context)

    # What others want to know

    def rows(self) -> dict[TaskId, tuple[TaskCounters, int]]:
        """Items are packets that were done here; dropped, those that came or were done too late."""
        with self._changed:
            self.counters.dropped = self.late
            return {self._recipe.server: (self.counters, len(self._packets))}

    def windows(self, from_s: float, to_s: float) -> dict[TaskId, SinkWindow]:
        """What was done here between two times, and how old it was by the users' clocks and this one."""
        window = self._results.window(from_s, to_s)
        return {self._recipe.server: window} if window.items else {}

    def told(self) -> dict[str, Any]:
        with self._changed:
            return self._planner.told()

    # Frames

    def _restore(self, learner: Learner) -> None:
        about = {"policy": self._policy, "helpers": list(self._recipe.users), "dimensions": 0, "seed": 0}
        state = learner.restore(about)
        if state:
            self._planner.restore(state)
            log.info("goes on at frame %d", self._planner.frames)

    def _await_users(self) -> None:
        by_s = self._clock.now() + self._recipe.start_s
        self._wait(lambda: all(peer.standing for peer in self._peers.values()), by_s)

    def _run(self, context: Context) -> None:
        begin_s = self._clock.now()
        while not (self._stop.is_set() or self._is_over()):
            self._begin()
            self._wait(self._all_reported, begin_s + REPORTS * self._recipe.frame_s)
            if self._stop.is_set():
                return
            self._grant(context)
            begin_s += self._recipe.frame_s
            self._wait(lambda: False, begin_s)
            if (
                self._clock.now() - begin_s > self._recipe.frame_s
            ):  # this device slept, or was busy for so long
                begin_s = self._clock.now()
        self._end(context.learner)

    def _is_over(self) -> bool:
        """Whether there are as many frames as were asked for, or no packets come any more."""
        with self._changed:
            if self._recipe.frames is not None:
                return self._planner.frames >= self._recipe.frames
            if not self._planner.present_ended:
                self._only_away_s = None
            elif self._only_away_s is None:
                self._only_away_s = self._clock.now()
            if self._only_away_s is not None and self._clock.now() - self._only_away_s > AWAY_S:
                log.warning("ends without users that are away: the packets of all others are done")
                return True
            return self._planner.ended

    def _begin(self) -> None:
        with self._changed:
            if not self._done:
                self._seconds.forget()
            self._done = 0
            words = self._planner.begin()
            self._frame = self._planner.frame
            self._forget_packets()
            for name, begin in words.items():
                self._peers[self._recipe.users[name].device].tell(begin)

    def _grant(self, context: Context) -> None:
        with self._changed:
            grants = self._planner.plan(self._capacity())
            rates_bps = self._planner.rates_bps(grants)
            state = self._planner.state()
            for name, grant in grants.items():
                self._peers[self._recipe.users[name].device].tell(grant)
        if rates_bps != self._rates_bps:
            self._rates_bps = rates_bps
            context.share(rates_bps)
        context.learner.keep(state)

    def _end(self, learner: Learner) -> None:
        """The last frame is over; what became of it is still to be heard."""
        with self._changed:
            self._frame = -1
            self._forget_packets()
            for name, over in self._planner.end().items():
                self._peers[self._recipe.users[name].device].tell(over)
        self._wait(self._all_reported, self._clock.now() + FINISH_S)
        with self._changed:
            learner.keep(self._planner.state())

    def _capacity(self) -> float | None:
        """Packets that are done here in a frame, as fast as they were lately."""
        seconds = self._seconds.value
        return None if seconds is None else self._recipe.frame_s / max(seconds, 1e-6)

    def _all_reported(self) -> bool:
        """Those whose line stands."""
        return all(
            self._planner.reported(name)
            for name, user in self._recipe.users.items()
            if self._peers[user.device].standing
        )

    def _wait(self, condition: Callable[[], bool], by_s: float) -> None:
        """Until the condition holds, or that time, or stop."""
        with self._changed:
            while not (self._stop.is_set() or condition() or self._clock.now() >= by_s):
                self._clock.wait(self._changed, by_s)

    # Messages

    def _take(self, device: DeviceId, message: Any) -> None:
        with self._changed:
            user = self._recipe.users.get(getattr(message, "user", ""))
            if user is None or user.device != device:
                raise StageError(f"{device} sent {type(message).__name__} for a user that it does not have")
            match message:
                case Packet():
                    self._peers[device].tell(Got(user=message.user, number=message.number))
                    if message.frame == self._frame:
                        self._packets.append(message)
                    else:
                        self.late += 1
                case Report():
                    self._planner.take(message)
                case _:
                    raise StageError(
                        f"{device} sent {type(message).__name__}, which users of frames do not send"
                    )
            self._changed.notify_all()

    def _opened(self, _: DeviceId) -> None:
        with self._changed:
            self._changed.notify_all()

    # Threads

    def _wake(self) -> None:
        self._stop.wait()
        for peer in self._peers.values():
            peer.wake()
        with self._changed:
            self._changed.notify_all()

    def _compute(self) -> None:
        """Packets in the order in which they came; what cannot be in time any more is not begun."""
        try:
            while (packet := self._next_packet()) is not None:
                began_s = time.perf_counter()
                self._work(pickle.loads(packet.data), packet.user)
                self._acknowledge(packet, time.perf_counter() - began_s)
        finally:
            self._work.close()

    def _next_packet(self) -> Packet | None:
        with self._changed:
            while not (self._packets or self._stop.is_set()):
                self._changed.wait()
            return None if self._stop.is_set() else self._packets.popleft()

    def _acknowledge(self, packet: Packet, seconds: float) -> None:
        """With the lock held, so that Done is never behind the Begin of the next frame."""
        with self._changed:
            self._seconds.add(seconds)
            self._done += 1
            self.counters.busy_s += seconds
            if packet.frame != self._frame:
                self.late += 1
                return
            latency_s = max(0.0, time.time() - packet.at_s)
            self.counters.items += 1
            self.counters.recent.append(latency_s)
            self._results.add(time.time(), latency_s)
            user = self._recipe.users[packet.user]
            self._peers[user.device].tell(Done(user=packet.user, number=packet.number))

    def _forget_packets(self) -> None:
        self.late += len(self._packets)
        self._packets.clear()
