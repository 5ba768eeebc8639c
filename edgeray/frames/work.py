"""A job's own code: the work on a packet, and where packets come from."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from edgeray.errors import EdgeRayError, StageError
from edgeray.node.code import OUTPUT_DIR, LoadedTask, TaskCode, iterate, load_task
from policies.model import TaskId

RESULTS = "results"
"""Of a job's folder on a device: what lies there can be fetched."""


class Work:
    """Loaded when it is made, before the device's CPU limit holds; by `load` where its arguments name a folder."""

    def __init__(self, code: TaskCode) -> None:
        self._code = code
        self._task: LoadedTask | None = None
        if not any(isinstance(value, str) and OUTPUT_DIR in value for value in code.args.values()):
            self._task = load_task(TaskId("work"), code, Path())

    def load(self, output_dir: Path) -> None:
        if self._task is None:
            self._task = load_task(TaskId("work"), self._code, output_dir / RESULTS)

    def __call__(self, item: Any, whose: str) -> None:
        """What it returns is dropped: work that finds something writes it, or sends it on. Raises StageError."""
        assert self._task is not None, "load() comes first"
        try:
            self._task.call(item)
        except EdgeRayError as error:
            raise StageError(f"work on a packet of user {whose}: {error}") from error
        except Exception as error:
            raise StageError(
                f"work on a packet of user {whose} raised {type(error).__name__}: {error}"
            ) from error

    def close(self) -> None:
        if self._task is not None:
            self._task.close()


def items_of(user: str, code: TaskCode, output_dir: Path) -> Generator[list[Any], None, None]:
    """What a source gives, each time as a list of packets that come at once. Raises StageError."""
    loaded = load_task(TaskId(f"source of user {user}"), code, output_dir / RESULTS)
    try:
        for item in iterate(loaded):
            yield item if isinstance(item, list) else [item]
    except EdgeRayError:
        raise
    except Exception as error:
        raise StageError(f"the source of user {user} raised {type(error).__name__}: {error}") from error
    finally:
        loaded.close()
