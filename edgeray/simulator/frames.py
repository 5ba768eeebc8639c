"""Frames with hard deadlines on one shared link, simulated in the slides' setting: energy, and dropped packets.

Source: Xu, Qin, Li, "Optimal joint offloading and wireless scheduling for parallel computing with deadlines", WiOpt
2019 (slides 20 to 22). Independent runs go side by side, one row of an array each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeray.errors import BadInputError
from edgeray.simulator.frames_limits import expecting, within
from edgeray.simulator.settings import number
from policies.deadline.bound import least_energy
from policies.deadline.frame import Floats, Frame, FramePlan, frame_of, is_infeasible, next_queue
from policies.deadline.policy import FRAME_POLICIES

Bools = npt.NDArray[np.bool_]
WITHIN, EXPECTING, STALE = "djos-within", "djos-expecting", "djos-stale"
SIMULATED_FRAMES = (*FRAME_POLICIES, WITHIN, EXPECTING, STALE)
_MOST_STATES = 3_000
"""Of all users, up to order; beyond, the bound takes too long to work out."""
_STEP = 0.02
"""Of the drop rate, relative: over which a slope is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFrames:
    """What is simulated; defaults are the slides' of one slot, with what they leave open: arrivals and `on`."""

    users: int = number(5, "how many", least=1, most=1000)
    slots: int = number(1, "of a frame (T)", least=1, most=100)
    arrivals: float = number(0.2, "packets of a user and frame, on average", least=1e-6, most=1e6)
    burst: float = number(5.0, "packets that come at once", least=1e-6, most=1e6)
    on: float = number(0.95, "the probability that a channel is ON", least=0, most=1)
    packets: float = number(5.0, "that a slot carries where the channel is ON (C)", least=0, most=1e6)
    memory: float = number(0.0, "of channels: 0 is drawn anew each frame, 1 stays", least=0, most=1)
    mu: float = number(1.0, "packets that a user computes in a slot", least=0, most=1e6)
    e_local: float = number(7.0, "energy of a slot of computing", least=0, most=1e6)
    e_send: float = number(4.0, "energy of a slot of sending", least=0, most=1e6)
    rho: float = number(0.1, "the part of packets that may be dropped", least=0, most=1)
    M: float = number(5.0, "how much energy counts against dropped packets", least=0, most=1e6)
    capacity: float | None = number(None, "packets that the server takes in a frame; none: all", least=0)
    start: float | None = number(
        None, "virtual queues at first; none: about where they will settle", least=0, most=1e9
    )
    runs: int = number(50, "independent runs, side by side", least=1, most=100_000)
    settle: float = number(0.5, "the part of the frames that is not counted", least=0, most=0.99)


