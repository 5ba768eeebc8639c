"""Reads an application: a folder with job.yaml and code, or a job file alone, in EdgeRay's form or another's."""

from collections.abc import Mapping
from pathlib import Path

from edgeray.errors import SpecError
from edgeray.spec.app import App, Code, SourceOptions
from edgeray.spec.callables import check_code
from edgeray.spec.declared import check_count
from edgeray.spec.edge_list import load_edge_list
from edgeray.spec.graph import find_cycle, topological_order
from edgeray.spec.replicas import check_alone, expand, places_of_copies
from edgeray.spec.schema import KINDS, JobForm, TaskForm, is_id
from edgeray.spec.validate import validate
from edgeray.spec.wfcommons import load_wfcommons
from edgeray.spec.words import kind_of, listed, remedy_for_name
from edgeray.spec.yaml_file import Document, not_found, read_yaml
from policies.model import DeviceId, Flow, Job, JobId, Task, TaskId

JOB_FILE = "job.yaml"
_READERS = {
    ".json": load_wfcommons,
    ".edges": load_edge_list,
    ".txt": load_edge_list,
    ".csv": load_edge_list,
}
_EXPECTED = "a job file: `kind: dataflow`, `name: ...` and `tasks: ...`"


def load_app(path: str | Path) -> App:
    """The application in a folder with job.yaml, or of a job file. Runs none of its code.

    A file that ends in .json is a WfCommons instance, one in .edges, .txt or .csv an edge list (both one-shot jobs
    that can be planned, not run); any other is YAML. Raises SpecError (file:line, what was found, what was
    expected, the remedy).
    """
    file = find_job_file(Path(path))
    if (reader := _READERS.get(file.suffix.lower())) is not None:
        return reader(file)
    document = read_yaml(file, expected=_EXPECTED)
    _check_kind(document)
    form = validate(document, JobForm)
    name = job_name(document, form.name)
    check_count(f"{file}:1", len(form.tasks), sum(len(task.inputs) for task in form.tasks.values()))
    _check_tasks(document, form)
    _order(document, form)
    folder = file.absolute().parent
    for task, task_form in form.tasks.items():
        if task_form.run is not None:
            check_code(document, ("tasks", task, "run"), task_form.run, folder)
    return _app(document, form, name, folder)


def find_job_file(path: Path) -> Path:
    """The file itself, or job.yaml in a folder. Raises SpecError when the folder has none."""
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):
        is_folder = False
    if not is_folder:
        return path
    if not (path / JOB_FILE).exists():
        raise not_found(path / JOB_FILE, f"a folder with {JOB_FILE}, or a job file")
    return path / JOB_FILE


def _check_kind(document: Document) -> None:
    kind = document.value.get("kind", "dataflow")
    if kind == "dataflow":
        return
    if kind == "streams":
        raise _streams_error(document)
    if kind in ("offload", "frames"):
        raise document.error(
            ("kind",),
            f"a job of kind {kind} has no tasks: they are made for the devices of a cluster",
            expected="a job with tasks (`kind: dataflow`)",
            remedy="`edgeray plan`, `submit` and `compare` take it; in Python, edgeray.spec.load_on",
        )
    if kind in ("split-training", "batch-training", "fog-training"):
        raise document.error(
            ("kind",),
            f"a job of kind {kind} has a model, not tasks: its tasks are made for the devices of a cluster",
            expected="a job with tasks (`kind: dataflow`)",
            remedy="`edgeray plan`, `profile`, `submit` and `compare` take it; in Python, edgeray.spec.load_on",
        )
    raise document.error(
        ("kind",),
        f"there is no kind {kind!r}" if isinstance(kind, str) else f"the kind is {kind_of(kind)}",
        expected=f"one of {listed(KINDS)}",
        remedy=remedy_for_name(str(kind), list(KINDS), "write `kind: dataflow`"),
    )


def _streams_error(document: Document) -> SpecError:
    if "declared" in document.value:
        return document.error(
            ("declared",),
            "the job declares its numbers: it can be planned, but not run",
            expected="`cameras: ...`",
            remedy="write down its cameras in place of `declared`, or use `edgeray plan`",
        )
    return document.error(
        ("kind",),
        "a job of streams has cameras, not tasks: its tasks are made for the devices of a cluster",
        expected="a job with tasks (`kind: dataflow`)",
        remedy="`edgeray plan`, `profile`, `submit` and `compare` take it; in Python, edgeray.spec.load_on",
    )


def job_name(document: Document, given: str | None) -> JobId:
    """The name that the job gives itself, else its folder's or its file's. Raises SpecError for what is no id."""
    file = document.file.absolute()
    name = given or (file.parent.name if file.name == JOB_FILE else file.stem)
    if not is_id(name):
        raise document.error(
            (),
            f"the job has no name, and '{name}' (of the folder or file) is not usable as one",
            expected="a name of letters, digits, '_', '.' and '-'",
            remedy="add `name: ...`",
        )
    return JobId(name)


def _check_tasks(document: Document, form: JobForm) -> None:
    check_alone(document, form)
    for task, task_form in form.tasks.items():
        _check_inputs(document, form, task)
        _check_pace(document, form, task)
        if task_form.inputs or form.mode == "once":
            _check_cost(document, task, task_form)
        elif task_form.run is not None and task_form.device is None:
            raise document.error(
                ("tasks", task),
                f"source '{task}' (a task with no inputs) has no device",
                expected="`device:`, since its camera or file is on one device",
                remedy="add `device: ...`, or `inputs:` if it is no source",
            )
        if task_form.args and task_form.run is None:
            raise document.error(
                ("tasks", task, "args"),
                f"task '{task}' has `args` but no `run`",
                expected="`run: module:callable` that takes them",
                remedy="add `run`, or remove `args`",
            )


