"""`edgeray simulate` of split training: rounds from measurements that are made up here and stored as a profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import FIG32, edgeray

from edgeray.client import fingerprint
from edgeray.profiler import ProfileStore
from edgeray.profiler.cuts import CutMeasurements
from edgeray.spec import load_cluster, load_on
from policies.registry import TRAINING_POLICIES

JOB = """
kind: split-training
name: digits
model: lenet
dataset: mnist-5k
samples: 40
batch_size: 10
rounds: 5
"""
LAB = """
head: box
devices:
  box: {type: server, memory: 4GB}
  hub: {type: switch, memory: 1GB}
  n1: {type: nano, memory: 2GB}
  p1: {type: pi, memory: 1GB}
links:
  - {ends: [box, hub], capacity: 10Mbps}
  - {ends: [hub, n1], capacity: 10Mbps}
  - {ends: [hub, p1], capacity: 10Mbps}
"""
SLOWER = {"server": 1.0, "nano": 4.0, "pi": 20.0}

Simulate = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job, a cluster, and measurements: a batch through the whole model takes the server 0.1 s."""
    monkeypatch.setenv("EDGERAY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "job.yaml").write_text(JOB)
    (tmp_path / "lab.yaml").write_text(LAB)
    cluster = load_cluster(tmp_path / "lab.yaml")
    app = load_on(tmp_path / "app", cluster)
    for device in cluster.network.devices.values():
        if device.type in SLOWER:
            ProfileStore().put(fingerprint(app), device, _measured(SLOWER[device.type]))
    return tmp_path


def _measured(slower: float) -> CutMeasurements:
    return CutMeasurements(
        names=("0", "7", "11"),
        layers=(1, 3, 5),
        up_bytes=(40_000.0, 2_000.0, 0.0),
        down_bytes=(40_000.0, 2_000.0, 0.0),
        weights_bytes=(1_000.0, 100_000.0, 250_000.0),
        forward_s=tuple(slower * s for s in (0.004, 0.03, 0.04)),
        backward_s=tuple(slower * s for s in (0.006, 0.045, 0.06)),
        server_s=tuple(slower * s for s in (0.09, 0.025, 0.0)),
        memory_bytes=(2e8, 4e8, 5e8),
        piece_s=(0.0, 0.0, 0.0),
        server_piece_s=(0.0, 0.0, 0.0),
        send_s_per_byte=0.0,
        steps=3,
    )


@pytest.fixture
def simulate(folder: Path) -> Simulate:
    def simulated(*args: object, code: int = 0) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(_simulate(folder, *args, "--json", code=code)[0])
        return told

    return simulated


def _simulate(folder: Path, *args: object, code: int = 0) -> tuple[str, str]:
    done = edgeray(
        "simulate", folder / "app", "--cluster", folder / "lab.yaml", *args, state=folder, code=code
    )
    return done.stdout, done.stderr


def test_the_whole_model_by_hand(simulate: Simulate) -> None:
    """Weights of 2 Mbit at 5 Mbps each way; four batches at 2 s and 0.4 s."""
    [run] = simulate("--policy", "vanilla-fl")["runs"]
    nano, pi = run["devices"]
    assert run["round_s"] == pytest.approx(8 + 0.8)
    assert (run["rounds"], run["total_s"]) == (5, pytest.approx(5 * 8.8))
    assert (pi["device"], pi["type"], pi["cut"], pi["layer"]) == ("p1", "pi", 2, "11")
    assert pi["compute_s"] == pytest.approx(8) and pi["transfer_s"] == pytest.approx(0.8)
    assert nano["compute_s"] == pytest.approx(1.6) and nano["idle_s"] == pytest.approx(8 - 1.6)
    assert run["server"] == {"device": "box", "busy_s": 0}


def test_each_policy_side_by_side(simulate: Simulate) -> None:
    told = simulate("--policies", ",".join(TRAINING_POLICIES), "--rounds", 3)
    assert told["scenario"]["rounds"] == 3
    rounds = {run["policy"]: run["round_s"] for run in told["runs"]}
    assert tuple(rounds) == TRAINING_POLICIES
    assert min(rounds, key=lambda name: rounds[name]) == "edgesplit-overlap"
    for run in told["runs"]:
        assert 0 < run["bound_s"] <= run["round_s"] == pytest.approx(run["total_s"] / 3)
        for row in run["devices"]:
            parts = ("compute_s", "served_s", "transfer_s", "queued_s", "idle_s")
            assert sum(row[part] for part in parts) == pytest.approx(run["round_s"])


def test_what_a_person_sees(folder: Path) -> None:
    out, err = _simulate(folder)
    assert "digits on lab by edgesplit-overlap: 5 rounds in" in err and "times the bound" in err
    assert "p1" in out and "nano" in out and "queued" in out
    out, _ = _simulate(folder, "--policies", "vanilla-fl,edgesplit")
    assert "digits on lab, 5 rounds" in out and "vanilla-fl" in out


def test_no_plan_is_told_and_ends_with_1(folder: Path, simulate: Simulate) -> None:
    (folder / "lab.yaml").write_text(LAB.replace("type: pi, memory: 1GB", "type: pi, memory: 450MB"))
    [run] = simulate("--policy", "vanilla-fl", code=1)["runs"]
    assert run["feasible"] is False and "device p1: cut 2 (the whole model) needs 500 MB" in run["reasons"][0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--items", 5), "--items: not for split training"),
        (("--fail", "p1@3s", "--detail", "rates"), "--fail, --detail: not for split training"),
        (("--policy", "otfa"), "is for streams, not for split training"),
        (("--policy", "edgesplit", "--policies", "edgesplit"), "exclude each other"),
        ((FIG32,), "2 jobs, of which one is split training"),
    ],
)
def test_what_does_not_go_together_is_refused(folder: Path, arguments: tuple[object, ...], told: str) -> None:
    assert told in _simulate(folder, *arguments, code=2)[1]


def test_rounds_are_for_split_training_only(folder: Path) -> None:
    done = edgeray("simulate", FIG32, "--cluster", folder / "lab.yaml", "--rounds", 3, state=folder, code=2)
    assert "--rounds: for jobs of split training" in done.stderr
