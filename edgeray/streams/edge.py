"""One device's part of a job that watches cameras: all that is mapped to it, in one process.

    source ─► Feed ══► Watch ─► Identifier ══► Head (gallery) ══► Watch
              (camera's device)  (detect_on)  (identify_on)   (server)

Double arrows cross devices where the mapping says so; then they are messages over encrypted, shaped lines. Every edge
keeps what it saw in a store of its own, and brings it to the head's archive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2

from edgeray.errors import FlowError, StageError
from edgeray.node.code import TaskCode, load_task
from edgeray.node.measure import SinkLog, SinkWindow, TaskCounters
from edgeray.streams.archive import Archive
from edgeray.streams.feed import Feed
from edgeray.streams.head import Head
from edgeray.streams.identify import Embed, Identifier
from edgeray.streams.messages import (
    Ask,
    Begin,
    Done,
    Ended,
    Finish,
    Finished,
    Frame,
    Identify,
    Kept,
    Known,
    Leave,
    Left,
    Stored,
)
from edgeray.streams.peers import Connection, Remote, Self
from edgeray.streams.recipe import Recipe
from edgeray.streams.store import DeviceStore, Record, Synchroniser
from edgeray.streams.watch import Counts, Detect, Watch
from edgeray.streams.worker import Worker
from policies.model import CameraId, DeviceId, Mapped, TaskId
from policies.streams.reading import step

log = logging.getLogger(__name__)

FOLDER = "streams"
"""Of a job's folder on a device: its store, and on the head the archive and the gallery."""
STORE, ARCHIVE = "store.sqlite", "archive.sqlite"
TICK_S = 1.0
FINISH_TIMEOUT_S = 30.0
VIEW_WIDTH, VIEW_QUALITY = 640, 75


class Context(Protocol):
    """What an edge needs of its stage (edgeray.node.agent.AgentContext)."""

    device: DeviceId
    output_dir: Path
    stop: threading.Event

    def connect(self, peer: TaskId) -> Connection: ...
    def spawn(self, name: str, body: Any) -> None: ...
    def attach(self, edge: Edge) -> None: ...


