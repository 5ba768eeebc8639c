"""Where a person went, asked of a cluster: the head's archive, what devices have not brought, and who is missing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_people import identity, sighting

from edgeray.errors import BadInputError, ClusterError
from edgeray.network.manager import NetworkManager
from edgeray.network.types import DeviceNetwork
from edgeray.node.service import NodeService
from edgeray.scheduler import whereabouts
from edgeray.scheduler.fleet import Fleet
from edgeray.scheduler.whereabouts import query
from edgeray.streams import edge, reading
from edgeray.streams.archive import Archive
from edgeray.streams.database import ARCHIVE, STORE
from edgeray.streams.records import Record
from edgeray.streams.store import DeviceStore, Synchroniser
from policies.model import DeviceId, Job, JobId, Streams, TaskId

JOB = JobId("reid-3")
A, B, HEAD = DeviceId("a"), DeviceId("b"), DeviceId("h")
SYNCED_S = 1000.0
DESCRIBED = Job(
    id=JOB,
    tasks=(),
    flows=(),
    mode="cameras",
    kind="streams",
    streams=Streams(
        server=TaskId("edge-h"),
        edges={device: TaskId(f"edge-{device}") for device in (A, B, HEAD)},
        cameras=(),
        workers=(A, B, HEAD),
    ),
)
SEEN: dict[DeviceId, list[Record]] = {
    A: [*(sighting(frame, track=1) for frame in range(5)), identity(1, 7, at_s=0.5)],
    B: [
        *(sighting(frame, track=1) for frame in range(5, 9)),  # the stream moved: the name was said on a
        *(sighting(frame, camera="d", track=4) for frame in range(200, 203)),
        identity(4, 8, camera="d", at_s=40.5),
    ],
    HEAD: [sighting(100, camera="e", track=2, person=7)],
}
VISITS = [
    {"person": 7, "camera": "c", "device": "a", "from_s": 0.0, "to_s": 0.8, "tracks": [1], "frames": 5},
    {"person": 7, "camera": "c", "device": "b", "from_s": 1.0, "to_s": 1.6, "tracks": [1], "frames": 4},
    {"person": 7, "camera": "e", "device": "h", "from_s": 20.0, "to_s": 20.0, "tracks": [2], "frames": 1},
]
PERSONS = [
    {"person": 7, "visits": 3, "cameras": ["c", "e"], "first_s": 0.0, "last_s": 20.0},
    {"person": 8, "visits": 1, "cameras": ["d"], "first_s": 40.0, "last_s": 40.4},
]


class CutOff:
    """A node whose calls hang until it is let go, as those to a device that is cut off do; they then fail."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.called = 0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> None:
            self.called += 1
            self.let_go.wait()
            raise ClusterError("the node died")

        return call


