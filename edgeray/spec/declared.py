"""What the readers of foreign formats share: one-shot jobs whose numbers are all declared, without code."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgeray.errors import SpecError
from edgeray.spec.app import App, KeyPath, SourceOptions
from edgeray.spec.graph import topological_order
from policies.model import Flow, Job, JobId, Task, TaskId

MAX_TASKS = 100_000
MAX_FLOWS = 1_000_000
MAX_TEXT_BYTES = 64_000_000


def declared_app(
    file: Path,
    name: str,
    tasks: Mapping[str, Task],
    inputs: Mapping[str, Mapping[str, float]],
    places: Mapping[KeyPath, str],
) -> App:
    """The app of a one-shot job without code. inputs: bytes by producer, of each task; they form a DAG."""
    order = topological_order({task: tuple(inputs[task]) for task in tasks})
    job = Job(
        id=JobId(UniqueIds().usable(name)),
        tasks=tuple(replace(tasks[task], id=TaskId(task)) for task in order),
        flows=tuple(
            Flow(producer=TaskId(producer), consumer=TaskId(task), size_bytes=size)
            for task in order
            for producer, size in inputs[task].items()
        ),
        mode="once",
    )
    return App(
        job=job,
        code={},
        sources={TaskId(task): SourceOptions() for task in order if not inputs[task]},
        folder=file.absolute().parent,
        file=file,
        needs_profile=False,
        places=places,
    )


class UniqueIds:
    """Makes texts into ids: what ids may not hold becomes '_', and a number is added where the id is taken."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def usable(self, text: str) -> str:
        id = re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip("_.-")[:63] or "unnamed"
        base = id[:55]
        while id in self._taken:
            self._counts[base] = self._counts.get(base, 1) + 1
            id = f"{base}-{self._counts[base]}"
        self._taken.add(id)
        return id


def check_count(where: str, tasks: int, flows: int) -> None:
    """Raises SpecError for a job larger than EdgeRay reads."""
    for count, most, what in ((tasks, MAX_TASKS, "tasks"), (flows, MAX_FLOWS, "edges")):
        if count > most:
            raise SpecError(
                where,
                f"there are more than {most:,} {what}",
                expected=f"at most {MAX_TASKS:,} tasks and {MAX_FLOWS:,} edges",
                remedy="split the job, or put several tasks into one",
            )
