"""Jobs that decide while they run: what their files say, and the tasks, flows and recipe that come of it on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeray.errors import SpecError
from edgeray.spec import App, Cluster, check_job_on_cluster, load_app, load_cluster, load_on, online_mode
from edgeray.spec.declared_numbers import declared_kind, load_declared

Refuse = Callable[..., SpecError]
On = Callable[[str], App]

LAB = """
name: lab
head: box
devices:
  box: {type: server, memory: 4GB}
  hub: {type: switch, memory: 1GB}
  n1: {type: nano, memory: 2GB, cpus: 2}
  p1: {type: pi, memory: 1GB}
links:
  - {ends: [box, hub], capacity: 30Mbps}
  - {ends: [hub, n1], capacity: 20Mbps}
  - {ends: [hub, p1], capacity: 10Mbps}
"""
TASKS = "def items():\n    yield 1\n\n\ndef work(item):\n    return item\n"
OFFLOAD = """kind: offload
source: {device: p1, run: "tasks:items", rate: 5/s}
work: {run: "tasks:work"}
deadline: 300ms
"""
FRAMES = """kind: frames
users:
  one: {device: n1, source: {run: "tasks:items", rate: 3/s}}
  two: {device: p1, source: {run: "tasks:items", rate: 3/s}, mean: 4.5, power: {local: 5.0}}
