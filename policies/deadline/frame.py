"""What a policy of frames is asked, and what it answers.

Any number of frames may be decided at once: arrays have shape (..., N), one value for each user, and the frames in
front of it have nothing to do with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of T slots. Made by `frame_of`; arrays of shape (..., N).

    X: virtual queue. A: packets that have come. C: packets that a user can send in a slot; 0: its channel is OFF. mu:
    packets that it computes in a slot. e_local, e_send: energy of a slot in which it computes or sends. M: how much
    energy counts against dropped packets. One user sends in a slot; a user may compute meanwhile.
    """

    X: Floats
    A: Floats
    C: Floats
    mu: Floats
    e_local: Floats
    e_send: Floats
    T: int
    M: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePlan:
    """slots: granted, y_n. sending, computing: slots in which a user does so. sent, local, dropped: packets.

    Shape (..., N) each. energy: e_send sending + e_local computing. value: shape (...), sum of X (sent + local) -
    M energy.
    """

    policy: str
    slots: Ints
    sending: Ints
    computing: Ints
    sent: Floats
    local: Floats
    dropped: Floats
    energy: Floats
    value: Floats


def frame_of(
    X: npt.ArrayLike,
    A: npt.ArrayLike,
    C: npt.ArrayLike,
    mu: npt.ArrayLike,
    *,
    T: int,
    e_local: npt.ArrayLike,
    e_send: npt.ArrayLike,
    M: float,
) -> Frame:
    """A frame; what has one number holds for all. Raises ValueError for negative numbers, NaN, infinity, T < 1."""
    named = {"X": X, "A": A, "C": C, "mu": mu, "e_local": e_local, "e_send": e_send}
    arrays = {name: np.asarray(value, dtype=float) for name, value in named.items()}
    for name, array in arrays.items():
        if not (np.isfinite(array).all() and (array >= 0).all()):
            raise ValueError(f"{name} holds a negative number, NaN or infinity")
    if T < 1 or not (np.isfinite(M) and M >= 0):
        raise ValueError(f"T is {T} and M is {M}: expected T of 1 or more, and M of 0 or more")
    try:
        shaped = np.broadcast_arrays(*(np.atleast_1d(array) for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"shapes do not go together: {shapes}") from None
    return Frame(**dict(zip(arrays, shaped, strict=True)), T=int(T), M=float(M))


def plan_of(policy: str, frame: Frame, slots: Ints, sending: Ints, computing: Ints) -> FramePlan:
    """The plan in which users send and compute in so many slots: what is sent goes first, then what is computed."""
    sent = np.minimum(frame.A, frame.C * sending)
    local = np.minimum(frame.A - sent, frame.mu * computing)
    energy = frame.e_send * sending + frame.e_local * computing
    return FramePlan(
        policy=policy,
        slots=slots,
        sending=sending,
        computing=computing,
        sent=sent,
        local=local,
        dropped=frame.A - sent - local,
        energy=energy,
        value=(frame.X * (sent + local) - frame.M * energy).sum(axis=-1),
    )


def next_queue(X: Floats, dropped: Floats, allowed: npt.ArrayLike) -> Floats:
    """X after a frame: max(X + D - B, 0). allowed: B, on average rho times the mean arrivals."""
    queue: Floats = np.maximum(X + dropped - np.asarray(allowed, dtype=float), 0.0)
    return queue


def is_infeasible(X: Floats, before: Floats, frame: Frame) -> npt.NDArray[np.bool_]:
    """Shape (..., N): users whose allowed drop rate cannot be held, as far as one can tell.

    Above 2 M e / packets a slot of the dearer of its ways, computing and sending, every packet that can be saved is; a
    queue that still grows from `before`, some frames ago, will not stop. By the cheaper way's alone users would be named
    whose queues hold: others may have the slots. A way that saves no whole packet in a frame is none.
    """
    dearer = np.full_like(X, -np.inf)
    for rate, joules in ((frame.mu, frame.e_local), (frame.C, frame.e_send)):
        price = np.divide(2 * frame.M * joules, rate, out=np.full_like(X, -np.inf), where=rate * frame.T >= 1)
        dearer = np.maximum(dearer, price)
    hopeless: npt.NDArray[np.bool_] = np.isfinite(dearer) & (dearer < X) & (before < X)
    return hopeless
