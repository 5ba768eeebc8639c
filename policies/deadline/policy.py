"""Policies of frames: the slides' baselines and rule, JOS, and DJOS.

Source: Xu, Qin, Li, "Optimal joint offloading and wireless scheduling for parallel computing with deadlines", WiOpt
2019 (slides). Drop rates stay within what is allowed as long as the virtual queue X is stable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from policies.deadline.frame import Floats, Frame, FramePlan, Ints, plan_of
from policies.deadline.slots import best_slots, by_program
from policies.deadline.weights import Weights, weights

FramePolicy = Callable[[Frame], FramePlan]
_BISECTIONS = 60


def djos(frame: Frame) -> FramePlan:
    """The best slots, and for them the best offloading: exact for JOS' objective. See `best_slots`."""
    found = weights(frame)
    return _with_slots("djos", frame, found, best_slots(found.gain))


def jos(frame: Frame) -> FramePlan:
    """The same by dynamic programming throughout, for reference."""
    found = weights(frame)
    flat = found.gain.reshape(-1, *found.gain.shape[-2:])
    return _with_slots("jos", frame, found, by_program(flat).reshape(frame.X.shape))


def djos_slides(frame: Frame) -> FramePlan:
    """The slides' literal rule: all slots by weight gaps; whoever has some sends in all of them if that pays, and then
    computes what is left over if that pays.

    Slots that nobody gains from are granted, too: to the first user, as an argmax over zeros does. The rule never
    asks whether computing alone would be better, and so differs from `djos` here and there. Where neither pays the
    slide's cell is unreadable; taken for: everything is dropped.
    """
    slots = best_slots(weights(frame).gain)
    slots[..., 0] += frame.T - slots.sum(axis=-1)
    sent = np.minimum(frame.A, frame.C * slots)
    sends = (slots > 0) & (frame.X * sent - frame.M * frame.e_send * slots >= 0) & (sent > 0)
    left = np.maximum(frame.A - frame.C * slots, 0.0)
    needed = np.where(frame.mu > 0, np.ceil(left / np.where(frame.mu > 0, frame.mu, 1.0)), 0.0)
    computing = np.minimum(needed, frame.T)
    pays = (frame.X * np.minimum(left, frame.mu * frame.T) - frame.M * frame.e_local * computing >= 0) & (
        left > 0
    )
    whole = np.where(frame.mu > 0, np.ceil(frame.A / np.where(frame.mu > 0, frame.mu, 1.0)), 0.0)
    computing = np.where(pays, np.where(sends, computing, np.minimum(whole, frame.T)), 0.0)
    return plan_of(
        "djos-slides", frame, slots, np.where(sends, slots, 0).astype(np.int64), computing.astype(np.int64)
    )


def lfos(frame: Frame) -> FramePlan:
    """Local first: in each slot everyone with backlog computes, then one user that has some left sends: whoever can
    send most in the slot, ties to the smallest number.

    That rule reproduces both the slides' example and their curves; always the first user gives the example only.
    """
    return _slot_by_slot("lfos", frame, local_first=True)


def efos(frame: Frame) -> FramePlan:
    """Edge first: in each slot the one user that can send most does, then everyone with backlog computes. See `lfos`."""
    return _slot_by_slot("efos", frame, local_first=False)


def djos_within(frame: Frame, capacity: float) -> FramePlan:
    """DJOS where the server takes `capacity` packets a frame at most. frame: one, of shape (N,).

    Ours: a price on sent packets, bisected until what is sent fits; what the last step of the price leaves over is not
    used. An unaware plan has packets sent that the server then drops, and its queue diverges.
    """
    free = djos(frame)
    if free.sent.sum() <= capacity:
        return free
    low, high = 0.0, float(frame.X.max()) + 1.0  # at this price nothing is sent
    for _ in range(_BISECTIONS):
        price = (low + high) / 2
        found = weights(frame, price)
        plan = _with_slots("djos", frame, found, best_slots(found.gain))
        if plan.sent.sum() <= capacity:
            high = price
        else:
            low = price
    found = weights(frame, high)
    return _with_slots("djos", frame, found, best_slots(found.gain))


def djos_expecting(frame: Frame, channels: Floats, belief: Floats) -> FramePlan:
    """DJOS for channels that are not known: slots by the expected weights, to be planned anew after each slot.

    channels: shape (S,), packets a slot in each state. belief: shape (N, S), its probability by user. frame.C is not
    looked at; the plan's packets are those of the expected channel. Taking a stale state for the truth would have users
    send in slots that carry nothing, for ever.
    """
    gains = []
    for state, packets in enumerate(channels):
        known = replace(frame, C=np.full_like(frame.X, packets))
        gains.append(belief[:, state, None] * _sending_exactly(known))
    expected = sum(gains[1:], gains[0])
    slots = best_slots(np.maximum.accumulate(expected, axis=-1))
    seen = replace(frame, C=(belief * channels).sum(axis=1))
    return _with_slots("djos", seen, weights(seen), slots)


def _sending_exactly(frame: Frame) -> Floats:
    """Shape (N, T + 1): what k slots of sending are worth when all k are used, whether or not they carry anything."""
    k = np.arange(frame.T + 1)
    sent = np.minimum(frame.A[:, None], frame.C[:, None] * k)
    left = frame.A[:, None] - sent
    X, mu, e_local = (np.broadcast_to(one[:, None], left.shape) for one in (frame.X, frame.mu, frame.e_local))
    nothing = np.zeros_like(left)
    alone = weights(replace(frame, X=X, A=left, C=nothing, mu=mu, e_local=e_local, e_send=nothing)).gain[
        ..., 0
    ]
    worth: Floats = frame.X[:, None] * sent - frame.M * frame.e_send[:, None] * k + alone
    return worth


def _with_slots(policy: str, frame: Frame, found: Weights, slots: Ints) -> FramePlan:
    at = slots[..., None]
    sending = np.take_along_axis(found.sending, at, axis=-1)[..., 0]
    computing = np.take_along_axis(found.computing, at, axis=-1)[..., 0]
    return plan_of(policy, frame, slots, sending, computing)


def _slot_by_slot(policy: str, frame: Frame, *, local_first: bool) -> FramePlan:
    backlog = frame.A.copy()
    sending, computing = np.zeros((2, *frame.A.shape), dtype=np.int64)
    local, sent = np.zeros((2, *frame.A.shape))
    for _ in range(frame.T):
        for compute in (local_first, not local_first):
            done = np.minimum(backlog, frame.mu if compute else frame.C)
            able = done > 0
            if not compute:
                able &= np.arange(done.shape[-1]) == done.argmax(axis=-1)[..., None]
                done = np.where(able, done, 0.0)
            backlog -= done
            if compute:
                computing += able
                local += done
            else:
                sending += able
                sent += done
    energy = frame.e_send * sending + frame.e_local * computing
    return FramePlan(
        policy=policy,
        slots=sending,
        sending=sending,
        computing=computing,
        sent=sent,
        local=local,
        dropped=backlog,
        energy=energy,
        value=(frame.X * (sent + local) - frame.M * energy).sum(axis=-1),
    )


FRAME_POLICIES: dict[str, FramePolicy] = {
    "lfos": lfos,
    "efos": efos,
    "djos-slides": djos_slides,
    "djos": djos,
    "jos": jos,
}
"""In the order of reports."""
