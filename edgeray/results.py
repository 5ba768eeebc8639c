"""What a one-shot job's sinks returned, as files: written by its stages, fetched and read by its submitter.

Each value becomes one file of the plainest kind that holds it. A list, tuple or dict that is no plain JSON
(an array in it, say, or a file) becomes one file a part. Pickle is the last resort.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeray.errors import ClusterError

Kind = Literal["array", "json", "text", "bytes", "file", "pickle"]
INDEX = ".index.json"  # no task has such a name
_SUFFIX: Mapping[Kind, str] = {
    "array": ".npy",
    "json": ".json",
    "text": ".txt",
    "bytes": ".bin",
    "pickle": ".pkl",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file of a job's results. file: relative to the folder of the job's results.

    part: its key or place in the value, where the value is a dict, list or tuple in parts (within); else None.
    """

    task: str
    kind: Kind
    file: str
    size_bytes: int
    part: str | int | None = None
    within: Literal["dict", "list", "tuple"] | None = None


def write_value(folder: Path, task: str, value: Any) -> None:
    """Write what a task returned, and enter it into the folder's index. Raises what pickle raises at last."""
    outputs = list(_written(folder, task, value))
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(output) for output in (*read_index(folder), *outputs)]
    (folder / INDEX).write_text(json.dumps(rows))


def read_index(folder: Path) -> tuple[Output, ...]:
    """The results in a folder; () when there are none."""
    if not (folder / INDEX).exists():
        return ()
    return tuple(Output(**row) for row in json.loads((folder / INDEX).read_text()))


def read_values(folder: Path, outputs: Sequence[Output]) -> dict[str, Any]:
    """What the tasks returned; files as Paths. Unpickles what was pickled: for results of one's own code."""
    values: dict[str, Any] = {}
    for output in outputs:
        value = _read(folder / output.file, output.kind)
        if output.within is None:
            values[output.task] = value
        else:
            values.setdefault(output.task, (output.within, {}))[1][output.part] = value
    parted = {output.task for output in outputs if output.within is not None}
    return {task: _whole(*value) if task in parted else value for task, value in values.items()}


def kept_as(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """The same outputs as the submitter keeps them: a file by its own name, where no other has it.

    Raises ClusterError for a name that leads out of the folder.
    """
    for output in outputs:
        if Path(output.file).is_absolute() or ".." in Path(output.file).parts:
            raise ClusterError(f"a result named {output.file!r} leads out of its folder")
    names = Counter(Path(output.file).name for output in outputs)
    return tuple(
        replace(output, file=name)
        if output.kind == "file" and names[name := Path(output.file).name] == 1
        else output
        for output in outputs
    )


def _written(folder: Path, task: str, value: Any) -> Iterator[Output]:
    parts = _parts(value)
    if parts is None:
        yield _write(folder, task, value)
        return
    within: Literal["dict", "list", "tuple"] = (
        "dict" if isinstance(value, dict) else "list" if isinstance(value, list) else "tuple"
    )
    for number, (key, part) in enumerate(parts):
        name = str(key) if re.fullmatch(r"[A-Za-z0-9][\w-]*", str(key)) else f"part-{number}"
        yield _write(folder, f"{task}/{name}", part, task=task, part=key, within=within)


def _parts(value: Any) -> list[tuple[str | int, Any]] | None:
    """The parts of a value that has to be kept in parts."""
    if not isinstance(value, dict | list | tuple) or not value or _is_plain(value):
        return None
    if not isinstance(value, dict):
        return list(enumerate(value))
    return list(value.items()) if all(type(key) in (str, int) for key in value) else None


def _write(folder: Path, stem: str, value: Any, task: str = "", **part: Any) -> Output:
    kind: Kind = "file"
    if isinstance(value, Path):
        path = folder / stem / value.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(value, path)
    else:
        kind, data = _encoded(value)
        path = folder / f"{stem}{_SUFFIX[kind]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "array":
            np.save(path, value, allow_pickle=False)
        else:
            path.write_bytes(data)
    return Output(
        task=task or stem,
        kind=kind,
        file=str(path.relative_to(folder)),
        size_bytes=path.stat().st_size,
        **part,
    )


def _encoded(value: Any) -> tuple[Kind, bytes]:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return "array", b""
    if isinstance(value, str):
        return "text", value.encode()
    if isinstance(value, bytes | bytearray):
        return "bytes", bytes(value)
    if _is_plain(value):
        return "json", json.dumps(value, default=np.generic.item).encode()
    return "pickle", pickle.dumps(value)


def _is_plain(value: Any) -> bool:
    """Whether JSON holds the value; tuples become lists, and numpy's numbers Python's."""
    if value is None or isinstance(value, bool | int | float | str | np.bool_ | np.integer | np.floating):
        return True
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, dict) and all(type(k) is str and _is_plain(v) for k, v in value.items())


def _read(path: Path, kind: Kind) -> Any:
    if kind == "array":
        return np.load(path, allow_pickle=False)
    if kind == "json":
        return json.loads(path.read_text())
    if kind == "text":
        return path.read_bytes().decode()
    if kind == "bytes":
        return path.read_bytes()
    return path if kind == "file" else pickle.loads(path.read_bytes())


def _whole(within: str, parts: Mapping[Any, Any]) -> Any:
    if within == "dict":
        return dict(parts)
    return list(parts.values()) if within == "list" else tuple(parts.values())
