"""Loading user code: functions, classes, methods, what is missing, and where outputs go."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeray.errors import StageError
from edgeray.node.code import TaskCode, add_import_folder, iterate, load_once, load_task
from policies.model import TaskId

MODULE = """
def double(x, by=2): return x * by
class Count:
    made = 0
    def __init__(self, start=0):
        type(self).made += 1
        self.n, self.closed = start, False
    def __call__(self, x):
        self.n += 1
        return self.n
    def other(self, x): return -x
    def same(self, x):
        self(x)
        return self
    def close(self): self.closed = True
class Source:
    def __iter__(self): return iter([1, 2])
class Writes:
    def __init__(self, path): self.path = path
    def __call__(self, x): return self.path
class Bad:
    def __init__(self): raise RuntimeError("no weights")
"""


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "user_code_of_test.py").write_text(MODULE)
    add_import_folder(tmp_path)
    yield tmp_path
    sys.path.remove(str(tmp_path))
    sys.modules.pop("user_code_of_test", None)


def load(name: str, tmp_path: Path, **kwargs: object):  # type: ignore[no-untyped-def]
    code = TaskCode(run=f"user_code_of_test:{name}", **kwargs)  # type: ignore[arg-type]
    return load_task(TaskId("t"), code, tmp_path / "out")


def test_functions_get_their_args(tmp_path: Path) -> None:
    assert load("double", tmp_path, args={"by": 5}).call(3) == 15


def test_a_class_is_made_once_and_closed(tmp_path: Path) -> None:
    loaded = load("Count", tmp_path, args={"start": 10})
    assert [loaded.call(0), loaded.call(0)] == [11, 12]
    loaded.close()
    assert loaded.call.__self__.closed


def test_for_one_call_a_class_is_made_by_the_call_and_closed_by_it(tmp_path: Path) -> None:
    loaded = load_once(TaskId("t"), TaskCode(run="user_code_of_test:Count", method="same"), tmp_path)
    made = importlib.import_module("user_code_of_test").Count
    assert made.made == 0, "nothing is held before its turn"
    value = loaded.call(0)
    assert (made.made, value.n, value.closed) == (1, 1, True)


def test_what_one_call_needs_is_missed_when_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="has no attribute 'nothing'"):
        load_once(TaskId("t"), TaskCode(run="user_code_of_test:nothing"), tmp_path)


def test_a_named_method_is_called(tmp_path: Path) -> None:
    assert load("Count", tmp_path, method="other").call(4) == -4


def test_a_source_may_be_just_iterable(tmp_path: Path) -> None:
    assert list(iterate(load("Source", tmp_path))) == [1, 2]


def test_output_dir_is_made_and_named(tmp_path: Path) -> None:
    loaded = load("Writes", tmp_path, args={"path": "${OUTPUT_DIR}/a.txt"})
    assert loaded.call(0) == str(tmp_path / "out" / "a.txt")
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    ("run", "told"), [("Bad", "RuntimeError: no weights"), ("nothing", "has no attribute 'nothing'")]
)
def test_what_cannot_be_set_up_is_named(run: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=told):
        load(run, tmp_path)
