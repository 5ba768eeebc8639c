"""Policies of camera streams by name."""

from __future__ import annotations

from collections.abc import Callable

from policies.named import function_named
from policies.streams.exact import exact
from policies.streams.instance import NoMapping, StreamInstance, StreamPlan
from policies.streams.load_aware import load_aware
from policies.streams.published import jstsh, nmno, nmwo, wmno

StreamPolicy = Callable[[StreamInstance], StreamPlan | NoMapping]

_BUILT_IN: dict[str, StreamPolicy] = {
    "nmno": nmno,
    "wmno": wmno,
    "nmwo": nmwo,
    "jstsh": jstsh,
    "load-aware": load_aware,
    "exact-latency": exact,
    "exact-fps": lambda instance: exact(instance, "fps"),
}

STREAM_POLICIES: tuple[str, ...] = tuple(_BUILT_IN)
"""The built-in ones, in the order of reports."""


def load_stream_policy(name: str) -> StreamPolicy:
    """A built-in policy, or one's own function as "module:function".

    Raises ValueError for a name that is neither.
    """
    return function_named(name, _BUILT_IN, "streams")