THREE_SLOTS = PaperFrames(slots=3, arrivals=1.0, burst=7.0, on=0.9, packets=4.0)
"""The slides' other setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesRun:
    """One policy's runs, after they have settled. energy_error: a standard error, over the runs; NaN for one run.

    queue: the mean virtual queue; last_queue: at the end. infeasible: the part of users whose drop rate could not
    be held, as far as one can tell. frames: of all runs, those counted.
    """

    policy: str
    seed: int
    frames: int
    energy_per_user_frame: float
    energy_error: float
    drop_rate: float
    queue: float
    last_queue: float
    infeasible: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """A frame of all runs. Arrays of shape (R, N)."""

    energy: Floats
    dropped: Floats


Step = Callable[[Frame], _Done]


def simulate_frame_policy(settings: PaperFrames, policy: str, frames: int, seed: int) -> FramesRun:
    """frames: of all runs together, settling included. The same seed draws the same arrivals and channels."""
    check_frames(settings, policy)
    steps = max(1, frames // settings.runs)
    settling = min(int(settings.settle * steps), steps - 1)
    shape = (settings.runs, settings.users)
    step, rng = _step(settings, policy), np.random.default_rng(seed)
    X = np.full(shape, _start(settings))  # noqa: N806
    energy, dropped, arrived, queue = np.zeros(settings.runs), 0.0, 0.0, 0.0
    on, before = rng.random(shape) < settings.on, X
    for taken in range(steps):
        comes = rng.random(shape) < min(1.0, settings.arrivals / settings.burst)
        A: Floats = np.where(comes, settings.burst, 0.0)  # noqa: N806
        on = _next_on(on, settings, rng)
        carried: Floats = np.where(on, settings.packets, 0.0)
        done = step(_frame(settings, X, A, carried))
        X = next_queue(X, done.dropped, settings.rho * settings.arrivals)  # noqa: N806
        if taken < settling:
            before = X
            continue
        energy += done.energy.mean(axis=1)
        dropped, arrived = dropped + float(done.dropped.sum()), arrived + float(A.sum())
        queue += float(X.mean())
    counted = steps - settling
    each = energy / counted
    packets: Floats = np.full(shape, settings.packets)
    last = _frame(settings, X, np.zeros(shape), packets)
    return FramesRun(
        policy=policy,
        seed=seed,
        frames=counted * settings.runs,
        energy_per_user_frame=float(each.mean()),
        energy_error=float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan"),
        drop_rate=dropped / arrived if arrived else 0.0,
        queue=queue / counted,
        last_queue=float(X.mean()),
        infeasible=float(is_infeasible(X, before, last).mean()),
    )


def least_frame_energy(settings: PaperFrames) -> float | None:
    """The bound on the energy of a user and frame, for channels that are known and drawn anew in each frame.

    None where it does not hold, or has too many states.
    """
    return _least(settings, settings.rho)


def _least(settings: PaperFrames, rho: float) -> float | None:
    states = (settings.users + 3) * (settings.users + 2) * (settings.users + 1) // 6
    if settings.memory > 0 or settings.capacity is not None or states > _MOST_STATES:
        return None
    some = min(1.0, settings.arrivals / settings.burst)
    chances = [a * c for a in (1 - some, some) for c in (1 - settings.on, settings.on)]
    return least_energy(
        settings.users,
        np.array([[a, c] for a in (0.0, settings.burst) for c in (0.0, settings.packets)]),
        np.array(chances),
        mu=settings.mu,
        T=settings.slots,
        e_local=settings.e_local,
        e_send=settings.e_send,
        rho=rho,
    )


def check_frames(settings: PaperFrames, policy: str) -> None:
    """Raises BadInputError for a policy that there is not, or that the settings do not go with."""
    if policy not in SIMULATED_FRAMES:
        raise BadInputError(
            f"'{policy}' is no policy of frames\n  expected: one of {', '.join(SIMULATED_FRAMES)}\n"
            "  remedy:   name one of these"
        )
    if policy == WITHIN and settings.capacity is None:
        raise BadInputError(
            f"{WITHIN}: the server takes all packets\n  expected: a capacity, in packets a frame\n"
            "  remedy:   --set capacity=4, or the policy djos"
        )
    if settings.arrivals > settings.burst:
        raise BadInputError(
            f"arrivals is {settings.arrivals:g} and burst {settings.burst:g}\n"
            "  expected: arrivals of at most one burst a frame\n  remedy:   a larger burst"
        )


def _step(settings: PaperFrames, policy: str) -> Step:
    if policy in (EXPECTING, STALE):
        return _Unknown(settings, stale=policy == STALE)
    if policy == WITHIN:
        assert settings.capacity is not None, "it was checked"
        capacity = settings.capacity
        return lambda frame: _planned(within(frame, capacity), capacity)
    decide = FRAME_POLICIES[policy]
    return lambda frame: _planned(decide(frame), settings.capacity)


class _Unknown:
    """Channels that show only in what is acknowledged: planned anew in each slot.

    A user computes in a slot only when the plan leaves it no later one, for what is sent meanwhile need not be computed.
    belief: shape (R, N), that the channel is ON. stale: what was seen last counts as the truth.
    """

    def __init__(self, settings: PaperFrames, *, stale: bool) -> None:
        self._settings, self._stale = settings, stale
        first = 1.0 if stale else settings.on
        self._belief = np.full((settings.runs, settings.users), first)

    def __call__(self, frame: Frame) -> _Done:
        settings, belief = self._settings, self._belief
        left, energy = frame.A.copy(), np.zeros_like(frame.A)
        sent = np.zeros_like(left)
        rows = np.arange(len(left))
        for slot in range(frame.T):
            now = replace(frame, A=left, T=frame.T - slot)
            slots, computing = expecting(
                now, np.array([0.0, settings.packets]), np.stack([1 - belief, belief], axis=-1)
            )
            user = slots.argmax(axis=1)
            tries = np.zeros(left.shape, dtype=np.bool_)
            tries[rows, user] = slots[rows, user] > 0
            computes = computing >= now.T
            through = np.where(tries, np.minimum(left, frame.C), 0.0)
            left = left - through
            left = left - np.where(computes, np.minimum(left, frame.mu), 0.0)
            sent += through
            energy += frame.e_send * tries + frame.e_local * computes
            belief = np.where(tries, frame.C > 0, belief).astype(np.float64)
        drift = 0.0 if self._stale else 1 - settings.memory
        self._belief = belief + drift * (settings.on - belief)
        return _Done(energy=energy, dropped=left + _lost(sent, settings.capacity))


def _planned(plan: FramePlan, capacity: float | None) -> _Done:
    return _Done(energy=plan.energy, dropped=plan.dropped + _lost(plan.sent, capacity))


def _lost(sent: Floats, capacity: float | None) -> Floats:
    """What the server drops of what is sent in a frame: all users the same part."""
    total = sent.sum(axis=1, keepdims=True)
    if capacity is None:
        return np.zeros_like(sent)
    kept = np.minimum(1.0, capacity / np.maximum(total, 1e-12))
    lost: Floats = sent * (1 - kept)
    return lost


def _frame(settings: PaperFrames, X: Floats, A: Floats, C: Floats) -> Frame:  # noqa: N803
    return frame_of(
        X,
        A,
        C,
        settings.mu,
        T=settings.slots,
        e_local=settings.e_local,
        e_send=settings.e_send,
        M=settings.M,
    )


def _start(settings: PaperFrames) -> float:
    """About where virtual queues settle, so that little has to be thrown away: M times the price of a dropped packet.

    The price is how fast the least energy falls with the packets that may be dropped. Where there is no bound: where
    sending or computing begins to pay, X min(burst, C) = M e_send.
    """
    if settings.start is not None:
        return settings.start
    tighter, looser = (
        _least(settings, settings.rho * (1 - _STEP)),
        _least(settings, settings.rho * (1 + _STEP)),
    )
    if tighter is not None and looser is not None and settings.rho > 0:
        return settings.M * max(0.0, tighter - looser) / (2 * _STEP * settings.rho * settings.arrivals)
    ways = [settings.M * settings.e_send / min(settings.packets, settings.burst)] if settings.packets else []
    ways += [settings.M * settings.e_local / min(settings.mu, settings.burst)] if settings.mu else []
    return min(ways, default=0.0)


def _next_on(on: Bools, settings: PaperFrames, rng: np.random.Generator) -> Bools:
    stays, anew = rng.random(on.shape) < settings.memory, rng.random(on.shape) < settings.on
    return np.where(stays, on, anew)
