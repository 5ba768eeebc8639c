"""`edgeray plan` of split training from declared numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import FIG32, edgeray

from policies.partition.registry import SPLIT_POLICIES

DECLARED = """
kind: split-training
name: lenet
declared:
  A: {pi: [4s, 7s, 20s], nano: [3s, 5s, 9s]}
  C: [40Mbit, 20Mbit, 8Mbit]
  total_bps: 10Mbps
"""

Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    file = tmp_path / "train.yaml"
    file.write_text(DECLARED)
    return file


@pytest.fixture
def plan(job: Path, tmp_path: Path) -> Plan:
    def planned(*args: object, code: int = 0) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(
            edgeray("plan", job, *args, "--json", state=tmp_path, code=code).stdout
        )
        return told

    return planned


@pytest.mark.parametrize("name", SPLIT_POLICIES)
def test_json_of_each_policy(plan: Plan, name: str) -> None:
    told = plan("--policy", name)
    assert list(told) == ["policy", "cuts", "rates_bps", "round_s", "bound_s"]
    assert told["policy"] == name
    assert len(told["cuts"]) == len(told["rates_bps"]) == 2
    assert sum(told["rates_bps"]) <= 1e7 * (1 + 1e-12)
    assert 0 < told["bound_s"] <= told["round_s"]


def test_without_a_policy_it_is_p1s_optimum(plan: Plan) -> None:
    told = plan()
    assert told["policy"] == "edgesplit"
    assert told["cuts"] == [1, 1]
    assert told["round_s"] == pytest.approx(8 + 5**0.5)  # 2/(T-7) + 2/(T-5) = 1


def test_whole_units(plan: Plan, job: Path) -> None:
    job.write_text(DECLARED + "  rate_unit_bps: 1Mbps\n")
    told = plan()
    assert told["cuts"] == [1, 1]
    assert told["rates_bps"] == [6e6, 4e6]
    assert told["round_s"] == pytest.approx(7 + 20 / 6)


def test_infeasible_is_told_with_reasons(plan: Plan, job: Path, tmp_path: Path) -> None:
    job.write_text(DECLARED + "  memory_bytes: [1GB, 2GB, 12GB]\n  device_memory_bytes: {pi: 8GB}\n")
    told = plan("--policy", "vanilla-fl", code=1)
    assert told == {
        "policy": "vanilla-fl",
        "feasible": False,
        "reasons": ["device pi: cut 2 (the whole model) needs 12 GB of memory, it has 8 GB"],
    }
    said = edgeray("plan", job, "--policy", "vanilla-fl", state=tmp_path, code=1).stdout
    assert "lenet cannot be trained by vanilla-fl: device pi: cut 2" in said
    assert plan()["cuts"] == [1, 1]


def test_table(job: Path, tmp_path: Path) -> None:
    told = edgeray("plan", job, state=tmp_path).stdout
    assert "lenet by edgesplit: a round takes 10.24 s, no round takes less than 5.17 s" in told
    assert "pi" in told and "2 of 3" in told and "6.18 Mbps" in told
    assert "at least" in edgeray("plan", job, "-p", "edgesplit-overlap", state=tmp_path).stdout


def test_bad_input(job: Path, tmp_path: Path) -> None:
    done = edgeray("plan", job, "--policy", "joint", state=tmp_path, code=2)
    assert "unknown policy 'joint' of split training, expected one of vanilla-fl" in done.stderr
    assert "remedy" in done.stderr
    done = edgeray("plan", job, FIG32, state=tmp_path, code=2)
    assert "2 jobs, of which one is split training" in done.stderr
    job.write_text(DECLARED.replace("9s]", "9s, 1s]"))
    done = edgeray("plan", job, state=tmp_path, code=2)
    assert "train.yaml:5: 'A', nano has 4 cuts, the first device has 3" in done.stderr
