"""Reads a workflow instance in WfCommons' JSON format (WfFormat 1.2 to 1.6) as a one-shot job.

Source: wfcommons-schema.json of github.com/wfcommons/WfFormat. Up to 1.4 a task has its parents, files and run time
in workflow.tasks; from 1.5 the graph stands in workflow.specification and what was measured in workflow.execution.

- Work: FLOP = run time x the clock of the machine that ran the task (cpu.speed, cpu.speedInMHz), as if a cycle
  were one FLOP; where no clock is given, run time x 1 GFLOP/s. Cores and I/O are left out. A device of
  `speed: 1GFLOPS` so takes as long as a machine of 1 GHz took.
- An edge's bytes: of all files that the parent writes and the child reads; 0 if there are none.
- Up to 1.3, sizes and memory are in KB (1,000 bytes).
- Edges: of `parents` and `children`; where no task has either, of the files.
- Ids: as in the file; characters that EdgeRay's ids lack become '_'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeray.spec.app import App
from edgeray.spec.declared import MAX_TEXT_BYTES, UniqueIds, check_count, declared_app
from edgeray.spec.graph import find_cycle, topological_order
from edgeray.spec.json_file import Value, read_json
from edgeray.spec.units import BYTES, TASK_SECONDS, Quantity
from edgeray.spec.words import listed, remedy_for_name, shorten
from policies.model import Task, TaskId

REFERENCE_FLOP_PER_S = 1e9
_FLOP_PER_S_OF_A_MHZ = 1e6
_BYTES_OF_A_KB = 1e3
_MHZ = Quantity(name="MHz", example="2400", units={"MHz": 1}, maximum=1e6)
_EXPECTED = "a WfCommons instance: a JSON object with `workflow`"


def load_wfcommons(file: Path) -> App:
    """The one-shot job of a WfCommons instance. Raises SpecError (file:line)."""
    root = read_json(file, expected=_EXPECTED, at_most=MAX_TEXT_BYTES)
    workflow = root.at("workflow")
    specification = workflow.get("specification")
    graph = workflow if specification is None else specification
    raw = _raw_tasks(graph)
    measured, machines = _measured(workflow, graph is workflow)
    speeds = _speeds(machines)
    tasks = {}
    for id, task in raw.items():
        costs = task.value if graph is workflow else measured.get(task.key)
        tasks[id] = _task(id, task, costs, speeds)
    inputs = _inputs(raw)
    _check_acyclic(raw, inputs)
    name = root.get("name")
    lines = graph.entry_lines("tasks")
    return declared_app(
        file,
        file.stem if name is None else name.as_text(),
        tasks,
        inputs,
        {("tasks", id): f"{file}:{line}" for id, line in zip(raw, lines, strict=True)},
    )


@dataclass(frozen=True, slots=True)
class _Raw:
    """A task as in the file. key: its id there. parents, children: None where the key is missing."""

    key: str
    name: str | None
    value: Value
    parents: list[Value] | None
    children: list[Value] | None
    reads: Mapping[str, float]
    writes: Mapping[str, float]


def _raw_tasks(graph: Value) -> dict[str, _Raw]:
    """Tasks by the ids that they will have."""
    sizes = _file_sizes(graph)
    found: dict[str, _Raw] = {}
    keys: set[str] = set()
    ids = UniqueIds()
    graph.at("tasks")
    for value in graph.entries("tasks"):
        check_count(f"{value.file}", len(found) + 1, 0)
        name, id = value.get("name"), value.get("id")
        key = (id or value.at("name")).as_text()
        if key in keys:
            raise (id or value).error(
                f"{value.name}: there are two tasks '{shorten(key)}'",
                expected="an id of its own for each task",
                remedy="rename one of them",
            )
        keys.add(key)
        reads, writes = _files(value, sizes)
        found[ids.usable(key)] = _Raw(
            key=key,
            name=None if name is None else name.as_text(),
            value=value,
            parents=None if value.get("parents") is None else list(value.entries("parents")),
            children=None if value.get("children") is None else list(value.entries("children")),
            reads=reads,
            writes=writes,
        )
    if not found:
        raise graph.error("there is no task", expected="at least one task", remedy="name another file")
    return found


def _file_sizes(graph: Value) -> Mapping[str, float] | None:
    """Bytes of the files of WfFormat 1.5; None where there is no list of them."""
    if graph.get("files") is None:
        return None
    return {
        entry.at("id").as_text(): entry.at("sizeInBytes").as_number(BYTES) for entry in graph.entries("files")
    }


def _files(task: Value, sizes: Mapping[str, float] | None) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes by name of what the task reads and of what it writes."""
    reads: dict[str, float] = {}
    writes: dict[str, float] = {}
    for entry in task.entries("files"):  # up to 1.4
        link = entry.at("link")
        if link.value not in ("input", "output"):
            raise link.error(
                f"{link.name} is {shorten(str(link.value))}",
                expected="input or output",
                remedy="write one of them",
            )
        name = entry.at("name").as_text()
        (reads if link.value == "input" else writes)[name] = _bytes(entry, "sizeInBytes", "size")
    for key, files in (("inputFiles", reads), ("outputFiles", writes)):
        for entry in task.entries(key):
            name = entry.as_text()
            if sizes is not None and name not in sizes:
                raise entry.error(
                    f"{entry.name}: the file '{shorten(name)}' is not in workflow.specification.files",
                    expected="a file with a size there",
                    remedy=remedy_for_name(name, list(sizes), "add it there"),
                )
            files[name] = 0.0 if sizes is None else sizes[name]
    return reads, writes


