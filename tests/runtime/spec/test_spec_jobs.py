from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.spec import App, Code, SourceOptions, check_runnable, load_app
from edgeray.spec.graph import find_cycle, topological_order
from policies.model import Workload

Job = Callable[..., App]
Refuse = Callable[..., object]
ROOT = Path(__file__).parents[3]

TASKS = """
import os.path as paths
from json import dumps

def camera(path):
    yield from range(3)

class Detector:
    def __init__(self, threshold=0.5): ...
    def __call__(self, frame): return frame
    def helper(self): ...

class Child(Detector): ...

class NoCall: ...

async def later(frame): ...

LIMIT = 3
alias = camera
if LIMIT:
    def conditional(frame): ...
try:
    from fast import quick
except ImportError:
    def quick(frame): ...
"""


def test_the_worked_example_needs_no_code() -> None:
    app = load_app(ROOT / "tests/oracles/fig32")
    assert app.job.id == "fig32"
    assert [task.id for task in app.job.tasks] == ["camera", "a", "b", "c", "d", "e", "f"]
    assert [(flow.id, flow.size_bytes) for flow in app.job.flows] == [
        ("camera->a", 5),
        ("a->b", 1),
        ("a->c", 2),
        ("b->d", 1),
        ("c->e", 1),
        ("d->f", 1),
        ("e->f", 1),
    ]
    assert [task.work_flop for task in app.job.tasks] == [0, 5, 10, 10, 10, 10, 10]
    assert [task.memory_bytes for task in app.job.tasks] == [0, 1, 2, 2, 2, 2, 2]
    assert app.job.items_per_s == 30
    assert app.sources == {"camera": SourceOptions(items_per_s=30)}
    assert not app.needs_profile
    assert app.code == {}


def test_a_whole_app(job: Job) -> None:
    app = job(
        """
        kind: dataflow
        name: people
        tasks:
          show: {inputs: [boxes, camera], run: "tasks:Detector", args: {threshold: 1e-1}}
          boxes:
            inputs: {camera: 60kB}
            run: tasks:Detector
            memory: 500MB
            work: 5GFLOP
          camera:
            device: e4
            items_per_s: 30
            overflow: drop-oldest
            run: tasks:camera
            args: {path: street.avi}
        """,
        tasks=TASKS,
    )
    assert [task.id for task in app.job.tasks] == ["camera", "boxes", "show"]
    assert [flow.id for flow in app.job.inputs(app.job.tasks[2].id)] == ["boxes->show", "camera->show"]
    assert app.job.sources[0].device == "e4"
    assert app.code["show"] == Code(run="tasks:Detector", args={"threshold": 0.1})  # type: ignore[index]
    assert app.sources == {"camera": SourceOptions(items_per_s=30, overflow="drop-oldest")}
    assert app.needs_profile
    assert app.folder == app.file.parent
    assert (app.job.tasks[1].work_flop, app.job.tasks[1].memory_bytes) == (5e9, 5e8)
    check_runnable(app)


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({}, False),
        ({"memory: 1MB, ": ""}, True),
        ({"work: 2, ": ""}, True),
        ({"{camera: 1kB}": "[camera]"}, True),
        ({"{camera: 1kB}": "{camera: }"}, True),
        ({", run: tasks:camera": ""}, False),
    ],
)
def test_what_needs_a_profile(job: Job, changes: dict[str, str], needs: bool) -> None:
    text = """
    tasks:
      camera: {device: e4, work: 2, memory: 1MB, run: tasks:camera}
      a: {inputs: {camera: 1kB}, work: 2, memory: 1MB, run: tasks:Detector}
    """
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert job(text, tasks=TASKS).needs_profile is needs


def test_a_declared_job_can_be_planned_but_not_run(job: Job, refuse: Refuse) -> None:
    app = job("""
    tasks:
      camera: {device: e4}
      a: {inputs: {camera: 1kB}, work: 2}
    """)
    workload = Workload(job=app.job)
    assert [workload.size_bytes(flow) for flow in app.job.flows] == [1000]
    refuse(check_runnable, app, line=2, words=["'camera' has no `run`", "planned, but not run"])


def test_the_name_comes_from_the_folder_or_the_file(job: Job, tmp_path: Path) -> None:
    app = job("tasks: {camera: {device: e4}}")
    assert app.job.id == "app"
    (tmp_path / "other.yaml").write_text("tasks: {camera: {device: e4}}")
    assert load_app(tmp_path / "other.yaml").job.id == "other"


