"""How messages put values, lists and suggestions into words."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

_MOST_NAMES = 2000  # comparing takes some 20 us each


def kind_of(value: Any) -> str:
    """What a YAML value is."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text {shorten(value)!r}"
    return f"the number {shorten(str(value))}"


def shorten(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def listed(names: Iterable[str], *, between: str = ", ", most: int = 12) -> str:
    """Names in a row; of a long row the first ones and how many there are."""
    shown = [shorten(name) for name in names]
    if len(shown) <= most:
        return between.join(shown)
    return between.join([*shown[: most - 1], f"… ({len(shown)} in all)"])


def remedy_for_name(name: str, known: Sequence[str], otherwise: str) -> str:
    """ "did you mean ...?", or otherwise when no known name is close."""
    close = get_close_matches(name, known[:_MOST_NAMES], n=1)
    return f"did you mean '{close[0]}'?" if close else otherwise
