"""A user's task code: how it is named, shipped and loaded. Non-intrusive: plain functions and classes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeray.errors import StageError
from policies.model import Job, TaskId

OUTPUT_DIR = "${OUTPUT_DIR}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCode:
    """run: "module:callable" in the app's folder. method: called per item on an instance of a class.
    items_per_s and overflow matter for sources only."""

    run: str
    args: Mapping[str, Any] = field(default_factory=dict)
    method: str = "__call__"
    items_per_s: float | None = None
    overflow: str = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPackage:
    """What a submitter hands to the scheduler.

    working_dir: the URI under which Ray holds the app's folder, or a local path (tests without Ray).
    fingerprint: of the code and its input; with a device type it names a profile in the cache.
    """

    app: str
    job: Job
    code: Mapping[TaskId, TaskCode]
    working_dir: str | None
    fingerprint: str
    needs_profile: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTask:
    """A task's code in this process: call it per item; close it once, at the end."""

    task: TaskId
    call: Callable[..., Any]
    close: Callable[[], None]


def load_task(task: TaskId, code: TaskCode, output_dir: Path) -> LoadedTask:
    """Import and set up one task: a class is made once with its args, a function gets them at each call.

    Raises StageError when the module or the callable is not there or the class cannot be made.
    """
    args = {name: _expand(value, output_dir) for name, value in code.args.items()}
    try:
        target = _find(code.run)
        if isinstance(target, type):
            instance = target(**args)
            # A source may be just iterable.
            method = code.method if hasattr(instance, code.method) else "__iter__"
            return LoadedTask(
                task=task, call=getattr(instance, method), close=getattr(instance, "close", _nothing)
            )
        return LoadedTask(task=task, call=_with_args(target, args), close=_nothing)
    except Exception as error:
        raise _not_set_up(task, code, error) from error


def load_once(task: TaskId, code: TaskCode, output_dir: Path) -> LoadedTask:
    """Import a task's code for one call: an instance of a class is made by the call, and closed by it.

    So the tasks of a one-shot job hold their models one after the other. Raises StageError as load_task does.
    """
    try:
        target = _find(code.run)
    except Exception as error:
        raise _not_set_up(task, code, error) from error
    if not isinstance(target, type):
        return load_task(task, code, output_dir)

    def call(*inputs: Any) -> Any:
        loaded = load_task(task, code, output_dir)
        try:
            return loaded.call(*inputs)
        finally:
            loaded.close()

    return LoadedTask(task=task, call=call, close=_nothing)


def iterate(task: LoadedTask) -> Iterator[Any]:
    """The items of a source. Raises StageError when its code gives nothing to iterate over."""
    items = task.call()
    if not hasattr(items, "__iter__"):
        raise StageError(
            f"source {task.task}: its code returned {type(items).__name__}; a source returns an iterator of items"
        )
    return iter(items)


def add_import_folder(folder: str | Path) -> None:
    """Make the modules of an app's folder importable."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _not_set_up(task: TaskId, code: TaskCode, error: Exception) -> StageError:
    return StageError(f"task {task}: {code.run} cannot be set up: {type(error).__name__}: {error}")


def _find(run: str) -> Any:
    module, _, name = run.partition(":")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        # What @ray.remote wrapped (Ray DAGs name it): the function or class inside is what runs here.
        target = _unwrap(getattr(target, part))
    return target


def _unwrap(value: Any) -> Any:
    if type(value).__module__.startswith("ray."):
        value = getattr(value, "_function", value)
    metadata = getattr(value, "__ray_metadata__", None)
    return value if metadata is None else getattr(metadata, "modified_class", value)


def _expand(value: Any, output_dir: Path) -> Any:
    if isinstance(value, str) and OUTPUT_DIR in value:
        output_dir.mkdir(parents=True, exist_ok=True)
        return value.replace(OUTPUT_DIR, str(output_dir))
    return value


def _with_args(function: Callable[..., Any], args: Mapping[str, Any]) -> Callable[..., Any]:
    def call(*inputs: Any) -> Any:
        return function(*inputs, **args)

    return call if args else function


def _nothing() -> None:
    return None
