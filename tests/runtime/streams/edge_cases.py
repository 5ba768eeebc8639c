"""Edges of one job in one process: each with its folder, its threads and its lines; to be moved, cut off and killed."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cut_lines import Lines

from edgeray.errors import FlowError
from edgeray.streams.edge import ARCHIVE, FOLDER, STORE, Edge
from edgeray.streams.peers import Connection
from policies.model import CameraId, DeviceId, Mapped, StreamPlacement, TaskId
from policies.streams.reading import step

DEADLINE_S = 30.0


def until(condition: Callable[[], Any], what: str = "") -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"not met in time: {what or condition}"
        threading.Event().wait(0.005)


def mapped(decided_s: float, **streams: str) -> Mapped:
    """By camera, the devices that detect and identify: "ab" for a and b."""
    return Mapped(
        streams={
            CameraId(camera): StreamPlacement(
                detect_on=DeviceId(pair[0]), identify_on=DeviceId(pair[1]), items_per_s=1.0, latency_s=0.0
            )
            for camera, pair in streams.items()
        },
        sum_latency_s=0.0,
        common_fps=1.0,
        decided_s=decided_s,
    )


def camera(device: str, source: Path, frames: int | None = None, **more: Any) -> dict[str, Any]:
    read = {"source": str(source), "frames": frames}
    return {"device": device, "source": read, "reliable": True, "buffer": 8, "quality": 90, **more}


@dataclass
class Stage:
    """One edge's process. errors: what its threads raised, but for lines that were closed."""

    device: DeviceId
    output_dir: Path
    lines: Lines
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    attached: threading.Event = field(default_factory=threading.Event)

    def connect(self, peer: TaskId) -> Connection:
        return self.lines.connect(self.device, peer.removeprefix("edge-"), self.stop)

    def spawn(self, name: str, body: Callable[[], None]) -> None:
        def run() -> None:
            try:
                body()
            except FlowError as error:
                if not self.stop.is_set():
                    self.errors.append(error)
                self.end()
            except BaseException as error:
                self.errors.append(error)
                self.end()

        thread = threading.Thread(target=run, name=f"{self.device} {name}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def attach(self, edge: Edge) -> None:
        self.attached.set()

    def end(self) -> None:
        """As a LoopStage ends: it is told, and its connections are closed."""
        self.stop.set()
        self.lines.cut_off(self.device)

    def run(self, edge: Edge) -> None:
        def body() -> None:
            edge(self)
            self.end()

        self.spawn("edge", body)


class Together:
    """A job's edges. The first device is the head's."""

    def __init__(self, folder: Path, cameras: Mapping[str, Any], mapping: Mapped, **recipe: Any) -> None:
        self.lines = Lines()
        self.edges: dict[str, Edge] = {}
        self.stages: dict[str, Stage] = {}
        self.mapping = mapping
        self.all_stages: list[Stage] = []
        self._folder = folder
        devices = recipe.pop("devices", "abc")
        self.recipe = {
            "server": f"edge-{devices[0]}",
            "edges": {device: f"edge-{device}" for device in devices},
            "cameras": dict(cameras),
            "detect": {"run": "square_people:detect", "args": {}},
            "identify": {"run": "square_people:embed", "args": {}},
            "track": {},
            "gallery": {"threshold": 0.9},
            "again_s": None,
            "sync_s": 0.1,
            **recipe,
        }
        for device in devices:
            self.start(device)

    def start(self, device: str) -> None:
        """Make an edge, and have its stage run; also in the place of one that was killed."""
        edge = Edge(self.recipe, DeviceId(device), self.mapping)
        stage = Stage(DeviceId(device), self._folder / device, self.lines)
        self.edges[device], self.stages[device] = edge, stage
        self.all_stages.append(stage)
        stage.run(edge)
        assert stage.attached.wait(DEADLINE_S), stage.errors

    def map(self, decided_s: float, **streams: str) -> None:
        """Tell all edges that run."""
        self.mapping = mapped(decided_s, **streams)
        for edge in self.edges.values():
            edge.map(self.mapping)

    def kill(self, device: str) -> None:
        """What was not on the disk is gone, and the edge with it."""
        edge, stage = self.edges.pop(device), self.stages.pop(device)

        def killed() -> None:
            raise FlowError("killed")

        stage.stop.set()
        edge.flush = killed  # type: ignore[method-assign]
        stage.end()
        join(stage)
        edge._store.close()

    def stop(self) -> None:
        for stage in self.stages.values():
            stage.end()
        for stage in self.stages.values():
            join(stage)

    def wait_for_the_end(self) -> None:
        """Until the head's edge has ended by itself; then the others are stopped, as the scheduler does."""
        head = self.stages[self.head]
        assert head.stop.wait(DEADLINE_S), "the job does not end"
        self.stop()
        assert not [error for stage in self.all_stages for error in stage.errors]

    @property
    def head(self) -> str:
        return next(iter(self.recipe["edges"]))

    # What can be seen of them

    def done(self, camera: str) -> int:
        """Frames that were detected in, on the edges that run."""
        return self.count("detect", camera)

    def count(self, name: str, camera: str) -> int:
        rows = [edge.rows().get(step(name, camera)) for edge in self.edges.values()]
        return sum(row[0].items for row in rows if row is not None)

    def archived(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the head's archive; sightings, identities and frames have a camera's name."""
        return rows_of(self._folder / self.head / FOLDER / ARCHIVE, statement)

    def stored(self, device: str, statement: str) -> list[tuple[Any, ...]]:
        return rows_of(self._folder / device / FOLDER / STORE, statement)

    def frames(self, camera: str) -> list[int]:
        """The numbers of all frames that were done, sorted."""
        told = self.archived(f"SELECT frame FROM {NAMED.format('frames')} WHERE name = '{camera}'")
        return sorted(frame for (frame,) in told)

    def persons(self, camera: str) -> dict[int, set[int]]:
        """Of each track, who it was told to be."""
        found: defaultdict[int, set[int]] = defaultdict(set)
        for track, person in self.archived(
            f"SELECT track, person FROM {NAMED.format('identities')} WHERE name = '{camera}'"
        ):
            found[track].add(person)
        return dict(found)

    def tracks(self, camera: str) -> dict[int, int]:
        """Of each track, on how many frames it was seen."""
        told = self.archived(f"SELECT track FROM {NAMED.format('sightings')} WHERE name = '{camera}'")
        return dict(Counter(track for (track,) in told))


NAMED = "{} JOIN cameras ON cameras.id = camera"


def rows_of(file: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(statement).fetchall()


def join(stage: Stage) -> None:
    """All threads of a stage that was told to end do so."""
    for thread in stage.threads:
        thread.join(DEADLINE_S)
    assert not [thread.name for thread in stage.threads if thread.is_alive()]