class Edge:
    """recipe: of `Recipe.of`. device, mapped: where it is, and how cameras are watched at first; what that needs is
    loaded when the edge is made, before the device's CPU limit holds."""

    def __init__(self, recipe: Mapping[str, Any], device: DeviceId, mapped: Mapped) -> None:
        self.worker = Worker()
        self._recipe, self._device, self._mapped = Recipe.of(recipe), device, mapped
        self._models: dict[str, Any] = {}
        self._loading = threading.Lock()
        self._counts: dict[CameraId, Counts] = {}
        self._watches: dict[CameraId, Watch] = {}
        self._left: dict[CameraId, Left] = {}  # what was answered last, should it be asked again
        self._feeds: dict[CameraId, Feed] = {}
        self._lock = threading.RLock()
        self._peers: dict[DeviceId, Self | Remote] = {}
        self._head: Head | None = None
        self._identifier = Identifier(self._embed, self.worker, self.tell, self._recipe.server)
        self._records: list[Record] = []
        self._records_lock, self._flushing = threading.Lock(), threading.Lock()
        self._finishing = threading.Event()
        self._synced_s = 0.0
        self._sent_s = 0.0
        if any(where.detect_on == device for where in mapped.streams.values()):
            self._detect()
        if any(where.identify_on == device for where in mapped.streams.values()):
            self._embed()

    def __call__(self, context: Context) -> None:
        """Run until the stage is stopped; the head's edge until all cameras have ended and everything was brought."""
        folder = context.output_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._store = DeviceStore(folder / STORE, str(self._device))
        self._sync = Synchroniser(self._store)
        if self._device == self._recipe.server:
            self._head = Head(
                Archive(folder / ARCHIVE),
                self._recipe.gallery,
                folder,
                tell=self.tell,
                edges=tuple(self._recipe.edges),
                cameras=tuple(self._recipe.cameras),
                watched=lambda: tuple(self._mapped.streams),
            )
        self._meet(context)
        try:
            self._begin(context)
            context.attach(self)
            self._keep_time(context.stop)
        finally:
            self.flush()

    # What the scheduler wants

    def map(self, mapped: Mapped) -> None:
        """Watch the cameras so from now on; older mappings that come late count for nothing."""
        with self._lock:
            if mapped.decided_s < self._mapped.decided_s:
                return
            before, self._mapped = self._mapped, mapped
            for camera, feed in self._feeds.items():
                if camera in mapped.streams:
                    feed.watch_on(mapped.streams[camera].detect_on)
            for camera, watch in self._watches.items():
                old, new = before.streams.get(camera), mapped.streams.get(camera)
                if new is not None and (old is None or old.identify_on != new.identify_on):
                    watch.ask_again()
        self._open()

    def identify_on(self, camera: CameraId) -> DeviceId | None:
        where = self._mapped.streams.get(camera)
        return None if where is None else where.identify_on

    # What others want to know

    def rows(self) -> dict[TaskId, tuple[TaskCounters, int]]:
        """Counters of each step here, and how many items wait for it. Items are frames; of people, those who were seen on
        them, and of identify, those who were asked about."""
        with self._lock:
            rows = {step("camera", c): (feed.counters, 0) for c, feed in self._feeds.items()}
            rows |= {step("detect", c): (n.detect, self.worker.waiting(c)) for c, n in self._counts.items()}
            rows |= {step("people", c): (n.people, 0) for c, n in self._counts.items()}
        rows |= {step("identify", c): (n, 0) for c, n in dict(self._identifier.counters).items()}
        return rows

    def windows(self, from_s: float, to_s: float) -> dict[TaskId, SinkWindow]:
        """What was done between two times, and how old it was, of each camera that was watched here."""
        with self._lock:
            logs: dict[TaskId, SinkLog] = {step("detect", c): n.results for c, n in self._counts.items()}
        windows = {task: kept.window(from_s, to_s) for task, kept in logs.items()}
        return {task: window for task, window in windows.items() if window.items}

    def view(self, camera: CameraId) -> dict[str, Any] | None:
        """The last picture of a camera, with who is on it; None when it is not watched here.

        boxes in pixels of the picture, which is at most VIEW_WIDTH wide.
        """
        with self._lock:
            watch = self._watches.get(camera)
        look = None if watch is None else watch.look
        if look is None:
            return None
        height, width = look.picture.shape[:2]
        scale = min(1.0, VIEW_WIDTH / width)
        small = look.picture
        if scale < 1:
            small = cv2.resize(
                look.picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA
            )
        done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, VIEW_QUALITY])
        return {
            "jpeg": data.tobytes() if done else b"",
            "width": small.shape[1],
            "height": small.shape[0],
            "at_s": look.at_s,
            "boxes": [[value * scale for value in box] for box in look.boxes],
            "tracks": list(look.tracks),
            "persons": list(look.persons),
        }

    # What its parts need

    def tell(self, device: DeviceId, message: Any) -> None:
        """Send a message to an edge, or to this one; never blocks."""
        peer = self._peers.get(device)
        if peer is not None:
            peer.tell(message)

    def record(self, records: Sequence[Record]) -> None:
        with self._records_lock:
            self._records.extend(records)

    def recorded(self, camera: CameraId) -> int:
        """The newest frame of a camera that its store has; -1 for none."""
        self.flush()
        return self._store.last_frame(str(camera))

    def flush(self) -> None:
        """When it returns, all that was recorded before is on the disk."""
        with self._flushing:
            with self._records_lock:
                records, self._records = self._records, []
            if records:
                self._store.add(records)

    def left(self, watch: Watch, left: Left) -> None:
        """A camera is no longer watched here; this is where its watch was."""
        with self._lock:
            if self._watches.get(watch.camera) is watch:
                del self._watches[watch.camera]
                self._left[watch.camera] = left

    def _detect(self) -> Detect:
        return self._model("detect", self._recipe.detect)  # type: ignore[no-any-return]

    def _embed(self) -> Embed:
        return self._model("identify", self._recipe.identify)  # type: ignore[no-any-return]

    def _model(self, name: str, code: TaskCode) -> Any:
        """One model of a kind a device, whoever asks."""
        with self._loading:
            if name not in self._models:
                began = time.monotonic()
                self._models[name] = load_task(TaskId(name), code, Path()).call
                log.info("%s is loaded after %.2f s", name, time.monotonic() - began)
            return self._models[name]

    # Beginning and end

    def _meet(self, context: Context) -> None:
        myself = Self(self._device, self._take, context.stop)
        self._peers[self._device] = myself
        context.spawn("self", myself.run)
        for device, task in self._recipe.edges.items():
            if device != self._device:
                self._peers[device] = Remote(
                    device,
                    lambda task=task: context.connect(task),  # type: ignore[misc]
                    self._take,
                    self._opened,
                    context.spawn,
                    context.stop,
                )

    def _begin(self, context: Context) -> None:
        for camera, spec in self._recipe.cameras.items():
            if spec.device == self._device:
                self._feeds[camera] = Feed(
                    spec,
                    tell=self.tell,
                    standing=self._standing,
                    server=self._recipe.server,
                    folder=context.output_dir / FOLDER,
                    stop=context.stop,
                )
        self._open()
        context.spawn("worker", lambda: self.worker.run(context.stop))
        context.spawn("waker", lambda: self._wake(context.stop))
        for camera, feed in self._feeds.items():
            if camera in self._mapped.streams:
                feed.watch_on(self._mapped.streams[camera].detect_on)
            context.spawn(f"read {camera}", feed.read)
            context.spawn(f"send {camera}", feed.send)

    def _open(self) -> None:
        """Open the lines to all edges that this one has to do with: both ends must."""
        wanted = {self._recipe.server} if self._device != self._recipe.server else set(self._recipe.edges)
        for camera, where in self._mapped.streams.items():
            there = [self._recipe.cameras[camera].device, where.detect_on, where.identify_on]
            if self._device in there:
                wanted.update(there)
        for device in sorted(wanted):
            peer = self._peers.get(device)
            if isinstance(peer, Remote):
                peer.open()

    def _wake(self, stop: threading.Event) -> None:
        """Once the stage ends, nobody goes on waiting."""
        stop.wait()
        self.worker.wake()
        for feed in self._feeds.values():
            feed.wake()
        for peer in self._peers.values():
            peer.wake()

    def _keep_time(self, stop: threading.Event) -> None:
        over_s: float | None = None
        while not stop.wait(TICK_S):
            self._tick()
            if self._head is None:
                continue
            if self._head.finished.is_set():
                return
            if self._head.over:
                over_s = over_s or time.monotonic()
                if time.monotonic() - over_s > FINISH_TIMEOUT_S:
                    log.warning(
                        "ends without all of %s: what they have is in their stores", self._head.missing()
                    )
                    return

    def _tick(self) -> None:
        self.flush()
        self._bring()
        with self._lock:
            watches, feeds = tuple(self._watches.values()), tuple(self._feeds.values())
        for watch in watches:
            watch.tick()
        for feed in feeds:
            feed.tick()
        if self._head is not None:
            self._head.tick()

    # Bringing the store to the head

    def _bring(self, *, now: bool = False) -> None:
        """Send the next rows when it is time to; those that nobody acknowledged, again."""
        now_s = time.monotonic()
        due_s = TICK_S if self._finishing.is_set() else self._recipe.sync_s
        if not now and now_s - self._synced_s < due_s:
            return
        self._synced_s = now_s
        finishing = self._finishing.is_set() and not self._asking()
        self.flush()
        batch = self._sync.next_batch()
        if batch is not None:
            self.tell(self._recipe.server, Stored(batch=batch))
        elif finishing:
            self.tell(self._recipe.server, Finished(device=str(self._device)))

    def _asking(self) -> bool:
        with self._lock:
            return any(watch.asking for watch in self._watches.values())

    def _kept(self, kept: Kept) -> None:
        self._sync.acknowledged(kept.epoch, kept.seq)
        self._bring(now=True)

    # Messages

    def _standing(self, device: DeviceId) -> bool:
        peer = self._peers.get(device)
        return peer is not None and (not isinstance(peer, Remote) or peer.standing)

    def _opened(self, device: DeviceId) -> None:
        with self._lock:
            watches = [w for c, w in self._watches.items() if self.identify_on(c) == device]
        for feed in self._feeds.values():
            feed.opened(device)
        for watch in watches:
            watch.ask_again()
        self._identifier.opened(device)

    def _take(self, device: DeviceId, message: Any) -> None:
        match message:
            case Frame() | Leave():
                self._take_frame(device, message)
            case Begin():
                self._take_begin(device, message)
            case Done() | Left():
                feed = self._feeds.get(message.camera)
                if feed is not None:
                    feed.take(device, message)
            case Identify():
                self._identifier.take(device, message)
            case Known():
                self._take_known(device, message)
            case Kept():
                self._kept(message)
            case Finish():
                self._finishing.set()
                self._bring(now=True)
            case Ask() | Stored() | Ended() | Finished():
                if self._head is None:
                    raise FlowError(f"{device} takes {self._device} for the head")
                self._head.take(device, message)
            case _:
                raise StageError(f"{device} sent {type(message).__name__}, which edges do not send")

    def _take_begin(self, device: DeviceId, begin: Begin) -> None:
        with self._lock:
            known = self._watches.get(begin.camera)
            left = self._left.get(begin.camera)
            if (known is not None and known.turn >= begin.turn) or (
                left is not None and left.turn >= begin.turn
            ):
                return
            if known is not None:
                known.end()
            self._watches[begin.camera] = Watch(
                begin,
                device,
                self,
                self._counts.setdefault(begin.camera, Counts()),
                detect=self._detect,
                track=self._recipe.track,
                again_s=self._recipe.again_s,
            )

    def _take_frame(self, device: DeviceId, message: Frame | Leave) -> None:
        with self._lock:
            watch, left = self._watches.get(message.camera), self._left.get(message.camera)
        if watch is not None:
            watch.take(message)
        elif isinstance(message, Leave):
            known = left is not None and left.turn == message.turn
            self.tell(device, left if known else Left(camera=message.camera, turn=message.turn, state=None))

    def _take_known(self, device: DeviceId, known: Known) -> None:
        """The gallery's answer on its way to the detector, and then there."""
        with self._lock:
            watch = self._watches.get(known.camera)
        if self._identifier.awaits(known):
            self._identifier.take_known(known)
        elif watch is not None:
            watch.take_known(known)
