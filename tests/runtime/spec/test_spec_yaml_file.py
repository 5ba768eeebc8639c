import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from edgeray.errors import SpecError
from edgeray.spec.yaml_file import MAX_FILE_BYTES, MAX_VALUES, read_yaml


def read(tmp_path: Path, text: str | bytes) -> object:
    file = tmp_path / "file.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(file, expected="something")


def refused(tmp_path: Path, text: str | bytes, line: int, *words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert caught.value.where == f"{tmp_path / 'file.yaml'}:{line}"
    for word in words:
        assert word in str(caught.value)


def test_values_are_what_they_look_like(tmp_path: Path) -> None:
    document = read(
        tmp_path,
        dedent("""
        1: one
        on: yes
        time: 12:30
        day: 2024-05-01
        octal: 017
        small: 1e-3
        big: 1_000
        half: .5
        none: ~
        empty:
        none_at_all: .inf
        words: [a, 'true', "1"]
        """),
    )
    assert document.value == {  # type: ignore[attr-defined]
        "1": "one",
        "on": True,
        "time": "12:30",
        "day": "2024-05-01",
        "octal": "017",
        "small": 0.001,
        "big": 1000,
        "half": 0.5,
        "none": None,
        "empty": None,
        "none_at_all": float("inf"),
        "words": ["a", "true", "1"],
    }


def test_lines_are_those_of_the_keys_and_values(tmp_path: Path) -> None:
    document = read(tmp_path, "a:\n  b: {c: 1,\n      d: 2}\nlist:\n  - x\n  - y: 1\n")
    lines = document.lines  # type: ignore[attr-defined]
    assert lines["a",] == 1
    assert lines["a", "b"] == 2
    assert lines["a", "b", "c"] == 2
    assert lines["a", "b", "d"] == 3
    assert lines["list", "x"] == 5
    assert lines["list", "1", "y"] == 6
    assert document.line(("a", "b", "no", "such")) == 2  # type: ignore[attr-defined]


def test_a_byte_order_mark_and_aliases_are_read(tmp_path: Path) -> None:
    document = read(tmp_path, b"\xef\xbb\xbfa: &x [1, 2]\nb: *x\n")
    assert document.value == {"a": [1, 2], "b": [1, 2]}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, ["empty"]),
        ("# only a comment\n", 1, ["empty"]),
        ("- a\n- b\n", 1, ["a list, not a mapping"]),
        ("just text\n", 1, ["the text 'just text', not a mapping"]),
        ("42", 1, ["the number 42"]),
        ("a: 1\nb: 2\na: 3\n", 3, ["'a' is given twice", "line 1", "line 3"]),
        ("t:\n  x: 1\n  'x': 2\n", 3, ["'x' is given twice"]),
        ("a: b: c\n", 1, ["not valid YAML"]),
        ("a: 1\n\tb: 2\n", 2, ["not valid YAML", "spaces"]),
        ("a: [1, 2\nb: 3\n", 2, ["not valid YAML"]),
        ("a: 1\n---\nb: 2\n", 2, ["one document"]),
        ("a: *nowhere\n", 1, ["undefined alias", "quote"]),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, ["tag", "python/object"]),
        ("a: !mine 3\n", 1, ["tag '!mine'"]),
        ("a: !!int many\n", 1, ["'many' cannot be read as int"]),
        ("a: &a [*a]\n", 1, ["contain themselves"]),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", 3, ["merge keys"]),
        ("? [a, b]\n: 1\n", 1, ["a key is a list"]),
        (b"a: 1\nb: \xff\n", 2, ["0xff is not UTF-8"]),
        (b"a: 1\nb: \x00\n", 2, ["U+0000"]),
        ("a: 1\nb: " + "[" * 100 + "]" * 100, 2, ["levels deep"]),
        ("a: " + "9" * 5000, 1, ["cannot be read as int"]),
    ],
)
def test_bad_files_are_refused_on_their_line(
    tmp_path: Path, text: str | bytes, line: int, words: list[str]
) -> None:
    refused(tmp_path, text, line, *words)


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    refused(tmp_path, "\n".join(levels), 1, "250,000 values", "aliases")


def test_huge_files_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "a: " + "x" * MAX_FILE_BYTES, 1, "larger than 4 MB")


def test_too_many_values_are_refused(tmp_path: Path) -> None:
    refused(
        tmp_path, "a: [" + "\n1," * (2 * MAX_VALUES) + "]", 2 * MAX_VALUES - 1, "more than 250,000 values"
    )


def test_files_read_the_same_without_libyaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [1, {b: on}]\nc: 1e3\n")
    script = (
        "import sys; sys.modules['yaml._yaml'] = None\n"
        "from pathlib import Path; from edgeray.spec.yaml_file import read_yaml\n"
        "print(read_yaml(Path(sys.argv[1]), expected=''))"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "a.yaml")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(read_yaml(tmp_path / "a.yaml", expected=""))


def test_a_missing_file_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "five.yaml").write_text("a: 1")
    with pytest.raises(SpecError, match=r"holds five\.yaml") as caught:
        read_yaml(tmp_path / "fives.yaml", expected="something")
    assert "did you mean 'five.yaml'?" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    with pytest.raises(SpecError, match=r"app is not there.*holds apps"):
        read_yaml(tmp_path / "app" / "x" / "job.yaml", expected="something")


def test_a_relative_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match="holds nothing"):
        read_yaml(Path("job.yaml"), expected="something")


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecError, match="no regular file"):
        read_yaml(tmp_path / "pipe", expected="something")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError):
        read_yaml(tmp_path / name, expected="something")
