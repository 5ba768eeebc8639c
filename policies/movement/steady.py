"""The steady state that a plan comes to where every interval is like the one before: fractions of what is collected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from policies.movement.instance import Floats, MovementInstance, MovementPlan, movement_instance


def steady_fractions(
    decide: Callable[[MovementInstance], MovementPlan],
    D: Floats,
    c: Floats,
    c_link: Floats,
    f: Floats,
    C: npt.ArrayLike = np.inf,
    C_link: npt.ArrayLike = np.inf,
) -> tuple[Floats, Floats]:
    """Of a device's data, what it keeps, shape (n,), and sends to each other, (n, n); the rest is discarded.

    decide: a policy that looks for the cheapest plan; one that just keeps finds nothing to do here. D, c, f, C: shape
    (n,), c_link, C_link: (n, n), of an interval, as in `MovementInstance`. In a steady state what is sent arrives as
    much as what is kept. That is two intervals: all that is collected in the first, on copies of the devices that
    process in the second, where keeping is sending to one's own copy. A device without data has fractions of 0.
    Raises what the policy raises.
    """
    n = len(D)
    own, nobody = np.arange(n), np.zeros(n)
    wide_cost, wide_most = np.full((2 * n, 2 * n), np.inf), np.full((2 * n, 2 * n), np.inf)
    wide_cost[:n, n:], wide_most[:n, n:] = c_link, C_link
    wide_cost[own, n + own], wide_most[own, n + own] = 0.0, np.inf
    dear = np.full(n, 1.0 + 2.0 * float(f.max()))  # nothing is processed where, and while, it is collected
    never = np.full(n, np.inf)
    steady = movement_instance(
        np.stack([np.concatenate([D, nobody]), np.zeros(2 * n)]),
        np.stack([np.concatenate([dear, c]), np.concatenate([c, c])]),
        wide_cost,
        np.stack([np.concatenate([f, nobody]), np.concatenate([nobody, f])]),
        np.stack([np.full(2 * n, np.inf), np.concatenate([never, np.broadcast_to(C, n)])]),
        wide_most,
    )
    amount = decide(steady).sent[0, :n, n:]
    parts = np.divide(amount, D[:, None], out=np.zeros((n, n)), where=D[:, None] > 0)
    keep = parts[own, own].copy()
    parts[own, own] = 0.0
    return keep, parts
