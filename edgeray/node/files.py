"""Files on their way between the tasks of a one-shot job: a task returns a Path, its consumer gets one too.

A value travels as one item, in which a note stands for each file, and then the files' contents in chunks, so
that neither end ever holds a whole file. Paths count where they are the value, or lie in a tuple, list or
dict that is the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeray.errors import FlowError, StageError
from policies.model import TaskId

CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class FileNote:
    """Stands for a file in a value that travels."""

    name: str
    size_bytes: int


def check_files(task: TaskId, value: Any) -> None:
    """Raises StageError when a Path in the value that a task returned leads to no file."""

    def check(path: Path) -> Path:
        if not path.is_file():
            raise StageError(f"task {task} returned the path {path}, where there is no file")
        return path

    _with(value, Path, check)


def outgoing(value: Any) -> Iterator[Any]:
    """What is to be sent, in order: the value with notes for its files, then the files' chunks."""
    paths: list[tuple[Path, int]] = []

    def note(path: Path) -> FileNote:
        size_bytes = path.stat().st_size
        paths.append((path, size_bytes))
        return FileNote(path.name, size_bytes)

    yield _with(value, Path, note)
    for path, size_bytes in paths:
        yield from _chunks(path, size_bytes)


class Incoming:
    """Puts a value together again out of what outgoing gave; its files go into a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._came = False
        self._value: Any = None
        self._paths: list[tuple[Path, int]] = []

    def add(self, item: Any) -> None:
        """Take the next item. Raises FlowError for a chunk that belongs to no file."""
        if not self._came:
            self._came = True
            self._value = _with(item, FileNote, self._expect)
            return
        for path, size_bytes in self._paths:
            if path.stat().st_size < size_bytes:
                with path.open("ab") as file:
                    file.write(item)
                return
        raise FlowError("more came than the files that were announced")

    def value(self) -> Any:
        """The whole value. Raises FlowError when something is missing."""
        if not self._came:
            raise FlowError("the flow ended without a value")
        for path, size_bytes in self._paths:
            if path.stat().st_size != size_bytes:
                raise FlowError(f"{path.stat().st_size} bytes of {path.name} came, expected {size_bytes}")
        return self._value

    def _expect(self, note: FileNote) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / Path(note.name).name
        if path.exists():
            path = self._folder / f"{len(self._paths)}-{path.name}"
        path.touch(exist_ok=False)
        self._paths.append((path, note.size_bytes))
        return path


def _chunks(path: Path, size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    with path.open("rb") as file:
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise StageError(f"{path} became shorter while it was sent")
            left -= len(chunk)
            yield chunk


def _with(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The value with whatever is of this kind changed, in itself or one level down."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        found = {key: change(one) for key, one in value.items() if isinstance(one, kind)}
        return {**value, **found} if found else value
    if isinstance(value, list | tuple) and any(isinstance(one, kind) for one in value):
        parts = [change(one) if isinstance(one, kind) else one for one in value]
        if isinstance(value, list):
            return parts
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return value
