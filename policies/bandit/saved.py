"""States of estimators, as plain lists, that are checked when they come back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from policies.bandit.model import Floats


def part(state: Any, name: str) -> Any:
    """Raises ValueError when there is no such part."""
    if not isinstance(state, Mapping) or name not in state:
        raise ValueError(f"a state without {name}")
    return state[name]


def count(state: Mapping[str, Any], name: str) -> int:
    """Raises ValueError for what is no count."""
    value = part(state, name)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} cannot be {value!r:.50}")
    return value


def positive(state: Mapping[str, Any], name: str) -> float:
    """Raises ValueError for what is no number above 0."""
    value = part(state, name)
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} cannot be {value!r:.50}")
    return float(value)


def theta(state: Mapping[str, Any]) -> Floats:
    """Shape (N, d), from which the other shapes follow. Raises ValueError."""
    found = _array(part(state, "theta"), np.dtype(float), "theta")
    if found.ndim != 2:
        raise ValueError(f"theta has shape {found.shape}, expected one row a helper")
    rows: Floats = found
    return rows


def put_back(estimates: object, state: Mapping[str, Any], names: Sequence[str]) -> None:
    """Set its arrays of these names, each in the shape that it has. Raises ValueError, with nothing set."""
    values = []
    for name in names:
        mine = getattr(estimates, name)
        value = _array(part(state, name), mine.dtype, name)
        if value.shape != mine.shape:
            raise ValueError(f"{name} has shape {value.shape}, expected {mine.shape}")
        values.append(value)
    for name, value in zip(names, values, strict=True):
        setattr(estimates, name, value)


def same_shape(mine: Floats, restored: Floats) -> None:
    """Raises ValueError unless a state is of as many helpers and features as the dispatcher that takes it."""
    if mine.shape != restored.shape:
        raise ValueError(f"a state of {restored.shape} helpers and features, expected {mine.shape}")


def _array(values: Any, dtype: np.dtype[Any], name: str) -> Any:
    try:
        found = np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no array: {error}") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{name} has values that are no numbers")
    return found
