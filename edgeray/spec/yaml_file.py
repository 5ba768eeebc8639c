"""Reads a YAML file safely, and remembers on which line each key stands."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from edgeray.errors import SpecError
from edgeray.spec.words import kind_of, listed, remedy_for_name, shorten

try:  # libyaml, ten times as fast; PyYAML's wheels bring it
    from yaml._yaml import CParser as _Parser
except ImportError:

    class _Parser(Reader, Scanner, Parser):  # type: ignore[no-redef]
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)


MAX_FILE_BYTES = 4_000_000
MAX_DEPTH = 40
MAX_VALUES = 250_000

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    # The YAML 1.2 reading, so that "12:30", "017", "1e-3" and dates are what they look like.
    _TAG + "null": (re.compile(r"~|null|Null|NULL|"), [*"~nN", ""]),
    _TAG + "bool": (re.compile(r"(?:true|false|yes|no|on|off)", re.IGNORECASE), list("tfynoTFYNO")),
    _TAG + "int": (re.compile(r"[-+]?(?:0|[1-9](?:_?[0-9])*)"), list("-+0123456789")),
    _TAG + "float": (
        re.compile(
            r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        list("-+0123456789."),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The content of a YAML file as plain dicts, lists, text and numbers. lines: by key path, from 1."""

    file: Path
    value: Any
    lines: dict[tuple[str, ...], int]

    def line(self, path: tuple[str, ...]) -> int:
        """The line of the key at path, or of the nearest key above it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def places(self) -> dict[tuple[str, ...], str]:
        """ "file:line" by key path."""
        return {path: f"{self.file}:{line}" for path, line in self.lines.items()}

    def error(self, path: tuple[str, ...], what: str, *, expected: str, remedy: str) -> SpecError:
        return SpecError(f"{self.file}:{self.line(path)}", what, expected=expected, remedy=remedy)


def read_yaml(file: Path, *, expected: str) -> Document:
    """The one document in file. expected: what the file should hold, for messages. Raises SpecError."""
    text = read_text(file, expected=expected, at_most=MAX_FILE_BYTES)
    try:
        Reader(text)  # checks that each character may stand there
        root = _Loader(text, file).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"{file}:{line}",
            f"the character U+{ord(text[error.position]):04X} may not stand in YAML",
            expected="printable text",
            remedy="remove the character",
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(file, text, error) from None
    if root is None:
        raise SpecError(
            f"{file}:1", "the file is empty", expected=expected, remedy="write it, or name another file"
        )
    lines: dict[tuple[str, ...], int] = {(): root.start_mark.line + 1}
    value = _Builder(file, lines).build(root, ())
    if not isinstance(value, dict):
        raise SpecError(
            f"{file}:{lines[()]}",
            f"the file holds {kind_of(value)}, not a mapping",
            expected=expected,
            remedy="start with lines of the form `key: value`",
        )
    return Document(file=file, value=value, lines=lines)


def read_text(file: Path, *, expected: str, at_most: int) -> str:
    """The text of a regular file of at_most bytes in UTF-8. expected: as for read_yaml. Raises SpecError."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise SpecError(
                str(file), "this is no regular file", expected=expected, remedy="name a text file"
            )
        with file.open("rb") as stream:
            content = stream.read(at_most + 1)
    except FileNotFoundError:
        raise not_found(file, expected) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(
            str(file), f"cannot be read: {reason}", expected=expected, remedy="name a file that you can read"
        ) from None
    if len(content) > at_most:
        raise SpecError(
            f"{file}:1",
            f"the file is larger than {at_most // 1_000_000} MB",
            expected=expected,
            remedy="keep data out of the file, or make it of fewer tasks",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{file}:{line}",
            f"byte 0x{content[error.start]:02x} is not UTF-8",
            expected="a text file in UTF-8",
            remedy="save the file as UTF-8",
        ) from None


def not_found(file: Path, expected: str) -> SpecError:
    """The error for a file that is not there: says what is there instead."""
    parent = file.parent
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    missing = parent / file.relative_to(parent).parts[0]
    names = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    return SpecError(
        str(file),
        f"{'the file' if missing == file else missing} is not there; "
        f"{parent}/ holds {listed(names, most=8) or 'nothing'}",
        expected=expected,
        remedy=remedy_for_name(missing.name, names, "check the path"),
    )


