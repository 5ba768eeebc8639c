"""Job files that watch cameras: what can be said, and what is wrong with what was said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from edgeray.errors import SpecError
from edgeray.spec import StreamsJob, is_streams, json_schema, load_app, load_streams
from edgeray.spec.declared_numbers import declared_kind
from edgeray.spec.yaml_file import read_yaml

Refuse = Callable[..., SpecError]
Write = Callable[..., Path]

HEAD = "kind: streams\ncameras:\n  north: {device: e2, source: vtest.avi}\n"
DECLARED = "kind: streams\ndeclared: {PS: [1], CL1: [1], CL2: [1], T: [[0]], transfer: [0]}\n"
OWN = """\
class Detect:
    def __call__(self, picture): ...

class Idle: ...

def embed(crops): ...
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        (tmp_path / "own.py").write_text(OWN)
        (tmp_path / "walk.avi").touch()
        (tmp_path / "walk.mkv").touch()
        (tmp_path / "street").mkdir(exist_ok=True)
        file = tmp_path / "watch.yaml"
        file.write_text(dedent(text).lstrip("\n"))
        return file

    return written


def camera(write: Write, keys: str) -> StreamsJob:
    return load_streams(write(f"kind: streams\ncameras:\n  north: {{device: e2, {keys}}}\n"))


def test_a_camera_is_enough(write: Write, tmp_path: Path) -> None:
    job = load_streams(write(HEAD))
    north = job.form.cameras["north"]
    assert (job.name, job.folder) == ("watch", tmp_path)
    assert (north.fps, north.loss, north.buffer, north.frames, north.repeat) == (None, None, 30, None, False)
    assert (north.quality, north.scenes, north.crop, north.tiles) == (80, [], None, None)
    assert (job.form.detect.run, job.form.identify.run) == (
        "edgeray.vision.people:Detect",
        "edgeray.vision.appearance:Embed",
    )
    assert (job.form.again, job.form.sync, job.form.devices, job.form.server) == (None, 10.0, None, None)
    assert job.form.replan is not None
    assert (job.form.replan.gain, job.form.replan.settle) == (0.1, 10.0)


def test_everything_can_be_said(write: Write) -> None:
    text = """
        kind: streams
        name: door
        cameras:
          north:
            device: e2
            source: vtest.avi
            fps: 10fps
            loss: drop-oldest
            buffer: 5
            frames: 795
            repeat: yes
            crop: [0, 0, 0.5, 1]
            size: [384, 288]
            shift: 1min
            hue: -20
            saturation: 1.2
            brightness: 0.9
            tiles: 2
            still: false
            quality: 70
            scenes: [{for: 10min, tiles: 3}, {for: 15min, still: true, hue: 5}]
          south: {device: e3, source: rtsp://cam.local/live}
        detect: {run: own:Detect, args: {min_score: 0.4}, memory: 120MB}
        identify: {run: own:embed, memory: 110MB}
        track: {confirm: 2, forget: 500ms, max_cost: 0.8}
        gallery: {threshold: 0.6, keep: 10}
        again: 2s
        devices: {types: [pi], devices: [e1]}
        server: e1
        sync: 5s
        replan: {gain: 0.2, settle: 3s}
    """
    form = load_streams(write(text)).form
    north = form.cameras["north"]
    assert (north.fps, north.loss, north.buffer, north.frames, north.repeat) == (
        10,
        "drop-oldest",
        5,
        795,
        True,
    )
    assert (north.crop, north.size, north.shift) == ((0, 0, 0.5, 1), (384, 288), 60.0)
    assert (north.hue, north.saturation, north.brightness) == (-20, 1.2, 0.9)
    assert (north.tiles, north.still, north.quality) == (2, False, 70)
    assert [(scene.for_, scene.tiles, scene.still, scene.hue) for scene in north.scenes] == [
        (600, 3, None, None),
        (900, None, True, 5),
    ]
    assert (form.detect.run, form.detect.args, form.detect.memory) == (
        "own:Detect",
        {"min_score": 0.4},
        120e6,
    )
    assert (form.identify.run, form.identify.memory) == ("own:embed", 110e6)
    assert (form.track.confirm, form.track.forget, form.track.max_cost) == (2, 0.5, 0.8)
    assert (form.gallery.threshold, form.gallery.keep, form.again, form.sync) == (0.6, 10, 2.0, 5.0)
    assert form.replan is not None and (form.replan.gain, form.replan.settle) == (0.2, 3.0)
    assert form.devices is not None and (form.devices.types, form.devices.devices) == (["pi"], ["e1"])


@pytest.mark.parametrize(
    ("source", "live"),
    [
        ("vtest.avi", False),
        ("/srv/videos/a.mp4", False),
        ("street", False),
        ("walk.mkv", False),
        ("rtsp://cam.local:554/live", True),
        ("http://10.0.0.5/mjpeg", True),
        ("/dev/video0", True),
        ("'0'", True),
        ("0", True),
    ],
)
def test_sources_that_the_device_opens_as_they_are(write: Write, source: str, live: bool) -> None:
    origin = camera(write, f"source: {source}").origins["north"]
    assert (origin.source, origin.live) == (source.strip("'"), live)


