"""Turns a DAG made with Ray's .bind() into an application. Ray is imported only when this is called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeray.errors import SpecError
from edgeray.spec.app import App, Code, SourceOptions
from edgeray.spec.graph import topological_order
from edgeray.spec.ray_binding import ArgumentError, split_arguments
from edgeray.spec.ray_code import check_importable, common_folder, place_of, source_file
from edgeray.spec.ray_options import TaskOptions, read_options
from edgeray.spec.schema import ID_RULE, is_id
from policies.model import Flow, Job, JobId, Mode, Task, TaskId


def app_from_ray_dag(node: Any, name: str | None = None, mode: Mode = "stream") -> App:
    """The application that a Ray DAG describes; node is its last task, or a MultiOutputNode of several.

    Each bound node becomes a task, as if it stood in a job file:

        @ray.remote                          @ray.remote
        def camera(path):                    class Detector:
            yield from frames(path)              def __init__(self, threshold): ...
                                                 def detect(self, frame): ...

        pace = {"edgeray.items_per_s": "30"}
        frames = camera.options(resources={"device:e4": 1}, _labels=pace).bind("a.avi")
        boxes = Detector.options(memory=500_000_000).bind(threshold=0.5).detect.bind(frames)
        app = app_from_ray_dag(boxes, name="people")

    A task that is bound to no other task is a source: its call returns an iterator, and it names its device. With
    mode="once" each task runs once: a source's call returns its one item, and may run anywhere. Other tasks take the
    bound tasks' items as their first arguments; what else is bound becomes `args`, which a class takes in its
    constructor (once per process). Options of a function or class say the rest, per task:

    - name: the task's id; default: the name of the function or class, with -2, -3, ... where it comes again.
    - resources={"device:e4": 1} or label_selector={"edgeray.device": "e4"}: pinned to device e4.
    - memory: bytes that it holds while the job runs.
    - _labels={"edgeray.items_per_s": "30", "edgeray.overflow": "drop-oldest"}: a source's own pace, and what
      it does while the pipeline is full.

    Options that only concern how Ray itself would run it (num_cpus, max_retries, ...) have no effect; options
    that would change where it runs (num_gpus, scheduling_strategy, other resources, ...) are refused.
    Work and sizes are measured by the profiler. name: of the job; default: the last task's id.

    Raises SpecError: InputNode, actors shared by several tasks, code that cannot be imported by name, ...
    """
    bound = [_bind(raw) for raw in _collect(node)]
    _check_unshared(bound)
    tasks = _name_tasks(bound)
    order = topological_order({task: _producers(tasks, node) for task, node in tasks.items()})
    for task in order:
        _check_task(task, tasks[task], mode)
    return _app(tasks, order, _job_name(name, tasks, node), mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """One node of Ray's DAG. body: the plain function or class. raw, inputs: Ray's nodes."""

    raw: Any
    body: Callable[..., Any]
    method: str
    inputs: Sequence[Any]
    args: Mapping[str, Any]
    options: TaskOptions
    actor: Any

    def error(self, what: str, *, expected: str, remedy: str) -> SpecError:
        return SpecError(place_of(self.body), what, expected=expected, remedy=remedy)


def _collect(root: Any) -> list[Any]:
    """Every function and method node that root needs, producers first, in the order of arguments."""
    from ray.dag import MultiOutputNode

    ordered: list[Any] = []
    seen: set[int] = set()
    waiting = [(root, False)]
    while waiting:
        node, is_expanded = waiting.pop()
        if is_expanded:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            is_group = isinstance(node, MultiOutputNode)
            if not is_group:
                _check_kind(node)
                waiting.append((node, True))
            children = list(node.get_args()) if is_group else _bound_nodes(node)
            waiting.extend((child, False) for child in reversed(children))
    return ordered


def _bound_nodes(node: Any) -> list[Any]:
    from ray.dag import DAGNode

    values = [*node.get_args(), *node.get_kwargs().values()]
    return [value for value in values if isinstance(value, DAGNode)]


def _check_kind(node: Any) -> None:
    from ray.dag import ClassMethodNode, ClassNode, FunctionNode, InputAttributeNode, InputNode

    where = "Ray DAG"
    if isinstance(node, InputNode | InputAttributeNode):
        raise SpecError(
            where,
            "the DAG has an InputNode, but a dataflow has no caller that gives it items",
            expected="a source: a task bound to no other task, which returns an iterator",
            remedy="write a source function that yields the items, and bind it in place of the InputNode",
        )
    if isinstance(node, ClassNode):
        raise SpecError(
            place_of(_class_of(node)),
            f"class '{_class_of(node).__name__}' is bound, but none of its methods is",
            expected="a bound method, such as Detector.bind().detect.bind(frames)",
            remedy="bind the method that takes an item",
        )
    if isinstance(node, FunctionNode):
        return
    if isinstance(node, ClassMethodNode) and node.is_class_method_call:
        if isinstance(node.get_other_args_to_resolve().get("parent_class_node"), ClassNode):
            return
        raise SpecError(
            where,
            f"method '{node.get_method_name()}' belongs to an actor that runs already",
            expected="a bound class, which EdgeRay starts where it planned",
            remedy="write Class.bind(...) in place of Class.remote(...)",
        )
    raise SpecError(
        where,
        f"the DAG holds {type(node).__name__}",
        expected="functions and methods of classes, bound with .bind(), each with one output",
        remedy="return one item (a tuple, say) from each task",
    )


def _class_of(node: Any) -> Any:
    return getattr(node._body, "__ray_actor_class__", node._body)


def _bind(raw: Any) -> _Bound:
    from ray.dag import FunctionNode

    if isinstance(raw, FunctionNode):
        body, actor, method = raw._body, None, "__call__"
        options = raw.get_options()
    else:
        actor = raw.get_other_args_to_resolve()["parent_class_node"]
        body, method = _class_of(actor), raw.get_method_name()
        options = {**actor.get_options(), **raw.get_options()}
    check_importable(body)
    where = place_of(body)
    try:
        if actor is None:
            inputs, args = split_arguments(body, raw.get_args(), raw.get_kwargs())
        else:
            _, args = split_arguments(body, actor.get_args(), actor.get_kwargs(), takes_items=False)
            unbound = getattr(body, method)
            inputs, constants = split_arguments(unbound, (None, *raw.get_args()), raw.get_kwargs(), skip=1)
            if constants:
                raise ArgumentError(
                    f"the method '{method}' is bound to the constant '{next(iter(constants))}'",
                    expected="only items of other tasks as arguments of a method",
                    remedy="give constants to the constructor: Class.bind(...)",
                )
    except ArgumentError as error:
        raise SpecError(
            where, f"{body.__qualname__}: {error.problem}", expected=error.expected, remedy=error.remedy
        ) from None
    return _Bound(
        raw=raw,
        body=body,
        method=method,
        inputs=inputs,
        args=args,
        options=read_options(options, where, body.__qualname__),
        actor=actor,
    )


def _check_unshared(bound: Sequence[_Bound]) -> None:
    users: dict[int, _Bound] = {}
    for node in bound:
        if node.actor is None:
            continue
        other = users.setdefault(id(node.actor), node)
        if other is not node:
            raise node.error(
                f"'{other.method}' and '{node.method}' are bound to the same {node.body.__name__}: "
                "two tasks would share its state, but tasks may run on different devices",
                expected="a bound class of its own for each task",
                remedy=f"call {node.body.__name__}.bind(...) once per task, or do both in one method",
            )


def _name_tasks(bound: Sequence[_Bound]) -> dict[str, _Bound]:
    given = {node.options.name for node in bound}
    tasks: dict[str, _Bound] = {}
    for node in bound:
        task = base = node.options.name or node.body.__name__
        if node.options.name in tasks:
            raise node.error(
                f"two tasks are named '{task}'",
                expected="a name of its own for each task",
                remedy="change options(name=...) of one of them",
            )
        count = 1
        while node.options.name is None and (task in tasks or task in given):
            count += 1
            task = f"{base}-{count}"
        if not is_id(task):
            raise node.error(
                f"'{task}' is not usable as a task's id",
                expected=ID_RULE,
                remedy="give it another name with options(name=...)",
            )
        tasks[task] = node
    return tasks


def _producers(tasks: Mapping[str, _Bound], node: _Bound) -> tuple[str, ...]:
    names = {id(other.raw): task for task, other in tasks.items()}
    return tuple(names[id(raw)] for raw in node.inputs)


def _check_task(task: str, node: _Bound, mode: Mode) -> None:
    if len({id(raw) for raw in node.inputs}) < len(node.inputs):
        raise node.error(
            f"task '{task}' takes the same task's items twice",
            expected="each input once",
            remedy="bind it once, and use the item twice inside",
        )
    if mode == "once" and node.options.source != SourceOptions():
        raise node.error(
            f"task '{task}' has a source's labels (items_per_s, overflow), but the job runs once",
            expected="these labels only on streams",
            remedy='remove them, or pass mode="stream"',
        )
    if mode == "stream" and not node.inputs and node.options.device is None:
        raise node.error(
            f"source '{task}' (bound to no other task) has no device",
            expected="the device that its camera or file is on",
            remedy='add .options(resources={"device:e4": 1}) with the device\'s id',
        )
    if node.inputs and node.options.source != SourceOptions():
        raise node.error(
            f"task '{task}' has a source's labels (items_per_s, overflow), but it has inputs",
            expected="these labels only on sources",
            remedy="move them to the source",
        )


def _job_name(name: str | None, tasks: Mapping[str, _Bound], root: Any) -> JobId:
    if not tasks:
        raise SpecError(
            "Ray DAG",
            "there is no task in it",
            expected="at least a source",
            remedy="bind a function that yields items",
        )
    last = list(tasks)[-1]
    chosen = name if name is not None else last
    if not is_id(chosen):
        raise SpecError(
            place_of(tasks[last].body),
            f"'{chosen}' is not usable as a job's name",
            expected=ID_RULE,
            remedy="pass another name=...",
        )
    return JobId(chosen)


def _app(tasks: Mapping[str, _Bound], order: Sequence[str], name: JobId, mode: Mode) -> App:
    sources = {TaskId(task): tasks[task].options.source for task in order if not tasks[task].inputs}
    paces = [source.items_per_s for source in sources.values() if source.items_per_s is not None]
    job = Job(
        id=name,
        tasks=tuple(
            Task(
                id=TaskId(task),
                memory_bytes=tasks[task].options.memory_bytes,
                device=tasks[task].options.device,
            )
            for task in order
        ),
        flows=tuple(
            Flow(producer=TaskId(producer), consumer=TaskId(task))
            for task in order
            for producer in _producers(tasks, tasks[task])
        ),
        items_per_s=min(paces, default=None),
        mode=mode,
    )
    last = tasks[list(tasks)[-1]]
    return App(
        job=job,
        code={
            TaskId(task): Code(
                run=f"{node.body.__module__}:{node.body.__qualname__}", args=node.args, method=node.method
            )
            for task, node in ((task, tasks[task]) for task in order)
        },
        sources=sources,
        folder=common_folder([tasks[task].body for task in order]),
        file=source_file(last.body) or Path("Ray DAG"),
        needs_profile=True,
        places={("tasks", task): place_of(node.body) for task, node in tasks.items()},
    )
