"""Who gets how many slots: argmax of sum W^(y_n) - W^(0) over y with sum y <= T."""

from __future__ import annotations

import numpy as np

from policies.deadline.frame import Floats, Ints

_CLOSE = 1e-12


def best_slots(gain: Floats) -> Ints:
    """Exact: greedily where every user's gains fall from slot to slot, by `by_program` where they do not.

    gain: shape (..., N, T + 1). Slots nobody gains from stay with nobody. Greedy alone loses up to 45 % in rare cases.
    """
    steps = np.diff(gain, axis=-1)
    scale = np.abs(gain).max(initial=1.0)
    rising = (np.diff(steps, axis=-1) > _CLOSE * scale).any(axis=(-1, -2))
    flat, frames = gain.reshape(-1, *gain.shape[-2:]), rising.reshape(-1)
    slots = np.empty(flat.shape[:-1], dtype=np.int64)
    if not frames.all():
        slots[~frames] = greedily(flat[~frames])
    if frames.any():
        slots[frames] = by_program(flat[frames])
    return slots.reshape(gain.shape[:-1])


def greedily(gain: Floats) -> Ints:
    """Each slot to whom it gains most, ties to the smallest number. gain: shape (F, N, T + 1)."""
    steps = np.diff(gain, axis=-1)
    frames, users, T = steps.shape
    rows, slots = np.arange(frames), np.zeros((frames, users), dtype=np.int64)
    next_gain = steps[:, :, 0].copy()
    for _ in range(T):
        user = next_gain.argmax(axis=1)
        pays = next_gain[rows, user] > 0
        slots[rows[pays], user[pays]] += 1
        done = slots[rows, user]
        next_gain[rows, user] = np.where(done < T, steps[rows, user, np.minimum(done, T - 1)], -np.inf)
    return slots


def by_program(gain: Floats) -> Ints:
    """Dynamic programming over users and slots, O(N T^2). gain: shape (F, N, T + 1)."""
    frames, users, width = gain.shape
    given = gain - gain[:, :, :1]
    best = np.zeros((frames, width))
    choice = np.zeros((users, frames, width), dtype=np.int64)
    for user in range(users):
        tried = np.full((frames, width, width), -np.inf)  # slots so far, of these to this user
        for mine in range(width):
            tried[:, mine:, mine] = best[:, : width - mine] + given[:, user, mine : mine + 1]
        choice[user] = tried.argmax(axis=2)
        best = tried.max(axis=2)
    rows, left = np.arange(frames), np.full(frames, width - 1)
    slots = np.zeros((frames, users), dtype=np.int64)
    for user in reversed(range(users)):
        slots[:, user] = choice[user, rows, left]
        left -= slots[:, user]
    return slots
