"""What the server knows of all users, and what it grants them, frame by frame. No thread, no line and no clock."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgeray.errors import BadInputError
from edgeray.frames.messages import Begin, Grant, Over, Report, Totals
from edgeray.frames.packets import local_j, send_j, whole
from edgeray.frames.recipe import Recipe
from policies.deadline.frame import Frame, FramePlan, frame_of, is_infeasible
from policies.deadline.policy import FRAME_POLICIES, djos, djos_within
from policies.model import TaskId

log = logging.getLogger(__name__)

RISING_FRAMES = 25
"""A queue that has grown over twice so many frames is rising, not only noisy."""


@dataclass(slots=True)
class Known:
    """One user. past: of its processes that are gone. slots: granted in all frames."""

    queue: float = 0.0
    session: str = ""
    past: Totals = field(default_factory=Totals)
    now: Totals = field(default_factory=Totals)
    meter: str = "declared"
    ended: bool = False
    slots: int = 0
    away: bool = True
    report: Report | None = None
    queues: deque[float] = field(default_factory=lambda: deque(maxlen=2 * RISING_FRAMES + 1))
    infeasible: bool = False
    said: bool = False

    @property
    def totals(self) -> Totals:
        return self.past + self.now


class Planner:
    """policy: of FRAME_POLICIES. Not thread-safe."""

    def __init__(self, recipe: Recipe, policy: str) -> None:
        if policy not in FRAME_POLICIES:
            raise BadInputError(
                f"policy {policy!r} decides no frames\n"
                f"  expected: one of {', '.join(FRAME_POLICIES)}\n"
                "  remedy:   choose one of these with --policy"
            )
        self.frame = -1
        self.frames = 0
        """That were begun; frame: the newest of them, or their number once all are over."""
        self._recipe, self._policy = recipe, policy
        self._users = {name: Known() for name in recipe.users}
        on_device = [user.device for user in recipe.users.values()]
        self._sharing = {name: on_device.count(user.device) for name, user in recipe.users.items()}

    # A frame

    def begin(self) -> dict[str, Begin]:
        """The next frame's first word to each user."""
        self.frame, self.frames = self.frames, self.frames + 1
        return {
            name: Begin(user=name, frame=self.frame, policy=self._policy, queue=user.queue, known=user.totals)
            for name, user in self._users.items()
        }

    def end(self) -> dict[str, Over]:
        """The last frame is over."""
        self.frame = self.frames
        return {name: Over(user=name, frame=self.frame) for name in self._users}

    def take(self, report: Report) -> None:
        """What a user says of its frames so far; also late, and twice."""
        user = self._users[report.user]
        if report.session != user.session:
            user.past, user.now, user.session = user.totals, Totals(), report.session
        if report.totals.frames < user.now.frames:
            return
        user.now, user.queue, user.report = report.totals, report.queue, report
        user.meter, user.ended = report.meter, report.ended

    def reported(self, name: str) -> bool:
        """Whether a user has answered the newest word, of `begin` or `end`."""
        report = self._users[name].report
        return report is not None and report.frame == self.frame

    def plan(self, capacity: float | None = None) -> dict[str, Grant]:
        """What each user is granted that has reported in this frame; the others are away, and planned without.

        capacity: packets that the server can do in a frame, as it has measured; the policy "djos" keeps to it.
        """
        names = [name for name in self._users if self.reported(name)]
        for name, user in self._users.items():
            user.away = name not in names
        if not names:
            return {}
        frame = self._frame(names)
        decided = self._decide(frame, capacity)
        self._watch(names, frame)
        return {name: self._grant(name, decided, index) for index, name in enumerate(names)}

    def rates_bps(self, grants: Mapping[str, Grant]) -> dict[TaskId, float]:
        """What each users' task has of the link; their sum is no more than the link's rate."""
        rates: dict[TaskId, float] = {}
        for name, user in self._recipe.users.items():
            slots = grants[name].slots if name in grants else 0
            rates[user.task] = rates.get(user.task, 0.0) + self._recipe.rate_bps(slots)
        return rates

    @property
    def ended(self) -> bool:
        """Whether no packet will come any more, as far as users were heard of."""
        return all(user.ended for user in self._users.values())

    @property
    def present_ended(self) -> bool:
        """The same of the users that are there; False where nobody is."""
        present = [user for user in self._users.values() if not user.away]
        return bool(present) and all(user.ended for user in present)

    # What is told and kept

    def told(self) -> dict[str, Any]:
        """Plain data, counted since the job's start. slots: granted."""
        together = sum((user.totals for user in self._users.values()), Totals())
        return {
            "policy": self._policy,
            "frames": self.frames,
            **_counts(together),
            "meter": ", ".join(sorted({user.meter for user in self._users.values()})),
            "energy_per_user_frame_j": together.energy_j / together.frames if together.frames else 0.0,
            "infeasible": [name for name, user in self._users.items() if user.infeasible],
            "users": {
                name: {
                    "queue": user.queue,
                    **_counts(user.totals),
                    "slots": user.slots,
                    "away": user.away,
                }
                for name, user in self._users.items()
            },
        }

    def state(self) -> dict[str, Any]:
        """Plain data, of which restore goes on."""
        return {
            "frames": self.frames,
            "users": {
                name: {
                    "queue": user.queue,
                    "session": user.session,
                    "past": user.past.plain(),
                    "now": user.now.plain(),
                    "slots": user.slots,
                }
                for name, user in self._users.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was kept. What is damaged is left out, and said."""
        try:
            frames = int(state["frames"])
            users = {
                name: Known(
                    queue=float(told["queue"]),
                    session=str(told["session"]),
                    past=Totals.of(told["past"]),
                    now=Totals.of(told["now"]),
                    slots=int(told["slots"]),
                )
                for name, told in state["users"].items()
                if name in self._users
            }
            if not all(0 <= user.queue < float("inf") for user in users.values()):
                raise ValueError("a queue that is no length")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("the kept state is damaged (%s: %s): queues begin at 0", type(error).__name__, error)
            return
        self.frames = frames
        self._users.update(users)

    # Inside

    def _frame(self, names: list[str]) -> Frame:
        reports = [report for name in names if (report := self._users[name].report) is not None]
        specs = [self._recipe.users[name] for name in names]
        return frame_of(
            [report.queue for report in reports],
            [float(report.arrived) for report in reports],
            [report.per_slot for report in reports],
            [report.computed for report in reports],
            T=self._recipe.slots,
            e_local=[local_j(spec, self._recipe, self._sharing[spec.name]) for spec in specs],
            e_send=[send_j(spec, self._recipe) for spec in specs],
            M=self._recipe.M,
        )

    def _decide(self, frame: Frame, capacity: float | None) -> FramePlan:
        """Within capacity: a price on what is sent drops whole slots, a part of each slot wastes some: the better one."""
        plan = FRAME_POLICIES[self._policy](frame)
        if self._policy != "djos" or capacity is None or plan.sent.sum() <= capacity:
            return plan
        priced = djos_within(frame, capacity)
        evenly = djos(replace(frame, C=np.minimum(frame.C, capacity / frame.T)))
        return max(priced, evenly, key=lambda found: float(found.value))

    def _grant(self, name: str, plan: FramePlan, index: int) -> Grant:
        user, slots = self._users[name], int(plan.slots[index])
        user.slots += slots
        arrived = 0 if user.report is None else user.report.arrived
        sent = min(arrived, whole(float(plan.sent[index])))
        return Grant(
            user=name,
            frame=self.frame,
            slots=slots,
            computing=int(plan.computing[index]),
            sent=sent,
            local=min(arrived - sent, whole(float(plan.local[index]))),
            rate_bps=self._recipe.rate_bps(slots),
        )

    def _watch(self, names: list[str], frame: Frame) -> None:
        """Whose allowed drop rate cannot be held; said once a user."""
        users = [self._users[name] for name in names]
        for user in users:
            user.queues.append(user.queue)
        hopeless = _hopeless(frame, [user.queues for user in users])
        for name, user, lost in zip(names, users, hopeless, strict=True):
            user.infeasible = bool(lost)
            if user.infeasible and not user.said:
                user.said = True
                log.warning(
                    "user %s: a drop rate of %g cannot be held: all packets that can be saved are, and more are dropped\n"
                    "  remedy:   a larger 'drop', fewer or smaller packets, a wider link, or longer frames",
                    name,
                    self._recipe.rho,
                )


def _hopeless(frame: Frame, queues: list[deque[float]]) -> list[bool]:
    """Growth is asked for in both halves of what was seen, since a queue that is stable goes up and down."""
    long = np.array([len(seen) > 2 * RISING_FRAMES for seen in queues])
    middle, first = (
        np.array([seen[-1 - back] if len(seen) > back else np.inf for seen in queues])
        for back in (RISING_FRAMES, 2 * RISING_FRAMES)
    )
    grown = is_infeasible(frame.X, middle, frame) & is_infeasible(middle, first, frame)
    unable = (frame.mu * frame.T < 1) & (frame.C * frame.T < 1) & (first < middle) & (middle < frame.X)
    return [bool(each) for each in (grown | unable) & long]


def _counts(totals: Totals) -> dict[str, Any]:
    return {
        "arrived": totals.arrived,
        "sent": totals.sent,
        "local": totals.local,
        "dropped": totals.dropped,
        "drop_rate": totals.dropped / totals.arrived if totals.arrived else 0.0,
        "energy_j": totals.energy_j,
    }