def test_the_slowest_source_caps_the_job(job: Job) -> None:
    app = job("""
    tasks:
      left: {device: e4, items_per_s: 30}
      right: {device: e4, items_per_s: 25fps}
      free: {device: e5}
      both: {inputs: {left: 1, right: 1, free: 1}, work: 1}
    """)
    assert app.job.items_per_s == 25


def test_a_one_shot_job(job: Job) -> None:
    app = job(
        """
        mode: once
        tasks:
          render: {inputs: {read: 2MB}, seconds: {pi: 2min, nano: 500ms}, work: 5GFLOP}
          read: {run: tasks:camera, work: 1, memory: 1MB}
        """,
        tasks=TASKS,
    )
    assert app.job.mode == "once"
    assert [task.seconds for task in app.job.tasks] == [None, {"pi": 120, "nano": 0.5}]
    assert [task.device for task in app.job.tasks] == [None, None]
    assert app.job.items_per_s is None
    assert not app.needs_profile
    assert job("tasks: {camera: {device: e4}}").job.mode == "stream"


def test_seconds_are_numbers_too(job: Job) -> None:
    app = job("tasks: {camera: {device: e4}, a: {inputs: {camera: 1}, seconds: {pi: 2}}}")
    assert app.job.tasks[1].work_flop is None
    assert not app.needs_profile


@pytest.mark.parametrize(
    "run",
    [
        "tasks:camera",
        "tasks:alias",
        "tasks:Detector",
        "tasks:Child",
        "tasks:conditional",
        "tasks:quick",
        "tasks:dumps",
        "json:dumps",
        "os.path:join",
        "math:sqrt",
        "xml.etree.ElementTree:fromstring",
    ],
)
def test_code_is_found_without_running_it(job: Job, run: str) -> None:
    app = job(
        f"tasks: {{camera: {{device: e4, run: '{run}'}}}}",
        tasks="raise SystemExit('this module was run')\n" + TASKS,
    )
    assert list(app.code.values()) == [Code(run=run)]


