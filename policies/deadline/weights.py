"""What a user is worth by the number of slots in which it may send: W^(y)(L, E)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.deadline.frame import Floats, Frame, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """gain: shape (..., N, T + 1), W^(y) of JOS for y = 0 ... T slots. sending, computing: the slots that attain it."""

    gain: Floats
    sending: Ints
    computing: Ints


def weights(frame: Frame, price: float | Floats = 0.0) -> Weights:
    """W^(y) = max over k <= y and l <= T of X min(A, mu l + C k) - M (e_local l + e_send k).

    For a given k the best l is closed: all slots that X mu pays for, and one more for what is left over if that pays.
    Ties go to fewer slots. price: of a packet that is sent, beside its energy; shape (...). O(N T).
    """
    k = np.arange(frame.T + 1)
    X, A, mu = (value[..., None] for value in (frame.X, frame.A, frame.mu))
    sent = np.minimum(A, frame.C[..., None] * k)
    computing = _computing(X, A - sent, mu, frame.M * frame.e_local[..., None], frame.T)
    saved = sent + np.minimum(A - sent, mu * computing)
    energy = frame.e_send[..., None] * k + frame.e_local[..., None] * computing
    value = X * saved - frame.M * energy - np.asarray(price)[..., None, None] * sent
    best = _first_best(value)
    return Weights(
        gain=np.take_along_axis(value, best, axis=-1),
        sending=best,
        computing=np.take_along_axis(computing, best, axis=-1),
    )


def _computing(X: Floats, left: Floats, mu: Floats, cost: Floats, T: int) -> Ints:
    """The best number of slots to compute in, for so many packets left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        full = np.where((mu > 0) & (X * mu > cost), np.floor(left / np.where(mu > 0, mu, 1.0)), 0.0)
    partial = (full < T) & (X * np.minimum(left - full * mu, mu) > cost) & (mu > 0)
    slots: Ints = (np.minimum(full, T) + partial).astype(np.int64)
    return slots


def _first_best(value: Floats) -> Ints:
    """For each y the smallest k <= y of the largest value."""
    highest = np.maximum.accumulate(value, axis=-1)
    rises = np.concatenate(
        [np.ones((*value.shape[:-1], 1), dtype=bool), highest[..., 1:] > highest[..., :-1]], axis=-1
    )
    places = np.where(rises, np.arange(value.shape[-1]), 0)
    best: Ints = np.maximum.accumulate(places, axis=-1)
    return best
