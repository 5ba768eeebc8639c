"""The server's and the users' decisions under a virtual clock: no thread, no line; links and processors do as told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeray.energy import DeclaredPower
from edgeray.frames.messages import Grant
from edgeray.frames.packets import Packets
from edgeray.frames.planner import Planner
from edgeray.frames.recipe import Recipe

BYTES = 1000
SLACK_S = 1e-9
"""Sums of many short times are not exact."""


def recipe_of(names: str = "ab", *, packets_a_slot: float = 4, **changes: Any) -> dict[str, Any]:
    """Users of one letter each, on devices of their own; the link carries so many packets of BYTES in a slot."""
    slot_s = changes.get("slot_s", 1.0)
    user = {
        "source": {"run": "frame_sources:Scripted", "args": {}, "rate_per_s": None, "items": None},
        "lambda": None,
        "power": {"idle_w": 0.0, "local_w": 7.0, "send_w": 4.0},
    }
    own = changes.pop("users", {})
    return {
        "server": "server",
        "users": {
            name: {"task": f"user-{name}", "device": name, **user, **own.get(name, {})} for name in names
        },
        "work": {"run": "frame_sources:work", "args": {}},
        "slots": 3,
        "slot_s": slot_s,
        "rho": 0.1,
        "M": 5.0,
        "link_bps": packets_a_slot * BYTES * 8 / slot_s,
        "floor_bps": 0.0,
        "frames": None,
        **changes,
    }


@dataclass
class World:
    """Frames of a job. link: the part of its rate that the link has, by frame. seconds: that a packet takes to compute,
    by user. comes: packets that come to a user in a frame."""

    told: Mapping[str, Any]
    policy: str = "djos"
    seconds: float = 1.0
    comes: Callable[[str, int], int] = lambda name, frame: 0
    link: Callable[[int], float] = lambda frame: 1.0
    capacity: float | None = None
    away: set[str] = field(default_factory=set)
    now_s: float = 0.0
    sessions: int = 0

    def __post_init__(self) -> None:
        self.recipe = Recipe.of(self.told)
        self.planner = Planner(self.recipe, self.policy)
        self.users = {name: self.user(name) for name in self.recipe.users}
        self.grants: dict[str, Grant] = {}

    def user(self, name: str) -> Packets:
        """A new process of a user."""
        spec = self.recipe.users[name]
        watts = {"idle_w": spec.power.idle_w, "local_w": spec.power.local_w, "send_w": spec.power.send_w}
        power = DeclaredPower(**watts, clock=lambda: self.now_s)
        self.sessions += 1
        packets = Packets(spec, self.recipe, power, power, sharing=1, session=str(self.sessions))
        packets.measured(seconds=self.seconds, size_bytes=BYTES)
        return packets

    def frames(self, number: int) -> None:
        for _ in range(number):
            self.frame()

    def frame(self) -> None:
        """The next frame, from its begin until just before the one behind it."""
        words = self.planner.begin()
        for name, user in self.users.items():
            if name not in self.away:
                self.planner.take(user.begin(words[name], self.now_s))
        self.grants = self.planner.plan(self.capacity)
        for name, grant in self.grants.items():
            self.users[name].grant(grant)
        for name, user in self.users.items():
            self._send(user)
            self._compute(user)
            for _ in range(self.comes(name, self.planner.frame)):
                user.arrive(None, self.now_s)
        self.now_s += self.recipe.frame_s
        for name in self.away:
            while self.users[name].tick(self.now_s):
                self._compute(self.users[name])

    def end(self) -> None:
        words = self.planner.end()
        for name, user in self.users.items():
            if name not in self.away:
                self.planner.take(user.end(words[name].frame))

    def _send(self, user: Packets) -> None:
        at_s, by_s = self.now_s, self.now_s + self.recipe.frame_s + SLACK_S
        while (packet := user.next_sent(at_s, ahead_bytes=0, rate_bps=user.rate_bps or 1.0)) is not None:
            user.send(packet.number, BYTES)
            user.got(packet.number)
            part = self.link(self.planner.frame)
            at_s += 8 * BYTES / (part * user.rate_bps) if part else float("inf")
            if at_s <= by_s:
                user.done(packet.number)

    def _compute(self, user: Packets) -> None:
        at_s, by_s = self.now_s, self.now_s + self.recipe.frame_s + SLACK_S
        while at_s < by_s and (packet := user.next_local()) is not None:
            at_s += self.seconds
            user.computed(packet.number, self.seconds, at_s - SLACK_S)

    def rates_sum(self) -> float:
        return sum(self.planner.rates_bps(self.grants).values())