def _bytes(owner: Value, key: str, key_of_kb: str) -> float:
    if (exact := owner.get(key)) is not None:
        return exact.as_number(BYTES)
    in_kb = owner.get(key_of_kb)
    return 0.0 if in_kb is None else in_kb.as_number(BYTES) * _BYTES_OF_A_KB


def _measured(workflow: Value, is_flat: bool) -> tuple[dict[str, Value], Value | None]:
    """What was measured of each task (from 1.5), and what holds the list of machines."""
    if is_flat:
        return {}, workflow
    execution = workflow.get("execution")
    if execution is None:
        return {}, None
    return {entry.at("id").as_text(): entry for entry in execution.entries("tasks")}, execution


def _speeds(owner: Value | None) -> dict[str, float]:
    """FLOP/s of the machines whose clock is given."""
    speeds = {}
    for machine in owner.entries("machines") if owner is not None else ():
        cpu = machine.get("cpu")
        clock = None if cpu is None else cpu.get("speedInMHz") or cpu.get("speed")
        if clock is not None and (mhz := clock.as_number(_MHZ)) > 0:
            speeds[machine.at("nodeName").as_text()] = mhz * _FLOP_PER_S_OF_A_MHZ
    return speeds


def _task(id: str, raw: _Raw, costs: Value | None, speeds: Mapping[str, float]) -> Task:
    took = None if costs is None else costs.get("runtimeInSeconds") or costs.get("runtime")
    if costs is None or took is None:
        raise (costs or raw.value).error(
            f"task '{shorten(raw.key)}' has no run time",
            expected="runtimeInSeconds (runtime up to 1.3) of every task, from 1.5 in workflow.execution.tasks",
            remedy="take an instance that was run, or add it",
        )
    machine = costs.get("machine")
    ran_on = [*([] if machine is None else [machine]), *costs.entries("machines")]
    speed = next((speeds[one.value] for one in ran_on if one.as_text() in speeds), REFERENCE_FLOP_PER_S)
    return Task(
        id=TaskId(id),
        work_flop=took.as_number(TASK_SECONDS) * speed,
        memory_bytes=_bytes(costs, "memoryInBytes", "memory"),
    )


def _inputs(raw: Mapping[str, _Raw]) -> dict[str, dict[str, float]]:
    """Bytes by producer, of each task."""
    if all(task.parents is None and task.children is None for task in raw.values()):
        pairs = _pairs_of_files(raw)
    else:
        pairs = _pairs_of_relatives(raw)
    inputs: dict[str, dict[str, float]] = {id: {} for id in raw}
    for producer, consumer in pairs:
        writes, reads = raw[producer].writes, raw[consumer].reads
        shared = [name for name in min(writes, reads, key=len) if name in writes and name in reads]
        inputs[consumer][producer] = sum(writes[name] for name in shared)
    return inputs


def _pairs_of_relatives(raw: Mapping[str, _Raw]) -> list[tuple[str, str]]:
    known = _references(raw)
    pairs: dict[tuple[str, str], None] = {}
    for id, task in raw.items():
        for parent in task.parents or ():
            pairs[_relative(task, parent, known, "parent"), id] = None
        for child in task.children or ():
            pairs[id, _relative(task, child, known, "child")] = None
        check_count(f"{task.value.file}", 0, len(pairs))
    return list(pairs)


def _references(raw: Mapping[str, _Raw]) -> dict[str, str]:
    """Ids by what parents and children may call a task: its id, or a name that it alone has."""
    count: dict[str | None, int] = {}
    for task in raw.values():
        count[task.name] = count.get(task.name, 0) + 1
    names = {task.name: id for id, task in raw.items() if task.name is not None and count[task.name] == 1}
    return names | {task.key: id for id, task in raw.items()}


def _relative(task: _Raw, relative: Value, known: Mapping[str, str], what: str) -> str:
    key = relative.as_text()
    if key not in known:
        raise relative.error(
            f"the {what} '{shorten(key)}' of task '{shorten(task.key)}' ({relative.name}) is no task",
            expected=f"one of {listed(known)}",
            remedy=remedy_for_name(key, list(known), "add that task, or remove the reference"),
        )
    return known[key]


def _pairs_of_files(raw: Mapping[str, _Raw]) -> list[tuple[str, str]]:
    writers: dict[str, list[str]] = {}
    for id, task in raw.items():
        for name in task.writes:
            writers.setdefault(name, []).append(id)
    pairs: dict[tuple[str, str], None] = {}
    for id, task in raw.items():
        for name in task.reads:
            pairs.update({(writer, id): None for writer in writers.get(name, ())})
        check_count(f"{task.value.file}", 0, len(pairs))
    return list(pairs)


def _check_acyclic(raw: Mapping[str, _Raw], inputs: Mapping[str, Mapping[str, float]]) -> None:
    producers = {id: tuple(found) for id, found in inputs.items()}
    if len(topological_order(producers)) < len(producers):
        cycle = find_cycle(producers)
        raise raw[cycle[1]].value.error(
            f"the tasks form a cycle: {listed(cycle, between=' -> ')}",
            expected="a DAG",
            remedy="remove one of these parents or children",
        )
