"""Settings of a simulation by name, as `--set KEY=VALUE` gives them, made into a frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, field, fields
from typing import Any, TypeVar, get_type_hints

from edgeray.errors import BadInputError
from edgeray.spec.words import listed, remedy_for_name

Settings = TypeVar("Settings")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_NONE = ("", "none")


def number(default: Any, about: str, *, least: float = -math.inf, most: float = math.inf) -> Any:
    """A field that holds a number in least ... most. about: what it is, for messages."""
    return field(default=default, metadata={"about": about, "least": least, "most": most})


def choice(default: str, about: str, *options: str) -> Any:
    """A field that holds one of some words."""
    return field(default=default, metadata={"about": about, "options": options})


def truth(default: bool, about: str) -> Any:
    """A field that is true or false."""
    return field(default=default, metadata={"about": about})


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE texts as a mapping. Raises BadInputError for one that is none, or a name that is given twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise _wrong(f"--set {pair}: has no name and value", "KEY=VALUE", "for example --set helpers=10")
        if name in found:
            raise _wrong(f"--set {pair}: '{name}' is given twice", "each name once", "leave one out")
        found[name] = value.strip()
    return found


def settings_of(kind: type[Settings], given: Mapping[str, Any]) -> Settings:
    """The dataclass with the given values, texts or numbers, and its defaults for the others.

    Raises BadInputError for a name that it does not have and for a value that does not fit.
    """
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    unknown = [name for name in given if name not in known]
    if unknown:
        names = list(known)
        raise _wrong(
            f"'{unknown[0]}' is no setting",
            f"one of {', '.join(names)}",
            remedy_for_name(unknown[0], names, "name one of these"),
        )
    return kind(**{name: _value(known[name], hints[name], value) for name, value in given.items()})


def _value(known: Field[Any], hint: Any, given: Any) -> Any:
    options = known.metadata.get("options")
    if options is not None:
        if given not in options:
            raise _unfit(known, given, f"one of {listed(options)}", remedy_for_name(str(given), options, ""))
        return given
    if hint is bool:
        return _truth(known, given)
    if given is None or (isinstance(given, str) and given.lower() in _NONE):
        if hint == float | None:
            return None
        raise _unfit(known, given, _range(known))
    value = _number(known, given)
    if hint is int and value != int(value):
        raise _unfit(known, given, f"a whole number, {_range(known)}")
    if not known.metadata["least"] <= value <= known.metadata["most"]:
        raise _unfit(known, given, _range(known))
    return int(value) if hint is int else value


def _truth(known: Field[Any], given: Any) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).lower()
    if text not in _TRUE + _FALSE:
        raise _unfit(known, given, "true or false")
    return text in _TRUE


def _number(known: Field[Any], given: Any) -> float:
    if isinstance(given, (int, float, str)) and not isinstance(given, bool):
        try:
            value = float(given)
        except (ValueError, OverflowError):
            value = math.nan
        if math.isfinite(value):
            return value
    raise _unfit(known, given, _range(known))


def _range(known: Field[Any]) -> str:
    least, most = known.metadata["least"], known.metadata["most"]
    if math.isinf(most):
        return f"a number of {least:g} or more"
    return f"a number from {least:g} to {most:g}"


def _unfit(known: Field[Any], given: Any, expected: str, remedy: str = "") -> BadInputError:
    about = known.metadata["about"]
    return _wrong(
        f"'{known.name}' is {given!r} ({about})", expected, remedy or f"its default is {known.default}"
    )


def _wrong(what: str, expected: str, remedy: str) -> BadInputError:
    return BadInputError(f"{what}\n  expected: {expected}\n  remedy:   {remedy}")
