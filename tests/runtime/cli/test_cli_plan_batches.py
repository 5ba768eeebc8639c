"""`edgeray plan` of batch training of a model, from measurements that are made up here and stored as a profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import edgeray
from test_cli_plan_training import LAB, measured

from edgeray.client import fingerprint
from edgeray.profiler import ProfileStore
from edgeray.spec import load_cluster, load_on

JOB = """
kind: batch-training
name: digits
model: mlp
dataset: mnist-5k
samples: 400
batch_size: 10
cycles: 5
cycle: 200s
"""
Plan = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the profile of all types of the lab."""
    monkeypatch.setenv("EDGERAY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "job.yaml").write_text(JOB)
    (tmp_path / "lab.yaml").write_text(LAB)
    cluster = load_cluster(tmp_path / "lab.yaml")
    name = fingerprint(load_on(tmp_path / "app", cluster))
    store = ProfileStore()
    for device in cluster.network.devices.values():
        if device.type != "switch":
            store.put(name, device, measured(device.type))
    return tmp_path


@pytest.fixture
def plan(folder: Path) -> Plan:
    def planned(*args: object, code: int = 0) -> Any:
        import json

        done = edgeray(
            "plan", folder / "app", "--cluster", folder / "lab.yaml", "--json", *args, state=folder, code=code
        )
        return json.loads(done.stdout)

    return planned


@pytest.mark.parametrize("policy", ["eta", "mel", "mel-polynomial", "mel-exact"])
def test_json_of_each_policy(plan: Plan, policy: str) -> None:
    told = plan("--policy", policy)
    assert told["policy"] == policy and told["feasible"] and told["name"] == "digits"
    assert sum(told["batches"]) == 400 and told["tau"] >= 1
    assert [row["device"] for row in told["learners"]] == ["n1", "p1", "p2"]
    assert [row["samples"] for row in told["learners"]] == told["batches"]
    for row in told["learners"]:
        expected_s = row["C2"] * told["tau"] * row["samples"] + row["C1"] * row["samples"] + row["C0"]
        assert row["predicted_s"] == pytest.approx(expected_s)
        assert row["predicted_s"] <= 0.9 * 200 + told["tau"] * row["C2"] + row["C1"]
    assert [row["C2"] for row in told["learners"]] == pytest.approx([0.04, 0.2, 0.2])  # 0.1 s a batch of 10
    assert told["shortest_cycle_s"] < 200


def test_mel_exact_is_the_default_and_the_most(plan: Plan) -> None:
    assert plan()["policy"] == "mel-exact"
    assert plan()["tau"] > plan("--policy", "eta")["tau"]


def test_a_cycle_that_is_too_short(plan: Plan, folder: Path) -> None:
    """Exits with 1; in the cycle that it names there is a plan."""
    file = folder / "app" / "job.yaml"
    file.write_text(JOB.replace("200s", "3s"))
    told = plan(code=1)
    assert not told["feasible"] and any("shortest cycle" in reason for reason in told["reasons"])
    file.write_text(JOB.replace("200s", f"{told['shortest_cycle_s'] * 1.001:.6f}s"))
    assert plan()["tau"] == 1


def test_table(folder: Path) -> None:
    done = edgeray("plan", folder / "app", "--cluster", folder / "lab.yaml", state=folder)
    assert "iterations on 400 samples" in done.stdout
    for device in ("n1", "p1", "p2"):
        assert device in done.stdout


def test_several_jobs(folder: Path) -> None:
    done = edgeray(
        "plan", folder / "app", folder / "app", "--cluster", folder / "lab.yaml", state=folder, code=2
    )
    assert "a call for each" in done.stderr


def test_a_policy_of_another_kind(folder: Path) -> None:
    done = edgeray(
        "plan", folder / "app", "--cluster", folder / "lab.yaml", "--policy", "heft", state=folder, code=2
    )
    assert "eta, mel, mel-polynomial, mel-exact" in done.stderr