class Cluster:
    """Three devices with stores, one of which has the archive. brought: how many rows of each device it has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fleet = folder, Fleet()
        self.cut: list[CutOff] = []
        self.stores: dict[DeviceId, DeviceStore] = {}
        for device in SEEN:
            self.file(device, STORE).parent.mkdir(parents=True)
            self.stores[device] = DeviceStore(self.file(device, STORE), device)
            self.stores[device].add(SEEN[device])
            self.fleet.join(device, self.node(device))  # type: ignore[arg-type]
        self.archive = Archive(self.file(HEAD, ARCHIVE), clock=lambda: SYNCED_S)

    def file(self, device: DeviceId, name: str) -> Path:
        return self.folder / device / JOB / name

    def node(self, device: DeviceId) -> NodeService:
        network = DeviceNetwork(device=device, address="10.0.0.1", ports=())
        return NodeService(
            device,
            address="10.0.0.1",
            cpus=1.0,
            output_root=self.folder / device,
            network=NetworkManager(network, None, reason="a test"),
            launch=lambda job, package: pytest.fail("nothing is to be launched"),
            reports=None,  # type: ignore[arg-type]
        )

    def bring(self, device: DeviceId, rows: int = 1000) -> None:
        self.archive.take(self.stores[device].since(0, limit=rows))

    def cut_off(self, device: DeviceId) -> CutOff:
        node = CutOff()
        self.cut.append(node)
        self.fleet.join(device, node)  # type: ignore[arg-type]
        return node

    def ask(self, person: int | None, described: Job | None = DESCRIBED) -> dict[str, Any]:
        return query(self.fleet, JOB, described, person)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(whereabouts, "HEAD_TIMEOUT_S", 1.0)
    monkeypatch.setattr(whereabouts, "DEVICES_TIMEOUT_S", 1.0)
    made = Cluster(tmp_path)
    yield made
    for node in made.cut:
        node.let_go.set()


def test_edges_write_where_nodes_read() -> None:
    assert (f"{edge.FOLDER}/{edge.STORE}", f"{edge.FOLDER}/{edge.ARCHIVE}") == (STORE, ARCHIVE)


@pytest.mark.parametrize("rows", [0, 3, 1000])
def test_the_answer_is_whole_however_much_has_been_brought(cluster: Cluster, rows: int) -> None:
    for device in SEEN:
        cluster.bring(device, rows)
    assert cluster.ask(7) == {
        "job": JOB,
        "person": 7,
        "visits": VISITS,
        "known": 2,
        "complete": True,
        "missing": [],
    }
    everybody = cluster.ask(None)
    assert (everybody["persons"], everybody["complete"], "visits" in everybody) == (PERSONS, True, False)
    assert cluster.ask(99)["visits"] == []


def test_many_pages_of_a_device_are_asked_for_one_after_another(cluster: Cluster) -> None:
    node, asked = cluster.node(A), []

    def stored(job: JobId, after: Any) -> Any:
        asked.append(list(after.values()))
        return reading.stored(cluster.file(A, STORE), after, limit=2)

    node.stored = stored  # type: ignore[method-assign]
    cluster.fleet.join(A, node)  # type: ignore[arg-type]
    assert cluster.ask(7)["visits"] == VISITS
    assert asked == [[], [2], [4]]


def test_a_device_that_does_not_answer_is_named_with_when_it_brought_its_last_rows(cluster: Cluster) -> None:
    cluster.bring(A)
    cluster.bring(B, 2)
    node = cluster.cut_off(B)
    told = cluster.ask(7)
    assert told["missing"] == [{"device": "b", "synced_s": SYNCED_S}]
    assert told["complete"] is False
    assert told["visits"] == [VISITS[0], {**VISITS[1], "to_s": 1.2, "frames": 2}, VISITS[2]]
    assert node.called == 1
    cluster.fleet.join(B, cluster.node(B))  # type: ignore[arg-type]
    assert cluster.ask(7)["visits"] == VISITS


def test_a_device_that_never_brought_anything_and_one_that_has_left_are_missing_too(cluster: Cluster) -> None:
    cluster.fleet.leave(B)
    told = cluster.ask(None)
    assert told["missing"] == [{"device": "b", "synced_s": None}]
    assert [row["person"] for row in told["persons"]] == [7]


@pytest.mark.parametrize("rows", [0, 1000])
def test_without_the_head_the_devices_tell_all_that_they_have(cluster: Cluster, rows: int) -> None:
    for device in SEEN:
        cluster.bring(device, rows)
    cluster.cut_off(HEAD)
    told = cluster.ask(7)
    assert told["visits"] == VISITS[:2]
    assert told["known"] == 2
    assert told["missing"] == [{"device": "h", "synced_s": None}]
    assert [row["visits"] for row in cluster.ask(None)["persons"]] == [2, 1]


def test_a_head_that_falls_silent_in_between_is_missing_and_the_devices_tell_all(cluster: Cluster) -> None:
    for device in SEEN:
        cluster.bring(device)

    class Failing:
        def __init__(self, node: NodeService) -> None:
            self.synced, self.stored = node.synced, node.stored

        def archived(self, *args: Any) -> None:
            raise ClusterError("the node of h died")

    cluster.fleet.join(HEAD, Failing(cluster.node(HEAD)))  # type: ignore[arg-type]
    told = cluster.ask(7)
    assert told["visits"] == VISITS
    assert told["missing"] == [{"device": "h", "synced_s": SYNCED_S}]


def test_of_a_job_of_which_only_the_name_is_known_the_archive_tells_the_devices(cluster: Cluster) -> None:
    cluster.bring(A)
    cluster.bring(B, 0)
    cluster.bring(HEAD)
    assert cluster.ask(7, None)["visits"] == VISITS
    cluster.fleet.leave(A)
    assert cluster.ask(7, None)["missing"] == [{"device": "a", "synced_s": SYNCED_S}]
    cluster.fleet.leave(HEAD)
    with pytest.raises(
        BadInputError, match=r"reid-3 .*no cameras.*does not answer\n  expected: .*\n  remedy: "
    ):
        cluster.ask(7, None)


def test_a_job_of_another_kind_is_refused_without_asking_anybody(cluster: Cluster) -> None:
    for device in SEEN:
        cluster.cut_off(device)
    with pytest.raises(BadInputError, match=r"reid-3 watched no cameras\n  expected: .*\n  remedy: "):
        cluster.ask(7, Job(id=JOB, tasks=(), flows=()))
    assert [node.called for node in cluster.cut] == [0, 0, 0]


def test_rows_that_arrive_while_it_is_asked_count_once(cluster: Cluster) -> None:
    """Between the question for the numbers and that for the visits, all is brought."""
    node = cluster.node(A)
    plain = node.stored

    def stored(job: JobId, after: Any) -> Any:
        found = plain(job, after)
        synchroniser = Synchroniser(cluster.stores[A])
        while (batch := synchroniser.next_batch()) is not None:
            synchroniser.acknowledged(batch.epoch, cluster.archive.take(batch))
        return found

    node.stored = stored  # type: ignore[method-assign]
    cluster.fleet.join(A, node)  # type: ignore[arg-type]
    cluster.bring(A, 2)
    assert cluster.ask(7)["visits"] == VISITS
    assert cluster.archive.synced()["a"].seq == len(SEEN[A])
