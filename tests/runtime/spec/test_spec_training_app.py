"""Jobs of split training on a cluster: who takes part, and the tasks, flows and recipe that come of it."""

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeray.errors import BadInputError, SpecError
from edgeray.spec import App, Cluster, check_job_on_cluster, check_runnable, load_cluster, load_on
from edgeray.spec.built_in import DATASETS, MODELS, BuiltInDataset
from edgeray.training.data import partition_by_class, partition_iid
from edgeray.training.models import MODELS as FACTORIES
from edgeray.training.models import cnn, lenet, mlp, mobilenet_v2, resnet50, resnet101, vgg16
from edgeray.training.recipe import Recipe

Refuse = Callable[..., SpecError]
On = Callable[..., App]

HEAD = "kind: split-training\nmodel: lenet\ndataset: fashion-mnist\n"
LAB = """
name: lab
head: box
devices:
  box: {type: server, memory: 4GB}
  hub: {type: switch, memory: 1GB}
  n1: {type: nano, memory: 2GB}
  p1: {type: pi, memory: 1GB}
  p2: {type: pi, memory: 1GB}
links:
  - {ends: [box, hub], capacity: 30Mbps}
  - {ends: [hub, n1], capacity: 30Mbps}
  - {ends: [hub, p1], capacity: 30Mbps}
  - {ends: [hub, p2], capacity: 30Mbps}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Cluster:
    (tmp_path / "lab.yaml").write_text(LAB)
    return load_cluster(tmp_path / "lab.yaml")


@pytest.fixture
def on(tmp_path: Path, lab: Cluster) -> On:
    """on(text, own=source) loads a job file in a folder with own.py, on the lab."""

    def load(text: str, own: str = "", resume: str | None = None) -> App:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "own.py").write_text(own)
        (folder / "job.yaml").write_text(text)
        return load_on(folder, lab, resume=resume)

    return load


def recipe_of(app: App) -> Recipe:
    return Recipe.of(json.loads(json.dumps(app.code[app.job.tasks[0].id].args["recipe"])))


def test_tasks_flows_and_code(on: On, lab: Cluster) -> None:
    app = on(HEAD + "rounds: 3\nbatch_size: 50\nepochs: 2\nsamples: 120\n")
    assert (app.job.id, app.job.kind, app.job.mode, app.needs_profile) == (
        "app",
        "split-training",
        "loop",
        True,
    )
    assert [(task.id, task.device) for task in app.job.tasks] == [
        ("server", "box"),
        ("client-n1", "n1"),
        ("client-p1", "p1"),
        ("client-p2", "p2"),
    ]
    clients = ("client-n1", "client-p1", "client-p2")
    assert {flow.id for flow in app.job.flows} == {f"{c}->server" for c in clients} | {
        f"server->{c}" for c in clients
    }
    training = app.job.training
    assert training is not None
    assert (training.server, training.clients, training.rounds) == ("server", clients, 3)
    assert set(training.batches.values()) == {6}  # twice 50, 50 and 20
    assert app.code["server"].run == "edgeray.training.tasks:Serve"
    assert {app.code[client].run for client in clients} == {"edgeray.training.tasks:Train"}
    assert app.code["server"].args["resume"] is None
    recipe = recipe_of(app)
    assert (recipe.clients, recipe.samples, recipe.epochs) == (("n1", "p1", "p2"), 120, 2)
    check_runnable(app)
    check_job_on_cluster(app, lab)


def test_what_the_file_says_is_in_the_recipe(on: On) -> None:
    text = """
optimizer: adam
learning_rate: 0.002
weight_decay: 0.1
keep_optimizer: true
loss: own:loss
seed: 7
server_mode: splitpipe-bf
compress: int8
patience: 90s
test_samples: 0
"""
    recipe = recipe_of(on(HEAD + text, own="def loss(a, b): ...\n"))
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adam", 0.002, 0.1)
    assert (recipe.keep_optimizer, recipe.loss, recipe.seed) == (True, "own:loss", 7)
    assert (recipe.server_mode, recipe.compress) == ("splitpipe-bf", "int8")
    assert (recipe.patience_s, recipe.test_samples) == (90.0, 0)


@pytest.mark.parametrize(
    ("text", "clients"),
    [
        ("clients: [p2, n1]", ("p2", "n1")),
        ("clients: {types: [pi]}", ("p1", "p2")),
        ("clients: {types: [pi], devices: [p2, hub]}", ("p2", "hub", "p1")),
        ("server: p1", ("box", "n1", "p2")),
        ("server: p1\nclients: {types: [pi]}", ("p2",)),
    ],
)
def test_who_the_clients_are(on: On, text: str, clients: tuple[str, ...]) -> None:
    app = on(HEAD + text + "\n")
    assert recipe_of(app).clients == clients
    assert app.job.tasks[0].device == ("p1" if "server" in text else "box")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("server: bx", 4, ["server 'bx' is no device of cluster 'lab'", "did you mean 'box'?"]),
        ("clients: [p1, p3]", 4, ["client 'p3' is no device", "p1, p2"]),
        ("clients: [p1, box]", 4, ["'box' is the server, and one of its clients"]),
        ("clients: {types: [pie]}", 4, ["no device of type 'pie'", "did you mean 'pi'?"]),
        ("clients: {types: [server]}", 4, ["no client beside the server 'box'"]),
        ("samples: 20_001", 4, ["20,001 samples for each of 3 clients", "has 60,000", "at most 20000"]),
    ],
)
def test_what_the_cluster_does_not_have(
    on: On, refuse: Refuse, text: str, line: int, words: list[str]
) -> None:
    refuse(on, HEAD + text + "\n", line=line, words=words)


def test_relays_alone_train_nothing(on: On, lab: Cluster, refuse: Refuse, tmp_path: Path) -> None:
    on(HEAD)
    devices = {id: lab.network.devices[id] for id in ("box", "hub")}
    links = {id: link for id, link in lab.network.links.items() if "box" in link.ends}
    small = replace(lab, network=replace(lab.network, devices=devices, links=links))
    refuse(load_on, tmp_path / "app", small, line=1, words=["no client", "type switch or router only pass"])


def test_a_client_without_a_way_to_the_server(on: On, lab: Cluster, refuse: Refuse, tmp_path: Path) -> None:
    on(HEAD)
    links = {id: link for id, link in lab.network.links.items() if "p2" not in link.ends}
    apart = replace(lab.network, links=links)
    refuse(load_on, tmp_path / "app", apart, line=1, words=["which device is the server", "server: DEVICE"])
    on(HEAD + "server: box\n")
    refuse(load_on, tmp_path / "app", apart, line=1, words=["no links of the cluster", "client 'p2'"])


def test_declared_numbers_do_not_run(on: On, refuse: Refuse) -> None:
    text = "kind: split-training\ndeclared: {A: [[1]], C: [1], total_bps: 1}\n"
    refuse(on, text, line=2, words=["planned, but not run", "model: ..."])


def test_other_kinds_load_as_they_do(on: On) -> None:
    text = "tasks: {a: {work: 1, device: box}}\n"
    assert on(text).job.mode == "stream"
    with pytest.raises(BadInputError, match="does not train a model"):
        on(text, resume="job-1")


def test_resume_is_told_to_the_server(on: On) -> None:
    assert on(HEAD, resume="job-1").code["server"].args["resume"] == "job-1"


OWN = """
import torch