BAD = [
    ("unknown top key", "kind: dataflow\ntaskz: {}\n", 2, ["unknown key 'taskz'", "did you mean 'tasks'?"]),
    ("no tasks", "kind: dataflow\n", 1, ["has no 'tasks'"]),
    ("empty tasks", "tasks: {}\n", 1, ["'tasks' is empty", "at least one"]),
    ("tasks a list", "tasks:\n  - a\n", 1, ["'tasks' is a list", "a mapping"]),
    ("null task", "tasks:\n  a:\n", 2, ["task 'a' is empty"]),
    (
        "unknown task key",
        "tasks:\n  a:\n    device: e4\n    memroy: 5\n",
        4,
        ["unknown key 'memroy' in task 'a'", "did you mean 'memory'?", "items_per_s"],
    ),
    (
        "bad kind",
        "kind: dataflows\n",
        1,
        ["no kind 'dataflows'", "split-training", "did you mean 'dataflow'?"],
    ),
    (
        "kind with a model",
        "helpers: []\nkind: fog-training\n",
        2,
        ["kind fog-training has a model, not tasks", "load_on"],
    ),
    ("kind no text", "kind: [1]\n", 1, ["the kind is a list"]),
    ("bad name", "name: a/b\ntasks: {a: {device: e4}}\n", 1, ["'a/b' is not usable as an id", "namespaces"]),
    ("bad task id", "tasks:\n  a b: {device: e4}\n", 2, ["'a b' is not usable as an id"]),
    ("newline id", 'tasks:\n  "a\\n": {device: e4}\n', 2, ["not usable as an id"]),
    ("long id", f"tasks:\n  {'a' * 64}: {{device: e4}}\n", 2, ["not usable as an id", "63"]),
    ("dots id", "tasks:\n  ..: {device: e4}\n", 2, ["not usable as an id"]),
    (
        "twice",
        "tasks:\n  a: {device: e4}\n  a: {device: e4}\n",
        3,
        ["'a' is given twice", "line 2", "line 3"],
    ),
    (
        "unknown input",
        "tasks:\n  camera: {device: e4}\n  b:\n    work: 1\n    inputs:\n      camra: 1B\n",
        6,
        ["input 'camra' of task 'b' is no task", "did you mean 'camera'?"],
    ),
    (
        "unknown input in a list",
        "tasks:\n  a: {device: e4, run: 'json:dumps'}\n  b:\n    work: 1\n    inputs:\n      - a\n      - c\n",
        7,
        ["input 'c'"],
    ),
    ("own input", "tasks:\n  b: {work: 1, inputs: {b: 1}}\n", 2, ["its own input, a cycle: b -> b"]),
    (
        "cycle",
        "tasks:\n  s: {device: e4}\n  a: {work: 1, inputs: {s: 1, c: 1}}\n"
        "  b: {work: 1, inputs: {a: 1}}\n  c: {work: 1, inputs: {b: 1}}\n",
        4,
        ["cycle: a -> b -> c -> a"],
    ),
    (
        "no source",
        "tasks:\n  b: {work: 1, inputs: {a: 1}}\n  a: {work: 1, inputs: {b: 1}}\n",
        2,
        ["no source", "cycle: a -> b -> a"],
    ),
    ("input twice", "tasks:\n  b: {work: 1, inputs: [a, a]}\n", 2, ["names 'a' twice"]),
    ("input no text", "tasks:\n  b: {work: 1, inputs: [1]}\n", 2, ["holds 1, which is no task id"]),
    ("inputs a text", "tasks:\n  b: {work: 1, inputs: a}\n", 2, ["neither a mapping nor a list"]),
    (
        "negative",
        "tasks:\n  a: {device: e4,\n      memory: -5MB}\n",
        3,
        ["memory of task 'a': '-5MB' is negative"],
    ),
    ("absurd rate", "tasks:\n  a: {device: e4, items_per_s: 1e7}\n", 2, ["items_per_s", "absurd"]),
    ("zero rate", "tasks:\n  a: {device: e4, items_per_s: 0}\n", 2, ["items_per_s", "zero"]),
    ("bad unit", "tasks:\n  a: {device: e4, memory: 5Mb}\n", 2, ["unknown unit 'Mb'", "did you mean 'MB'"]),
    (
        "absurd size",
        "tasks:\n  s: {device: e4}\n  a: {work: 1, inputs: {s: 1e30}}\n",
        3,
        ["inputs.s of task 'a'", "absurd"],
    ),
    ("NaN work", "tasks:\n  s: {device: e4, work: .nan}\n", 2, ["work of task 's'", "NaN"]),
    ("truth as number", "tasks:\n  s: {device: e4, work: yes}\n", 2, ["work of task 's'", "is no number"]),
    (
        "unprofilable size",
        "tasks:\n  s: {device: e4}\n  a: {work: 1, inputs: [s]}\n",
        3,
        ["size of s->a is not known", "declared size"],
    ),
    (
        "neither work nor run",
        "tasks:\n  s: {device: e4}\n  a: {inputs: {s: 1}}\n",
        3,
        ["'a' has neither `work` nor `seconds` nor `run`"],
    ),
    ("no such mode", "mode: one\ntasks: {a: {work: 1}}\n", 1, ["'mode'", "'stream' or 'once'"]),
    (
        "once at a pace",
        "mode: once\ntasks:\n  s: {work: 1, items_per_s: 5}\n",
        3,
        ["`items_per_s`", "runs once"],
    ),
    ("once with overflow", "mode: once\ntasks:\n  s: {work: 1, overflow: block}\n", 3, ["mode: stream"]),
    (
        "once at no cost",
        "mode: once\ntasks:\n  s: {device: e4}\n",
        3,
        ["'s' has neither `work` nor `seconds`"],
    ),
    ("no seconds", "mode: once\ntasks:\n  s: {seconds: {}}\n", 3, ["seconds of task 's' is empty"]),
    (
        "seconds a number",
        "mode: once\ntasks:\n  s: {seconds: 5}\n",
        3,
        ["seconds of task 's' is the number 5"],
    ),
    (
        "bad seconds",
        "mode: once\ntasks:\n  s:\n    seconds:\n      pi: 5m\n",
        5,
        ["seconds.pi of task 's': '5m' has the unknown unit 'm'", "min"],
    ),
    ("args alone", "tasks:\n  s: {device: e4, args: {a: 1}}\n", 2, ["`args` but no `run`"]),
    ("pinned to a number", "tasks:\n  s: {device: 4}\n", 2, ["device of task 's' is the number 4", "quote"]),
    (
        "paced in the middle",
        "tasks:\n  s: {device: e4}\n  a: {work: 1, inputs: {s: 1}, items_per_s: 5}\n",
        3,
        ["has `items_per_s`, but it has inputs"],
    ),
    (
        "overflow",
        "tasks:\n  s: {device: e4, overflow: drop}\n",
        2,
        ["overflow of task 's'", "'block' or 'drop-oldest'"],
    ),
    ("source without device", "tasks:\n  s: {run: 'tasks:camera'}\n", 2, ["source 's'", "has no device"]),
    ("run path", "tasks:\n  s: {device: e4, run: tasks.py}\n", 2, ["does not name code", "module:callable"]),
    ("run number", "tasks:\n  s: {device: e4, run: 5}\n", 2, ["run of task 's' is the number 5"]),
    ("no module", "tasks:\n  s: {device: e4, run: 'task:camera'}\n", 2, ["no module 'task'", "'tasks'?"]),
    ("no submodule", "tasks:\n  s: {device: e4, run: 'xml.no:camera'}\n", 2, ["no module 'xml.no'"]),
    ("module in no package", "tasks:\n  s: {device: e4, run: 'math.no:x'}\n", 2, ["no module 'math.no'"]),
    ("no callable", "tasks:\n  s: {device: e4, run: 'tasks:camra'}\n", 2, ["no 'camra'", "mean 'camera'?"]),
    ("no library name", "tasks:\n  s: {device: e4, run: 'json:dump_s'}\n", 2, ["no 'dump_s'", "mean 'dump"]),
    ("a value", "tasks:\n  s: {device: e4, run: 'tasks:LIMIT'}\n", 2, ["'LIMIT' is a value"]),
    (
        "a method",
        "tasks:\n  s: {device: e4, run: 'tasks:Detector.helper'}\n",
        2,
        ["is a method", ": Detector"],
    ),
    ("no __call__", "tasks:\n  s: {device: e4, run: 'tasks:NoCall'}\n", 2, ["'NoCall' has no `__call__`"]),
    ("async", "tasks:\n  s: {device: e4, run: 'tasks:later'}\n", 2, ["async"]),
]


