"""A server and users of one job in one process, with threads and lines, under a clock that tests turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import frame_sources
from frame_lines import End, Wires
from frame_world import recipe_of

from edgeray.errors import FlowError
from edgeray.frames.packets import Packets
from edgeray.frames.server import Server
from edgeray.frames.user import User

DEADLINE_S = 30.0
EPOCH_S = 1000.0


def until(condition: Callable[[], Any], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not met in time: {what}"
        threading.Event().wait(0.002)


class Hand:
    """A clock that a test turns; whoever waits by it is woken then."""

    def __init__(self) -> None:
        self._now_s = EPOCH_S
        self._lock = threading.Lock()
        self._waited: set[threading.Condition] = set()

    def now(self) -> float:
        return self._now_s

    def wait(self, condition: threading.Condition, by_s: float | None = None) -> None:
        with self._lock:
            self._waited.add(condition)
        condition.wait(0.05 if by_s is not None else None)  # the time may have been turned just before

    def turn(self, seconds: float) -> None:
        self._now_s += seconds
        with self._lock:
            waited = tuple(self._waited)
        for condition in waited:
            with condition:
                condition.notify_all()


class Learner:
    """Keeps the newest state, and outlives servers."""

    def __init__(self) -> None:
        self.state: Mapping[str, Any] | None = None
        self.keeps = 0

    def restore(self, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return self.state

    def keep(self, state: Mapping[str, Any]) -> None:
        self.state = state
        self.keeps += 1


class NoLearner(Learner):
    """It does not answer."""

    def restore(self, about: Mapping[str, Any]) -> None:
        return None


@dataclass
class Stage:
    """One task's process. errors: what its threads raised, but for lines that were closed."""

    task: str
    output_dir: Path
    wires: Wires
    learner: Learner
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    shares: list[dict[str, float]] = field(default_factory=list)
    attached: threading.Event = field(default_factory=threading.Event)

    @property
    def device(self) -> str:
        return self.task.removeprefix("user-")

    def connect(self, peer: str) -> End:
        return self.wires.connect(self.task, peer, self.stop)

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        def run() -> None:
            try:
                body()
            except FlowError as error:
                if not self.stop.is_set():
                    self.errors.append(error)
                self.end()
            except BaseException as error:
                self.errors.append(error)
                self.end()

        thread = threading.Thread(target=run, name=f"{self.task} {name}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def attach(self, agent: Any) -> None:
        self.attached.set()

    def share(self, rates_bps: Mapping[str, float]) -> None:
        self.shares.append(dict(rates_bps))

    def run(self, agent: Any) -> None:
        def body() -> None:
            agent(self)
            self.end()

        self.spawn("task", body)

    def end(self) -> None:
        """As a LoopStage ends: it is told, and its connections are closed."""
        self.stop.set()
        self.wires.cut(self.task)

    def join(self) -> None:
        """All threads of a stage that was told to end do so."""
        for thread in tuple(self.threads):
            thread.join(DEADLINE_S)
        assert not [thread.name for thread in self.threads if thread.is_alive()]


begun: list[Job] = []


class Job:
    """names: users, each on a device of its name, or where `users` says."""

    def __init__(
        self,
        folder: Path,
        names: str = "ab",
        *,
        policy: str = "djos",
        learner: Learner | None = None,
        **recipe: Any,
    ) -> None:
        frame_sources.reset()
        begun.append(self)
        self.recipe = recipe_of(names, start_s=1e9, **recipe)
        for name, user in self.recipe["users"].items():
            user["source"] = {**user["source"], "args": {"user": name}}
        self.clock, self.wires = Hand(), Wires()
        self.learner = learner or Learner()
        self.policy = policy
        self.stages: dict[str, Stage] = {}
        self.gone: list[Stage] = []
        self.users: dict[str, User] = {}
        self.frame_s = self.recipe["slots"] * self.recipe["slot_s"]
        self._folder, self._frames = folder, 0
        self.start_server()
        for device in sorted({user["device"] for user in self.recipe["users"].values()}):
            self.start(device)
        self.granted()

    # Processes

    def start_server(self) -> None:
        self.server = Server(self.recipe, "server", self.policy, self.clock)
        self._run("server", self.server)

    def start(self, device: str) -> None:
        self.users[device] = User(self.recipe, device, self.clock)
        self._run(f"user-{device}", self.users[device])

    def kill(self, task: str) -> None:
        stage = self.stages.pop(task)
        self.users.pop(stage.device, None)
        stage.end()
        stage.join()
        self.gone.append(stage)

    def stop(self) -> None:
        for stage in self.stages.values():
            stage.end()
        for stage in self.stages.values():
            stage.join()
        assert not [error for stage in (*self.gone, *self.stages.values()) for error in stage.errors]

    def _run(self, task: str, agent: Any) -> None:
        stage = Stage(task, self._folder / task, self.wires, self.learner)
        stage.output_dir.mkdir(parents=True, exist_ok=True)
        self.stages[task] = stage
        stage.run(agent)
        assert stage.attached.wait(DEADLINE_S), stage.errors

    # Frames

    def come(self, **packets: list[Any] | None) -> None:
        """Packets come to users, by name, all at once; None ends a source. They have when this returns."""
        for name, each in packets.items():
            before = self.packets(name)._number
            frame_sources.coming[name].append(each)
            if each is None:
                until(lambda name=name: self.packets(name).source_ended, f"the end of {name}'s source")  # type: ignore[misc]
            else:
                until(
                    lambda n=name, e=each, b=before: self.packets(n)._number >= b + len(e),
                    f"packets of {name}",
                )  # type: ignore[misc]

    def frame(self, *, settled: bool = True, flows: bool = False) -> None:
        """The next frame: begun, granted, and all done that was granted. flows: time goes on a little until grants are
        given, so that nobody waits for ever for a report that is lost."""
        self.turn()
        self.granted(flows=flows)
        if settled:
            self.settled()

    def turn(self) -> None:
        """On to when the next frame begins."""
        self._frames += 1
        self.clock.turn(self._frames * self.frame_s - (self.clock.now() - EPOCH_S))

    def granted(self, *, flows: bool = False) -> None:
        """Until the newest frame's grants are given."""

        def given() -> bool:
            if flows and self.clock.now() - EPOCH_S < (self._frames + 0.9) * self.frame_s:
                self.clock.turn(0.01 * self.frame_s)
            return self.learner.keeps > self._frames

        until(given, f"the grants of frame {self._frames}")

    def stand(self) -> bool:
        """Whether all lines do, at both ends."""
        ends = [*self.server._peers.values(), *(user._server for user in self.users.values())]
        return all(end.standing for end in ends)

    def settled(self) -> None:
        until(lambda: all(map(_settled, self.all_packets())), "what was granted")

    def packets(self, name: str) -> Packets:
        return self.users[self.recipe["users"][name]["device"]]._users[name]

    def all_packets(self) -> list[Packets]:
        return [packets for user in self.users.values() for packets in user._users.values()]

    def told(self, name: str | None = None) -> dict[str, Any]:
        told = self.server.told()
        return told if name is None else told["users"][name]

    def check(self) -> None:
        """All packets of frames that are over are accounted for, by the server and by each user."""
        told = self.told()
        for counts in (told, *told["users"].values()):
            assert counts["arrived"] == counts["sent"] + counts["local"] + counts["dropped"]
        for packets in self.all_packets():
            totals = packets.totals
            assert totals.arrived == totals.sent + totals.local + totals.dropped


def _settled(user: Packets) -> bool:
    """Granted, and nothing under way that could still be done."""
    more = user._waiting and (user._send_taken < user._send_most or user._local_taken < user._local_most)
    return user._granted and not (more or user._sending or user._computing or user.under_way)


# What most jobs in tests are

DEAR, CHEAP = 1e9, 1e-9
"""Watts, by which a policy's choice is plain."""


def power(*, local_w: float, send_w: float) -> dict[str, Any]:
    return {"idle_w": 0.0, "local_w": local_w, "send_w": send_w}


def all_of(names: str, **each: Any) -> dict[str, Any]:
    return dict.fromkeys(names, each)


SEND = {"power": power(local_w=DEAR, send_w=CHEAP), "lambda": 1.0}
COMPUTE = {"power": power(local_w=CHEAP, send_w=DEAR), "lambda": 1.0}
SOME = {"M": 1e-3, "rho": 0.001}
"""Energy hardly counts, and hardly anything may be dropped: what is cheap is done from the second packet on."""


def warm(job: Job, *names: str) -> None:
    """A first packet is dropped, since no queue asks for it; from then on queues do."""
    job.frame()
    job.frame()
    assert all(job.packets(name).queue > 0.5 for name in names)
