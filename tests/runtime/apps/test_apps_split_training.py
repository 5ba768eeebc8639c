"""The app's own model, data set and loss can be cut and learned, and its job files fit the testbed that is for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from edgeray.client import fingerprint
from edgeray.spec import App, check_job_on_cluster, check_runnable, load_cluster, load_on
from edgeray.training.build import build_model, cutter, dataset_of, example_of, loss_of
from edgeray.training.recipe import Recipe

APP = "split-training"
FOLDER = Path(__file__).parents[3] / "apps" / APP
CLUSTER = load_cluster(FOLDER.parents[1] / "cluster" / "testbed" / "training.yaml")
CLIENTS = tuple(f"c{n}" for n in range(1, 9))


def app(file: str) -> tuple[App, Recipe]:
    loaded = load_on(FOLDER / file, CLUSTER)
    return loaded, Recipe.of(loaded.code[loaded.job.tasks[0].id].args["recipe"])


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_the_job_files_fit_the_testbed(file: str) -> None:
    loaded, recipe = app(file)
    check_job_on_cluster(loaded, CLUSTER)
    check_runnable(loaded)
    assert recipe.clients == CLIENTS and loaded.job.tasks[0].device == "server"


def test_data_that_are_shared_out_otherwise_need_no_other_profile() -> None:
    assert fingerprint(app("job.yaml")[0]) == fingerprint(app("noniid.yaml")[0])


def test_ones_own_is_cut_anywhere_and_learns(app_path: Path) -> None:
    torch.set_num_threads(1)
    loaded, recipe = app("own.yaml")
    assert loaded.job.training is not None and loaded.job.training.micro_batches == 4
    model, dataset, loss = build_model(recipe), dataset_of(recipe, "train"), loss_of(recipe)
    parts = cutter(model, example_of(recipe, dataset))
    assert len(parts.cuts) >= 5
    for index in (0, 3, len(parts.cuts) - 1):  # each is tried: it trains as the whole model does
        assert (parts(index).tail is None) is (index == len(parts.cuts) - 1)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    for inputs, labels in DataLoader(dataset, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss(model(inputs), labels).backward()
        optimizer.step()
    points, arms = dataset_of(recipe, "test").tensors
    assert (model(points).argmax(dim=1) == arms).double().mean() > 0.8
    assert not torch.equal(points, dataset.tensors[0])
