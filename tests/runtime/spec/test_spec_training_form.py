"""Job files of split training that name a model: what can be said, and what is wrong with what was said."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from edgeray.errors import SpecError
from edgeray.spec import json_schema, load_app, load_split_training
from edgeray.spec.split_training import SplitJob, Trained
from edgeray.spec.yaml_file import read_yaml

Refuse = Callable[..., SpecError]
Write = Callable[..., Path]

HEAD = "kind: split-training\nmodel: lenet\ndataset: fashion-mnist\n"
OWN = """\
import torch
from torch.utils.data import Dataset

def net(width=4): return torch.nn.Linear(width, 2)

def loss(logits, labels): return ((logits - labels) ** 2).mean()

class Net(torch.nn.Module): ...

class Points(Dataset): ...

class Plain:
    def __len__(self): return 3
    def __getitem__(self, index): return index

def points(subset): ...
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        (tmp_path / "own.py").write_text(OWN)
        file = tmp_path / "train.yaml"
        file.write_text(dedent(text).lstrip("\n"))
        return file

    return written


def load(file: Path) -> tuple[SplitJob, Trained]:
    job = load_split_training(file)
    assert job.declared is None and job.trained is not None
    return job, job.trained


def test_two_names_are_enough(write: Write, tmp_path: Path) -> None:
    job, trained = load(write(HEAD))
    assert (job.name, job.folder) == ("train", tmp_path)
    assert trained.model.run == "edgeray.training.models:lenet"
    assert trained.model.args == {"classes": 10, "channels": 1}
    assert (trained.dataset.run, trained.dataset.args) == ("edgeray.training.data:fashion_mnist", {})
    assert trained.batch_norm is False
    assert (trained.form.rounds, trained.form.batch_size, trained.form.optimizer) == (10, 32, "sgd")


@pytest.mark.parametrize("model", ["vgg16", "resnet50", "resnet101", "mobilenet_v2"])
def test_deep_models_get_small_stems_and_larger_images(write: Write, model: str) -> None:
    _, trained = load(write(f"kind: split-training\nmodel: {model}\ndataset: mnist-5k\n"))
    assert trained.model.args == {"classes": 10, "channels": 1, "stem": "cifar"}
    assert trained.dataset.args == {"padded_to": 32}
    assert trained.batch_norm is (model != "vgg16")


def test_what_is_said_goes_before_what_fits(write: Write) -> None:
    text = """
        kind: split-training
        name: narrow
        model: {name: mobilenet_v2, args: {width: 0.5, stem: imagenet, classes: 12}}
        dataset: {name: fashion-mnist, padded_to: 64, classes_per_client: 5}
        patience: 2min
        loss: cross-entropy
        weight_decay: 1e-4
        compress: int8
    """
    job, trained = load(write(text))
    assert job.name == "narrow"
    assert trained.model.args == {"classes": 12, "channels": 1, "stem": "imagenet", "width": 0.5}
    assert trained.dataset.args == {"padded_to": 64}
    assert trained.form.dataset.classes_per_client == 5
    assert (trained.form.patience, trained.form.weight_decay) == (120.0, 1e-4)
    assert (trained.form.loss, trained.form.compress) == (None, "int8")


@pytest.mark.parametrize("dataset", ["own:points", "own:Points", "own:Plain"])
@pytest.mark.parametrize("model", ["own:Net", "{run: 'own:net', args: {width: 3}}"])
def test_ones_own(write: Write, model: str, dataset: str) -> None:
    text = f"kind: split-training\nmodel: {model}\ndataset: {dataset}\nloss: own:loss\nsamples: 10\n"
    _, trained = load(write(text))
    assert trained.model.args == ({"width": 3} if "width" in model else {})
    assert (trained.dataset.run, trained.dataset.args) == (dataset, {})
    assert (trained.batch_norm, trained.sizes, trained.form.loss) == (None, None, "own:loss")


