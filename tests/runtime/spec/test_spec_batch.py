"""Job files of batch training: what they say, what is refused, and the App on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from edgeray.errors import SpecError
from edgeray.loading import read_job_files
from edgeray.spec import App, Cluster, is_batches, json_schema, load_app, load_batches, load_cluster, load_on
from edgeray.spec.declared_numbers import declared_kind
from edgeray.spec.yaml_file import read_yaml
from edgeray.training.recipe import Recipe
from policies.model import Network

HEAD = "kind: batch-training\nmodel: mlp\ndataset: fashion-mnist\ncycle: 12s\n"
LAB = """
head: box
devices:
  box: {type: server, memory: 4GB}
  hub: {type: switch, memory: 1GB}
  n1: {type: nano, memory: 2GB}
  p1: {type: pi, memory: 1GB}
  far: {type: pi, memory: 1GB}
links:
  - {ends: [box, hub], capacity: 30Mbps}
  - {ends: [hub, n1], capacity: 30Mbps}
  - {ends: [hub, p1], capacity: 30Mbps}
  - {ends: [hub, far], capacity: 30Mbps}
"""
OWN = """
import torch
def data(subset):
    return [(torch.zeros(3, 4), 1) for _ in range(20)]
"""
On = Callable[..., App]
ROOT = Path(__file__).parents[3]
APPS = [
    file for app in ("batch", "fog") for file in sorted((ROOT / "apps" / f"{app}-training").glob("*.yaml"))
]


@pytest.fixture
def lab(tmp_path: Path) -> Cluster:
    (tmp_path / "lab.yaml").write_text(LAB)
    return load_cluster(tmp_path / "lab.yaml")


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "own.py").write_text(OWN)
        (tmp_path / "job.yaml").write_text(text)
        return tmp_path

    return write


def test_a_job_on_a_cluster(job: Callable[[str], Path], lab: Cluster) -> None:
    path = job(HEAD + "learners: [n1, p1]\nsamples: 600\ncycles: 7\nmargin: 0.2\nbatch_size: 16\n")
    app = load_on(path, lab)
    assert (app.job.kind, app.job.mode, app.needs_profile) == ("batch-training", "batches", True)
    assert {task.id: task.device for task in app.job.tasks} == {
        "server": "box",
        "learner-n1": "n1",
        "learner-p1": "p1",
    }
    assert {flow.id for flow in app.job.flows} == {
        f"{a}->{b}" for n in ("learner-n1", "learner-p1") for a, b in ((n, "server"), ("server", n))
    }
    training = app.job.training
    assert training is not None and training.cycles is not None
    assert training.rounds == 7 and training.clients == ("learner-n1", "learner-p1")
    cycles = training.cycles
    assert (cycles.cycle_s, cycles.samples, cycles.margin, cycles.batch_size) == (12.0, 600, 0.2, 16)
    assert cycles.sample_bytes == 784 + 16  # a byte a pixel; which it is, and its label
    served = app.code[training.server]
    assert served.args["cycle"] == {"cycle_s": 12.0, "margin": 0.2, "send": True}
    recipe = Recipe.of(served.args["recipe"])
    assert (recipe.samples, recipe.rounds, recipe.clients) == (600, 7, ("n1", "p1"))
    assert read_job_files([path]).mode == "batches"


def test_defaults(job: Callable[[str], Path]) -> None:
    found = load_batches(job(HEAD))
    form = found.form
    assert (found.samples, form.cycles, form.data, form.margin) == (60_000, 10, "server", 0.1)
    assert found.name == job(HEAD).name


def test_learners_with_the_data_are_told_which_samples(job: Callable[[str], Path], lab: Cluster) -> None:
    app = load_on(job(HEAD + "learners: [n1]\ndata: learners\n"), lab)
    assert app.job.training is not None and app.job.training.cycles is not None
    assert app.job.training.cycles.sample_bytes == 8
    assert app.code[app.job.training.server].args["cycle"]["send"] is False


def test_a_data_set_of_ones_own(job: Callable[[str], Path], lab: Cluster) -> None:
    text = HEAD.replace("fashion-mnist", "{run: 'own:data'}").replace(
        "model: mlp", "model: {name: mlp, args: {classes: 2, channels: 1}}"
    )
    with pytest.raises(SpecError, match="nothing says how many samples"):
        load_batches(job(text))
    app = load_on(job(text + "samples: 20\nlearners: [n1]\n"), lab)
    assert app.job.training is not None and app.job.training.cycles is not None
    assert app.job.training.cycles.sample_bytes == 16 + 4 * 12


def test_declared_numbers_stay_what_they_are(job: Callable[[str], Path]) -> None:
    path = job("kind: batch-training\ndeclared: {C2: [1], C1: 0, C0: 0, samples: 5, cycle_s: 9}\n")
    assert not is_batches(path) and declared_kind(path) == "batch-training"
    path = job(HEAD)
    assert is_batches(path) and declared_kind(path) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "samples: 0\n", "samples"),
        (HEAD + "samples: 60001\n", "60,000 samples to train on, not 60,001"),
        (HEAD + "margin: 1.0\n", "margin"),
        (HEAD.replace("12s", "0s"), "cycle"),
        (HEAD.replace("cycle: 12s\n", ""), "cycle"),
        (HEAD.replace("model: mlp\n", ""), "model"),
        (HEAD + "declared: {C2: 1}\n", "both 'declared' and 'model'"),
        (HEAD + "optimizer: adam\nmomentum: 0.5\n", "adam takes no"),
        (HEAD + "data: phone\n", "data"),
        (HEAD + "clients: [a]\n", "clients"),
        (HEAD.replace("fashion-mnist", "{name: fashion-mnist, classes_per_client: 2}"), "dealt out anew"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(job: Callable[[str], Path], text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_batches(job(text))
    message = str(caught.value)
    assert told in message and "job.yaml:" in message and "remedy:" in message and "expected:" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("learners: [box]\n", "'box' is the server, and one of its learners"),
        ("learners: [nobody]\n", "'nobody' is no device"),
        ("server: n1\nlearners: {types: [phone]}\n", "no device of type 'phone'"),
    ],
)
def test_learners_that_cannot_be_had(job: Callable[[str], Path], lab: Cluster, text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_on(job(HEAD + text), lab)
    assert told in str(caught.value) and "remedy:" in str(caught.value)


@pytest.mark.parametrize("text", ["learners: [far]\n", ""])
def test_a_learner_without_a_link(job: Callable[[str], Path], lab: Cluster, text: str) -> None:
    """Also where all take part by default."""
    links = {name: link for name, link in lab.network.links.items() if "far" not in link.ends}
    apart = Network(devices=lab.network.devices, links=links)
    with pytest.raises(SpecError) as caught:
        load_on(job(HEAD + "server: box\n" + text), apart)
    assert "lead from the learner 'far' to the server 'box'" in str(caught.value)
    assert "add the link, or leave it out" in str(caught.value)


def test_nobody_learns(job: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("head: box\ndevices: {box: {type: server, memory: 4GB}}\n")
    with pytest.raises(SpecError, match="none of the learners beside the server 'box'"):
        load_on(job(HEAD), load_cluster(tmp_path / "one.yaml"))


def test_it_is_no_dataflow(job: Callable[[str], Path]) -> None:
    with pytest.raises(SpecError, match="kind batch-training has a model, not tasks"):
        load_app(job(HEAD))


@pytest.mark.parametrize("file", APPS)
def test_the_schema_for_editors_takes_the_apps(file: Path) -> None:
    jsonschema.validate(read_yaml(file, expected="").value, json_schema("job"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "batch-training", "model": "mlp", "dataset": "fashion-mnist"},
        {"kind": "batch-training", "model": "mlp", "dataset": "fashion-mnist", "cycle": "12s", "rounds": 3},
        {"kind": "fog-training", "model": "mlp", "dataset": "fashion-mnist", "costs": "guessed"},
        {"kind": "fog-training", "declared": [1]},
    ],
)
def test_the_schema_for_editors_refuses(wrong: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema("job"))
