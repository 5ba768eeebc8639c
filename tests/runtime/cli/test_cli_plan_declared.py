"""edgeray plan of jobs that are numbers only: streams, batch-training, frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeray.errors import BadInputError, SpecError
from edgeray.planning_declared import decide_declared
from edgeray.spec.declared_numbers import load_declared

STREAMS = """kind: streams
declared:
  PS: [1, 1, 1]
  CL1: [1, 1, 1, 1]
  CL2: [1, 1, 1, 1]
  T: [[0, 0, 0, 0], [0, 0, 0, 0], [0s, 0, 0, 0]]
  transfer: [500ms, 0.5, 0.5, 0.5]
  memory: [4GB, 4GB, 4GB]
  R_det: 1GB
  R_reid: 1GB
"""
BATCHES = (
    "kind: batch-training\ndeclared: {C2: [10ms, 20ms], C1: 0, C0: [1s, 1s], samples: 100, cycle_s: 10s}\n"
)
FRAMES = """kind: frames
declared: {X: [1000000, 1000000], A: [6, 6], C: [2, 2], mu: 1, T: 6, e_local: 7, e_send: 4, M: 1}
"""


def test_streams(plan: Any) -> None:
    told = plan(STREAMS, "--policy", "jstsh", "--json")
    assert set(told) == {"policy", "x", "y", "sum_latency_s", "common_fps", "feasible"}
    assert told["feasible"] and len(told["x"]) == len(told["y"]) == 4
    best = plan(STREAMS, "--json")
    assert best["policy"] == "load-aware" and best["common_fps"] == pytest.approx(1 / 3)
    assert "detector on" in plan(STREAMS)


def test_streams_that_no_memory_holds(plan: Any) -> None:
    told = plan(STREAMS.replace("[4GB, 4GB, 4GB]", "100MB"), "--policy", "nmno", "--json", code=1)
    assert not told["feasible"] and "s0" in told["reasons"][0]


def test_batches(plan: Any) -> None:
    told = plan(BATCHES, "--policy", "mel-exact", "--json")
    assert set(told) == {"policy", "tau", "batches", "feasible", "shortest_cycle_s"}
    assert told["tau"] == 13 and sum(told["batches"]) == 100
    assert plan(BATCHES, "--policy", "eta", "--json")["tau"] == 9
    short = plan(BATCHES.replace("cycle_s: 10s", "cycle_s: 1200ms"), "--json", code=1)
    assert not short["feasible"] and short["shortest_cycle_s"] > 1.2


def test_frames(plan: Any) -> None:
    told = plan(FRAMES, "--policy", "djos", "--json")
    assert {"policy", "slots", "sent", "local", "dropped", "value"} <= set(told)
    assert told["slots"] == [3, 3] and told["sent"] == [6, 6] and told["dropped"] == [0, 0]
    assert sum(plan(FRAMES, "--policy", "lfos", "--json")["energy"]) == 12 * 4.5
    assert sum(plan(FRAMES, "--policy", "efos", "--json")["energy"]) == 12 * 4.25


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (STREAMS.replace("CL2:", "CL3:"), "CL3"),
        (STREAMS.replace("[500ms, 0.5, 0.5, 0.5]", "[1, 2]"), "do not go together"),
        (STREAMS.replace("[0, 0, 0, 0], [0s", "[0, 0, 0], [0s"), "different lengths"),
        (STREAMS.replace("500ms", "5 apples"), "apples"),
        (BATCHES.replace("C1: 0, ", ""), "'C1' is missing"),
        (BATCHES.replace("samples: 100", "samples: 1.5"), "whole number"),
        (FRAMES.replace("T: 6", "T: 0"), "T is 0"),
        ("kind: frames\ndeclared: 5\n", "no mapping"),
        ("kind: frames\nnumbers: {}\n", "numbers"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "numbers.yaml").write_text(text)
    with pytest.raises(SpecError) as told:
        load_declared(tmp_path / "numbers.yaml")
    assert what in str(told.value) and "numbers.yaml:" in str(told.value) and "remedy" in str(told.value)


def test_what_is_wrong_ends_with_2(plan: Any) -> None:
    assert "'C1' is missing" in plan(BATCHES.replace("C1: 0, ", ""), code=2)


@pytest.mark.parametrize(("text", "first"), [(STREAMS, "nmno"), (BATCHES, "eta"), (FRAMES, "lfos")])
def test_an_unknown_policy(tmp_path: Path, text: str, first: str) -> None:
    (tmp_path / "numbers.yaml").write_text(text)
    with pytest.raises(BadInputError, match=f"expected one of {first}"):
        decide_declared(load_declared(tmp_path / "numbers.yaml"), "joint")
