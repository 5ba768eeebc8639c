"""Policies of camera streams by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

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
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        known = ", ".join(STREAM_POLICIES)
        raise ValueError(f"unknown policy {name!r} of streams, expected one of {known}, or module:function")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot load policy {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"policy {name!r} is a {type(found).__name__}, expected a function of an instance")
    return found  # type: ignore[no-any-return]
