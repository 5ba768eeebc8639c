"""`edgeray plan` of split training of a model, from measurements that are made up here and stored as a profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_command import edgeray

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
  p2: {type: pi, memory: 1GB}
links:
  - {ends: [box, hub], capacity: 10Mbps}
  - {ends: [hub, n1], capacity: 10Mbps}
  - {ends: [hub, p1], capacity: 10Mbps}
  - {ends: [hub, p2], capacity: 10Mbps}
"""
SLOWER = {"server": 1.0, "nano": 4.0, "pi": 20.0}
"""How many times as long a batch takes."""

Plan = Callable[..., dict[str, Any]]
Store = Callable[..., None]


def measured(kind: str, **other: Any) -> CutMeasurements:
    """Three places to cut, and the whole model; a batch through all of it takes the server 0.1 s."""
    slower = SLOWER[kind]
    values: dict[str, Any] = {
        "names": ("0", "3", "7", "11"),
        "layers": (1, 2, 3, 5),
        "up_bytes": (40_000.0, 20_000.0, 2_000.0, 0.0),
        "down_bytes": (40_000.0, 20_000.0, 2_000.0, 0.0),
        "weights_bytes": (1_000.0, 10_000.0, 100_000.0, 250_000.0),
        "forward_s": tuple(slower * s for s in (0.004, 0.016, 0.03, 0.04)),
        "backward_s": tuple(slower * s for s in (0.006, 0.024, 0.045, 0.06)),
        "server_s": tuple(slower * s for s in (0.09, 0.06, 0.025, 0.0)),
        "memory_bytes": (2e8, 3e8, 4e8, 5e8),
        "piece_s": (0.0, 0.0, 0.0, 0.0),
        "server_piece_s": (0.0, 0.0, 0.0, 0.0),
        "send_s_per_byte": 0.0,
        "steps": 3,
    }
    return CutMeasurements(**(values | other))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERAY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "job.yaml").write_text(JOB)
    (tmp_path / "lab.yaml").write_text(LAB)
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Store:
    """store(pi=..., nano=..., server=...) keeps a profile; None: of this type there is none."""

    def kept(**other: CutMeasurements | None) -> None:
        cluster = load_cluster(folder / "lab.yaml")
        app = load_on(folder / "app", cluster)
        for device in cluster.network.devices.values():
            if device.type in SLOWER and (rows := other.get(device.type, measured(device.type))) is not None:
                ProfileStore().put(fingerprint(app), device, rows)

    return kept


