import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instances import V12, V13, V14, V15

from edgeray.spec import App, check_job_on_cluster, load_app, load_cluster
from edgeray.spec.declared import MAX_TASKS

ROOT = Path(__file__).parents[3]
Refuse = Callable[..., object]
Instance = Callable[..., App]


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    def load(text: str) -> App:
        (tmp_path / "wf.json").write_text(text)
        return load_app(tmp_path / "wf.json")

    return load


@pytest.mark.parametrize("text", [V12, V13, V14, V15], ids=["1.2", "1.3", "1.4", "1.5"])
def test_each_version(instance: Instance, text: str) -> None:
    app = instance(text)
    assert app.job.id == "halves"
    assert app.job.mode == "once"
    assert [(task.id, task.work_flop, task.memory_bytes) for task in app.job.tasks] == [
        ("ID1", 1e9, 1e6),
        ("ID2", 2e9, 0),
        ("ID3", 3e9, 0),
        ("ID4", 1e9, 0),
    ]
    assert [(flow.id, flow.size_bytes) for flow in app.job.flows] == [
        ("ID1->ID2", 1e5),
        ("ID1->ID3", 2e5),
        ("ID2->ID4", 1e3),
        ("ID3->ID4", 0),
    ]
    assert not app.needs_profile


def test_errors_of_the_cluster_point_at_the_task(instance: Instance, refuse: Refuse) -> None:
    app = instance(V15.replace("1000000", "9e9"))
    three = load_cluster(ROOT / "cluster/testbed/three.yaml")
    refuse(check_job_on_cluster, app, three, line=7, words=["'ID1' needs 9GB"])


def test_edges_of_files_where_no_task_names_relatives(instance: Instance) -> None:
    tasks: list[dict[str, Any]] = [
        {"name": "hello", "runtime": 1, "files": [{"link": "output", "name": "h"}]},
        {"name": "world", "runtime": 1, "files": [{"link": "input", "name": "h", "size": 3}]},
    ]
    job = instance(json.dumps({"workflow": {"tasks": tasks}})).job
    assert job.id == "wf"
    assert [flow.id for flow in job.flows] == ["hello->world"]


def test_ids_become_usable_and_stay_apart(instance: Instance) -> None:
    names = ["#a", "_a", "x/y", "x" * 70, "x" * 70 + "y", "..", "é"]
    tasks = [{"name": name, "runtime": 1, "parents": names[:1] if name != "#a" else []} for name in names]
    job = instance(json.dumps({"name": "my job!", "workflow": {"tasks": tasks}})).job
    assert job.id == "my_job_"
    assert {task.id for task in job.tasks} == {
        *("a", "a-2", "x_y", "x" * 63, "x" * 55 + "-2", "unnamed", "unnamed-2")
    }
    assert {flow.producer for flow in job.flows} == {"a"}


BAD = [
    (V13, ": 0.5", ": -0.5", 8, ["workflow.tasks[0].runtime: -0.5 is negative"]),
    (V13, ": 0.5", ': "0.5"', 8, ["workflow.tasks[0].runtime is the text '0.5'", "seconds"]),
    (V13, ": 0.5", ": NaN", 8, ["NaN"]),
    (V13, ": 0.5", ": 1e9", 8, ["absurd"]),
    (V13, '"runtime": 0.5,', "", 8, ["'ID1' has no run time"]),
    (V13, '"size": 200, "link": "output"', '"size": "?", "link": "output"', 11, ["tasks[0].files[2].size"]),
    (V13, '"link": "input"', '"link": "in"', 10, ["files[0].link is in", "input or output"]),
    (V13, '"parents": ["split"], "machine"', '"parents": ["splot"], "machine"', 12, ["'splot'", "'split'?"]),
    (V13, '"parents": []', '"parents": "none"', 9, ["tasks[0].parents is the text 'none'", "a list"]),
    (V13, '"parents": []', '"parents": ["join"]', 12, ["cycle: ID1 -> ID2 -> ID4 -> ID1"]),
    (V13, '"ID3"', '"ID2"', 14, ["two tasks 'ID2'"]),
    (V13, '"name": "join", "id": "ID4"', '"id": 4', 16, ["tasks[3].id is the number 4", "text"]),
    (V13, '"name": "join", "id": "ID4",', "", 16, ["tasks[3] has no 'name'"]),
    (V13, '"makespan": 9,', '"makespan": 9,,', 5, ["not valid JSON"]),
    (V13, '"tasks"', '"jobs"', 4, ["workflow has no 'tasks'"]),
    (V13, '"workflow"', '"work"', 1, ["the file has no 'workflow'"]),
    (V15, '"outputFiles": ["l", "r"]', '"outputFiles": ["l", "q"]', 8, ["outputFiles[1]", "'q' is not in"]),
    (V15, '"id": "ID3", "runtimeInSeconds": 3', '"id": "ID3"', 26, ["'ID3' has no run time"]),
    (V15, '{"id": "ID3", "runtimeInSeconds": 3},', "", 11, ["'ID3' has no run time", "1.5 in workflow.exec"]),
    (V15, '"execution"', '"executions"', 7, ["'ID1' has no run time"]),
    (V15, '"speedInMHz": 2000', '"speedInMHz": "fast"', 29, ["machines[0].cpu.speedInMHz is the text"]),
    (V15, '"sizeInBytes": 2000}', '"sizeInBytes": null}', 17, ["files[4] has no 'sizeInBytes'"]),
    (V15, '["ID2", "ID3"],\n', '["ID2", "ID5"],\n', 7, ["the child 'ID5' of task 'ID1'"]),
]


@pytest.mark.parametrize(("text", "old", "new", "line", "words"), BAD)
def test_bad_instances_are_refused(
    tmp_path: Path, refuse: Refuse, text: str, old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in text
    (tmp_path / "wf.json").write_text(text.replace(old, new, 1))
    refuse(load_app, tmp_path / "wf.json", line=line, words=words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["not valid JSON"]),
        ("[]", ["the file is a list"]),
        ("null", ["the file is nothing"]),
        ('{"workflow": {"tasks": []}}', ["no task"]),
        ('{"workflow": 1}', ["workflow is the number 1"]),
        ('{"workflow": {"tasks": [1]}}', ["workflow.tasks[0] is the number 1"]),
        ('{"name": "", "workflow": {"tasks": [{"name": "a", "runtime": 1}]}}', ["name is empty text"]),
        ("[" * 100_000, ["nested too deeply"]),
        ("9" * 5000, ["thousands of digits"]),
    ],
)
def test_what_is_no_instance(tmp_path: Path, refuse: Refuse, text: str, words: list[str]) -> None:
    (tmp_path / "wf.json").write_text(text)
    refuse(load_app, tmp_path / "wf.json", line=1, words=words)


def test_too_many_tasks_are_refused(instance: Instance, refuse: Refuse) -> None:
    tasks = ",".join(f'{{"name":"{n}"}}' for n in range(MAX_TASKS + 1))
    refuse(instance, f'{{"workflow":{{"tasks":[{tasks}]}}}}', line=None, words=["more than 100,000 tasks"])
    padding = " " * 64_000_000
    refuse(instance, f"[{padding}]", line=1, words=["larger than 64 MB"])