def plain(): return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
def normed(): return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
def broken(): raise OSError("its weights are on the device")
def points(subset): ...
"""


@pytest.mark.parametrize(
    ("model", "pieces"),
    [
        ("lenet", 4),
        ("vgg16", 4),
        ("resnet50", 1),
        ("mobilenet_v2", 1),
        ("own:plain", 4),
        ("own:normed", 1),
        ("own:broken", 1),
    ],
)
def test_batches_are_cut_into_pieces_where_that_changes_nothing(on: On, model: str, pieces: int) -> None:
    head = HEAD.replace("lenet", model)

    def of(text: str) -> int:
        training = on(head + text, own=OWN).job.training
        assert training is not None
        return training.micro_batches

    before = list(sys.path)
    assert of("") == pieces
    assert of("batch_size: 2\n") == min(2, pieces)
    assert of("micro_batches: 3\n") == 3
    assert "own" not in sys.modules and sys.path == before


def test_a_list_of_ones_own_samples_is_taken_as_it_is(on: On) -> None:
    text = "kind: split-training\nmodel: own:plain\ndataset: own:points\nsamples: 70\nbatch_size: 7\n"
    recipe = recipe_of(on(text, own=OWN))
    assert (recipe.samples, recipe.test_samples, recipe.dataset) == (70, 1000, "own:points")


@given(
    clients=st.integers(1, 12),
    each=st.one_of(st.none(), st.integers(1, 5)),
    per_class=st.integers(3, 40),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_no_client_gets_fewer_samples_than_it_may_ask_for(
    clients: int, each: int | None, per_class: int, seed: int
) -> None:
    names = [f"c{n}" for n in range(clients)]
    labels = np.repeat(np.arange(5), per_class)
    data = BuiltInDataset(run="", train=5 * per_class, test=1, classes=5, channels=1, side=28)
    most = data.most_samples(clients, each)
    rng = np.random.default_rng(seed)
    try:
        shares = (
            partition_iid(labels, names, rng)
            if each is None
            else partition_by_class(labels, names, each, rng)
        )
    except BadInputError:
        assert most < each if each is not None else most == 0
        return
    assert min(len(share) for share in shares.values()) >= most


def test_built_in_models_are_what_the_table_says() -> None:
    from torch.nn.modules.batchnorm import _BatchNorm

    factories = (lenet, mlp, cnn, vgg16, resnet50, resnet101, mobilenet_v2)
    assert {factory.__name__ for factory in factories} == MODELS.keys() == FACTORIES.keys()
    import torch

    for name, model in MODELS.items():
        factory = FACTORIES[name]
        assert tuple(inspect.signature(factory).parameters) == model.keywords
        assert model.run == f"edgeray.training.models:{factory.__name__}"
        with torch.device("meta"):
            built = factory(classes=10, channels=1, **model.small)
            assert built(torch.empty(2, 1, model.side, model.side)).shape == (2, 10)
        assert any(isinstance(module, _BatchNorm) for module in built.modules()) is model.batch_norm


def test_built_in_datasets_are_what_the_table_says() -> None:
    from edgeray.assets import asset
    from edgeray.errors import MissingAssetError
    from edgeray.training.data import fashion_mnist, labels_of, mnist_5k

    try:
        asset("mnist-5k.csv.gz"), asset("fashion-mnist-train-images.gz")
    except MissingAssetError as error:
        pytest.skip(str(error))
    for name, factory in (("fashion-mnist", fashion_mnist), ("mnist-5k", mnist_5k)):
        data = DATASETS[name]  # type: ignore[index]
        assert data.run == f"edgeray.training.data:{factory.__name__}"
        train, test = factory("train"), factory("test")
        assert (len(train), len(test)) == (data.train, data.test)
        assert set(np.bincount(labels_of(train)).tolist()) == {data.train // data.classes}
        assert train[0][0].shape == (data.channels, data.side, data.side)