@pytest.mark.parametrize("source", ["walk.avi", "results/walk.mkv", "../{name}/walk.mkv"])
def test_files_that_do_not_travel_are_sent_by_their_full_path(
    write: Write, tmp_path: Path, source: str
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "walk.mkv").touch()
    source = source.format(name=tmp_path.name)
    origin = camera(write, f"source: {source}").origins["north"]
    assert origin.source == str((tmp_path / source).resolve()) and not origin.live


@pytest.mark.parametrize(
    ("text", "never"), [("false", True), ("true", False), ("{}", False), ("{gain: 0.3}", False)]
)
def test_replan(write: Write, text: str, never: bool) -> None:
    replan = load_streams(write(HEAD + f"replan: {text}\n")).form.replan
    assert (replan is None) is never
    assert replan is None or (replan.gain, replan.settle) == (0.3 if "gain" in text else 0.1, 10.0)


OF_A_CAMERA = [
    ("source: vtset.avi", ["'vtset.avi' is neither an asset nor in", "did you mean 'vtest.avi'?"]),
    ("source: walks.mkv", ["did you mean 'walk.mkv'?"]),
    ("source: ftp://host/a", ["'ftp://host/a' is no URL of a camera", "rtsp://"]),
    ("source: 'rtp://host/a'", ["did you mean 'rtsp'?"]),
    ("source: 'rtsp://'", ["is no URL of a camera"]),
    ("source: [a]", ["source of camera 'north'", "is no source"]),
    ("source: ''", ["is no source"]),
    ("source: -1", ["-1 is no source"]),
    ("sorce: vtest.avi", ["unknown key 'sorce' in camera 'north'", "did you mean 'source'?"]),
    ("fps: 0, source: street", ["fps of camera 'north': 0 is zero"]),
    ("fps: fast, source: street", ["'fast' is no number with a unit"]),
    ("loss: relyable, source: street", ["loss of camera 'north'", "'reliable' or 'drop-oldest'"]),
    ("buffer: 0, source: street", ["buffer of camera 'north' is the number 0", "at least 1"]),
    ("frames: 1.5, source: street", ["a whole number"]),
    ("repeat: 1, source: street", ["true or false"]),
    ("crop: [0, 0, 1], source: street", ["crop of camera 'north'", "is no part of a picture"]),
    ("crop: [0.5, 0, 0.5, 1], source: street", ["is no part of a picture", "left below right"]),
    ("crop: [0, 0, 1, 1.5], source: street", ["is no part of a picture"]),
    ("crop: [0, 0, 1, .nan], source: street", ["is no part of a picture"]),
    ("size: [384, 0], source: street", ["size of camera 'north'", "is no size of a picture"]),
    ("size: 384x288, source: street", ["'384x288' is no size", "[384, 288]"]),
    ("shift: -3s, source: street", ["is negative"]),
    ("hue: 361, source: street", ["a number of at most 360"]),
    ("saturation: -1, source: street", ["a number of at least 0"]),
    ("brightness: bright, source: street", ["a number"]),
    ("tiles: 0, source: street", ["a number of at least 1"]),
    ("still: maybe, source: street", ["true or false"]),
    ("quality: 101, source: street", ["a number of at most 100"]),
    ("scenes: [{tiles: 2}], source: street", ["has no 'for'"]),
    ("scenes: [{for: 0}], source: street", ["scenes.0.for of camera 'north'", "is zero"]),
    ("scenes: [{for: 3s, tile: 2}], source: street", ["unknown key 'tile'", "did you mean 'tiles'?"]),
    ("scenes: [{fro: 3s}], source: street", ["unknown key 'fro'", "did you mean 'for'?"]),
    ("scenes: [{for: 3s, fps: 2}], source: street", ["unknown key 'fps'"]),
    ("scenes: {for: 3s}, source: street", ["scenes of camera 'north' is a mapping", "a list"]),
    ("source: 'rtsp://a/b', repeat: true", ["has `repeat`, but its source is live", "starts again"]),
    ("source: /dev/video0, shift: 3s", ["has `shift`, but its source is live"]),
    ("source: '0', tiles: 2", ["has `tiles`, but its source is live"]),
    ("source: 'http://a/b', scenes: [{for: 3s, still: true}]", ["camera 'north' has `still`"]),
]


@pytest.mark.parametrize(("keys", "words"), OF_A_CAMERA, ids=[keys for keys, _ in OF_A_CAMERA])
def test_what_is_wrong_with_a_camera(write: Write, refuse: Refuse, keys: str, words: list[str]) -> None:
    refuse(camera, write, keys, line=3, words=words)


