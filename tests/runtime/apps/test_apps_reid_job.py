"""The job files of the re-identification app fit the testbed that is for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeray.spec import App, check_job_on_cluster, check_runnable, load_cluster, load_on
from policies.model import Streams

FOLDER = Path(__file__).parents[3] / "apps" / "reid"
CLUSTER = load_cluster(FOLDER.parents[1] / "cluster" / "testbed" / "cameras.yaml")


def app(file: str) -> tuple[App, Streams]:
    loaded = load_on(FOLDER / file, CLUSTER)
    assert loaded.job.streams is not None
    return loaded, loaded.job.streams


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_the_job_files_fit_the_testbed(file: str) -> None:
    loaded, streams = app(file)
    check_job_on_cluster(loaded, CLUSTER)
    check_runnable(loaded)
    assert streams.server == streams.edges[CLUSTER.head]
    types = {CLUSTER.network.devices[device].type for device in streams.workers}
    assert "switch" not in types and len(types) >= 3, "unequal devices compute, the switch does not"
    assert [camera.items_per_s for camera in streams.cameras] == [10.0] * len(streams.cameras)


def test_each_camera_is_on_a_device_of_its_own_and_sees_something_else() -> None:
    loaded, streams = app("job.yaml")
    assert [camera.device for camera in streams.cameras] == ["n1", "n2", "n3", "n4", "n5"]
    cameras = loaded.code[streams.server].args["recipe"]["cameras"]
    pictures = [str(camera["source"]) for camera in cameras.values()]
    assert len(set(pictures)) == len(pictures) == 5


def test_the_workload_is_half_an_hour_busy_quiet_busy() -> None:
    loaded, streams = app("workload.yaml")
    cameras = loaded.code[streams.server].args["recipe"]["cameras"]
    assert list(cameras) == ["cam1", "cam2", "cam3", "cam4"]
    for name, camera in cameras.items():
        scenes = camera["source"]["scenes"]
        assert [scene["seconds"] for scene in scenes] == [300, 1200, 300]
        busy, quiet, again = (people(scene) for scene in scenes)
        assert busy == again > quiet, name
    most = [people(camera["source"]["scenes"][0]) for camera in cameras.values()]
    assert min(most[0], most[3]) > max(most[1], most[2]), "cam1 and cam4 see more"


def people(scene: dict[str, object]) -> int:
    """How many times as many as the video has."""
    tiles = scene.get("tiles", 1)
    assert isinstance(tiles, int)
    return 0 if scene.get("still") else tiles**2