def _syntax_error(file: Path, text: str, error: yaml.MarkedYAMLError) -> SpecError:
    mark = error.problem_mark or error.context_mark
    line = (mark.line if mark else 0) + 1
    problem = " ".join(part for part in (error.context, error.problem) if part)
    if re.match(r" *\t", "".join(text.split("\n")[line - 1 : line])):
        remedy = "indent with spaces, not with tabs"
    elif "expected a single document" in problem:
        remedy = "keep one document in a file: remove the `---` line"
    elif "undefined alias" in problem:
        remedy = "quote a text that starts with *"
    else:
        remedy = "check indentation, colons, quotes and brackets on this line and the one above"
    return SpecError(f"{file}:{line}", f"not valid YAML: {problem}", expected="valid YAML", remedy=remedy)


class _Loader(Composer, _Parser, Resolver):
    """Composes nodes only: values are built by _Builder, so that no tag can construct an object."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own class attribute)

    def __init__(self, text: str, file: Path) -> None:
        self.file = file
        self.depth = 0
        self.nodes = 0
        _Parser.__init__(self, text)
        Composer.__init__(self)
        Resolver.__init__(self)

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.nodes += 1
        if self.nodes > 2 * MAX_VALUES:  # keys are nodes too
            raise SpecError(
                f"{self.file}:{self._line()}",
                f"holds more than {MAX_VALUES:,} values",
                expected="a job or cluster file",
                remedy="make it of fewer tasks or devices",
            )
        if self.depth > MAX_DEPTH:
            raise SpecError(
                f"{self.file}:{self._line()}",
                f"nested more than {MAX_DEPTH} levels deep",
                expected="a job or cluster file, which nests a few levels",
                remedy="flatten the file",
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _line(self) -> int:
        event = self.peek_event()
        return event.start_mark.line + 1 if event and event.start_mark else 1


for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern.pattern})\Z", _pattern.flags), _first)


class _Builder:
    """Turns nodes into plain values; keys are always text, as written."""

    def __init__(self, file: Path, lines: dict[tuple[str, ...], int]) -> None:
        self._file = file
        self._lines = lines
        self._values = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: tuple[str, ...]) -> Any:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MAX_VALUES or id(node) in self._open:
            raise SpecError(
                f"{self._file}:{line}",
                "its aliases (*name) contain themselves"
                if id(node) in self._open
                else f"holds more than {MAX_VALUES:,} values once its aliases (*name) are expanded",
                expected="a job or cluster file",
                remedy="write the values out instead of repeating them by alias",
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        self._check_tag(node, line, _TAG + ("map" if isinstance(node, yaml.MappingNode) else "seq"))
        self._open.add(id(node))
        built = (
            self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)  # type: ignore[arg-type]
        )
        self._open.remove(id(node))
        return built

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                merge = isinstance(key_node, yaml.ScalarNode)
                raise SpecError(
                    f"{self._file}:{line}",
                    "merge keys (<<) are not supported" if merge else "a key is a list or a mapping",
                    expected="keys that are plain text",
                    remedy="write the keys out" if merge else "write `key: value`",
                )
            key = key_node.value
            if key in found:
                raise SpecError(
                    f"{self._file}:{line}",
                    f"'{shorten(key)}' is given twice: on line {first_lines[key]} and on line {line}",
                    expected="each name once",
                    remedy="remove or rename one of them",
                )
            first_lines[key] = line
            scalar = isinstance(value_node, yaml.ScalarNode) and value_node.value
            self._lines[(*path, key)] = value_node.start_mark.line + 1 if scalar else line
            found[key] = self.build(value_node, (*path, key))
        return found

    def _sequence(self, node: yaml.SequenceNode, path: tuple[str, ...]) -> list[Any]:
        built = []
        for index, item in enumerate(node.value):
            self._lines[(*path, str(index))] = item.start_mark.line + 1
            if isinstance(item, yaml.ScalarNode):
                self._lines.setdefault((*path, item.value), item.start_mark.line + 1)
            built.append(self.build(item, (*path, str(index))))
        return built

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        text = node.value
        kind = node.tag.removeprefix(_TAG)
        try:
            if kind == "str":
                return text
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[
                    text.lower()
                ]
            if kind == "int":
                return int(text)
            if kind == "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            raise SpecError(
                f"{self._file}:{line}",
                f"'{shorten(text)}' cannot be read as {kind}",
                expected="text or a number",
                remedy="quote it if it is text",
            ) from None
        self._check_tag(node, line, "")
        raise AssertionError("unreachable: an unknown tag is refused")

    def _check_tag(self, node: yaml.Node, line: int, allowed: str) -> None:
        if node.tag != allowed:
            raise SpecError(
                f"{self._file}:{line}",
                f"the tag '{shorten(node.tag)}' is not allowed here",
                expected="plain YAML without tags",
                remedy="remove the tag (the word that starts with !)",
            )