@pytest.mark.parametrize("text", ["[c2, c1]", "{devices: [c2, c1]}", "{types: [pi, nano], devices: [c3]}"])
def test_clients(write: Write, text: str) -> None:
    _, trained = load(write(HEAD + f"clients: {text}\n"))
    clients = trained.form.clients
    assert clients is not None
    assert clients.devices == (["c3"] if "types" in text else ["c2", "c1"])
    assert clients.types == (["pi", "nano"] if "types" in text else [])


LATER = [
    ("rounds: 0", ["'rounds' is the number 0", "at least 1"]),
    ("rounds: 1.5", ["a whole number"]),
    ("batch_size: yes", ["'batch_size' is the truth value true", "a whole number"]),
    ("epochs: three", ["'epochs' is the text 'three'"]),
    ("learning_rate: 0", ["a number above 0"]),
    ("learning_rate: .inf", ["a finite number"]),
    ("momentum: 1", ["a number below 1"]),
    ("momentum: 0.9\noptimizer: adam", ["adam takes no `momentum`"]),
    ("optimizer: sgdd", ["'sgd' or 'adam'"]),
    ("keep_optimizer: 1", ["true or false"]),
    ("loss: mse", ["'mse' does not name code"]),
    ("loss: own:los", ["has no 'los'", "did you mean 'loss'?"]),
    ("seed: -1", ["at least 0"]),
    ("server_mode: fifo", ["'nonpipe', 'splitpipe-rw'"]),
    ("compress: int4", ["'int8'"]),
    ("micro_batches: 33", ["33 pieces of a batch of 32"]),
    ("patience: 0", ["is zero"]),
    ("patience: soon", ["'patience': 'soon'"]),
    ("test_samples: 10_001", ["10,000 samples to test on, not 10,001"]),
    ("samples: 0", ["at least 1"]),
    ("server: a b", ["not usable as an id"]),
    ("clients: [c1, c1]", ["names 'c1' twice"]),
    ("clients: []", ["names nobody"]),
    ("clients: c1", ["'c1' is no list", "leave it out for all devices"]),
    ("clients: [3]", ["holds 3, which is no name"]),
    ("clients: {type: [pi]}", ["unknown key 'type' in 'clients'", "did you mean 'types'?"]),
    ("clients: {types: pi}", ["'clients'", "has for 'types' the text 'pi'", "a list"]),
    ("optimiser: adam", ["unknown key 'optimiser'", "did you mean 'optimizer'?"]),
    ("declared: {A: [[1]], C: [1], total_bps: 1}", ["both 'declared' and 'model'"]),
]


@pytest.mark.parametrize(("text", "words"), LATER, ids=[text for text, _ in LATER])
def test_what_is_wrong_with_the_rest(write: Write, refuse: Refuse, text: str, words: list[str]) -> None:
    refuse(load_split_training, write(HEAD + text + "\n"), line=4, words=words)


