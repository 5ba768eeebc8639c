"""What a dispatcher is asked, and what it is told afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One item, and N helpers that could take it. Arrays are in the order of the dispatcher's helpers.

    features: shape (N, d), what TOOF learns from; what is not known is NaN. queue: shape (N,), items that wait there:
    by telemetry, and sent since. predicted_s: shape (N,), when the item would be back, reckoned from queue, work and
    link. deadline_s: from now. size, complexity: of the item, relative to the mean item; 1 for the mean one.
    transfer_s: shape (N,), the sending's part of predicted_s.
    """

    features: Floats
    queue: Floats
    predicted_s: Floats
    transfer_s: Floats
    deadline_s: float
    size: float = 1.0
    complexity: float = 1.0


class Dispatcher(Protocol):
    """Sends items to helpers, numbered from 0. Not thread-safe."""

    @property
    def name(self) -> str: ...

    def choose(self, offer: Offer) -> int | None:
        """The helper for this item; None: it is refused, for it would be late in any case."""
        ...

    def feedback(self, helper: int, offer: Offer, happy: bool) -> None:
        """Whether an item that helper was chosen for met its deadline. offer: that of its dispatch, however late."""
        ...

    def resize(self, kept: list[int | None]) -> None:
        """The helpers have changed: helper i is the one that had number kept[i], None: a new one."""
        ...

    def estimate(self, offer: Offer) -> Floats | None:
        """Shape (N,): how probable it is that each helper would be in time; None where it predicts nothing."""
        ...


@runtime_checkable
class Learning(Dispatcher, Protocol):
    """A dispatcher that learns from bits. What a helper learns from is its own row of the offer."""

    def decided(self) -> None:
        """A decision was made: by `choose`, or by another copy, whose bits this one learns from."""
        ...

    def state(self) -> dict[str, Any]:
        """All that was learned, as plain lists (JSON)."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as the one whose state this is. Raises ValueError when it is no state of so many helpers and features."""
        ...


def clean(features: Floats) -> Floats:
    """Features that can be learned from: NaN and infinities count as 0, not known; rows are at most 1 long."""
    if not math.isfinite(features.sum()):
        features = np.nan_to_num(features, nan=0.0, posinf=0.0, neginf=0.0)
    squares = np.einsum("nd,nd->n", features, features)
    if squares.max() > 1:
        features = features / np.sqrt(np.maximum(squares, 1.0))[:, None]
    return features


def norms(x: Floats, matrices: Floats) -> Floats:
    """Shape (N,): the length of each x_n in the norm of its matrix. x: shape (N, d); matrices: shape (N, d, d)."""
    squares = np.einsum("nd,nd->n", np.matmul(x[:, None, :], matrices)[:, 0], x)
    lengths: Floats = np.sqrt(np.maximum(squares, 0.0))
    return lengths
