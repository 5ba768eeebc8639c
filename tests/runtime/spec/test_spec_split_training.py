from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from edgeray.spec.split_training import SplitJob, is_split_training, load_split_training

Refuse = Callable[..., object]

HEAD = "kind: split-training\ndeclared:\n  total_bps: 30Mbps\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        file = tmp_path / "train.yaml"
        file.write_text(dedent(text).lstrip("\n"))
        return file

    return written


@pytest.fixture
def load(write: Callable[[str], Path]) -> Callable[[str], SplitJob]:
    return lambda text: load_split_training(write(text))


Load = Callable[[str], SplitJob]


def test_lists(load: Load) -> None:
    job = load(HEAD + "  A: [[1, 2s, 3], [4, 5, 500ms]]\n  C: [3Mbit, 2000, 1]\n")
    assert (job.name, job.trained) == ("train", None)
    assert job.declared is not None
    assert job.declared.devices == ("d0", "d1")
    assert job.declared.A_s.tolist() == [[1, 2, 3], [4, 5, 0.5]]
    assert job.declared.C_bits.tolist() == [[3e6, 2000, 1]] * 2
    assert job.declared.total_bps == 3e7
    assert job.declared.rate_unit_bps is None
    assert job.declared.usable.all()


def test_mappings_and_limits(load: Load) -> None:
    job = load(
        """
        kind: split-training
        name: lenet
        declared:
          A: {pi: [1, .inf], nano: [3, 4]}
          C: {nano: [7, 8], pi: [5, 6]}
          total_bps: 30Mbps
          rate_unit_bps: 100kbps
          rate_caps_bps: {pi: 0}
          memory_bytes: [1GB, 2GB]
          device_memory_bytes: [4GB, 1GB]
          layers: [2, 5]
        """
    )
    declared = job.declared
    assert (job.name, declared.devices) == ("lenet", ("pi", "nano"))
    assert declared.C_bits.tolist() == [[5, 6], [7, 8]]
    assert declared.rate_unit_bps == 1e5
    assert declared.rate_caps_bps.tolist() == [0, np.inf]
    assert declared.memory_bytes.tolist() == [4e9, 1e9]
    assert declared.layers.tolist() == [2, 5]
    assert declared.usable.tolist() == [[False, False], [True, False]]


def test_parts_give_what_is_not_declared(load: Load) -> None:
    parts = (
        "  parts: {device_s: [[1, 2]], server_s: [3, 0], up_bits: [4, 1], down_bits: [5, 1], servers: 2}\n"
    )
    job = load(HEAD + parts)
    assert job.declared.A_s.tolist() == [[4, 2]]
    assert job.declared.C_bits.tolist() == [[9, 2]]
    assert job.declared.parts is not None and job.declared.parts.servers == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("  A:\n    - [1, 2]\n    - [3]\n  C: [1, 2]\n", 6, ["'A', entry 2 has 1 cut", "first device has 2"]),
        ("  A:\n    - [1, 2]\n    - [3, -4]\n  C: [1, 2]\n", 6, ["entry 2, entry 2: -4 is negative"]),
        ("  A: [[1, .nan]]\n  C: [1, 2]\n", 4, ["nan is not a number"]),
        ("  A: [[1, x]]\n  C: [1, 2]\n", 4, ["x is no number"]),
        ("  A: [[1, true]]\n  C: [1, 2]\n", 4, ["True is no number"]),
        ("  A: [[1, 2]]\n  C: [1, 2, 3]\n", 5, ["'C' has 3 cuts"]),
        ("  A: [[1, 2]]\n  C: [1, .inf]\n", 5, ["inf is infinite"]),
        ("  A: [[1, 2]]\n  C: [[1, 2], [1, 2]]\n", 5, ["'C' has 2 numbers for 1 device"]),
        ("  A: [1, 2]\n  C: [1, 2]\n", 4, ["'A', entry 1 has the number 1"]),
        ("  A: []\n  C: [1, 2]\n", 4, ["'A' is empty"]),
        ("  A: 3\n  C: [1, 2]\n", 4, ["'A' is the number 3"]),
        ("  A: {a b: [1]}\n  C: [1]\n", 4, ["'a b' is not usable as an id"]),
        (
            "  A: {nano: [1]}\n  C: {nanos: [1]}\n",
            5,
            ["names 'nanos', which is no device", "did you mean 'nano'"],
        ),
        ("  A: {pi: [1], nano: [1]}\n  C: {pi: [1]}\n", 5, ["'C' has no device 'nano'"]),
        ("  A: [[1]]\n", 2, ["'declared' has no 'C'"]),
        ("  C: [1]\n", 2, ["'declared' has no 'A'"]),
        ("  A: [[1]]\n  C: [1]\n  rate_unit_bps: 0\n", 6, ["is zero"]),
        ("  A: [[1]]\n  C: [1]\n  rate_caps_bps: [1, 2]\n", 6, ["has 2 numbers for 1 device"]),
        ("  A: [[1]]\n  C: [1]\n  layers: [1, 2]\n", 6, ["'layers' are 1, 2"]),
        ("  A: [[1, 2]]\n  C: [1, 2]\n  layers: [2, 1]\n", 6, ["none smaller than the one before"]),
        ("  A: [[1]]\n  C: [1]\n  rate_unit: 1\n", 6, ["unknown key", "did you mean 'rate_unit_bps'"]),
        ("  A: [[1]]\n  C: [1]\n  parts: {device: 1}\n", 6, ["unknown key", "did you mean 'device_s'"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    write: Callable[[str], Path], refuse: Refuse, text: str, line: int, words: list[str]
) -> None:
    refuse(load_split_training, write(HEAD + text), line=line, words=words)


def test_total_and_numbers_must_be_there(write: Callable[[str], Path], refuse: Refuse) -> None:
    none = write("kind: split-training\n")
    refuse(load_split_training, none, line=1, words=["neither 'model' nor 'declared'"])
    total = write("kind: split-training\ndeclared: {A: [[1]], C: [1]}\n")
    refuse(load_split_training, total, line=2, words=["has no 'total_bps'"])


def test_kinds_are_told_apart(write: Callable[[str], Path], tmp_path: Path) -> None:
    assert is_split_training(write(HEAD))
    assert is_split_training(write("{kind: split-training}"))
    assert not is_split_training(write("# no split-training\nkind: dataflow\n"))
    assert not is_split_training(tmp_path / "absent.yaml")
    assert not is_split_training("/dev/zero")
