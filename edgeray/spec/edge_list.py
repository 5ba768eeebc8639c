"""Reads an edge list: a one-shot job in a line for each task and each edge, as people and awk write them.

    # comment
    node decode 5GFLOP
    node detect pi=2s nano=500ms memory=200MB
    node show   1e9 device=e1
    edge decode detect 600kB
    decode show 20kB

Fields stand apart by blanks or commas. A node has a cost: its work (a bare number is in FLOP), or its seconds by
device type, or both; then the seconds go first. memory= and device= (where it must run) may follow. An edge
carries so many bytes (a bare number is in bytes) and may stand before its nodes; the word `edge` may be left out.
The job has the name of the file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeray.errors import SpecError
from edgeray.spec.app import App
from edgeray.spec.declared import MAX_TEXT_BYTES, check_count, declared_app
from edgeray.spec.graph import find_cycle, topological_order
from edgeray.spec.schema import ID_RULE, is_id
from edgeray.spec.units import BYTES, FLOP, TASK_SECONDS, Quantity, UnitError
from edgeray.spec.words import listed, remedy_for_name, shorten
from edgeray.spec.yaml_file import read_text
from policies.model import DeviceId, Task, TaskId

EXPECTED = "an edge list: lines of `node ID WORK`, `node ID TYPE=SECONDS ...` and `edge FROM TO BYTES`"


def load_edge_list(file: Path) -> App:
    """The one-shot job that an edge list describes. Raises SpecError (file:line)."""
    reader = _Reader(file)
    for number, line in enumerate(read_text(file, expected=EXPECTED, at_most=MAX_TEXT_BYTES).split("\n"), 1):
        fields = re.split(r"[\s,]+", line.partition("#")[0].strip(", \t\r\f\v"))
        if fields != [""]:
            reader.add(number, fields)
    reader.check()
    return declared_app(
        file,
        file.stem,
        reader.tasks,
        reader.inputs,
        {("tasks", task): f"{file}:{line}" for task, line in reader.lines.items()},
    )


@dataclass(slots=True)
class _Reader:
    """What was read so far. lines: of nodes. edges: lines by (from, to)."""

    file: Path
    tasks: dict[str, Task] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str], int] = field(default_factory=dict)
    sizes: dict[tuple[str, str], float] = field(default_factory=dict)
    inputs: dict[str, dict[str, float]] = field(default_factory=dict)

    def error(self, line: int, what: str, *, expected: str, remedy: str) -> SpecError:
        return SpecError(f"{self.file}:{line}", what, expected=expected, remedy=remedy)

    def add(self, line: int, fields: Sequence[str]) -> None:
        match fields:
            case ["node", id, *costs]:
                self._add_node(line, id, costs)
            case ["edge", _, _] | [_, _]:
                raise self.error(
                    line,
                    f"the edge {' '.join(map(shorten, fields[-2:]))} has no size",
                    expected="`edge FROM TO BYTES`",
                    remedy="write how many bytes it carries, 0 if none",
                )
            case ["edge", producer, consumer, size] | [producer, consumer, size]:
                self._add_edge(line, producer, consumer, size)
            case _:
                raise self.error(
                    line,
                    f"'{shorten(' '.join(fields))}' is neither a node nor an edge",
                    expected=EXPECTED,
                    remedy="write it in that form, or put a # in front",
                )
        check_count(f"{self.file}:{line}", len(self.tasks), len(self.edges))

    def _add_node(self, line: int, id: str, costs: Sequence[str]) -> None:
        if not is_id(id):
            raise self.error(
                line, f"'{shorten(id)}' is not usable as an id", expected=ID_RULE, remedy="rename it"
            )
        if id in self.lines:
            raise self.error(
                line,
                f"node '{id}' is given twice: on line {self.lines[id]} and on line {line}",
                expected="each node once",
                remedy="remove or rename one of them",
            )
        self.lines[id] = line
        self.tasks[id] = self._task(line, id, costs)
        self.inputs[id] = {}

    def _task(self, line: int, id: str, costs: Sequence[str]) -> Task:
        work, memory, device = None, 0.0, None
        seconds: dict[str, float] = {}
        given: set[str] = set()
        for text in costs:
            key, _, value = text.rpartition("=")
            if key in given:
                raise self.error(
                    line,
                    f"node '{id}' has two {f'values of {key!r}' if key else 'costs'}",
                    expected="each once",
                    remedy="remove one of them",
                )
            given.add(key)
            if not key:
                work = self._number(line, FLOP, f"the work of node '{id}'", value)
            elif key == "memory":
                memory = self._number(line, BYTES, f"the memory of node '{id}'", value)
            elif not is_id(name := value if key == "device" else key):
                raise self.error(
                    line,
                    f"'{shorten(name)}' of node '{id}' is not usable as a device{'' if key == 'device' else ' type'}",
                    expected=ID_RULE,
                    remedy="write `device=ID`, or `TYPE=SECONDS`",
                )
            elif key == "device":
                device = DeviceId(value)
            else:
                seconds[key] = self._number(line, TASK_SECONDS, f"the seconds of node '{id}' on {key}", value)
        if work is None and not seconds:
            raise self.error(
                line,
                f"node '{id}' has no cost",
                expected="its work, such as 5GFLOP, or its seconds by device type, such as pi=2s",
                remedy=f"write `node {id} 5GFLOP`, or 0 if it does nothing",
            )
        return Task(
            id=TaskId(id), work_flop=work, seconds=seconds or None, memory_bytes=memory, device=device
        )

    def _add_edge(self, line: int, producer: str, consumer: str, size: str) -> None:
        edge = (producer, consumer)
        if edge in self.edges:
            raise self.error(
                line,
                f"the edge {shorten(producer)} {shorten(consumer)} is given twice: "
                f"on line {self.edges[edge]} and on line {line}",
                expected="each edge once",
                remedy="remove one of them, or add their sizes",
            )
        self.edges[edge] = line
        what = f"the size of edge {shorten(producer)} {shorten(consumer)}"
        self.sizes[edge] = self._number(line, BYTES, what, size)

    def _number(self, line: int, quantity: Quantity, what: str, text: str) -> float:
        try:
            return quantity.parse(text)
        except UnitError as error:
            raise self.error(
                line,
                f"{what}: '{shorten(text)}' {error.problem}",
                expected=error.expected,
                remedy=error.remedy,
            ) from None

    def check(self) -> None:
        """Joins edges to nodes. Raises SpecError for an edge of no node, for a cycle and for an empty file."""
        if not self.tasks and not self.edges:
            raise self.error(1, "there is no node", expected=EXPECTED, remedy="write one")
        for (producer, consumer), line in self.edges.items():
            for end in (producer, consumer):
                if end not in self.tasks:
                    raise self.error(
                        line,
                        f"the edge {shorten(producer)} {shorten(consumer)} ends at '{shorten(end)}', which is no node",
                        expected=f"one of {listed(self.tasks)}" if self.tasks else "a node",
                        remedy=remedy_for_name(end, list(self.tasks), f"add `node {shorten(end)} WORK`"),
                    )
            self.inputs[consumer][producer] = self.sizes[producer, consumer]
        producers = {task: tuple(inputs) for task, inputs in self.inputs.items()}
        if len(topological_order(producers)) < len(producers):
            cycle = find_cycle(producers)
            raise self.error(
                self.edges[cycle[0], cycle[1]],
                f"the edges form a cycle: {listed(cycle, between=' -> ')}",
                expected="a DAG",
                remedy="remove one of these edges",
            )
