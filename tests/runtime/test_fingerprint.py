"""The name of a profile: what is measured decides it, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeray.client import fingerprint
from edgeray.spec import App, load_cluster, load_on

CLUSTER = load_cluster(Path(__file__).parents[2] / "cluster" / "testbed" / "training.yaml")
HEAD = "kind: split-training\n"
TRAIN = HEAD + "name: a\nmodel: lenet\ndataset: mnist-5k\n"
DATAFLOW = "name: a\ntasks:\n  cam: {run: 'own:camera', device: c1}\n  see: {run: 'own:see', inputs: [cam]}\n"
CAMERAS = (
    HEAD.replace("split-training", "streams")
    + "name: a\ncameras:\n  north: {device: c1, source: vtest.avi}\n"
)
OWN = "def camera(n=1): ...\ndef see(x, n=1): ...\ndef loss(a, b): ...\n"

Name = Callable[..., str]


@pytest.fixture
def name(tmp_path: Path) -> Name:
    def of(text: str, own: str = OWN) -> str:
        (tmp_path / "own.py").write_text(own)
        (tmp_path / "job.yaml").write_text(text)
        loaded: App = load_on(tmp_path, CLUSTER)
        return fingerprint(loaded)

    return of


@pytest.mark.parametrize(
    "text",
    [
        "rounds: 3",
        "samples: 100",
        "epochs: 2",
        "test_samples: 5",
        "clients: [c1, c2]",
        "server: c8",
        "seed: 4",
        "learning_rate: 0.5",
        "server_mode: nonpipe",
        "micro_batches: 2",
        "patience: 9s",
    ],
)
def test_how_many_and_who_is_not_measured(name: Name, text: str) -> None:
    assert name(TRAIN + text + "\n") == name(TRAIN)


@pytest.mark.parametrize(
    "text",
    [
        TRAIN.replace("lenet", "vgg16"),
        TRAIN.replace("lenet", "{name: lenet, args: {classes: 11}}"),
        TRAIN.replace("mnist-5k", "fashion-mnist"),
        TRAIN + "batch_size: 16\n",
        TRAIN + "optimizer: adam\n",
        TRAIN + "momentum: 0.9\n",
        TRAIN + "weight_decay: 0.1\n",
        TRAIN + "keep_optimizer: true\n",
        TRAIN + "compress: int8\n",
        TRAIN + "loss: own:loss\n",
    ],
)
def test_what_a_batch_takes_is(name: Name, text: str) -> None:
    assert name(text) != name(TRAIN)


def test_values_that_take_as_long_are_not(name: Name) -> None:
    assert name(TRAIN + "momentum: 0.5\n") == name(TRAIN + "momentum: 0.9\n")
    assert name(TRAIN.replace("name: a", "name: b")) == name(TRAIN)
    half = TRAIN.replace("mnist-5k", "{name: mnist-5k, classes_per_client: 5}")
    assert name(half) == name(TRAIN)
    vgg = TRAIN.replace("lenet", "vgg16")
    padded = vgg.replace("mnist-5k", "{name: mnist-5k, padded_to: 36}")
    assert name(padded) != name(vgg)


def test_the_apps_own_code_is(name: Name) -> None:
    assert name(TRAIN, OWN + "\n") != name(TRAIN)
    assert name(DATAFLOW, OWN + "\n") != name(DATAFLOW)


def test_it_can_be_read(name: Name) -> None:
    assert name(TRAIN).startswith("lenet-")
    assert name(DATAFLOW).startswith("a-")


def test_a_dataflow_is_its_code_and_its_flows(name: Name) -> None:
    first = name(DATAFLOW)
    assert name(DATAFLOW.replace("c1", "c2")) == first
    assert name(DATAFLOW.replace("'own:see'", "'own:see', args: {n: 2}")) != first
    assert name(DATAFLOW.replace("'own:see'", "'own:camera'")) != first


@pytest.mark.parametrize(
    "text",
    [
        CAMERAS.replace("c1", "c2"),
        CAMERAS.replace("}", ", fps: 3}"),
        CAMERAS.replace("}", ", frames: 3}"),
        CAMERAS.replace("}", ", repeat: true}"),
        CAMERAS.replace("}", ", shift: 3s}"),
        CAMERAS.replace("}", ", loss: drop-oldest, buffer: 3}"),
        CAMERAS + "detect: {memory: 100MB}\n",
        CAMERAS + "gallery: {keep: 3}\n",
        CAMERAS + "devices: [c1, c2]\nserver: c8\n",
        CAMERAS + "again: 2s\nsync: 3s\nreplan: false\n",
    ],
)
def test_where_and_when_cameras_are_watched_is_not_measured(name: Name, text: str) -> None:
    assert name(text) == name(CAMERAS)


@pytest.mark.parametrize(
    "text",
    [
        CAMERAS.replace("north", "south"),
        CAMERAS.replace("vtest.avi", "/srv/a.avi"),
        CAMERAS.replace("}", ", crop: [0, 0, 0.5, 1]}"),
        CAMERAS.replace("}", ", size: [64, 64]}"),
        CAMERAS.replace("}", ", tiles: 2}"),
        CAMERAS.replace("}", ", still: true}"),
        CAMERAS.replace("}", ", hue: 20}"),
        CAMERAS.replace("}", ", quality: 70}"),
        CAMERAS.replace("}", ", scenes: [{for: 3s, tiles: 2}]}"),
        CAMERAS + "  south: {device: c1, source: vtest.avi}\n",
        CAMERAS + "detect: {run: 'own:see'}\n",
        CAMERAS + "detect: {args: {min_score: 0.5}}\n",
        CAMERAS + "identify: {run: 'own:see'}\n",
    ],
)
def test_what_a_frame_takes_is(name: Name, text: str) -> None:
    assert name(text) != name(CAMERAS)
    assert name(CAMERAS).startswith("a-")
    assert name(CAMERAS, OWN + "\n") != name(CAMERAS)
