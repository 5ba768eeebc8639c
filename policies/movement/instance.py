"""What a policy of data movement is asked, and what it answers.

Source: Tu, Ruan, Wagle, Brinton, Joe-Wong 2020, "Network-Aware Optimization of Distributed Learning for Fog Computing",
eqs. 5-9. Costs have whatever unit the caller gives them, the same for all; data is counted in points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CLOSE = 1e-9
"""Relative difference of amounts that rounding explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementInstance:
    """n devices over T intervals. Made by `movement_instance`.

    D: points that a device collects in an interval, shape (T, n). c: cost of processing a point, (T, n). c_link: cost
    of sending one from i to j, (T, n, n); infinite where there is no link, and on the diagonal. f: importance of the
    error, (T, n). C: points that a device can process in an interval, (T, n), C_link: that a link takes, (T, n, n);
    infinite where nothing limits them. What is sent in interval t is processed at t + 1, and counts against C and c
    there; what would be sent in the last interval could not be processed any more, so its links are infinite, too.
    """

    D: Floats
    c: Floats
    c_link: Floats
    f: Floats
    C: Floats
    C_link: Floats

    @property
    def whole(self) -> bool:
        """Whether all data and capacities are whole points: then so are the plans of `network-aware`."""
        amounts = (self.D, self.C[np.isfinite(self.C)], self.C_link[np.isfinite(self.C_link)])
        return all(bool((array == np.floor(array)).all()) for array in amounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementPlan:
    """kept, discarded: points, shape (T, n). sent: points from i to j, shape (T, n, n).

    process, transfer, discard: costs; discard is the error's: of discarded points, or of few points where the policy's
    error is f / sqrt(G). unit: total over collected points; 0 where there are none. bound: no plan of this objective
    costs less; None where the policy proves nothing.
    """

    policy: str
    kept: Floats
    sent: Floats
    discarded: Floats
    process: float
    transfer: float
    discard: float
    bound: float | None = None

    @property
    def total(self) -> float:
        return self.process + self.transfer + self.discard

    @property
    def unit(self) -> float:
        collected = float(self.kept.sum() + self.sent.sum() + self.discarded.sum())
        return self.total / collected if collected > 0 else 0.0

    @property
    def processed(self) -> Floats:
        """G, shape (T, n): what a device kept, and what was sent to it an interval before (eq. 6)."""
        return processed(self.kept, self.sent)


def movement_instance(
    D: npt.ArrayLike,
    c: npt.ArrayLike,
    c_link: npt.ArrayLike,
    f: npt.ArrayLike,
    C: npt.ArrayLike = np.inf,
    C_link: npt.ArrayLike = np.inf,
) -> MovementInstance:
    """An instance; what lacks its first dimensions holds for all intervals, or all devices.

    c_link is infinite, or NaN (None), where there is no link. Raises ValueError that names the array for shapes that do
    not go together, negative numbers, NaN, and infinity where there has to be a number.
    """
    named = {"D": D, "c": c, "c_link": c_link, "f": f, "C": C, "C_link": C_link}
    arrays = {name: np.asarray(value, dtype=float) for name, value in named.items()}
    if arrays["D"].ndim != 2 or not arrays["D"].size:
        raise ValueError(f"D has shape {arrays['D'].shape}, expected (intervals, devices)")
    T, n = arrays["D"].shape
    shapes = {name: (T, n, n) if name.endswith("_link") else (T, n) for name in arrays}
    arrays["c_link"] = np.where(np.isnan(arrays["c_link"]), np.inf, arrays["c_link"])
    for name, array in arrays.items():
        if np.isnan(array).any() or (array < 0).any():
            raise ValueError(f"{name} holds a negative number or NaN")
        if name in ("D", "c", "f") and not np.isfinite(array).all():
            raise ValueError(f"{name} holds infinity, expected finite numbers")
        if array.ndim and array.shape != shapes[name][-array.ndim :]:
            raise ValueError(f"{name} has shape {array.shape}, expected {_shapes_text(shapes[name])}")
    full = {name: np.broadcast_to(array, shapes[name]) for name, array in arrays.items()}
    links = full["c_link"].copy()
    links[:, np.arange(n), np.arange(n)] = np.inf
    links[-1] = np.inf
    return MovementInstance(**{**full, "c_link": links})


def linear_plan(
    policy: str, instance: MovementInstance, kept: Floats, sent: Floats, *, bound: float | None = None
) -> MovementPlan:
    """The plan in which the rest is discarded, at f a point."""
    discarded = np.maximum(instance.D - kept - sent.sum(axis=2), 0.0)
    return MovementPlan(
        policy=policy,
        kept=kept,
        sent=sent,
        discarded=discarded,
        **_moving(instance, kept, sent),
        discard=float((instance.f * discarded).sum()),
        bound=bound,
    )


def sqrt_plan(
    policy: str, instance: MovementInstance, kept: Floats, sent: Floats, *, bound: float | None = None
) -> MovementPlan:
    """The same where the error is that of `sqrt_error`, and discarding costs nothing by itself."""
    return MovementPlan(
        policy=policy,
        kept=kept,
        sent=sent,
        discarded=np.maximum(instance.D - kept - sent.sum(axis=2), 0.0),
        **_moving(instance, kept, sent),
        discard=float((instance.f * sqrt_error(processed(kept, sent))).sum()),
        bound=bound,
    )


def sqrt_error(G: Floats) -> Floats:
    """Lemma 1's 1 / sqrt(G) for a device that processes G points, without its constant.

    Below one point it goes on as the tangent there, 1.5 - G / 2: convex, and finite for a device without data, which
    goes on with the model of the last aggregation.
    """
    error: Floats = np.where(G >= 1, 1 / np.sqrt(np.maximum(G, 1)), 1.5 - G / 2)
    return error


def processed(kept: Floats, sent: Floats) -> Floats:
    """G (eq. 6)."""
    G = kept.copy()
    G[1:] += sent[:-1].sum(axis=1)
    return G


def first_excess(instance: MovementInstance, kept: Floats, sent: Floats) -> str | None:
    """In words, the first device or link that is asked for more than it can do (eq. 9); None: all can."""
    G = processed(kept, sent)
    slack = CLOSE * (1 + float(instance.D.max()))
    for t, i in np.argwhere(instance.C + slack < G).tolist():
        return f"device {i} is to process {G[t, i]:g} points in interval {t}, and can process {instance.C[t, i]:g}"
    for t, i, j in np.argwhere(sent > instance.C_link + slack).tolist():
        return (
            f"link {i} to {j} is to take {sent[t, i, j]:g} points in interval {t}, "
            f"and can take {instance.C_link[t, i, j]:g}"
        )
    return None


def offload_cost(instance: MovementInstance) -> Floats:
    """Shape (T, n, n): what a point costs that i sends to j at t: the link, and j's processing at t + 1."""
    cost = instance.c_link.copy()
    cost[:-1] += instance.c[1:, None, :]
    return cost


def link_most(instance: MovementInstance) -> Floats:
    """Shape (T - 1, n, n): points that can go from i to j: no more than i has, and j can process."""
    most = np.minimum(instance.C_link[:-1], instance.D[:-1, :, None])
    np.minimum(most, instance.C[1:, None, :], out=most)
    most[~np.isfinite(instance.c_link[:-1])] = 0.0
    return most


def _moving(instance: MovementInstance, kept: Floats, sent: Floats) -> dict[str, float]:
    moved = sent > 0
    return {
        "process": float((instance.c * processed(kept, sent)).sum()),
        "transfer": float((instance.c_link[moved] * sent[moved]).sum()),
    }


def _shapes_text(shape: tuple[int, ...]) -> str:
    return " or ".join(["one number", *(str(shape[-d:]) for d in range(1, len(shape) + 1))])
