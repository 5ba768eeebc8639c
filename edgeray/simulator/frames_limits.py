"""DJOS where the server takes few packets, and where channels are not known: many runs at once.

The same decisions as `policies.deadline.policy.djos_within` and `djos_expecting`, which decide one frame at a time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policies.deadline.frame import Floats, Frame, FramePlan, Ints, plan_of
from policies.deadline.slots import best_slots
from policies.deadline.weights import weights

_BISECTIONS = 60


def within(frame: Frame, capacity: float) -> FramePlan:
    """frame: shape (R, N). Of each run that would send more than the capacity, the least price at which it does not."""
    slots, sending, computing = _priced(frame, np.zeros(len(frame.X)))
    free = plan_of("djos-within", frame, slots, sending, computing)
    over = free.sent.sum(axis=1) > capacity
    if not over.any():
        return free
    held = _rows(frame, over)
    low, high = np.zeros(len(held.X)), held.X.max(axis=1) + 1.0
    for _ in range(_BISECTIONS):
        price = (low + high) / 2
        sent = np.minimum(held.A, held.C * _priced(held, price)[1]).sum(axis=1)
        fits = sent <= capacity
        high, low = np.where(fits, price, high), np.where(fits, low, price)
    for all_runs, priced in zip((slots, sending, computing), _priced(held, high), strict=True):
        all_runs[over] = priced
    return plan_of("djos-within", frame, slots, sending, computing)


def expecting(frame: Frame, channels: Floats, belief: Floats) -> tuple[Ints, Ints]:
    """Slots granted to users whose channels are not known, and slots in which they compute; shape (R, N) each.

    frame: shape (R, N); its C is not looked at. channels: shape (S,), packets a slot in each state. belief: shape (R, N,
    S), its probabilities. Computing is reckoned for the mean channel.
    """
    expected = sum(
        belief[..., state, None] * _sending_exactly(frame, float(packets))
        for state, packets in enumerate(channels)
    )
    slots = best_slots(np.maximum.accumulate(expected, axis=-1))
    found = weights(replace(frame, C=(belief * channels).sum(axis=-1)))
    return slots, np.take_along_axis(found.computing, slots[..., None], axis=-1)[..., 0]


def _sending_exactly(frame: Frame, packets: float) -> Floats:
    """Shape (R, N, T + 1): what k slots of sending are worth when all are used, whether or not they carry anything."""
    k = np.arange(frame.T + 1)
    sent = np.minimum(frame.A[..., None], packets * k)
    left = frame.A[..., None] - sent
    nothing = np.zeros_like(left)
    same = {name: getattr(frame, name)[..., None] + nothing for name in ("X", "mu", "e_local")}
    alone = weights(replace(frame, A=left, C=nothing, e_send=nothing, **same)).gain[..., 0]
    worth: Floats = frame.X[..., None] * sent - frame.M * frame.e_send[..., None] * k + alone
    return worth


def _priced(frame: Frame, price: Floats) -> tuple[Ints, Ints, Ints]:
    """Slots, sending and computing slots at a price of a sent packet, by run: djos at a price of 0."""
    found = weights(frame, price)
    slots = best_slots(found.gain)
    at = slots[..., None]
    return (
        slots,
        np.take_along_axis(found.sending, at, axis=-1)[..., 0],
        np.take_along_axis(found.computing, at, axis=-1)[..., 0],
    )


def _rows(frame: Frame, which: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Frame:
    names = ("X", "A", "C", "mu", "e_local", "e_send")
    return replace(frame, **{name: getattr(frame, name)[which] for name in names})
