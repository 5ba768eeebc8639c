"""A device's users in a job of frames, in one process: their sources, their computing, and their line to the server."""

from __future__ import annotations

import logging
import pickle
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from edgeray.energy import DeclaredPower, Meter, PartOf, find_meter
from edgeray.errors import StageError
from edgeray.frames.clock import Clock
from edgeray.frames.messages import Begin, Done, Got, Grant, Over, Packet
from edgeray.frames.packets import Packets, Waiting
from edgeray.frames.recipe import Recipe, UserSpec
from edgeray.frames.work import Work, items_of
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.node.pace import Pace
from edgeray.streams.peers import Connection, Remote
from policies.model import DeviceId, TaskId

log = logging.getLogger(__name__)

UNDER_WAY_S = 0.05
"""Of sending, handed over ahead: what is handed over goes before the next frame's report. Two packets always may."""
SAMPLE_S = 0.1


class Context(Protocol):
    """What users need of their stage (edgeray.node.online.OnlineContext)."""

    task: TaskId
    device: DeviceId
    output_dir: Path
    stop: threading.Event

    def connect(self, peer: TaskId) -> Connection: ...
    def spawn(self, name: str, body: Callable[[], None]) -> None: ...
    def attach(self, agent: User) -> None: ...


class User:
    """recipe: of `Recipe.of`. device: whose users these are. clock: that frames go by here; the server's leads them.

    Packets are measured on the first one that comes, before the server hears of this device; sources begin with
    the first frame. Users take turns, in computing and in sending.
    """

    def __init__(self, recipe: Mapping[str, Any], device: DeviceId, clock: Clock | None = None) -> None:
        self.counters = TaskCounters()
        self._recipe, self._device, self._clock = Recipe.of(recipe), DeviceId(device), clock or Clock()
        self._task = next(u.task for u in self._recipe.users.values() if u.device == device)
        self._sensor = find_meter() if self._recipe.meter == "sensor" else None
        if self._recipe.meter == "sensor" and self._sensor is None:
            log.warning("%s has no power sensor that can be read: energy is by its declared powers", device)
        self._changed = threading.Condition()
        specs = [user for user in self._recipe.users.values() if user.device == device]
        self._users = {spec.name: self._packets(spec, len(specs)) for spec in specs}
        self._work = Work(self._recipe.work)
        self._computing = threading.Lock()
        self._results = SinkLog()
        self._measured = 0
        self._stop = threading.Event()

    def __call__(self, context: Context) -> None:
        """Run until the stage is stopped."""
        self._stop = context.stop
        self._work.load(context.output_dir)
        self._server = Remote(
            DeviceId(self._recipe.server),
            lambda: context.connect(self._recipe.server),
            self._take,
            self._opened,
            context.spawn,
            context.stop,
        )
        context.attach(self)
        context.spawn("waker", self._wake)
        context.spawn("compute", self._compute)
        context.spawn("send", self._send)
        if self._sensor is not None:
            context.spawn("meter", self._sample)
        for name, packets in self._users.items():
            context.spawn(f"source {name}", lambda p=packets: self._read(p, context.output_dir))  # type: ignore[misc]
        try:
            self._keep_time()
        finally:
            with self._computing:
                self._work.close()

    # What others want to know

    def rows(self) -> dict[TaskId, tuple[TaskCounters, int]]:
        """Items are packets that were computed here; dropped, those of these users that nobody did in time."""
        with self._changed:
            self.counters.dropped = sum(user.totals.dropped for user in self._users.values())
            waiting = sum(user.waiting for user in self._users.values())
        return {self._task: (self.counters, waiting)}

    def windows(self, from_s: float, to_s: float) -> dict[TaskId, SinkWindow]:
        """What was computed here between two times, and how old it was."""
        window = self._results.window(from_s, to_s)
        return {self._task: window} if window.items else {}

    def told(self) -> None:
        """The server tells of all users."""
        return

    # Messages

    def _take(self, _: DeviceId, message: Any) -> None:
        with self._changed:
            user = self._users.get(getattr(message, "user", ""))
            if user is None:
                raise StageError(f"the server sent {type(message).__name__} for a user that is not here")
            match message:
                case Begin():
                    if not user.over:
                        self._server.tell(user.begin(message, self._clock.now()))
                case Grant():
                    user.grant(message)
                case Got():
                    user.got(message.number)
                case Done():
                    user.done(message.number)
                case Over():
                    self._server.tell(user.report() if user.over else user.end(message.frame))
                case _:
                    raise StageError(f"the server sent {type(message).__name__}, which it does not send")
            self._changed.notify_all()

    def _opened(self, _: DeviceId) -> None:
        """A connection stands anew: whatever was on its way is lost."""
        with self._changed:
            for user in self._users.values():
                user.under_way.clear()
            self._changed.notify_all()

    # Threads

    def _wake(self) -> None:
        self._stop.wait()
        self._server.wake()
        with self._changed:
            self._changed.notify_all()

    def _keep_time(self) -> None:
        """Go on without the server's word where that does not come."""
        with self._changed:
            while not self._stop.is_set():
                now_s = self._clock.now()
                ticked = [user.tick(now_s) for user in self._users.values()]
                if any(ticked):
                    self._changed.notify_all()
                due = [due_s for user in self._users.values() if (due_s := user.due_s()) is not None]
                self._clock.wait(self._changed, min(due) if due else None)

    def _read(self, user: Packets, output_dir: Path) -> None:
        """Packets out of the source, at its pace."""
        with closing(items_of(user.spec.name, user.spec.source, output_dir)) as items:
            first = next((item for item in items if item or self._stop.is_set()), [])
            if first:
                self._measure(user, first[0])
            self._meet()
            with self._changed:
                while user.frame is None and not self._stop.is_set():
                    self._changed.wait()
            self._play(user, chain([first], items))
        with self._changed:
            user.source_ended = True

    def _play(self, user: Packets, items: Iterator[list[Any]]) -> None:
        pace, left = Pace(user.spec.rate_per_s, None), user.spec.items
        for item in items:
            pace.wait(self._stop)
            with self._changed:
                if self._stop.is_set() or user.over:
                    return
                for packet in item[:left]:
                    user.arrive(packet, time.time())
            if left is not None:
                left -= len(item[:left])
                if not left:
                    return

    def _measure(self, user: Packets, item: Any) -> None:
        """The first call of a model takes longer than all others, so the second one counts."""
        size_bytes = len(pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL))
        with self._computing:
            if self._stop.is_set():
                return
            self._work(item, user.spec.name)
            began_s = time.perf_counter()
            self._work(item, user.spec.name)
            seconds = time.perf_counter() - began_s
        with self._changed:
            user.measured(seconds=seconds, size_bytes=size_bytes)

    def _meet(self) -> None:
        """One more user is ready; with the last the server is told, by the line that opens."""
        with self._changed:
            self._measured += 1
            ready = self._measured == len(self._users)
        if ready and not self._stop.is_set():
            self._server.open()

    def _compute(self) -> None:
        while (found := self._wait_for(lambda user: user.next_local())) is not None:
            user, packet = found
            with self._computing:
                if self._stop.is_set():
                    return
                began_s = time.perf_counter()
                self._work(packet.item, user.spec.name)
                seconds = time.perf_counter() - began_s
            with self._changed:
                in_time = user.computed(packet.number, seconds, self._clock.now())
                self.counters.busy_s += seconds
                if in_time:
                    latency_s = max(0.0, time.time() - packet.at_s)
                    self.counters.items += 1
                    self.counters.recent.append(latency_s)
                    self._results.add(time.time(), latency_s)

    def _send(self) -> None:
        while (found := self._wait_for(self._next_sent)) is not None:
            user, packet = found
            data = pickle.dumps(packet.item, protocol=pickle.HIGHEST_PROTOCOL)
            with self._changed:
                if user.send(packet.number, len(data)):
                    assert user.frame is not None, "a frame has begun"
                    self._server.tell(
                        Packet(
                            user=user.spec.name,
                            frame=user.frame,
                            number=packet.number,
                            at_s=packet.at_s,
                            data=data,
                        )
                    )

    def _sample(self) -> None:
        assert self._sensor is not None, "there is one"
        while not self._stop.wait(SAMPLE_S):
            self._sensor.sample()

    # Inside

    def _packets(self, spec: UserSpec, sharing: int) -> Packets:
        power = DeclaredPower(
            idle_w=spec.power.idle_w / sharing,
            local_w=spec.power.local_w,
            send_w=spec.power.send_w,
            clock=self._clock.now,
        )
        meter: Meter = power if self._sensor is None else PartOf(self._sensor, sharing)
        return Packets(spec, self._recipe, power, meter, sharing=sharing, session=secrets.token_hex(8))

    def _wait_for(self, take: Callable[[Packets], Waiting | None]) -> tuple[Packets, Waiting] | None:
        """The next packet of a user, in turns; None: the stage ends."""
        with self._changed:
            while not self._stop.is_set():
                for name, user in self._users.items():
                    if (packet := take(user)) is not None:
                        self._users = {**{n: u for n, u in self._users.items() if n != name}, name: user}
                        return user, packet
                self._changed.wait()
        return None

    def _next_sent(self, user: Packets) -> Waiting | None:
        ahead = [size for each in self._users.values() for size in each.under_way.values()]
        rate_bps = sum(each.rate_bps for each in self._users.values())
        if len(ahead) >= 2 and sum(ahead) >= rate_bps / 8 * UNDER_WAY_S:
            return None
        return user.next_sent(self._clock.now(), ahead_bytes=sum(ahead), rate_bps=rate_bps)
