"""edgeray plan of declared numbers of kind fog-training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeray.errors import BadInputError, SpecError
from edgeray.planning_declared import decide_declared
from edgeray.spec.declared_numbers import load_declared

FOG = """kind: fog-training
declared:
  D: [[10, 0], [0, 0]]
  c: [[1, 0], [1, 0.75]]
  c_link: [[null, 0.1], [.inf, inf]]
  f: 2
  C: [[2, 99], [0, 4]]
"""
LINES = (
    "declared: {D: [[10, 4], [0, 0]], c: 1, c_link: 0.5, f: [2, 2], C: inf, C_link: [[.inf, 3], [3, .inf]]}"
)


def test_the_cheapest_plan(plan: Any) -> None:
    told = plan(FOG, "--json")
    assert list(told) == ["policy", "total", "process", "transfer", "discard", "unit", "movements"]
    assert told["policy"] == "network-aware"
    assert told["process"] == pytest.approx(2 * 1 + 4 * 0.75)
    assert told["transfer"] == pytest.approx(0.4) and told["discard"] == pytest.approx(8)
    assert told["total"] == pytest.approx(13.4) and told["unit"] == pytest.approx(1.34)
    assert told["movements"] == [{"t": 0, "from": 0, "to": 1, "amount": 4.0}]


def test_in_words(plan: Any) -> None:
    told = plan(FOG)
    assert "numbers by network-aware: total 13.4, process 5, transfer 0.4, discard 8, unit 1.34" in told
    assert "interval" in told and "points" in told
    assert "interval" not in plan(FOG, "--policy", "local")


def test_a_long_list_is_cut(plan: Any) -> None:
    rows = [[1] * 8] * 2
    text = f"kind: fog-training\ndeclared: {{D: {rows}, c: {[[1] * 8, [0] * 8]}, c_link: 0, f: 2, C_link: 0.1}}\n"
    moved = len(plan(text, "--json")["movements"])
    assert moved > 30 and f"and {moved - 30} more" in plan(text)


@pytest.mark.parametrize(
    "policy",
    ["local", "network-aware", "network-aware-estimated", "network-aware-sqrt", "network-aware-sqrt-exact"],
)
def test_every_policy_answers(tmp_path: Path, policy: str) -> None:
    (tmp_path / "fog.yaml").write_text(f"kind: fog-training\n{LINES}\n")
    told = decide_declared(load_declared(tmp_path / "fog.yaml"), policy)
    assert told["policy"] == policy
    assert told["total"] == pytest.approx(told["process"] + told["transfer"] + told["discard"])
    json.dumps(told, allow_nan=False)


def test_theorem_3_ends_with_2_where_it_does_not_hold(plan: Any) -> None:
    told = plan(FOG, "--policy", "theorem-3", code=2)
    assert "device 1 is to process 10 points in interval 1" in told and "remedy" in told


def test_an_unknown_policy(tmp_path: Path) -> None:
    (tmp_path / "fog.yaml").write_text(FOG)
    with pytest.raises(BadInputError, match="expected one of local, federated, theorem-3, network-aware"):
        decide_declared(load_declared(tmp_path / "fog.yaml"), "joint")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (FOG.replace("  f: 2\n", ""), "'f' is missing"),
        (FOG.replace("  f: 2", "  g: 2"), "unknown key 'g'"),
        (FOG.replace("  f: 2", "  f: null"), "'f': nothing"),
        (FOG.replace("  f: 2", "  f: -2"), "is negative"),
        (FOG.replace("  f: 2", "  f: inf"), "is infinite"),
        (FOG.replace("[[10, 0], [0, 0]]", "[10, 0]"), "D has shape (2,)"),
        (FOG.replace("[[1, 0], [1, 0.75]]", "[[1, 0], [1]]"), "different lengths"),
        (FOG.replace("[[1, 0], [1, 0.75]]", "[1, 0, 1]"), "c has shape (3,)"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "fog.yaml").write_text(text)
    with pytest.raises(SpecError) as told:
        load_declared(tmp_path / "fog.yaml")
    assert what in str(told.value) and "fog.yaml:" in str(told.value) and "remedy" in str(told.value)


def test_what_is_wrong_ends_with_2(plan: Any) -> None:
    assert "'f' is missing" in plan(FOG.replace("  f: 2\n", ""), code=2)