work: {run: "tasks:work"}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Cluster:
    (tmp_path / "lab.yaml").write_text(LAB)
    return load_cluster(tmp_path / "lab.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "tasks.py").write_text(TASKS)
    return folder


@pytest.fixture
def on(folder: Path, lab: Cluster) -> On:
    def load(text: str) -> App:
        (folder / "job.yaml").write_text(text)
        return load_on(folder, lab)

    return load


def recipe_of(app: App) -> dict[str, Any]:
    server = app.job.server
    assert server is not None
    code: Any = app.code[server]
    recipe: dict[str, Any] = code.args["recipe"]
    assert all(each.args == {"recipe": recipe} for each in app.code.values())  # type: ignore[union-attr]
    assert json.loads(json.dumps(recipe)) == recipe, "plain data"
    return recipe


def test_items_go_from_their_device_to_all_others(on: On, lab: Cluster) -> None:
    app = on(OFFLOAD)
    assert (app.job.mode, app.job.kind, app.job.items_per_s, app.needs_profile) == (
        "offload",
        "offload",
        5.0,
        False,
    )
    assert {task.id: task.device for task in app.job.tasks} == {
        "dispatch": "p1",
        "help-box": "box",
        "help-n1": "n1",
    }
    assert (app.job.server, app.job.clients) == ("dispatch", ("help-box", "help-n1"))
    assert {flow.id for flow in app.job.flows} == {
        "help-box->dispatch", "help-n1->dispatch", "dispatch->help-box", "dispatch->help-n1",
    }  # fmt: skip
    runs: Any = app.code
    assert runs["dispatch"].run == "edgeray.offload.dispatch:Dispatch"
    assert runs["help-n1"].run == "edgeray.offload.help:Help"
    recipe = recipe_of(app)
    assert recipe["helpers"] == {
        "help-box": {"device": "box", "cpus": 1.0, "bps": 10e6},
        "help-n1": {"device": "n1", "cpus": 2.0, "bps": 10e6},
    }
    assert (recipe["deadline_s"], recipe["late"], recipe["sink"], recipe["complexity"]) == (
        0.3,
        "discard",
        None,
        None,
    )
    assert recipe["source"] == {"run": "tasks:items", "args": {}, "rate_per_s": 5.0, "items": None}
    check_job_on_cluster(app, lab)


def test_helpers_and_all_else_can_be_named(on: On) -> None:
    app = on(
        OFFLOAD + "helpers: [n1, p1]\nlate: deliver\ntelemetry: {every: 100ms, delay: 3s}\nmost: 7\nseed: 3\n"
        'complexity: {run: "tasks:work"}\nsink: {run: "tasks:work"}\n'
    )
    recipe = recipe_of(app)
    assert list(recipe["helpers"]) == ["help-n1"], "the source does not help itself"
    assert recipe["telemetry"] == {"every_s": 0.1, "delay_s": 3.0}
    assert (recipe["late"], recipe["most"], recipe["seed"]) == ("deliver", 7, 3)
    assert recipe["complexity"] == recipe["sink"] == {"run": "tasks:work", "args": {}}


def test_packets_go_from_their_devices_to_the_head(on: On, lab: Cluster) -> None:
    app = on(FRAMES)
    assert (app.job.mode, app.job.items_per_s) == ("frames", 1 / 2.0)
    assert {task.id: task.device for task in app.job.tasks} == {
        "server": "box",
        "user-n1": "n1",
        "user-p1": "p1",
    }
    recipe = recipe_of(app)
    assert (recipe["slots"], recipe["slot_s"], recipe["rho"], recipe["M"], recipe["link_bps"]) == (
        5,
        0.4,
        0.1,
        5.0,
        10e6,
    )
    assert recipe["users"]["two"] == {
        "task": "user-p1",
        "device": "p1",
        "source": {"run": "tasks:items", "args": {}, "rate_per_s": 3.0, "items": None},
        "lambda": 4.5,
        "power": {"idle_w": 0.0, "local_w": 5.0, "send_w": 4.0},
    }
    assert recipe["users"]["one"]["lambda"] is None
    check_job_on_cluster(app, lab)


def test_two_users_on_one_device_have_one_task(on: On) -> None:
    app = on(FRAMES.replace("device: n1", "device: p1"))
    assert {task.id for task in app.job.tasks} == {"server", "user-p1"}


def test_declared_numbers_stay_numbers(folder: Path) -> None:
    (folder / "job.yaml").write_text(
        "kind: frames\ndeclared: {X: [1, 1], A: 5, C: 2, mu: 1, T: 3, e_local: 7, e_send: 4, M: 1}\n"
    )
    assert online_mode(folder) is None
    assert declared_kind(folder) == "frames"
    assert load_declared(folder).kind == "frames"
    (folder / "job.yaml").write_text(FRAMES)
    assert (online_mode(folder), declared_kind(folder)) == ("frames", None)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (OFFLOAD.replace("300ms", "0s"), 4, ["deadline", "0s"]),
        (OFFLOAD.replace("device: p1", "device: p9"), 2, ["p9", "no device", "box"]),
        (OFFLOAD.replace("tasks:work", "tasks:wrok"), 3, ["wrok", "work"]),
        (OFFLOAD.replace("deadline", "dedline"), 4, ["dedline", "deadline"]),
        (OFFLOAD + "helpers: [p1]\n", 5, ["nobody helps 'p1'"]),
        (OFFLOAD + "late: never\n", 5, ["late", "never", "discard"]),
        (OFFLOAD.replace(", rate: 5/s", ""), 2, ["rate"]),
        (FRAMES.replace("device: n1", "device: box"), 3, ["box", "which is the server"]),
        (FRAMES + "slots: 0\n", 6, ["slots", "0"]),
        (FRAMES + "drop: 1.5\n", 6, ["drop", "1.5"]),
        (FRAMES.replace("device: n1", "device: n7"), 3, ["n7", "n1"]),
    ],
)
def test_mistakes_are_named_where_they_are(
    on: On, refuse: Refuse, text: str, line: int, words: list[str]
) -> None:
    refuse(on, text, line=line, words=words)


@pytest.mark.parametrize("text", [OFFLOAD, FRAMES])
def test_a_reader_of_dataflows_says_who_takes_them(folder: Path, text: str) -> None:
    (folder / "job.yaml").write_text(text)
    with pytest.raises(SpecError, match="made for the devices of a cluster"):
        load_app(folder)


def test_frames_with_both_numbers_and_users_are_refused(on: On, refuse: Refuse) -> None:
    refuse(on, FRAMES + "declared: {X: 1}\n", line=6, words=["both 'declared' and 'users'"])