@pytest.mark.parametrize(("text", "line", "words"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_bad_jobs_are_refused(job: Job, refuse: Refuse, text: str, line: int, words: list[str]) -> None:
    refuse(job, text, tasks=TASKS, line=line, words=words)


def test_the_first_mistake_in_the_file_is_told(job: Job, refuse: Refuse) -> None:
    refuse(job, "tasks:\n  a: {device: e4, memory: -1}\nextra: 1\n", line=2, words=["negative"])


def test_bad_python_is_told_where_it_stands(job: Job, refuse: Refuse, tmp_path: Path) -> None:
    text = "tasks:\n  s: {device: e4, run: 'tasks:camera'}\n"
    error = refuse(job, text, tasks="x = 1\ndef camera(:\n", line=2, words=["not valid Python"])
    assert str(tmp_path / "app" / "tasks.py") in str(error)


def test_a_folder_without_a_job_file(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "job.yml").write_text("tasks: {}")
    refuse(load_app, tmp_path, line=None, words=["job.yaml", "holds job.yml", "did you mean"])


def test_a_folder_that_is_not_there(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "attributes").mkdir()
    refuse(load_app, tmp_path / "atributes", line=None, words=["is not there", "did you mean", "attributes"])


def test_a_folder_whose_name_is_no_id(tmp_path: Path, refuse: Refuse) -> None:
    folder = tmp_path / "my app"
    folder.mkdir()
    (folder / "job.yaml").write_text("tasks: {a: {device: e4}}")
    refuse(load_app, folder, line=1, words=["'my app'", "add `name: ...`"])


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.sets(st.integers(0, n - 1)), min_size=n, max_size=n)))
def test_a_graph_has_an_order_or_a_cycle(edges: list[set[int]]) -> None:
    producers = {
        str(node): tuple(sorted(str(other) for other in inputs)) for node, inputs in enumerate(edges)
    }
    order = topological_order(producers)
    place = {name: index for index, name in enumerate(order)}
    assert all(place[producer] < place[name] for name in order for producer in producers[name])
    if len(order) < len(producers):
        cycle = find_cycle(producers)
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(first in producers[second] for first, second in pairwise(cycle))