def _check_inputs(document: Document, form: JobForm, task: str) -> None:
    for producer, size in form.tasks[task].inputs.items():
        path = ("tasks", task, "inputs", producer)
        if producer == task:
            raise document.error(
                path,
                f"task '{task}' is its own input, a cycle: {task} -> {task}",
                expected="a DAG",
                remedy="remove it; keep state in a class instead",
            )
        if producer not in form.tasks:
            others = [other for other in form.tasks if other != task]
            raise document.error(
                path,
                f"input '{producer}' of task '{task}' is no task",
                expected=f"one of {listed(others)}" if others else "the id of another task",
                remedy=remedy_for_name(producer, others, "add that task, or remove the input"),
            )
        if size is None and form.tasks[producer].run is None:
            raise document.error(
                path,
                f"the size of {producer}->{task} is not known: '{producer}' has no code to profile",
                expected="a declared size per item",
                remedy=f"write `inputs: {{{producer}: 100kB}}`, or give '{producer}' a `run`",
            )


def _check_pace(document: Document, form: JobForm, task: str) -> None:
    task_form = form.tasks[task]
    for key in ("items_per_s", "overflow"):
        if getattr(task_form, key) is None or (form.mode == "stream" and not task_form.inputs):
            continue
        once = form.mode == "once"
        raise document.error(
            ("tasks", task, key),
            f"task '{task}' has `{key}`, but " + ("the job runs once" if once else "it has inputs"),
            expected=f"`{key}` only on {'streams' if once else 'sources (tasks with no inputs)'}",
            remedy="remove it, or write `mode: stream`" if once else "move it to the source",
        )


def _check_cost(document: Document, task: str, task_form: TaskForm) -> None:
    if task_form.run is None and task_form.work is None and task_form.seconds is None:
        raise document.error(
            ("tasks", task),
            f"task '{task}' has neither `work` nor `seconds` nor `run`",
            expected="declared work or time per item, or code to measure it",
            remedy="add `work: ...`, `seconds: {TYPE: ...}` or `run: module:callable`",
        )


def _order(document: Document, form: JobForm) -> tuple[str, ...]:
    producers = {task: tuple(task_form.inputs) for task, task_form in form.tasks.items()}
    order = topological_order(producers)
    if len(order) == len(producers):
        return order
    cycle = find_cycle(producers)
    no_source = "there is no source (every task has inputs) and " if all(producers.values()) else ""
    raise document.error(
        ("tasks", cycle[1], "inputs", cycle[0]),
        f"{no_source}the tasks form a cycle: {listed(cycle, between=' -> ')}",
        expected="a DAG: data that goes forward from sources (tasks with no inputs)",
        remedy="remove one of these inputs",
    )


def _app(document: Document, form: JobForm, name: JobId, folder: Path) -> App:
    tasks, replicas = expand(document, form)
    check_count(f"{document.file}:1", len(tasks), sum(len(task.inputs) for task in tasks.values()))
    forms = {
        task: tasks[task] for task in topological_order({task: (*one.inputs,) for task, one in tasks.items()})
    }
    shares = {copy: 1 / len(each.copies) for each in replicas for copy in each.copies}
    sources = {
        TaskId(task): SourceOptions(items_per_s=task_form.items_per_s, overflow=task_form.overflow or "block")
        for task, task_form in forms.items()
        if not task_form.inputs
    }
    paces = [source.items_per_s for source in sources.values() if source.items_per_s is not None]
    code = {
        TaskId(task): Code(run=run, args=task_form.args)
        for task, task_form in forms.items()
        if (run := task_form.run) is not None
    }
    job = Job(
        id=name,
        tasks=tuple(_task(task, task_form, shares) for task, task_form in forms.items()),
        flows=tuple(
            Flow(
                producer=TaskId(producer),
                consumer=TaskId(task),
                size_bytes=size,
                share=shares.get(TaskId(producer), 1.0) * shares.get(TaskId(task), 1.0),
            )
            for task, task_form in forms.items()
            for producer, size in task_form.inputs.items()
        ),
        items_per_s=min(paces, default=None),
        kind=form.kind,
        mode=form.mode,
        replicas=replicas,
    )
    return App(
        job=job,
        code=code,
        sources=sources,
        folder=folder,
        file=document.file,
        needs_profile=any(_lacks_numbers(task_form) for task_form in forms.values()),
        places=places_of_copies(document.places(), replicas),
    )


def _task(task: str, form: TaskForm, shares: Mapping[TaskId, float]) -> Task:
    # A source that is only declared has no code, so it does no work.
    declares_none = form.work is None and form.seconds is None and form.run is None
    return Task(
        id=TaskId(task),
        memory_bytes=form.memory or 0.0,
        device=None if form.device is None else DeviceId(form.device),
        work_flop=0.0 if declares_none else form.work,
        seconds=form.seconds,
        share=shares.get(TaskId(task), 1.0),
    )


def _lacks_numbers(form: TaskForm) -> bool:
    has_code = form.run is not None
    is_timed = form.work is not None or form.seconds is not None
    return (has_code and not (is_timed and form.memory is not None)) or None in form.inputs.values()
