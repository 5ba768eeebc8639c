from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from edgeray.spec import App, check_runnable, load_app
from edgeray.spec.declared import MAX_TASKS

Refuse = Callable[..., object]
Edges = Callable[..., App]


@pytest.fixture
def edges(tmp_path: Path) -> Edges:
    def load(text: str, name: str = "job.edges") -> App:
        (tmp_path / name).write_text(dedent(text).lstrip("\n"))
        return load_app(tmp_path / name)

    return load


def test_an_edge_list(edges: Edges, refuse: Refuse) -> None:
    app = edges(
        """
        # what it costs
        edge decode detect 600kB   # before its nodes
        node show 1e9, device=e1
        node detect pi=2s nano=500ms memory=200MB
        node decode 5GFLOP pi=2min
        decode show 0
        edge,detect,show,1.5e3
        """,
        name="my film.edges",
    )
    assert app.job.id == "my_film"
    assert app.job.mode == "once"
    assert [
        (task.id, task.work_flop, task.seconds, task.memory_bytes, task.device) for task in app.job.tasks
    ] == [
        ("decode", 5e9, {"pi": 120}, 0, None),
        ("detect", None, {"pi": 2, "nano": 0.5}, 2e8, None),
        ("show", 1e9, None, 0, "e1"),
    ]
    assert [(flow.id, flow.size_bytes) for flow in app.job.flows] == [
        ("decode->detect", 6e5),
        ("decode->show", 0),
        ("detect->show", 1500),
    ]
    assert set(app.sources) == {"decode"}
    assert not app.needs_profile
    refuse(check_runnable, app, line=5, words=["'decode' has no `run`"])


@pytest.mark.parametrize("name", ["a.edges", "a.txt", "a.CSV"])
def test_endings_and_line_ends(edges: Edges, name: str) -> None:
    app = edges("node,a,1\r\nnode,b,2,\r\n\r\na,b,3\r\n", name=name)
    assert [task.id for task in app.job.tasks] == ["a", "b"]
    assert [flow.size_bytes for flow in app.job.flows] == [3]


BAD = [
    ("", 1, ["there is no node"]),
    ("# nothing\n", 1, ["there is no node", "node ID WORK"]),
    ("node a 1\nedge a b 5\n", 2, ["edge a b ends at 'b', which is no node", "one of a"]),
    ("node camera 1\nnode b 1\ncamra b 5\n", 3, ["did you mean 'camera'?"]),
    ("a b 5\n", 1, ["no node", "add `node a WORK`"]),
    ("node a 1\n\nnode a 2\n", 3, ["'a' is given twice", "line 1", "line 3"]),
    ("node a 1\nnode b 1\na b 1\nedge a b 2\n", 4, ["edge a b is given twice", "line 3"]),
    ("node a 1\na a 1\n", 2, ["cycle: a -> a"]),
    ("node a 1\nnode b 1\nnode c 1\na b 1\nb c 1\nc a 1\n", 4, ["cycle: a -> b -> c -> a"]),
    ("node a\n", 1, ["'a' has no cost", "5GFLOP"]),
    ("node a memory=5MB\n", 1, ["'a' has no cost"]),
    ("node a 5GB\n", 1, ["the work of node 'a': '5GB' has the unknown unit 'GB'"]),
    ("node a -5\n", 1, ["is negative"]),
    ("node a nan\n", 1, ["NaN"]),
    ("node a 1 2\n", 1, ["'a' has two costs"]),
    ("node a pi=1 pi=2\n", 1, ["two values of 'pi'"]),
    ("node a pi=2m\n", 1, ["the seconds of node 'a' on pi", "unknown unit 'm'"]),
    ("node a pi=\n", 1, ["on pi: ''"]),
    ("node a 1 memory=5Mb\n", 1, ["the memory of node 'a'", "did you mean 'MB'?"]),
    ("node a 1 device=\n", 1, ["not usable as a device"]),
    ("node a /=1\n", 1, ["'/' of node 'a' is not usable as a device type"]),
    ("node /a 1\n", 1, ["'/a' is not usable as an id"]),
    ("node a 1\nnode b 1\nedge a b\n", 3, ["edge a b has no size"]),
    ("node a 1\nnode b 1\na b\n", 3, ["edge a b has no size"]),
    ("node a 1\nnode b 1\na b many\n", 3, ["the size of edge a b: 'many'"]),
    ("node a 1\na -> b 5\n", 2, ["'a -> b 5' is neither a node nor an edge"]),
    ("node\n", 1, ["neither a node nor an edge"]),
    ("node a 1\nnode b \xe9\n", 2, ["'é' is no number"]),
]


@pytest.mark.parametrize(("text", "line", "words"), BAD)
def test_bad_lists_are_refused(edges: Edges, refuse: Refuse, text: str, line: int, words: list[str]) -> None:
    refuse(edges, text, line=line, words=words)


def test_a_million_tasks_are_refused(edges: Edges, refuse: Refuse) -> None:
    text = "".join(f"node t{n} 1\n" for n in range(10**6))
    refuse(edges, text, line=MAX_TASKS + 1, words=["more than 100,000 tasks"])


def test_a_huge_file_is_not_read(tmp_path: Path, refuse: Refuse) -> None:
    with (tmp_path / "a.edges").open("wb") as file:
        file.truncate(10**9)
    refuse(load_app, tmp_path / "a.edges", line=1, words=["larger than 64 MB"])


def test_a_missing_list(tmp_path: Path, refuse: Refuse) -> None:
    refuse(load_app, tmp_path / "a.edges", line=None, words=["is not there", "an edge list"])
