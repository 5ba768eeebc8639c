"""Whose turn it is where a timetable says the order: tasks of a one-shot job on a device. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def next_turn(
    order: Sequence[T], due_s: Mapping[T, float], ready: Callable[[T], bool], elapsed_s: float
) -> T | None:
    """Who goes next of those that are left, in the order of their planned starts; None: wait.

    The one planned next goes as soon as it is ready, also before its time. Once its time has passed and it
    is not ready, anyone ready goes, the earliest planned first. While None, look again when somebody gets
    ready, and when order[0] is due.
    """
    if not order:
        return None
    if elapsed_s < due_s[order[0]]:
        return order[0] if ready(order[0]) else None
    return next((one for one in order if ready(one)), None)
