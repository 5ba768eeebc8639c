"""`edgeray simulate` of fog training: a table or JSON of policies, curves, and what is wrong with options."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from cli_command import CLUSTER, FIG32, edgeray

JOB = """kind: fog-training
name: corners
model: own:model
dataset: own:corners
batch_size: 4
learning_rate: 0.1
test_samples: 50
"""
OWN = """import numpy as np
import torch
from torch import nn


class Corners(torch.utils.data.Dataset):
    def __init__(self, samples):
        rng = np.random.default_rng(samples)
        self.labels = rng.integers(0, 3, samples)
        around = rng.normal(0, 0.3, (samples, 3)) + np.eye(3)[self.labels]
        self.inputs = torch.from_numpy(around.astype(np.float32))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.inputs[index], torch.tensor(self.labels[index])


def corners(subset):
    return Corners(1200 if subset == "train" else 100)


def model():
    return nn.Linear(3, 3)
"""
FEW = ("--n", 4, "--set", "intervals=12", "--set", "tau=4")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def test_a_table_and_curves(job: Path) -> None:
    out = job / "out"
    told = edgeray("simulate", job, "--topology", "small-world", *FEW, "--out", out, state=job)
    assert "corners: 4 devices, small-world, 12 intervals, averaged every 4" in told.stdout
    for name in ("centralized", "local", "federated", "network-aware", "network-aware-sqrt"):
        assert told.stdout.count(f" {name} ") == 2, name
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert [row["intervals"] for row in rows if row["policy"] == "federated"] == ["4", "8", "12"]
    assert str(out / "curves.csv") in told.stderr


def test_json_is_the_same_each_time(job: Path) -> None:
    asked = (
        "simulate",
        job,
        *FEW,
        "--policies",
        "federated,network-aware,network-aware-estimated",
        "--seed",
        5,
        "--json",
    )
    once, again = (edgeray(*asked, state=job).stdout for _ in range(2))
    assert once == again
    told = json.loads(once)
    assert told["seed"] == 5 and told["job"] == "corners"
    assert (
        told["settings"]["n"] == 4 and told["settings"]["topology"] == "full" and told["settings"]["tau"] == 4
    )
    federated, aware, estimated = told["runs"]
    assert federated["sent"] == 0 and aware["sent"] > 0 and estimated["policy"] == "network-aware-estimated"
    assert aware["unit"] < federated["unit"] and aware["collected"] == federated["collected"]
    assert aware["accuracy"] > 0.5
    other = json.loads(edgeray(*asked[:-2], 6, "--json", state=job).stdout)
    assert other["runs"][0]["collected"] != federated["collected"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--topology", "star"), ("'topology' is 'star'", "one of full, small-world, hierarchy, random")),
        (("--topology", "small-wrld"), ("small-wrld", "did you mean")),
        (("--set", "rho=1.5"), ("'rho' is '1.5'", "from 0 to 1", "remedy")),
        (("--n", "0"), ("'n' is 0", "from 1 to 1000")),
        (("--set", "tau=0"), ("'tau' is '0'", "from 1")),
        (("--set", "roh=0.5"), ("'roh' is no setting", "did you mean 'rho'")),
        (("--n", "4", "--set", "n=5"), ("--n and --set n=5 say the same", "leave one out")),
        (("--policies", "network-awre"), ("'network-awre'", "did you mean 'network-aware'")),
        (("--policy", "joint"), ("no policy 'joint' of fog training", "centralized, local")),
        (("--policy", "theorem-3", "--set", "capacities=yes"), ("theorem-3 has no plan", "network-aware")),
        (("--set", "points=0.5"), ("'points' is '0.5'", "1 or more")),
        (("--set", "points=1"), ("collect no point", "--set points=60000")),
        (("--rounds", "3", "--frames", "9"), ("--frames, --rounds: not for jobs of kind fog-training",)),
        (("--cluster", CLUSTER), ("--cluster: not for jobs of kind fog-training", "leave it out")),
        ((FIG32,), ("2 jobs, of which one is fog training", "a call for each")),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_remedy(job: Path, args: tuple[object, ...], said: tuple[str, ...]) -> None:
    told = edgeray("simulate", job, *args, state=job, code=2)
    assert not told.stdout
    for text in said:
        assert text in told.stderr


def test_out_is_a_folder(job: Path) -> None:
    told = edgeray("simulate", job, *FEW, "--out", job / "own.py", state=job, code=2)
    assert "expected a folder, found a file" in told.stderr


def test_devices_and_topologies_are_of_fog_training_only(job: Path) -> None:
    told = edgeray("simulate", FIG32, "--cluster", CLUSTER, "--n", "3", state=job, code=2)
    assert "--topology and --n: for jobs of fog training" in told.stderr