OF_THE_REST = [
    ("detect: own:Detect", ["'detect' is the text 'own:Detect'", "a mapping"]),
    ("detect: {run: own:Detector}", ["has no 'Detector'", "did you mean 'Detect'?"]),
    ("detect: {run: own:Idle}", ["class 'Idle' has no `__call__`"]),
    ("detect: {run: own.py}", ["'own.py' does not name code"]),
    ("detect: {code: own:Detect}", ["unknown key 'code' in 'detect'"]),
    ("identify: {run: nobodys:Embed}", ["no module 'nobodys'"]),
    ("identify: {memory: 1}\nname: a b", ["'name': 'a b' is not usable as an id"]),
    ("identify: {memory: much}", ["'memory' of 'identify': 'much'"]),
    ("track: {confirm: 0}", ["'confirm' of 'track' is the number 0", "at least 1"]),
    ("track: {forget_s: 2}", ["unknown key 'forget_s' in 'track'", "did you mean 'forget'?"]),
    ("track: {max_cost: .inf}", ["a finite number"]),
    ("gallery: {threshold: 2}", ["'threshold' of 'gallery'", "at most 1"]),
    ("gallery: {keep: few}", ["'keep' of 'gallery' is the text 'few'"]),
    ("again: 0s", ["'again': '0s' is zero"]),
    ("devices: e1", ["'e1' is no list", "all but switches and routers"]),
    ("devices: [e1, e1]", ["names 'e1' twice"]),
    ("devices: []", ["names nobody"]),
    ("devices: {typs: [pi]}", ["unknown key 'typs' in 'devices'", "did you mean 'types'?"]),
    ("devices: {types: pi}", ["has for 'types' the text 'pi'"]),
    ("server: [e1]", ["'server' is a list", "text"]),
    ("sync: soon", ["'sync': 'soon'"]),
    ("replan: never", ["'replan': 'never' says not when to move", "false for never"]),
    ("replan:", ["says not when to move"]),
    ("replan: {gain: -1}", ["'gain' of 'replan'", "at least 0"]),
    ("replan: {settle: 0}", ["'settle' of 'replan': 0 is zero"]),
    ("gallary: {keep: 3}", ["unknown key 'gallary' in the file", "did you mean 'gallery'?"]),
    ("tasks: {}", ["unknown key 'tasks' in the file"]),
    ("declared: {PS: [1]}", ["both 'declared' and 'cameras'"]),
]


@pytest.mark.parametrize(("text", "words"), OF_THE_REST, ids=[text for text, _ in OF_THE_REST])
def test_what_is_wrong_with_the_rest(write: Write, refuse: Refuse, text: str, words: list[str]) -> None:
    line = 5 if "\n" in text else 4
    refuse(load_streams, write(HEAD + text + "\n"), line=line, words=words)


def test_no_cameras(write: Write, refuse: Refuse) -> None:
    refuse(load_streams, write("kind: streams\n"), line=1, words=["has no 'cameras'"])
    refuse(load_streams, write("kind: streams\ncameras: {}\n"), line=2, words=["'cameras' is empty"])
    refuse(
        load_streams,
        write("kind: streams\ncameras: {north: {source: vtest.avi}}\n"),
        line=2,
        words=["camera 'north' has no 'device'"],
    )
    named = "kind: streams\ncameras: {a b: {device: e1, source: street}}\n"
    refuse(load_streams, write(named), line=2, words=["the name 'a b' is not usable as an id"])


def test_which_files_watch_cameras(write: Write, tmp_path: Path) -> None:
    assert is_streams(write(HEAD))
    assert is_streams(write("kind: streams\n"))
    assert is_streams(write(HEAD + "declared: {}\n"))
    assert declared_kind(write(HEAD)) is None
    assert not is_streams(write(DECLARED))
    assert declared_kind(write(DECLARED)) == "streams"
    assert not is_streams(write("# no streams\nkind: dataflow\n"))
    assert not is_streams(tmp_path / "absent.yaml")


def test_where_only_tasks_can_go_it_says_what_to_do(write: Write, refuse: Refuse) -> None:
    refuse(load_app, write(HEAD), line=1, words=["has cameras, not tasks", "edgeray plan", "load_on"])
    refuse(load_app, write(DECLARED), line=2, words=["planned, but not run", "edgeray plan"])


def test_the_schema_knows_cameras(write: Write) -> None:
    schema = json_schema("job")
    good = [
        HEAD,
        HEAD + "devices: [e1]\nreplan: false\nagain: 2s\n",
        HEAD + "devices: {types: [pi]}\nreplan: {gain: 0.2}\ndetect: {run: 'own:Detect'}\n",
        HEAD.replace("}", ", crop: [0, 0, 1, 1], size: [64, 64], scenes: [{for: 3s, still: true}]}"),
        DECLARED,
    ]
    for text in good:
        jsonschema.validate(read_yaml(write(text), expected="").value, schema)
    bad = [
        HEAD + "declared: {}\n",
        HEAD + "sink: 3s\n",
        HEAD.replace("device: e2, ", ""),
        HEAD.replace("}", ", crop: [0, 0, 1]}"),
        HEAD.replace("}", ", scenes: [{tiles: 3}]}"),
        HEAD.replace("}", ", loss: none}"),
        "kind: streams\n",
        "kind: streams\ntasks: {}\n",
    ]
    for text in bad:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(read_yaml(write(text), expected="").value, schema)