@pytest.fixture
def plan(folder: Path) -> Plan:
    def planned(*args: object, code: int = 0) -> dict[str, Any]:
        done = edgeray(
            "plan", folder / "app", "--cluster", folder / "lab.yaml", *args, "--json", state=folder, code=code
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return planned


@pytest.mark.parametrize("name", TRAINING_POLICIES)
def test_json_of_each_policy(plan: Plan, store: Store, name: str) -> None:
    store()
    told = plan("--policy", name)
    assert told["policy"] == name and told["feasible"] is True
    assert [row["device"] for row in told["devices"]] == ["n1", "p1", "p2"]
    assert told["cuts"] == [row["cut"] for row in told["devices"]]
    assert told["rates_bps"] == [row["rate_bps"] for row in told["devices"]]
    assert sum(told["rates_bps"]) <= 1e7 * (1 + 1e-9)
    assert 0 < told["bound_s"] <= told["round_s"] <= told["predicted_s"] * (1 + 1e-9)
    assert told["micro_batches"] == (4 if name == "edgesplit-overlap" else 1)
    assert told["rounds"] == 5
    assert told["server"]["device"] == "box"
    assert told["server"]["computing_s"] == pytest.approx(sum(row["server_s"] for row in told["devices"]))
    for row in told["devices"]:
        assert row["layer"] == ("0", "3", "7", "11")[row["cut"]]
        assert (row["batches"], row["layers_total"]) == (4, 5)
        assert row["route"] == [row["device"], "hub", "box"]


def test_without_a_policy_it_is_our_own(plan: Plan, store: Store) -> None:
    store()
    assert plan()["policy"] == "edgesplit-overlap"


def test_numbers_of_a_device(plan: Plan, store: Store) -> None:
    """The whole model on each device: by hand."""
    store()
    told = plan("--policy", "vanilla-fl")
    nano, pi, _ = told["devices"]
    assert told["cuts"] == [3, 3, 3]
    assert told["rates_bps"] == pytest.approx([1e7 / 3] * 3)
    assert pi["computing_s"] == pytest.approx(4 * 20 * 0.1)
    assert nano["computing_s"] == pytest.approx(4 * 4 * 0.1)
    assert (pi["server_s"], pi["type"], pi["layers"]) == (0.0, "pi", 5)
    assert pi["up_bytes"] == pi["down_bytes"] == pi["weights_bytes"] == 250_000
    both_ways_s = 2 * 250_000 * 8 / (1e7 / 3)
    assert told["round_s"] == pytest.approx(8 + both_ways_s)
    assert told["predicted_s"] == pytest.approx(told["round_s"], rel=0.02)
    assert told["bound_s"] < 0.5 * told["round_s"]


def test_weak_devices_train_less_of_it(plan: Plan, store: Store) -> None:
    store()
    told = plan("--policy", "edgesplit")
    nano, pi, again = told["cuts"]
    assert pi == again < nano
    assert told["predicted_s"] < plan("--policy", "adaptive-fl")["predicted_s"]


def test_too_little_memory_is_told_by_name(plan: Plan, store: Store, folder: Path) -> None:
    """A model that does not fit trains by edgesplit, and not by vanilla-fl."""
    inf = float("inf")
    store(
        pi=measured(
            "pi",
            memory_bytes=(2e8, 3e8, 1.1e9, 1.5e9),
            forward_s=(0.08, 0.32, inf, inf),
            backward_s=(0.12, 0.48, inf, inf),
        )
    )
    told = plan("--policy", "vanilla-fl", code=1)
    assert (told["policy"], told["feasible"]) == ("vanilla-fl", False)
    assert len(told["reasons"]) == 2
    for device, reason in zip(("p1", "p2"), told["reasons"], strict=True):
        assert device in reason and "needs 1.5 GB of memory" in reason and "1 GB" in reason
    assert max(plan("--policy", "edgesplit")["cuts"][1:]) <= 1
    words = edgeray(
        "plan", folder / "app", "--cluster", folder / "lab.yaml", "-p", "vanilla-fl", state=folder, code=1
    ).stdout
    assert "digits cannot be trained by vanilla-fl" in words and "p1" in words


def test_table(store: Store, folder: Path) -> None:
    store()
    args = ("plan", folder / "app", "--cluster", folder / "lab.yaml")
    told = edgeray(*args, "--policy", "edgesplit", state=folder).stdout
    assert (
        "digits by edgesplit: a round takes" in told and "times the bound: no round takes less than" in told
    )
    assert "server box (server) computes" in told
    assert "nano" in told and "of 5" in told and "rate" in told and "pieces" not in told
    told = edgeray(*args, state=folder).stdout
    assert "at least" in told and "each batch in 4 pieces" in told


def test_without_measurements_the_command_that_makes_them_is_named(
    plan: Plan, store: Store, folder: Path
) -> None:
    args = ("plan", folder / "app", "--cluster", folder / "lab.yaml")
    done = edgeray(*args, state=folder, code=1)
    assert "nothing is measured yet of how long its model takes" in done.stderr
    assert f"edgeray profile {folder / 'app'}" in done.stderr
    store(pi=None)
    done = edgeray(*args, state=folder, code=1)
    assert "on devices of type pi" in done.stderr and "edgeray profile" in done.stderr


def test_bad_input(folder: Path) -> None:
    args = ("plan", folder / "app", "--cluster", folder / "lab.yaml")
    done = edgeray(*args, "--policy", "joint", state=folder, code=2)
    assert "'joint' is for streams, not for split training" in done.stderr
    assert "expected one of vanilla-fl" in done.stderr
    (folder / "app" / "job.yaml").write_text(JOB + "server: bx\n")
    done = edgeray(*args, state=folder, code=2)
    assert "job.yaml:9: the server 'bx' is no device of cluster 'lab'" in done.stderr
