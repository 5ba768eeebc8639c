"""Job files of fog training: what can be said, what is wrong with what was said, and the App that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from edgeray.errors import SpecError
from edgeray.spec.app import Cluster
from edgeray.spec.cluster_file import load_cluster
from edgeray.spec.fog_app import fog_app
from edgeray.spec.fog_job import FogJob, is_fog, load_fog
from edgeray.training.fog.settings import Fog
from edgeray.training.recipe import Recipe
from policies.model import TaskId

Refuse = Callable[..., SpecError]
Write = Callable[[str], Path]

HEAD = "kind: fog-training\nmodel: mlp\ndataset: fashion-mnist\n"
CLUSTER = """
    name: lab
    head: hub
    devices:
      hub: {type: server, memory: 4GB}
      e1: {type: pi, memory: 1GB}
      e2: {type: pi, memory: 1GB}
      e3: {type: nano, memory: 1GB}
      switch: {type: switch, memory: 1GB}
    links:
      - {ends: [hub, switch], capacity: 30Mbps}
      - {ends: [e1, switch], capacity: 20Mbps}
      - {ends: [e2, switch], capacity: 10Mbps}
      - {ends: [e3, hub], capacity: 5Mbps}
"""
COSTS = "costs: {process: {e1: 1, e2: 0.5, e3: 0.1}, link: {e1: {e2: 0.2, e3: 0.3}, e2: {e1: 0.4, e3: 0.5}, "


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        file = tmp_path / "fog.yaml"
        file.write_text(HEAD + dedent(text).lstrip("\n"))
        return file

    return written


def recipes(job: FogJob, cluster: Cluster) -> tuple[Recipe, Fog]:
    app = fog_app(job, cluster)
    (args,) = {repr(code.args): code.args for task, code in app.code.items() if task == "server"}.values()
    return Recipe.of(args["recipe"]), Fog.of(args["fog"])


@pytest.fixture
def lab(cluster: Callable[[str], Cluster]) -> Cluster:
    return cluster(CLUSTER)


def test_two_names_are_enough(write: Write) -> None:
    job = load_fog(write(""))
    form = job.form
    assert is_fog(job.file) and job.name == "fog"
    assert (form.collect, form.intervals, form.interval, form.aggregate) == (12, 60, 1.0, 10)
    assert (form.links, form.costs, form.discard, form.information) == (None, None, 0.05, "estimated")
    assert job.model.run == "edgeray.training.models:mlp"
    assert job.dataset.run == "edgeray.training.data:fashion_mnist"


def test_full_and_measured_can_be_said(write: Write) -> None:
    form = load_fog(write("links: full\ncosts: measured\ninterval: 500ms\n")).form
    assert (form.links, form.costs, form.interval) == (None, None, 0.5)


def test_declared_numbers_and_other_kinds_are_not_meant(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    for text in ("kind: fog-training\ndeclared: {}\n", "kind: split-training\nmodel: lenet\n", "tasks: {}\n"):
        file.write_text(text)
        assert not is_fog(file)
    assert not is_fog(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("links: [[e1, e1]]", ["joins 'e1' with itself", "each pair of two devices once"]),
        ("links: [[e1, e2], [e2, e1]]", ["twice"]),
        ("links: [[e1, e2, e3]]", ["no pair of devices", "links: [[e1, e2], [e2, e3]]"]),
        ("links: some", ["'links'", "full, or a list of pairs"]),
        ("collect: 0", ["nobody who collects anything", "one device at least"]),
        ("collect: {e1: 0}", ["nobody who collects anything"]),
        ("collect: 1.5", ["is no number of points: 1.5", "a whole number"]),
        ("collect: {e1: -1}", ["has -1 for 'e1'"]),
        ("collect: {'e 1': 3}", ["no device"]),
        ("costs: {process: x, link: 1}", ["holds x, which is no cost"]),
        ("costs: {process: 1, link: 1, more: 2}", ["unknown key 'more'"]),
        ("costs: {process: 1, link: {e1: 1}}", ["holds 1, which is no cost", "who sends and who receives"]),
        ("costs: {process: 1, link: {e1: {e2: -1}}}", ["holds -1, which is no cost", "who receives"]),
        ("costs: {process: .inf, link: 1}", ["no cost"]),
        ("costs: {process: 1}", ["no 'link'"]),
        ("aggregate: 61", ["every 61 intervals, and there are 60", "1 to 60"]),
        ("patience: 1s", ["silent for 1 s is dropped, and an interval lasts 1 s"]),
        ("information: perfect", ["measured as it comes", "declared costs only", "costs: {process"]),
        ("discard: -0.1", ["'discard'", "at least 0"]),
        ("interval: 0s", ["'interval'"]),
        ("optimizer: adam\nmomentum: 0.9", ["adam takes no `momentum`"]),
        ("test_samples: 20000", ["10,000 samples to test on"]),
        ("declared: {}", ["both 'declared' and 'model'"]),
    ],
)
def test_mistakes_are_told_with_their_remedy(
    write: Write, refuse: Refuse, text: str, words: list[str]
) -> None:
    line = 5 if text.startswith("optimizer") else 4
    refuse(load_fog, write(text), line=line, words=words)


def test_each_device_is_a_task_with_flows_to_the_server_and_to_its_links(write: Write, lab: Cluster) -> None:
    job = load_fog(write("devices: [e1, e2, e3]\nlinks: [[e1, e2], [e3, e2]]\nintervals: 25\n"))
    app = fog_app(job, lab)
    tasks = {task.id: task.device for task in app.job.tasks}
    assert tasks == {"server": "hub", "device-e1": "e1", "device-e2": "e2", "device-e3": "e3"}
    flows = {flow.id for flow in app.job.flows}
    assert {"device-e1->device-e2", "device-e2->device-e1", "device-e2->device-e3"} <= flows
    assert "device-e1->device-e3" not in flows and len(flows) == 6 + 4
    assert app.job.mode == "fog" and app.job.kind == "fog-training" and not app.needs_profile
    training = app.job.training
    assert training is not None and training.rounds == 3  # 10, 10 and 5 intervals
    assert training.clients == ("device-e1", "device-e2", "device-e3")
    assert app.code[TaskId("server")].run == "edgeray.training.fog.tasks:Serve"
    assert app.code[TaskId("device-e3")].run == "edgeray.training.fog.tasks:Collect"
    recipe, fog = recipes(job, lab)
    assert fog.links == (("device-e1", "device-e2"), ("device-e3", "device-e2"))
    assert fog.link_bps == (10e6, 5e6)
    assert (recipe.clients, recipe.epochs, recipe.rounds) == (("e1", "e2", "e3"), 10, 3)
    assert recipe.samples == 20_000
    assert fog.process is None and fog.link is None and not fog.perfect


def test_all_are_linked_and_collect_where_nothing_is_said(write: Write, lab: Cluster) -> None:
    job = load_fog(write("devices: {types: [pi]}\n"))
    _, fog = recipes(job, lab)
    assert fog.collect == {"device-e1": 12, "device-e2": 12}
    assert fog.links == (("device-e1", "device-e2"),)


def test_who_is_not_named_collects_nothing(write: Write, lab: Cluster) -> None:
    _, fog = recipes(load_fog(write("devices: [e1, e2, e3]\ncollect: {e2: 7}\n")), lab)
    assert fog.collect == {"device-e1": 0, "device-e2": 7, "device-e3": 0}


def test_declared_costs_are_by_task(write: Write, lab: Cluster) -> None:
    text = "devices: [e1, e2, e3]\n" + COSTS + "e3: {e1: 0.6, e2: 0.7}}}\ninformation: perfect\ndiscard: 2\n"
    _, fog = recipes(load_fog(write(text)), lab)
    assert fog.process == {"device-e1": 1.0, "device-e2": 0.5, "device-e3": 0.1}
    assert fog.link is not None and fog.link["device-e3"]["device-e2"] == 0.7
    assert fog.perfect and fog.discard == 2.0
    _, fog = recipes(load_fog(write("devices: [e1, e2]\ncosts: {process: 3, link: 0.5}\n")), lab)
    assert fog.process == {"device-e1": 3.0, "device-e2": 3.0}
    assert fog.link == {"device-e1": {"device-e2": 0.5}, "device-e2": {"device-e1": 0.5}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("collect: {e9: 3}", ["'collect' names 'e9'", "does not take part"]),
        ("links: [[e1, hub]]", ["'links' names 'hub'", "add it to `devices`"]),
        ("costs: {process: {e1: 1}, link: 1}", ["that 'e2' processes", "add `e2: ...`"]),
        ("costs: {process: {e7: 1}, link: 1}", ["names 'e7'"]),
        (COSTS + "}}", ["from 'e3' to 'e1'", "in both directions"]),
        (COSTS + "e8: {e1: 1}}}", ["names 'e8'"]),
    ],
)
def test_numbers_must_be_of_devices_that_take_part(
    write: Write, lab: Cluster, refuse: Refuse, text: str, words: list[str]
) -> None:
    job = load_fog(write("devices: [e1, e2, e3]\n" + text + "\n"))
    refuse(fog_app, job, lab, line=5, words=words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("devices: [e1, hub]", ["'hub' is the server"]),
        ("devices: [e1, e9]", ["'e9' is no device"]),
        ("devices: [e1]\nserver: e1", ["'e1' is the server"]),
    ],
)
def test_devices_must_be_there_and_reach_the_server(
    write: Write, lab: Cluster, refuse: Refuse, text: str, words: list[str]
) -> None:
    refuse(fog_app, load_fog(write(text)), lab, line=4, words=words)


def test_a_device_without_a_link_is_told(write: Write, lab: Cluster, refuse: Refuse) -> None:
    links = {name: link for name, link in lab.network.links.items() if "e3" not in link.ends}
    network = replace(lab.network, links=links)
    job = load_fog(write("server: hub\ndevices: [e1, e3]\n"))
    refuse(fog_app, job, network, line=5, words=["'e3'", "a route between them"])


def test_a_run_can_be_gone_on_with(write: Write, lab: Cluster) -> None:
    app = fog_app(load_fog(write("devices: [e1]\n")), lab, resume="before")
    assert app.code[TaskId("server")].args["resume"] == "before"
    assert "resume" not in app.code[TaskId("device-e1")].args


@pytest.mark.parametrize("file", ["job.yaml", "declared.yaml"])
def test_examples_fit_their_cluster(file: str) -> None:
    root = Path(__file__).parents[3]
    job = load_fog(root / "apps" / "fog-training" / file)
    app = fog_app(job, load_cluster(root / "cluster" / "testbed" / "training.yaml"))
    assert app.job.training is not None
    assert app.job.training.rounds == job.form.intervals / job.form.aggregate