NAMES = [
    (
        "model: lenett",
        "dataset: mnist-5k",
        2,
        ["'lenett' does not come with EdgeRay", "did you mean 'lenet'?"],
    ),
    ("model: {name: vgg}", "dataset: mnist-5k", 2, ["names 'vgg', which does not", "did you mean 'vgg16'?"]),
    ("model: 3", "dataset: mnist-5k", 2, ["3 is no name", "such as lenet"]),
    ("model: {args: {}}", "dataset: mnist-5k", 2, ["neither `name` nor `run`"]),
    ("model: {name: lenet, run: own:net}", "dataset: mnist-5k", 2, ["both `name` and `run`"]),
    ("model: {nam: lenet}", "dataset: mnist-5k", 2, ["unknown key 'nam' in 'model'", "'name'?"]),
    ("model: {name: lenet, args: {width: 2}}", "dataset: mnist-5k", 2, ["'lenet' takes no 'width'"]),
    ("model: {name: vgg16, args: {stem: big}}", "dataset: mnist-5k", 2, ["imagenet, cifar"]),
    ("model: {name: vgg16, args: {classes: 9}}", "dataset: mnist-5k", 2, ["has 9 classes and 1 channels"]),
    ("model: {name: vgg16, args: {channels: 3}}", "dataset: mnist-5k", 2, ["channels: 1"]),
    ("model: {name: lenet, args: {classes: x}}", "dataset: mnist-5k", 2, ["'classes' of 'lenet'"]),
    ("model: {name: mobilenet_v2, args: {width: 0}}", "dataset: mnist-5k", 2, ["a number above 0"]),
    ("model: own:nett", "dataset: mnist-5k", 2, ["has no 'nett'", "did you mean 'net'?"]),
    ("model: lenet", "dataset: mnist", 3, ["'mnist' does not come with", "did you mean 'mnist-5k'?"]),
    ("model: lenet", "dataset: {name: mnist-5k, args: {a: 1}}", 3, ["takes no `args`"]),
    ("model: lenet", "dataset: {name: mnist-5k, padded_to: 32}", 3, ["does not take images of 32"]),
    ("model: vgg16", "dataset: {name: mnist-5k, padded_to: 30}", 3, ["of 30 pixels", "32 or more"]),
    ("model: own:net", "dataset: {name: mnist-5k, padded_to: 29}", 3, ["cannot be padded to 29"]),
    ("model: lenet", "dataset: {name: mnist-5k, classes_per_client: 11}", 3, ["mnist-5k has 10"]),
    ("model: own:net", "dataset: own:points", 3, ["nothing says how many samples"]),
    ("model: own:net", "dataset: {run: own:points, padded_to: 32}\nsamples: 3", 3, ["by `args`"]),
    ("model: own:net", "dataset: nobodys:points\nsamples: 3", 3, ["no module 'nobodys'"]),
    ("model: vgg16", "dataset: own:points\nsamples: 3", 2, ["how many classes 'vgg16' has"]),
    ("model: lenet", "data: mnist-5k", 3, ["unknown key 'data'", "did you mean 'dataset'?"]),
    ("modle: lenet", "dataset: mnist-5k", 2, ["unknown key 'modle'", "did you mean 'model'?"]),
]


@pytest.mark.parametrize(("model", "dataset", "line", "words"), NAMES, ids=[f"{n[0]} {n[1]}" for n in NAMES])
def test_what_is_wrong_with_model_and_dataset(
    write: Write, refuse: Refuse, model: str, dataset: str, line: int, words: list[str]
) -> None:
    refuse(load_split_training, write(f"kind: split-training\n{model}\n{dataset}\n"), line=line, words=words)


def test_where_only_tasks_can_go_it_says_what_to_do(write: Write, refuse: Refuse) -> None:
    refuse(load_app, write(HEAD), line=1, words=["a model, not tasks", "edgeray plan", "load_on"])


def test_the_schema_knows_all_kinds(write: Write) -> None:
    schema = json_schema("job")
    declared = "declared: {A: [[1]], C: [1], total_bps: 1Mbps}\n"
    good = [
        HEAD,
        HEAD.replace("lenet", "{run: 'own:net', args: {a: 1}}") + "clients: [a]\npatience: 3s\nloss: own:l\n",
        HEAD + "clients: {types: [pi]}\nmicro_batches: 2\nlearning_rate: 1\n",
        "kind: split-training\n" + declared,
    ]
    for text in good:
        jsonschema.validate(read_yaml(write(text), expected="").value, schema)
    bad = [
        HEAD + declared,
        HEAD + "rounds: 0\n",
        HEAD + "optimiser: adam\n",
        HEAD.replace("lenet", "lenett"),
        HEAD.replace("model: lenet\n", ""),
        HEAD + "clients: 3\n",
        "kind: split-training\ntasks: {}\n",
        "kind: dataflow\nmodel: lenet\n",
    ]
    for text in bad:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(read_yaml(write(text), expected="").value, schema)


@pytest.mark.parametrize(
    "file", sorted(Path(__file__).parents[3].glob("apps/split-training/*.yaml")), ids=str
)
def test_the_jobs_we_ship_can_be_read(file: Path) -> None:
    load(file)
    jsonschema.validate(read_yaml(file, expected="").value, json_schema("job"))
