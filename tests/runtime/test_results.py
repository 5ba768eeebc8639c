"""Results of one-shot jobs: each value as the plainest file that holds it, and back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeray.errors import BadInputError, ClusterError
from edgeray.node.host import served_file
from edgeray.results import Output, kept_as, read_index, read_values, write_value


def there_and_back(folder: Path, value: Any) -> tuple[list[str], Any]:
    """The names of the files that hold a value, and the value as it is read."""
    write_value(folder, "t", value)
    outputs = read_index(folder)
    assert all(output.size_bytes == (folder / output.file).stat().st_size for output in outputs)
    return [output.file for output in outputs], read_values(folder, outputs)["t"]


@pytest.mark.parametrize(
    ("value", "file", "back"),
    [
        ("grüße\r\n", "t.txt", "grüße\r\n"),
        (b"\x00\xff", "t.bin", b"\x00\xff"),
        (None, "t.json", None),
        ({"n": np.int64(3), "xs": (1.5, np.float32(2.0)), "yes": np.bool_(True)}, "t.json", None),
        ([], "t.json", []),
        (3 + 4j, "t.pkl", 3 + 4j),
        ({(1, 2): "x"}, "t.pkl", {(1, 2): "x"}),
    ],
)
def test_a_plain_value_is_one_plain_file(tmp_path: Path, value: Any, file: str, back: Any) -> None:
    files, read = there_and_back(tmp_path, value)
    assert files == [file]
    assert read == (back if back is not None or value is None else {"n": 3, "xs": [1.5, 2.0], "yes": True})


def test_arrays_keep_shape_and_type(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    files, read = there_and_back(tmp_path, array)
    assert files == ["t.npy"]
    assert (read.dtype, read.tolist()) == (array.dtype, array.tolist())


def test_an_array_of_objects_is_pickled_and_never_loaded_as_an_array(tmp_path: Path) -> None:
    files, read = there_and_back(tmp_path, np.array([{"a": 1}, None], dtype=object))
    assert files == ["t.pkl"]
    assert read.tolist() == [{"a": 1}, None]


def test_what_is_no_json_comes_in_parts(tmp_path: Path) -> None:
    picture = tmp_path / "made" / "x.png"
    picture.parent.mkdir()
    picture.write_bytes(b"png")
    value = {"picture": picture, "array": np.zeros(2), "weird/key": [1, 2], 3: "three"}
    files, read = there_and_back(tmp_path / "r", value)
    assert files == ["t/picture/x.png", "t/array.npy", "t/part-2.json", "t/3.txt"]
    assert list(read) == list(value)
    assert read["picture"].read_bytes() == b"png"
    assert (read["weird/key"], read[3], read["array"].tolist()) == ([1, 2], "three", [0.0, 0.0])
    assert there_and_back(tmp_path / "s", (np.ones(1), 2))[1] == (np.ones(1), 2)


def test_a_file_keeps_its_name_unless_two_have_it() -> None:
    def file(task: str, name: str) -> Output:
        return Output(task=task, kind="file", file=f"{task}/{name}", size_bytes=1)

    json = Output(task="s", kind="json", file="s.json", size_bytes=1)
    kept = kept_as([file("a", "x.png"), file("b", "y.png"), file("c", "y.png"), file("d", "s.json"), json])
    assert [output.file for output in kept] == ["x.png", "b/y.png", "c/y.png", "d/s.json", "s.json"]


@pytest.mark.parametrize("name", ["../x.bin", "/etc/passwd", "a/../../x"])
def test_a_name_that_leads_out_is_refused_at_both_ends(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.bin").write_bytes(pickle.dumps(1))
    (tmp_path / "results").mkdir()
    with pytest.raises(BadInputError, match="no result named"):
        served_file(tmp_path / "results", name)
    with pytest.raises(ClusterError, match="leads out"):
        kept_as([Output(task="t", kind="bytes", file=name, size_bytes=1)])


def test_a_link_out_of_the_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInputError, match="no result named"):
        served_file(tmp_path / "results", "link")
