"""Reads a JSON file, and finds the line of a value when an error is to be told."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeray.errors import SpecError
from edgeray.spec.units import Quantity, UnitError
from edgeray.spec.words import kind_of, shorten
from edgeray.spec.yaml_file import read_text

_Step = str | int
_decode = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a JSON file, and the path to it. Its methods raise SpecError that points at it."""

    file: Path
    text: str
    path: tuple[_Step, ...]
    value: Any

    def error(self, what: str, *, expected: str, remedy: str) -> SpecError:
        return SpecError(f"{self.file}:{self.line}", what, expected=expected, remedy=remedy)

    @property
    def line(self) -> int:
        """Found by walking the text to it: milliseconds per megabyte."""
        at = _skip(self.text, 0)
        for step in self.path:
            at = _find(self.text, at, step)
        return self.text.count("\n", 0, at) + 1

    @property
    def name(self) -> str:
        """The path as people write it: workflow.tasks[3].runtime."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" for step in self.path)
        return "".join(steps).removeprefix(".") or "the file"

    def get(self, key: str) -> "Value | None":
        """The value of a key; None where it is missing or null."""
        if not isinstance(self.value, dict):
            raise self._wrong("an object ({...})")
        found = self.value.get(key)
        return None if found is None else Value(self.file, self.text, (*self.path, key), found)

    def at(self, key: str) -> "Value":
        found = self.get(key)
        if found is None:
            raise self.error(f"{self.name} has no '{key}'", expected=f"the key '{key}'", remedy="add it")
        return found

    def entries(self, key: str) -> "Iterator[Value]":
        """The entries of the list at a key; none where it is missing."""
        found = self.get(key)
        if found is None:
            return iter(())
        if not isinstance(found.value, list):
            raise found._wrong("a list ([...])")
        return (
            Value(self.file, self.text, (*found.path, index), entry)
            for index, entry in enumerate(found.value)
        )

    def as_text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self._wrong("text")
        return self.value

    def as_number(self, quantity: Quantity) -> float:
        """The value in the quantity's base unit."""
        if isinstance(self.value, str | dict | list):
            raise self._wrong(quantity.expected)
        try:
            return quantity.parse(self.value)
        except UnitError as error:
            raise self.error(
                f"{self.name}: {shorten(str(self.value))} {error.problem}",
                expected=error.expected,
                remedy=error.remedy,
            ) from None

    def entry_lines(self, key: str) -> list[int]:
        """The line of each entry of the list at a key."""
        start = _skip(self.text, 0)
        for step in (*self.path, key):
            start = _find(self.text, start, step)
        lines, line, before = [], self.text.count("\n", 0, start) + 1, start
        for _, position in _children(self.text, start):
            line += self.text.count("\n", before, position)
            before = position
            lines.append(line)
        return lines

    def _wrong(self, expected: str) -> SpecError:
        found = "empty text" if self.value == "" else kind_of(self.value)
        return self.error(f"{self.name} is {found}", expected=expected, remedy="write it in that form")


def read_json(file: Path, *, expected: str, at_most: int) -> Value:
    """The value in a JSON file of at_most bytes. Raises SpecError."""
    text = read_text(file, expected=expected, at_most=at_most)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(
            f"{file}:{error.lineno}",
            f"not valid JSON: {error.msg} (column {error.colno})",
            expected=expected,
            remedy="check brackets, commas and quotes on this line and the one above",
        ) from None
    except (RecursionError, ValueError) as error:
        deep = isinstance(error, RecursionError)
        raise SpecError(
            f"{file}:1",
            "not valid JSON: " + ("it is nested too deeply" if deep else "a number has thousands of digits"),
            expected=expected,
            remedy="write the file anew",
        ) from None
    return Value(file, text, (), value)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None  # no blank matches too
    return found.end()


def _find(text: str, at: int, step: _Step) -> int:
    """Where the value of a key or index starts, in the object or list at a position."""
    found = at
    for key, position in _children(text, at):
        if key == step:
            found = position
            if isinstance(step, int):
                break  # of a key that comes twice, the last counts
    return found


def _children(text: str, at: int) -> Iterator[tuple[_Step, int]]:
    """Keys or indices of the object or list that starts at a position of valid JSON, and where each value starts."""
    is_object = text[at] == "{"
    at = _skip(text, at + 1)
    index = 0
    while text[at] not in "]}":
        key: _Step = index
        if is_object:
            key, at = _decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # past the colon
        yield key, at
        at = _skip(text, _decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1
