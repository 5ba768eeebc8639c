"""Functions by name: built-in ones, and one's own as "module:function"."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def function_named(name: str, built_in: Mapping[str, F], of: str) -> F:
    """of: what the policies are of, for messages. Raises ValueError for a name that is neither."""
    if name in built_in:
        return built_in[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(
            f"unknown policy {name!r} of {of}, expected one of {', '.join(built_in)}, or module:function"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot load policy {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"policy {name!r} is a {type(found).__name__}, expected a function of an instance")
    return found  # type: ignore[no-any-return]
