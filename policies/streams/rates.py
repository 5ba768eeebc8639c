"""The frame rates that streams have together, each as fast as what it needs allows."""

from __future__ import annotations

import numpy as np

from policies.streams.instance import Floats

_FULL = 1 - 1e-9
_ROUNDS = 60
_SETTLED = 1e-7
_STARVED = 1e-3
"""What is left at least for streams that wait for their turn, as a part of the worker."""


def frame_rates(usage_s: Floats, most_per_s: Floats, free_s: Floats | None = None) -> Floats:
    """Frames a second of each stream, shape (K,): max-min fair over what all of them share.

    usage_s: shape (K, R), seconds of each resource (a device's processor, a link's direction) that a frame of a stream
    takes. free_s: shape (R,), what there is of each a second; None: one. most_per_s: shape (K,), the cameras' own rates,
    infinite for those that have none. All rates grow alike until a resource is full or a camera gives no more; whoever
    needs that stays, and the others grow on. That is what devices do that take a frame of each waiting stream in turn,
    and cameras that wait.
    A stream that needs nothing and has no rate of its own is infinite. Complexity: O(K R) a step, at most K steps.
    """
    rates = np.zeros(len(usage_s))
    free = np.ones(usage_s.shape[1]) if free_s is None else free_s.copy()
    growing = np.ones(len(usage_s), dtype=bool)
    while growing.any():
        together = usage_s[growing].sum(axis=0)
        reach = np.divide(free, together, out=np.full(len(free), np.inf), where=together > 0)
        step = min(float(reach.min(initial=np.inf)), float((most_per_s - rates)[growing].min()))
        if not np.isfinite(step):
            rates[growing] = np.inf
            break
        rates[growing] += step
        free -= step * together
        full = reach * _FULL <= step
        stays = (usage_s[:, full] > 0).any(axis=1) | (rates >= most_per_s * _FULL)
        growing &= ~stays
    return rates


def live_rates(feeding_s: Floats, urgent_s: Floats, usage_s: Floats, most_per_s: Floats) -> Floats:
    """Frames a second of each stream where cameras are read beside the detectors, shape (K,).

    feeding_s: shape (K, R), what reading and sending a frame takes of its camera's device; urgent_s: what others'
    detectors ask of a device, whose worker does that first; usage_s: all else. A worker takes its streams in turn
    (`frame_rates`), but threads that feed are light, and the kernel lets them have what they need before that, up to an
    equal share. So a stream that is only read on a slow device, or only re-identified on a busy one, is not slowed to
    what that device detects. The fixed point of all three, by damped iteration.
    """
    least = 1 / (1 + (feeding_s > 0).sum(axis=0))  # of the worker, when all that feed beside it want more
    rates = frame_rates(feeding_s + urgent_s + usage_s, most_per_s)
    if not np.isfinite(rates).all():
        return rates
    alone = np.divide(
        1.0, feeding_s.max(axis=1), out=np.full(len(rates), np.inf), where=feeding_s.max(axis=1) > 0
    )
    most = np.minimum(most_per_s, alone)
    for _ in range(_ROUNDS):
        worker = np.maximum(1 - rates @ feeding_s, least)
        in_turn = np.maximum(worker - rates @ urgent_s, _STARVED * worker)
        first = (1 - _STARVED) * worker
        fair = frame_rates(np.hstack([usage_s, urgent_s]), most, np.hstack([in_turn, first]))
        before, rates = rates, (rates + fair) / 2
        if (np.abs(rates - before) <= _SETTLED * rates).all():
            break
    # Where it has not settled, no more is promised than there is.
    return rates / max(1.0, float((rates @ (urgent_s + usage_s)).max(initial=0.0)))


def busiest(usage_s: Floats, rates: Floats) -> int | None:
    """Which resource is used most at these rates; None: none is used."""
    finite = np.where(np.isfinite(rates), rates, 0.0)
    used = finite @ usage_s
    return int(used.argmax()) if used.size and used.max() > 0 else None
