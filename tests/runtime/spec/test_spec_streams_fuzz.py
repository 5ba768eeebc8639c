"""Whatever happens to a job file of cameras, reading it gives a job that fits, or a SpecError."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from test_spec_fuzz import edit, mutated, quick, read_bytes

from edgeray.spec import App, load_cluster, load_on

CLUSTER = load_cluster(Path(__file__).parents[3] / "cluster/testbed/three.yaml")
JOB = """kind: streams
name: reid
cameras:
  north: {device: e4, source: vtest.avi, fps: 10, crop: [0, 0, 0.5, 1], size: [384, 288], shift: 12s}
  south: {device: e2, source: "rtsp://cam/live", loss: drop-oldest, buffer: 30, quality: 80}
  west:
    device: e2
    source: /dev/video0
    hue: 20
    saturation: 1.2
  east: {device: e1, source: vtest.avi, scenes: [{for: 10min, tiles: 2}, {for: 15min, still: true}]}
detect: {run: "edgeray.errors:SpecError", args: {a: [1, 2]}, memory: 120MB}
identify: {memory: 110MB}
track: {confirm: 3, forget: 2s, max_cost: 0.8}
gallery: {threshold: 0.7, keep: 20}
again: 2s
devices: {types: [pi], devices: [e2]}
server: e1
sync: 10s
replan: {gain: 0.1, settle: 10s}
"""
KINDS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["e1", "e2", "vtest.avi", "rtsp://a/b", "json:dumps", "10s", 3, 0.5]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["device", "source", "fps", "for", "run", "args", "devices", "types", "gain", "keep"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
KEYS = ["detect", "identify", "track", "gallery", "again", "devices", "server", "sync", "replan", "name"]
OF_CAMERAS = [
    *("source", "device", "fps", "loss", "buffer", "frames", "repeat", "crop", "size", "shift", "hue"),
    *("saturation", "brightness", "tiles", "still", "quality", "scenes"),
]


def check(content: bytes) -> bool:
    """Whether it is a job; then it fits the cluster and can be told as JSON."""
    app = read_bytes(lambda file: load_on(file, CLUSTER), content)
    if app is None:
        return False
    assert isinstance(app, App)
    if app.job.streams is None:
        return False
    streams = app.job.streams
    recipe = json.loads(json.dumps(app.code[streams.server].args["recipe"]))
    assert recipe["edges"] == dict(streams.edges) and recipe["edges"].keys() <= CLUSTER.network.devices.keys()
    assert {camera.device for camera in streams.cameras} | {*streams.workers} <= streams.edges.keys()
    assert list(recipe["cameras"]) == [camera.id for camera in streams.cameras] != []
    assert streams.workers and streams.least_gain >= 0 and recipe["sync_s"] > 0
    for camera in recipe["cameras"].values():
        assert camera["buffer"] >= 1 and 1 <= camera["quality"] <= 100
        for picture in (camera["source"], *camera["source"]["scenes"]):
            left, top, right, bottom = picture.get("crop", (0, 0, 1, 1))
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
            assert all(side >= 16 for side in picture.get("size", ()))
        assert all(scene["seconds"] > 0 for scene in camera["source"]["scenes"])
    return True


def test_the_file_that_is_mutated_is_valid() -> None:
    assert check(JOB.encode())


@quick
@given(st.lists(edit, min_size=1, max_size=4))
def test_mutated_jobs_of_cameras(edits: list[tuple[float, int, str]]) -> None:
    check(mutated(JOB, edits).encode("utf-8", "surrogatepass"))


@quick
@given(st.dictionaries(st.sampled_from(KEYS), KINDS, max_size=4))
@example({"devices": {"types": {"name": 1}}})
@example({"replan": []})
@example({"detect": {"args": {"a": 10**400}}})
def test_any_value_under_any_key(values: dict[str, object]) -> None:
    document = {"kind": "streams", "cameras": {"c": {"device": "e1", "source": "vtest.avi"}}, **values}
    check(json.dumps(document).encode())


@quick
@given(st.dictionaries(st.sampled_from(OF_CAMERAS), KINDS, max_size=4))
@example({"source": "a" * 300})
@example({"source": "\ud800"})
@example({"source": "file://x"})
@example({"source": "."})
@example({"crop": [0, 0, 10**400, 1]})
@example({"size": [10**400, 16]})
@example({"scenes": [{"for": 1, "crop": [0]}]})
def test_any_value_of_a_camera(values: dict[str, object]) -> None:
    document = {"kind": "streams", "cameras": {"c": {"device": "e1", "source": "vtest.avi", **values}}}
    check(json.dumps(document).encode())
