"""Jobs that watch cameras on a cluster: who takes part, and the tasks, flows and recipe that come of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from edgeray.errors import BadInputError, SpecError
from edgeray.spec import App, Cluster, check_job_on_cluster, check_runnable, load_cluster, load_on
from edgeray.spec.streams_app import MAX_EDGES
from policies.model import Camera, Streams

Refuse = Callable[..., SpecError]
On = Callable[..., App]

HEAD = "kind: streams\ncameras:\n  north: {device: n1, source: vtest.avi, fps: 10}\n"
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
    def load(text: str, cluster: Any = None, resume: str | None = None) -> App:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "job.yaml").write_text(text)
        return load_on(folder, cluster or lab, resume=resume)

    return load


def streams_of(app: App) -> Streams:
    assert app.job.streams is not None
    return app.job.streams


def recipe_of(app: App) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(app.code[streams_of(app).server].args["recipe"]))
    return told


def test_tasks_flows_and_code(on: On, lab: Cluster) -> None:
    app = on(HEAD)
    job = app.job
    assert (job.id, job.kind, job.mode, app.needs_profile) == ("app", "streams", "cameras", True)
    assert [(task.id, task.device) for task in job.tasks] == [
        ("edge-box", "box"),
        ("edge-n1", "n1"),
        ("edge-p1", "p1"),
        ("edge-p2", "p2"),
    ]
    edges = [task.id for task in job.tasks]
    assert {(flow.producer, flow.consumer) for flow in job.flows} == set(permutations(edges, 2))
    assert (job.server, job.clients, job.side_by_side) == ("edge-box", tuple(edges[1:]), True)
    assert {code.run for code in app.code.values()} == {"edgeray.streams.edge:Edge"}
    assert set(app.code) == set(edges) and app.sources == {}
    check_runnable(app)
    check_job_on_cluster(app, lab)


def test_what_the_file_says_is_in_the_streams(on: On) -> None:
    text = HEAD + "  south: {device: p1, source: 'rtsp://a/b'}\ndetect: {memory: 120MB}\n"
    streams = streams_of(on(text + "identify: {memory: 110MB}\nreplan: {gain: 0.3, settle: 4s}\n"))
    assert streams.cameras == (
        Camera(id="north", device="n1", items_per_s=10.0),  # type: ignore[arg-type]
        Camera(id="south", device="p1"),  # type: ignore[arg-type]
    )
    assert (streams.detector_bytes, streams.identifier_bytes) == (120e6, 110e6)
    assert (streams.least_gain, streams.settle_s) == (0.3, 4.0)
    usual = streams_of(on(HEAD))
    assert (usual.least_gain, usual.settle_s, usual.detector_bytes) == (0.1, 10.0, 0.0)
    assert math.isinf(streams_of(on(HEAD + "replan: false\n")).least_gain)


def test_the_recipe_is_plain_and_whole(on: On) -> None:
    text = (
        HEAD
        + "detect: {args: {min_score: 0.4}}\ntrack: {forget: 500ms}\ngallery: {keep: 5}\nagain: 2s\nsync: 3s\n"
    )
    recipe = recipe_of(on(text))
    assert recipe["server"] == "edge-box"
    assert recipe["edges"] == {device: f"edge-{device}" for device in ("box", "n1", "p1", "p2")}
    assert recipe["detect"] == {"run": "edgeray.vision.people:Detect", "args": {"min_score": 0.4}}
    assert recipe["identify"] == {"run": "edgeray.vision.appearance:Embed", "args": {}}
    assert (recipe["track"], recipe["gallery"]) == ({"forget_s": 0.5}, {"keep": 5})
    assert (recipe["again_s"], recipe["sync_s"]) == (2.0, 3.0)
    assert recipe["cameras"] == {
        "north": {
            "device": "n1",
            "source": {
                "source": "vtest.avi", "items_per_s": 10.0, "frames": None, "repeat": False, "scenes": [],
            },
            "reliable": True,
            "buffer": 30,
            "quality": 80,
        }
    }  # fmt: skip
    assert recipe_of(on(HEAD))["again_s"] is None


def test_what_a_camera_derives_has_the_names_of_sources(on: On) -> None:
    keys = "crop: [0, 0, 0.5, 1], size: [384, 288], shift: 12s, hue: 20, saturation: 1.2, brightness: 0.9, tiles: 2, "
    keys += "still: true, frames: 5, repeat: true, scenes: [{for: 1min, shift: 3s, still: false}]"
    source = recipe_of(on(HEAD.replace("fps: 10", keys)))["cameras"]["north"]["source"]
    assert source == {
        "source": "vtest.avi", "items_per_s": None, "frames": 5, "repeat": True, "crop": [0, 0, 0.5, 1],
        "size": [384, 288], "shift_s": 12.0, "hue_deg": 20, "saturation": 1.2, "brightness": 0.9, "tiles": 2,
        "still": True, "scenes": [{"seconds": 60.0, "shift_s": 3.0, "still": False}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "reliable"),
    [
        ("source: vtest.avi", True),
        ("source: vtest.avi, loss: drop-oldest", False),
        ("source: /dev/video0", False),
        ("source: 'http://a/b', loss: reliable", True),
    ],
)
def test_a_live_picture_loses_late_frames_unless_it_is_said_otherwise(
    on: On, keys: str, reliable: bool
) -> None:
    text = f"kind: streams\ncameras:\n  north: {{device: n1, {keys}}}\n"
    assert recipe_of(on(text))["cameras"]["north"]["reliable"] is reliable


@pytest.mark.parametrize(
    ("text", "workers", "edges"),
    [
        ("", ["box", "n1", "p1", "p2"], ["box", "n1", "p1", "p2"]),
        ("devices: [p2, p1]", ["p1", "p2"], ["box", "n1", "p1", "p2"]),
        ("devices: {types: [pi]}", ["p1", "p2"], ["box", "n1", "p1", "p2"]),
        ("devices: [n1]", ["n1"], ["box", "n1"]),
        ("devices: {types: [server], devices: [hub]}", ["box", "hub"], ["box", "hub", "n1"]),
        ("server: p1", ["box", "n1", "p1", "p2"], ["p1", "box", "n1", "p2"]),
        ("server: p1\ndevices: [n1]", ["n1"], ["p1", "n1"]),
    ],
)
def test_who_takes_part(on: On, text: str, workers: list[str], edges: list[str]) -> None:
    streams = streams_of(on(HEAD + text + "\n"))
    assert list(streams.workers) == workers
    assert list(streams.edges) == edges and streams.edges[edges[0]] == streams.server  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("server: bx", 4, ["the server 'bx' is no device of cluster 'lab'", "did you mean 'box'?"]),
        ("devices: [p1, p3]", 4, ["the device 'p3' is no device", "p1, p2"]),
        ("devices: {types: [pie]}", 4, ["no device of type 'pie'", "did you mean 'pi'?"]),
        ("  south: {device: n2, source: vtest.avi}", 4, ["'device' of camera 'south': 'n2' is no device"]),
    ],
)
def test_what_the_cluster_does_not_have(
    on: On, refuse: Refuse, text: str, line: int, words: list[str]
) -> None:
    refuse(on, HEAD + text + "\n", line=line, words=words)


def test_no_device_no_route_no_head(on: On, refuse: Refuse, tmp_path: Path, lab: Cluster) -> None:
    links = {id: link for id, link in lab.network.links.items() if "n1" not in link.ends}
    apart = replace(
        lab, network=replace(lab.network, links=links)
    )  # as when a device joins before its link is there
    words = ["no links of cluster 'lab'", "camera 'north' on 'n1' to the server 'box'"]
    refuse(on, HEAD, apart, line=3, words=words)
    elsewhere = HEAD.replace("n1", "p1") + "devices: [n1]\n"
    refuse(on, elsewhere, apart, line=4, words=["from the device 'n1' to the server"])
    refuse(on, HEAD, lab.network, line=1, words=["which device is the server", "server: DEVICE"])
    assert streams_of(on(HEAD + "server: p1\n", lab.network)).server == "edge-p1"
    switches = LAB.replace("server", "switch").replace("nano", "switch").replace("pi,", "router,")
    (tmp_path / "switches.yaml").write_text(switches)
    only = load_cluster(tmp_path / "switches.yaml")
    refuse(on, HEAD, only, line=1, words=["no device that computes", "type switch or router"])


def test_more_devices_than_can_all_talk(on: On, refuse: Refuse, tmp_path: Path) -> None:
    names = [f"d{number}" for number in range(MAX_EDGES + 1)]
    devices = "".join(f"  {name}: {{type: pi, memory: 1GB}}\n" for name in names)
    links = "".join(f"  - {{ends: [d0, {name}], capacity: 1Mbps}}\n" for name in names[1:])
    (tmp_path / "town.yaml").write_text(f"head: d0\ndevices:\n{devices}links:\n{links}")
    town = load_cluster(tmp_path / "town.yaml")
    text = HEAD.replace("n1", "d1")
    refuse(on, text, town, line=1, words=["101 devices take part", "at most 100", "devices: [DEVICE"])
    assert len(on(text + "devices: [d2]\n", town).job.tasks) == 3


def test_it_does_not_go_on_after_another(on: On) -> None:
    with pytest.raises(BadInputError, match="does not train a model"):
        on(HEAD, resume="reid-1")
