"""A task with replicas becomes several tasks, each planned to take an equal part of the items."""

from __future__ import annotations

from collections.abc import Mapping

from edgeray.spec.schema import ID_RULE, JobForm, TaskForm, is_id
from edgeray.spec.words import listed, remedy_for_name
from edgeray.spec.yaml_file import Document
from policies.bandit.registry import DISPATCHERS
from policies.model import Replicas, TaskId

DISPATCH = "hybrid"
DEADLINE_S = 1.0


def expand(document: Document, form: JobForm) -> tuple[dict[str, TaskForm], tuple[Replicas, ...]]:
    """The job's tasks with copies in the place of those that have replicas, and what belongs together.

    Of a valid DAG. Raises SpecError for replicas that cannot be.
    """
    several = [task for task, one in form.tasks.items() if len(one.replicas or ()) > 1]
    copies = {task: _copies(document, form, task) for task in several}
    tasks: dict[str, TaskForm] = {}
    for task, one in form.tasks.items():
        inputs = {name: size for fed, size in one.inputs.items() for name in copies.get(fed, {fed: None})}
        alone = one.device or (one.replicas or (None,))[0]
        for name, device in copies.get(task, {task: alone}).items():
            tasks[name] = one.model_copy(update={"inputs": inputs, "device": device})
    return tasks, tuple(_replicas(document, form, task, tuple(names)) for task, names in copies.items())


def _copies(document: Document, form: JobForm, task: str) -> dict[str, str | None]:
    """Names of a task's copies, and where each must run."""
    path, one = ("tasks", task, "replicas"), form.tasks[task]
    assert one.replicas is not None, "asked of tasks that have some"
    if form.mode == "once":
        raise document.error(
            path,
            f"task '{task}' has `replicas`, but the job runs once: there is one item",
            expected="`replicas` only in a stream",
            remedy="remove it, or write `mode: stream`",
        )
    if one.device is not None:
        raise document.error(
            path,
            f"task '{task}' has `device` and `replicas`",
            expected="one of them",
            remedy=f"write `replicas: [{one.device}, ...]`, a device for each",
        )
    if len(one.inputs) != 1:
        raise document.error(
            path,
            f"task '{task}' has `replicas` and {len(one.inputs) or 'no'} inputs",
            expected="one input, whose items are dealt out among the replicas",
            remedy="put a task before it that joins its inputs"
            if one.inputs
            else "remove it: a source is one",
        )
    [producer] = one.inputs
    if len(form.tasks[producer].replicas or ()) > 1:
        raise document.error(
            path,
            f"task '{task}' has `replicas`, and so has its input '{producer}'",
            expected="an input without: one place that deals the items out",
            remedy="put both steps into one task, or a task between them",
        )
    if all(task not in other.inputs for other in form.tasks.values()):
        raise document.error(
            path,
            f"task '{task}' has `replicas`, and no task takes its output",
            expected="a task that brings its items into order again",
            remedy=f"add a task with `inputs: [{task}]`",
        )
    return {
        _name(document, form, task, number): device for number, device in enumerate(one.replicas, start=1)
    }


def _name(document: Document, form: JobForm, task: str, number: int) -> str:
    name = f"{task}.{number}"
    if name not in form.tasks and is_id(name):
        return name
    raise document.error(
        ("tasks", task, "replicas"),
        f"replica {number} of '{task}' would be named '{name}', "
        + ("as a task is" if name in form.tasks else "which is not usable as an id"),
        expected=f"names that are free, of {ID_RULE}",
        remedy="rename one of the two" if name in form.tasks else f"give '{task}' a shorter name",
    )


def _replicas(document: Document, form: JobForm, task: str, names: tuple[str, ...]) -> Replicas:
    one = form.tasks[task]
    dispatch = one.dispatch or DISPATCH
    if dispatch not in DISPATCHERS:
        raise document.error(
            ("tasks", task, "dispatch"),
            f"there is no dispatcher '{dispatch}'",
            expected=f"one of {listed(DISPATCHERS)}",
            remedy=remedy_for_name(dispatch, DISPATCHERS, f"write `dispatch: {DISPATCH}`"),
        )
    [producer] = one.inputs
    return Replicas(
        task=TaskId(task),
        producer=TaskId(producer),
        copies=tuple(map(TaskId, names)),
        dispatch=dispatch,
        deadline_s=one.deadline or DEADLINE_S,
    )


def check_alone(document: Document, form: JobForm) -> None:
    """Raises SpecError for what only tasks with replicas may have."""
    for task, one in form.tasks.items():
        for key in ("dispatch", "deadline"):
            if getattr(one, key) is not None and one.replicas is None:
                raise document.error(
                    ("tasks", task, key),
                    f"task '{task}' has `{key}`, but no `replicas`",
                    expected=f"`{key}` only on tasks with replicas",
                    remedy="add `replicas: ...`, or remove it",
                )


def places_of_copies(
    places: Mapping[tuple[str, ...], str], replicas: tuple[Replicas, ...]
) -> dict[tuple[str, ...], str]:
    """The places of a job file, with those of each task for its copies, too."""
    found = dict(places)
    for each in replicas:
        for path, place in places.items():
            if path[:2] == ("tasks", each.task):
                found |= {("tasks", copy, *path[2:]): place for copy in each.copies}
    return found
